"""What updates are made from: token ids, or the vectors of a frozen trunk computed once. Must not know any method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from tunewright.data.masked import MaskedEncoder
from tunewright.model.build import Model
from tunewright.model.heads import TaskModel
from tunewright.model.predict import make_batch
from tunewright.values import Batch, Encoded, Outputs


class Material(Protocol):
    """Rows in the form in which the model is fed with them."""

    @property
    def row_ids(self) -> tuple[str, ...]: ...

    @property
    def lengths_r(self) -> np.ndarray:
        """Tokens of each row, int64 [r]: what the schedule groups by and a pass is measured in."""
        ...

    def batch(self, indices: np.ndarray, *, epoch: int = 0) -> Batch: ...

    def outputs(self, model: Model, batch: Batch) -> Outputs: ...


@dataclass(frozen=True)
class Tokens:
    """Rows as token ids, run through the whole model."""

    encoded: Encoded
    targets: np.ndarray | None  # None where `encoded` says what is asked at tokens
    weights_r: np.ndarray  # float32
    row_ids: tuple[str, ...]
    pad_id: int

    @property
    def lengths_r(self) -> np.ndarray:
        return self.encoded.lengths_r()

    def batch(self, indices: np.ndarray, *, epoch: int = 0) -> Batch:
        return make_batch(self.encoded, indices, targets=self.targets, weights=self.weights_r, pad_id=self.pad_id)

    def outputs(self, model: Model, batch: Batch) -> Outputs:
        return model(batch)


@dataclass(frozen=True)
class MaskedTokens(Tokens):
    """Blocks of text of which other words are hidden in each epoch, none of them as for judging."""

    encoder: MaskedEncoder

    def batch(self, indices: np.ndarray, *, epoch: int = 0) -> Batch:
        hidden = self.encoder.hidden(self.encoded.take(indices), indices, epoch=epoch + 1)
        batch = make_batch(
            hidden, np.arange(len(indices)), weights=self.weights_r[indices], pad_id=self.pad_id
        )
        return replace(batch, row_indices_b=torch.from_numpy(indices.copy()))


@dataclass(frozen=True)
class Features:
    """Rows as pooled vectors of a trunk that does not train, run through the head alone.

    Valid only while nothing upstream of the head changes from epoch to epoch: see `features_fixed` of the axes.
    """

    pooled_rd: np.ndarray  # float32
    targets: np.ndarray
    weights_r: np.ndarray
    row_ids: tuple[str, ...]
    lengths_r: np.ndarray  # int64, tokens of the text that a vector stands for, so that order and budget are the same

    def batch(self, indices: np.ndarray, *, epoch: int = 0) -> Batch:
        rows = torch.from_numpy(indices)
        return Batch(
            ids_st=torch.empty(len(indices), 0, dtype=torch.int64),
            lengths_s=torch.ones(len(indices), dtype=torch.int64),
            types_st=None,
            owner_s=torch.arange(len(indices)),
            row_indices_b=rows,
            targets=torch.from_numpy(self.targets[indices]),
            weights_m=torch.from_numpy(self.weights_r[indices]),
        )

    def outputs(self, model: TaskModel, batch: Batch) -> Outputs:
        pooled = torch.from_numpy(self.pooled_rd[batch.row_indices_b.numpy()])
        return model.answer(pooled)
