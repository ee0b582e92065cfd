"""The values that travel between rooms. Knows shapes; must not know any method, file or library beyond numpy and torch.

Shape legend, used as suffixes everywhere:
    r rows of a data set      s sequences (a long row may be several windows)    n tokens of all sequences together
    b rows of a batch         t tokens of a padded sequence                      c classes or output columns
    d hidden width            v vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The characters `start` to `end` (exclusive) of a text, and what they are."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one split, column-wise; row i is the same row in every field.

    `inputs` holds one tuple per row with one string per input column.
    `targets` is int64 [r] of class indices (classification), float32 [r, c] of 0/1 (multi_label), float32 [r]
    (regression), or None where the rows have no answers (prediction).
    """

    ids: tuple[str, ...]
    origins: tuple[str, ...]
    inputs: tuple[tuple[str, ...], ...]
    targets: np.ndarray | None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: np.ndarray) -> Rows:
        """The rows at `indices` (int [k]), in that order."""
        return Rows(
            ids=tuple(self.ids[i] for i in indices),
            origins=tuple(self.origins[i] for i in indices),
            inputs=tuple(self.inputs[i] for i in indices),
            targets=None if self.targets is None else self.targets[indices],
        )


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of many rows, ragged, without padding.

    Sequence j is `tokens_n[starts_s[j]:starts_s[j + 1]]` and belongs to row `owner_s[j]`; rows are numbered from 0 and
    appear in order, so a row that needed windows owns several neighbouring sequences. `cut_r` counts the tokens of each
    row that no sequence holds.
    """

    tokens_n: np.ndarray  # int32
    starts_s: np.ndarray  # int64 [s + 1]
    owner_s: np.ndarray  # int64 [s]
    types_n: np.ndarray | None  # int8: 0 for the first text of a pair, 1 for the second
    cut_r: np.ndarray  # int64 [r]

    @property
    def rows(self) -> int:
        return len(self.cut_r)

    @property
    def lengths_s(self) -> np.ndarray:
        """Tokens of each sequence, int64 [s]."""
        return np.diff(self.starts_s)

    def lengths_r(self) -> np.ndarray:
        """Tokens of each row over all its sequences, int64 [r]."""
        return np.bincount(self.owner_s, weights=self.lengths_s, minlength=self.rows).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one task, padded on the right, ready for a model.

    `owner_s` maps each sequence to a row of this batch (identity unless rows have windows). `row_indices_b` are the
    rows' places in the data set, `weights_b` their weights in the loss (0 for a row that must not count).
    """

    ids_st: Tensor  # int64
    lengths_s: Tensor  # int64
    types_st: Tensor | None
    owner_s: Tensor  # int64
    row_indices_b: Tensor  # int64
    targets: Tensor | None  # int64 [b] | float32 [b, c] | float32 [b]
    weights_b: Tensor  # float32
    task: str = "main"

    @property
    def mask_st(self) -> Tensor:
        """True at real tokens, bool [s, t]."""
        import torch

        return torch.arange(self.ids_st.shape[1], device=self.ids_st.device)[None, :] < self.lengths_s[:, None]

    @property
    def rows(self) -> int:
        return len(self.row_indices_b)

    @property
    def tokens(self) -> int:
        return int(self.lengths_s.sum())


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model says about a batch: `logits` float [b, c] (regression [b]) and the pooled vectors under the head."""

    logits: Tensor
    pooled_bd: Tensor


@dataclass(frozen=True, slots=True)
class LossItems:
    """Unreduced losses: one value and one weight per item (a row, a token, a pair). The engine alone reduces them."""

    values: Tensor  # float32 [items]
    weights: Tensor  # float32 [items]


@dataclass(frozen=True, slots=True)
class Context:
    """All that an objective may read. `teacher` is None unless the phase has one."""

    batch: Batch
    outputs: Outputs
    kind: str  # the task kind: classification | multi_label | regression
    teacher: Outputs | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one rung says about the rows of one split; the only thing `evaluate/` needs to judge it.

    `outputs` is float32 [r, c] of probabilities (classification: rows sum to 1; multi_label: each in 0..1) or float32
    [r] of values (regression). `seconds` is the wall time of predicting all rows, after loading; 0 if not timed.
    """

    rung: str
    split: str
    row_ids: tuple[str, ...]
    outputs: np.ndarray
    targets: np.ndarray
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def named(self, rung: str) -> Predictions:
        return replace(self, rung=rung)
