"""The engine: a generator of facts, one per update. Knows the contract of the five axes and no method by name.

Logging, judging, saving and stopping live with the caller, between two facts. An update is computed in as many passes
as memory asks for; because every loss is divided by weights known before the first backward pass, the number of passes
does not change it. Where an objective sees the rows of an update side by side (it needs the `whole_update`), gradients
are cached: all passes make their vectors, the loss of all together gives each vector its gradient, and the passes run
again to take these down to the parameters (Gao et al. 2021, arXiv:2101.06983).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunewright.model.build import Model
from tunewright.recipe.schema import Budget
from tunewright.train.material import Material
from tunewright.train.optimizers import AdamW, Masters
from tunewright.values import Batch, Context, Outputs

_MOST_SKIPS_IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class Pieces:
    """The live pieces of one phase, as `assemble` makes them."""

    kind: str
    objectives: Sequence[tuple[Any, float]]  # (objective, weight in the sum)
    schedule: Any
    optimizer: AdamW
    budget: Budget
    rows_per_update: int
    accumulate: int
    tokens_per_pass: int
    seed: int


@dataclass(frozen=True, slots=True)
class UpdateFact:
    """What one update did. `seconds` is the only field that a clock decides."""

    update: int  # from 1
    epoch: int  # from 0
    rows: int
    tokens: int
    loss: float
    gradient_norm: float
    rate: float
    passes: int
    skipped: bool
    seconds: float

    def recorded(self) -> dict[str, Any]:
        """As a line of metrics.jsonl; non-finite figures become text, which JSON can hold."""
        number = {name: getattr(self, name) for name in ("loss", "gradient_norm", "rate")}
        return {
            "event": "update", "update": self.update, "epoch": self.epoch, "rows": self.rows, "tokens": self.tokens,
            **{name: value if math.isfinite(value) else str(value) for name, value in number.items()},
            "passes": self.passes, "skipped": self.skipped, "clock": {"seconds": round(self.seconds, 6)},
        }  # fmt: skip


@dataclass(slots=True)
class Cursor:
    """Where training stands: `position` updates of `epoch` are done."""

    update: int = 0
    epoch: int = 0
    position: int = 0
    tokens: int = 0
    seconds: float = 0.0
    skips_in_a_row: int = 0
    skipped_rows: list[str] = field(default_factory=list)


class NotFinite(RuntimeError):
    """Loss or gradient was not finite three times in a row; the weights never saw any of it."""

    def __init__(self, row_ids: Sequence[str], update: int):
        self.row_ids = tuple(row_ids)
        shown = ", ".join(self.row_ids[:20]) + (f" and {len(self.row_ids) - 20} more" if len(self.row_ids) > 20 else "")
        super().__init__(
            f"Loss or gradient was not finite in {_MOST_SKIPS_IN_A_ROW} updates in a row, the last of them update "
            f"{update}; they were skipped and the weights are those before them. Rows: {shown}. Remedy: look at these "
            "rows, lower phases.*.optimizer.rate, or set compute.dtype: float32."
        )


class Training:
    """One phase of training over `material`, resumable at every update."""

    def __init__(self, model: Model, material: Material, pieces: Pieces, *, masters: Masters):
        self.model, self.material, self.pieces, self.masters = model, material, pieces, masters
        self.cursor = Cursor()
        self._lengths_r = material.lengths_r
        self._trunk_trains = any(parameter.requires_grad for parameter in model.trunk.parameters())
        self._epoch_updates: tuple[int, list[np.ndarray]] = (-1, [])

    def updates(self) -> Iterator[UpdateFact]:
        """Train until the budget is spent, yielding after every update with all state consistent.

        Raises NotFinite after three updates in a row whose loss or gradient is not finite.
        """
        while not self.finished:
            planned = self._planned(self.cursor.epoch)
            if self.cursor.position >= len(planned):
                self.cursor.epoch, self.cursor.position = self.cursor.epoch + 1, 0
                continue
            self._set_modes()
            yield self._update(planned[self.cursor.position])
            if self.cursor.skips_in_a_row >= _MOST_SKIPS_IN_A_ROW:
                raise NotFinite(self.cursor.skipped_rows, self.cursor.update)

    def _set_modes(self) -> None:
        """Dropout acts in what trains; a trunk that does not train stays in evaluation mode, as if cached."""
        if (self.model.training, self.model.trunk.training) != (True, self._trunk_trains):  # a judgement came between
            self.model.train()
            self.model.trunk.train(self._trunk_trains)

    @property
    def finished(self) -> bool:
        return self.progress >= 1.0

    @property
    def progress(self) -> float:
        """Share of the budget spent, from 0 to 1."""
        amount, unit = self.pieces.budget.amount, self.pieces.budget.unit
        if unit == "epochs":
            return min(1.0, self.cursor.update / _whole(amount * len(self._planned(self.cursor.epoch))))
        spent = {"updates": self.cursor.update, "tokens": self.cursor.tokens, "minutes": self.cursor.seconds / 60}
        return min(1.0, spent[unit] / amount)

    @property
    def updates_expected(self) -> int | None:
        """Updates in the whole budget, where that is known beforehand."""
        amount, unit = self.pieces.budget.amount, self.pieces.budget.unit
        per_epoch = len(self._planned(self.cursor.epoch))
        if unit == "epochs":
            return _whole(amount * per_epoch)
        if unit == "updates":
            return _whole(amount)
        if unit == "tokens":
            return _whole(amount / max(1, int(self._lengths_r.sum())) * per_epoch)
        return None

    @property
    def epoch_ended(self) -> bool:
        """Whether the update just yielded was the last of its epoch."""
        return self.cursor.position >= len(self._planned(self.cursor.epoch))

    @property
    def updates_per_epoch(self) -> int:
        return len(self._planned(self.cursor.epoch))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values from which `load_state` continues bit-exactly."""
        cursor = {name: getattr(self.cursor, name) for name in Cursor.__slots__}
        return self.masters.state(), {"cursor": cursor | {"skipped_rows": list(self.cursor.skipped_rows)}}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.masters.load_state(tensors)
        self.cursor = Cursor(**values["cursor"])

    def _planned(self, epoch: int) -> list[np.ndarray]:
        if self._epoch_updates[0] != epoch:
            updates = self.pieces.schedule.updates(
                self._lengths_r, rows_per_update=self.pieces.rows_per_update, seed=self.pieces.seed, epoch=epoch
            )
            self._epoch_updates = (epoch, updates)
        return self._epoch_updates[1]

    def _update(self, rows: np.ndarray) -> UpdateFact:
        started = time.perf_counter()
        rate = self.pieces.optimizer.rate_at(self.progress, one_update=1 / (self.updates_expected or math.inf))
        batches = [self.material.batch(part, epoch=self.cursor.epoch) for part in self._passes(rows)]
        for batch in batches:
            self.masters.touch(batch.ids_st)
        loss = self._backward(batches)
        norm = self.masters.gradient_norm()
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            self.masters.step(rate, norm)
        else:
            self.masters.forget_gradients()
        cursor, tokens = self.cursor, int(self._lengths_r[rows].sum())
        cursor.update, cursor.position, cursor.tokens = cursor.update + 1, cursor.position + 1, cursor.tokens + tokens
        seconds = time.perf_counter() - started
        cursor.seconds += seconds
        self._count_skip(rows, finite=finite)
        return UpdateFact(
            update=cursor.update, epoch=cursor.epoch, rows=len(rows), tokens=tokens, loss=loss, gradient_norm=norm,
            rate=rate, passes=len(batches), skipped=not finite, seconds=seconds,
        )  # fmt: skip

    def _backward(self, batches: Sequence[Batch]) -> float:
        """Forward and backward over all passes of one update; the gradients are in the masters. Returns the loss."""
        if len(batches) > 1 and any("whole_update" in objective.needs for objective, _ in self.pieces.objectives):
            return self._backward_together(batches)
        weights = [[objective.weights(batch) for batch in batches] for objective, _ in self.pieces.objectives]
        totals = [max(float(torch.cat(parts).sum()), 1e-12) for parts in weights]
        loss = 0.0
        for number, batch in enumerate(batches):
            outputs = self._outputs(number, batch)
            term = self._loss(batch, outputs, [parts[number] for parts in weights], totals)
            term.backward()
            self.masters.collect()
            loss += float(term.detach())
        return loss

    def _backward_together(self, batches: Sequence[Batch]) -> float:
        """As `_backward`, of a loss over all rows of the update at once, by cached gradients of their vectors."""
        apart = [self._outputs(number, batch).vectors_md.detach() for number, batch in enumerate(batches)]
        vectors_md = torch.cat(apart).requires_grad_()
        whole = side_by_side(batches)
        weights = [objective.weights(whole) for objective, _ in self.pieces.objectives]
        totals = [max(float(weights_m.sum()), 1e-12) for weights_m in weights]
        loss = self._loss(whole, self.model.answer(vectors_md), weights, totals)
        loss.backward()
        gradients = vectors_md.grad.split([batch.rows for batch in batches])
        for number, (batch, gradient_md) in enumerate(zip(batches, gradients, strict=True)):
            self._outputs(number, batch).vectors_md.backward(gradient_md)
            self.masters.collect()
        return float(loss.detach())

    def _outputs(self, number: int, batch: Batch) -> Outputs:
        """What the model says of pass `number` of this update, with the same chance each time it is asked."""
        seed_randomness(seed_of(self.pieces.seed, self.cursor.update, number, view=0))
        return self.material.outputs(self.model, batch)

    def _loss(
        self, batch: Batch, outputs: Outputs, weights: Sequence[Tensor], totals: Sequence[float]
    ) -> Tensor:
        """The share of the update's loss that lies in `batch`; `weights` and `totals` by objective."""
        context = Context(batch=batch, outputs=outputs, kind=self.pieces.kind)
        terms = [
            share * (objective.values(context) * weights_m).sum() / total
            for (objective, share), weights_m, total in zip(self.pieces.objectives, weights, totals, strict=True)
        ]
        return torch.stack(terms).sum()

    def _passes(self, rows: np.ndarray) -> list[np.ndarray]:
        """An update's rows in parts of like length: at least `accumulate`, each padded within `tokens_per_pass`."""
        rows = rows[np.argsort(-self._lengths_r[rows], kind="stable")]
        parts: list[np.ndarray] = []
        for part in np.array_split(rows, min(self.pieces.accumulate, len(rows))):
            while len(part):
                fitting = max(1, self.pieces.tokens_per_pass // max(1, int(self._lengths_r[part[0]])))
                parts.append(part[:fitting])
                part = part[fitting:]
        return parts

    def _count_skip(self, rows: np.ndarray, *, finite: bool) -> None:
        cursor = self.cursor
        if finite:
            cursor.skips_in_a_row, cursor.skipped_rows = 0, []
            return
        cursor.skips_in_a_row += 1
        cursor.skipped_rows += [self.material.row_ids[i] for i in rows]


def side_by_side(batches: Sequence[Batch]) -> Batch:
    """The rows of several batches as one, their answers and weights without their tokens."""
    targets = [batch.targets for batch in batches if batch.targets is not None]
    nothing = torch.empty(0, dtype=torch.int64)
    return replace(
        batches[0], ids_st=nothing[:, None], lengths_s=nothing, types_st=None, owner_s=nothing,
        row_indices_b=torch.cat([batch.row_indices_b for batch in batches]),
        targets=torch.cat(targets) if targets else None, weights_m=torch.cat([batch.weights_m for batch in batches]),
    )  # fmt: skip


def _whole(updates: float) -> int:
    """The updates that cover a fractional number of them; 7.000000000000001, as 0.07 x 100 comes out, is 7."""
    return max(1, math.ceil(round(updates, 6)))


def seed_randomness(seed: int) -> None:
    """Seed the generator of the CPU; `torch.manual_seed` sees to every kind of device and takes longer than a head."""
    torch.default_generator.manual_seed(seed)


def seed_of(run: int, update: int, micro_batch: int, *, view: int) -> int:
    """The seed of a pass: equal for passes over the same view of the same rows, different for everything else."""
    digest = hashlib.blake2b(f"{run}/{update}/{micro_batch}/{view}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
