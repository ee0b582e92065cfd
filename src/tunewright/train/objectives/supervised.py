"""The supervised objective: learn the answers in the data. Knows logits and targets; must not know their origin."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tunewright.model.vocabulary import cross_entropy_at
from tunewright.train.objectives.objective import Objective
from tunewright.values import Batch, Context


@dataclass(frozen=True)
class Supervised(Objective):
    """Cross-entropy for labels and tokens, binary cross-entropy for several labels, squared error for numbers.

    | task kind | item | logits | targets | value of an item |
    |---|---|---|---|---|
    | classification | row | [b, c] | int64 [b] | cross-entropy, smoothed by `label_smoothing` |
    | multi_label | row | [b, c] | float32 [b, c] | mean over labels of binary cross-entropy |
    | regression | row | [b] | float32 [b] | squared error in units of the training answers' spread |
    | similarity | row | [b]: cosines | float32 [b], 0 to 1 | squared error of the cosine |
    | token_classification | token | [m, c] | int64 [m] | cross-entropy of its tag, smoothed |
    | question_answering | token | [m, 2] | int64 [m]: 1 begins, 2 ends, 3 both | cross-entropy of the answer's ends |
    | tasks that write text | token | none: vectors and vocabulary | int64 [m] | cross-entropy of that token, smoothed |

    Of a question the two ends count half each, against all candidates of their sequence; other candidates weigh 0.
    `class_weights: balanced` weighs a row by rows / (classes * rows of its class). Label smoothing: Szegedy et al.
    2016, "Rethinking the Inception architecture", section 7. Cosines are fitted to the answers laid out from 0, the
    least of training, to 1, the greatest (Reimers & Gurevych 2019, "Sentence-BERT"), so that what is said is in the
    units of the answers and rows do not depend on their company. Relations: with both options at rest this is plain
    maximum likelihood.
    """

    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    weight_c: Tensor | None = field(default=None, init=False, repr=False, compare=False)
    kind: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, not {self.label_smoothing}")

    def refusal(self, kind: str) -> str | None:
        """Why these options make no sense for a task of `kind`, or None."""
        if kind == "retrieval":
            return "a row says what is right and not what is wrong; the objective contrastive learns from both"
        if kind in ("regression", "similarity") and (self.label_smoothing or self.class_weights != "none"):
            return f"label_smoothing and class_weights need labels; a {kind} has none"
        if kind == "multi_label" and self.class_weights != "none":
            return "class_weights: balanced weighs a row by its one class; multi_label rows have several"
        if kind != "classification" and self.class_weights != "none":
            return "class_weights: balanced weighs a row by its one class"
        return None

    def fitted(self, targets: np.ndarray, *, kind: str, classes: int) -> Supervised:
        """This objective for a kind of task, with the class weights of the training answers."""
        fitted = replace(self)
        object.__setattr__(fitted, "kind", kind)
        if self.class_weights != "none":
            counts = np.bincount(targets, minlength=classes)
            weight_c = torch.from_numpy(len(targets) / (classes * np.maximum(counts, 1))).float()
            object.__setattr__(fitted, "weight_c", weight_c)
        return fitted

    def weights(self, batch: Batch) -> Tensor:
        """The weight of each item, float32 [m]; needs no forward pass."""
        if self.kind == "question_answering":
            return batch.weights_m * ends_of(batch).sum(1) / 2
        if self.weight_c is None or batch.targets is None:
            return batch.weights_m
        return batch.weights_m * self.weight_c.to(batch.weights_m.device)[batch.targets]

    def values(self, context: Context) -> Tensor:
        """The unreduced loss of each item, float32 [m]."""
        outputs, targets = context.outputs, context.batch.targets
        assert targets is not None
        if outputs.vocabulary_vd is not None:
            return cross_entropy_at(
                outputs.vectors_md, outputs.vocabulary_vd, targets, smoothing=self.label_smoothing
            )
        assert outputs.logits is not None
        logits = outputs.logits.float()
        if context.kind == "question_answering":
            return _cross_entropy_of_ends(logits, context.batch)
        if context.kind in ("classification", "token_classification"):
            return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing, reduction="none")
        if context.kind == "multi_label":
            smoothed = targets * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
            return F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none").mean(dim=1)
        return (logits - targets).square()


def ends_of(batch: Batch) -> Tensor:
    """Whether an answer begins and whether it ends at each candidate, float32 [m, 2]."""
    assert batch.targets is not None
    return torch.stack([batch.targets & 1, batch.targets >> 1 & 1], dim=1).float()


def _cross_entropy_of_ends(logits_m2: Tensor, batch: Batch) -> Tensor:
    """At an end of an answer, its cross-entropy among the candidates of its sequence; 0 elsewhere. float32 [m]."""
    assert batch.at_m is not None
    sequence_m = batch.at_m // batch.ids_st.shape[1]
    index_m2 = sequence_m[:, None].expand_as(logits_m2)
    most_s2 = logits_m2.new_full((len(batch.ids_st), 2), float("-inf"))
    most_s2 = most_s2.scatter_reduce(0, index_m2, logits_m2.detach(), "amax")
    shifted_m2 = logits_m2 - most_s2[sequence_m]
    total_s2 = logits_m2.new_zeros(len(batch.ids_st), 2).scatter_add(0, index_m2, shifted_m2.exp())
    ends_m2 = ends_of(batch)
    return ((total_s2.log()[sequence_m] - shifted_m2) * ends_m2).sum(1) / ends_m2.sum(1).clamp(min=1)
