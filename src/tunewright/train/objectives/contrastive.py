"""The contrastive objective: tell what belongs together from what does not. Knows vectors; must not know texts.

Shape legend: b rows, k texts of a row, c candidates: the passages of all rows, first each row's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tunewright.train.objectives.objective import Objective
from tunewright.values import Batch, Context


@dataclass(frozen=True)
class Contrastive(Objective):
    """Multiple negatives ranking: a query finds its own passage among those of all rows of the update.

    | task kind | item | vectors | targets | value of an item |
    |---|---|---|---|---|
    | retrieval | row | [b, k, d], of length 1 | int64 [b, k]: numbers of texts | cross-entropy of its own passage |

    The logits are cosines over `temperature`. A third column holds passages that do not answer, which join the
    candidates of every row. No candidate is what is known to be right as well: a passage equal to the row's own, or to
    another one given for an equal query. Rows of weight 0 give no candidates. Requirements: at least two rows in an
    update; more of them make the task harder and the vectors better, and all count however many passes an update takes.
    Source: Henderson et al. 2017, arXiv:1705.00652, section 4, with cosines; as InfoNCE, van den Oord et al. 2018,
    arXiv:1807.03748. Relations: of one row with a third column it is the logistic loss of a triplet.
    """

    temperature: float = 0.05

    needs: ClassVar[frozenset[str]] = frozenset({"targets", "whole_update"})

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")

    def refusal(self, kind: str) -> str | None:
        """Why this makes no sense for a task of `kind`, or None."""
        return None if kind == "retrieval" else "it learns which passage belongs to a query"

    def values(self, context: Context) -> Tensor:
        """The unreduced loss of each row, float32 [b]."""
        vectors_bkd, batch = context.outputs.vectors_md.float(), context.batch
        passages_cd = vectors_bkd[:, 1:].transpose(0, 1).flatten(0, 1)
        logits_bc = vectors_bkd[:, 0] @ passages_cd.T / self.temperature
        logits_bc = logits_bc.masked_fill(~candidates_of(batch), float("-inf"))
        return F.cross_entropy(logits_bc, torch.arange(batch.rows, device=logits_bc.device), reduction="none")


def candidates_of(batch: Batch) -> Tensor:
    """Which passages each row chooses from, bool [b, c]: its own, and all that are not known to be right as well."""
    assert batch.targets is not None
    query_b, passage_bk = batch.targets[:, 0], batch.targets[:, 1:]
    passage_c, counts_c = passage_bk.T.flatten(), (batch.weights_m > 0).repeat(passage_bk.shape[1])
    tells_bb = (query_b[:, None] == query_b[None, :]) & (batch.weights_m > 0)[None, :]
    right_bc = passage_bk[:, :1] == passage_c[None, :]  # by the row itself; below also by others of its query
    right_bc = tells_bb.float() @ right_bc.float() > 0
    own_bc = torch.eye(batch.rows, len(passage_c), dtype=torch.bool, device=passage_c.device)
    return own_bc | (counts_c[None, :] & ~right_bc)
