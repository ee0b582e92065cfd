"""The masked objective: say which words were hidden. Knows vectors and targets; must not know how words are hidden."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tunewright.model.vocabulary import cross_entropy_at
from tunewright.train.objectives.objective import Objective
from tunewright.values import Context


@dataclass(frozen=True)
class Masked(Objective):
    """An encoder learns a domain's language from plain text: some words are hidden, and it says which.

    | task kind | item | logits | targets | value of an item |
    |---|---|---|---|---|
    | pretraining | hidden token | none: vectors and vocabulary | int64 [m] | cross-entropy of that token |

    `share` of the tokens are hidden, others in each epoch: 80 in 100 are shown as the mask, 10 as another word, and 10
    as they are. With `whole_words` all pieces of a word are hidden or none. Requirements: a base that is an encoder,
    whose tokenizer has a token for what is hidden. Sources: Devlin et al. 2019, "BERT", section 3.1; masks anew in each
    epoch: Liu et al. 2019, "RoBERTa", section 4.1. Relations: a decoder learns every token from those before it
    (`supervised`); a word that is asked here is seen from both sides, so perplexities of the two are not comparable.
    """

    share: float = 0.15
    whole_words: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must be above 0 and below 1, not {self.share}")

    def refusal(self, kind: str) -> str | None:
        """Why this makes no sense for a task of `kind`, or None."""
        return None if kind == "pretraining" else "it learns from plain text, without answers"

    def values(self, context: Context) -> Tensor:
        """The unreduced loss of each hidden token, float32 [m]."""
        outputs, targets = context.outputs, context.batch.targets
        assert targets is not None and outputs.vocabulary_vd is not None
        return cross_entropy_at(outputs.vectors_md, outputs.vocabulary_vd, targets)
