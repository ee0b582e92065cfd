"""The CoSENT objective: put graded pairs in order. Knows cosines and answers; must not know texts.

Shape legend: b rows, each a pair of texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tunewright.train.objectives.objective import Objective
from tunewright.values import Context


@dataclass(frozen=True)
class CoSent(Objective):
    """Graded pairs by their order: of two pairs, the texts of the one with the higher answer are to be more alike.

    | task kind | item | logits | targets | value of an item |
    |---|---|---|---|---|
    | similarity | row | [b]: cosines | float32 [b] | log(1 + sum of exp((lower's − higher's cosine) / `temperature`)) |

    The sum runs over any two rows of the update with different answers, so every row has the same value. Rows of weight
    0 are in no pair of rows; others count there by the product of their weights. All rows count however many passes an
    update takes. Source: Su 2022, "CoSENT" (kexue.fm/archives/8847). Relations: it sees ranks alone, as Spearman's
    figure does, and leaves cosines without a scale; `supervised` fits the answers themselves.
    """

    temperature: float = 0.05

    needs: ClassVar[frozenset[str]] = frozenset({"targets", "whole_update"})

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}")

    def refusal(self, kind: str) -> str | None:
        """Why this makes no sense for a task of `kind`, or None."""
        return None if kind == "similarity" else "it orders pairs by a number that says how alike they are"

    def values(self, context: Context) -> Tensor:
        """The loss of the update, the same for each row, float32 [b]."""
        cosine_b, batch = context.outputs.logits, context.batch
        assert cosine_b is not None and batch.targets is not None
        higher_bb = batch.targets[:, None] > batch.targets[None, :]
        weight_bb = batch.weights_m[:, None] * batch.weights_m[None, :] * higher_bb
        gap_bb = (cosine_b[None, :] - cosine_b[:, None]).float() / self.temperature + weight_bb.log()
        no_gap = gap_bb.new_zeros(1)  # the 1 under the logarithm
        return torch.cat([no_gap, gap_bb.flatten()]).logsumexp(0).expand(batch.rows)
