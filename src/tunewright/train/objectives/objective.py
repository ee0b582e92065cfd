"""What objectives have in common. Knows batches; must not know what is minimised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
from torch import Tensor

from tunewright.values import Batch, Context


class Objective(ABC):
    """Something to minimise: a value and a weight for each item, which the engine alone reduces.

    `needs` names what a phase must offer, `provides` what others of the phase may read. An objective says itself which
    kinds of task it fits; it has nothing to learn from all answers together and weighs items as the batch does, unless
    it says otherwise.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"targets"})
    provides: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def refusal(self, kind: str) -> str | None:
        """Why this makes no sense for a task of `kind`, or None."""

    def fitted(self, targets: np.ndarray, *, kind: str, classes: int) -> Self:
        """This objective for a kind of task and its training answers."""
        return self

    def weights(self, batch: Batch) -> Tensor:
        """The weight of each item, float32 [m]; needs no forward pass."""
        return batch.weights_m

    @abstractmethod
    def values(self, context: Context) -> Tensor:
        """The unreduced loss of each item, float32 [m]."""
