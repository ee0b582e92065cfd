"""Axis 3: which rows come when. Knows lengths and answers of rows; must not know the model or the text.

The order of rows is a pure function of (seed, epoch), so a resumed run needs only its cursor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Shuffled:
    """Every row once per epoch, in a fresh random order."""

    needs: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()
    features_fixed: ClassVar[bool] = True

    def updates(self, lengths_r: np.ndarray, *, rows_per_update: int, seed: int, epoch: int) -> list[np.ndarray]:
        """Row indices of each update of an epoch; the last update may be smaller.

        `lengths_r` is int64 [r], tokens per row.
        """
        return _sliced(_generator(seed, epoch).permutation(len(lengths_r)), rows_per_update)


@dataclass(frozen=True)
class LengthGrouped:
    """Every row once per epoch in random order, rows of like length in one update, so that little is padded.

    A random order is cut into pools of `pool` updates, each pool is sorted by length and cut into updates, and the
    updates are shuffled. Larger pools pad less and mix less.
    """

    pool: int = 50

    needs: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()
    features_fixed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.pool < 1:
            raise ValueError(f"pool counts updates and must be at least 1, not {self.pool}")

    def updates(self, lengths_r: np.ndarray, *, rows_per_update: int, seed: int, epoch: int) -> list[np.ndarray]:
        """As `Shuffled.updates`."""
        generator = _generator(seed, epoch)
        order = generator.permutation(len(lengths_r))
        updates: list[np.ndarray] = []
        for pool in _sliced(order, self.pool * rows_per_update):
            updates += _sliced(pool[np.argsort(-lengths_r[pool], kind="stable")], rows_per_update)
        return [updates[i] for i in generator.permutation(len(updates))]


SCHEDULES: dict[str, type] = {"shuffled": Shuffled, "length_grouped": LengthGrouped}


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch, 0x5C4ED])


def _sliced(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[i : i + size] for i in range(0, len(order), size)]
