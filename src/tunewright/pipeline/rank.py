"""Candidate bases ranked on the user's own rows by what a linear probe makes of them. Trains no base, keeps nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tunewright.data.encode import Encoder
from tunewright.data.prepare import Prepared, prepare
from tunewright.data.read import read_table
from tunewright.evaluate.evidence import plain
from tunewright.evaluate.metrics import value_of
from tunewright.evaluate.results import Figure
from tunewright.evaluate.statistics import interval
from tunewright.model.bases import find_base
from tunewright.model.build import build_model
from tunewright.model.describe import Description, describe, load_tokenizer, refuse_unfit
from tunewright.model.predict import pooled_rows
from tunewright.model.probe import fit_probe
from tunewright.pipeline.columns import guess_task, look_at_columns
from tunewright.pipeline.plan import SPLITS
from tunewright.recipe.errors import DataRefusal, Refusal
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS, better
from tunewright.serve.predictor import fastest_dtype
from tunewright.values import Predictions, Rows

_UNLIMITED = 1024  # tokens read at most where a base states no limit
_MOST_ROWS = 6000  # of train, and of validation and test together in like share


@dataclass(frozen=True, slots=True)
class RankedBase:
    """What a base is worth on these rows; `reason` says why it could not be used, and the rest is then empty.

    `memory_bytes` is that of its weights in the type it computes in; `rows_cut` counts rows it cannot read whole.
    """

    name: str
    figure: Figure | None = None
    rows_per_second: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    parameters: int | None = None
    longest: str = ""
    rows_cut: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Bases, the best first, judged by a probe's `metric` on `rows` test rows; those that cannot be used come last."""

    kind: str
    metric: str
    rows: int
    train_rows: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bases: tuple[RankedBase, ...]

    def to_json(self) -> dict[str, Any]:
        return plain(dataclasses.asdict(self))


def rank_bases(
    data: Path, names: Sequence[str], *, inputs: Sequence[str] = (), outputs: Sequence[str] = (), seed: int = 17
) -> Ranking:
    """Rank bases on the rows of `data`; at most 6,000 of them train the probe.

    `inputs` and `outputs` name the columns where they cannot be guessed. Raises DataRefusal for rows that cannot be
    used. A base that cannot be used is ranked last, with the reason.
    """
    guess = guess_task(look_at_columns(read_table([data])), inputs=inputs, outputs=outputs, where=str(data))
    if KINDS[guess.kind].answers not in ("labels", "numbers") or guess.kind == "similarity":
        raise DataRefusal(
            f"Bases are ranked by a linear probe, which a {guess.kind} does not have.", where=str(data),
            remedy="Run a recipe for each base and compare their reports.",
        )  # fmt: skip
    task: dict[str, Any] = {"kind": guess.kind, "input": guess.inputs, "output": guess.outputs}
    if guess.separator is not None:
        task["separator"] = guess.separator
    recipe = Recipe.model_validate(
        {"name": "ranking", "task": task, "base": "none", "seed": seed, "data": {"train": str(data.resolve())}}
    )
    prepared = _fewer(prepare(recipe, root=Path()), seed)
    metric = KINDS[guess.kind].metric
    sign = better(metric, guess.kind)
    ranked = [_rank(name, recipe, prepared, metric) for name in dict.fromkeys(names)]
    ranked.sort(key=lambda base: (base.figure is None, -sign * (_value(base) or 0.0)))
    return Ranking(
        guess.kind, metric, len(prepared.test), len(prepared.train), guess.inputs, guess.outputs, tuple(ranked)
    )


def _value(base: RankedBase) -> float | None:
    return base.figure.value if base.figure is not None else None


def _fewer(prepared: Prepared, seed: int) -> Prepared:
    """At most `_MOST_ROWS` rows to train on, the other splits cut in like share."""
    share = min(1.0, _MOST_ROWS / len(prepared.train))
    if share == 1.0:
        return prepared
    order = np.random.default_rng(seed)

    def drawn(rows: Rows) -> Rows:
        return rows.take(np.sort(order.permutation(len(rows))[: max(1, int(share * len(rows)))]))

    return dataclasses.replace(prepared, **{split: drawn(getattr(prepared, split)) for split in SPLITS})


def _rank(name: str, recipe: Recipe, prepared: Prepared, metric: str) -> RankedBase:
    try:
        base = find_base(name, root=Path())
        description = describe(base)
        refuse_unfit(description, recipe.task.kind)
        encoder = _encoder(recipe, description, load_tokenizer(base.folder))
        return _measure(name, base, description, encoder, recipe, prepared, metric)
    except Refusal as refusal:
        return RankedBase(name, reason=refusal.what)


def _encoder(recipe: Recipe, description: Description, tokenizer: Any) -> Encoder:
    several = len(recipe.task.inputs) > 1
    pair = description.takes_types and len(recipe.task.inputs) == 2
    return Encoder(
        max_length=description.longest or _UNLIMITED, long="truncate", overlap=0,
        join=("pair" if pair else "lines") if several else None, inputs=recipe.task.inputs, tokenizer=tokenizer,
    )  # fmt: skip


def _measure(
    name: str, base: Any, description: Description, encoder: Encoder, recipe: Recipe, prepared: Prepared, metric: str
) -> RankedBase:
    kind = recipe.task.kind
    dtype = getattr(torch, fastest_dtype())
    model = build_model(
        base, description, kind=kind, outputs=len(prepared.labels) or 1, pooling=description.pooling, seed=recipe.seed,
        dtype=dtype,
    )  # fmt: skip
    splits: dict[str, Rows] = {split: getattr(prepared, split) for split in SPLITS}
    encoded = {split: encoder.encode(rows.inputs) for split, rows in splits.items()}
    started = time.perf_counter()
    pooled = {split: pooled_rows(model, one) for split, one in encoded.items()}
    seconds = time.perf_counter() - started
    probe = fit_probe(
        pooled["train"], splits["train"].targets, pooled["validation"], splits["validation"].targets, kind=kind
    )
    outputs, targets = probe.predict(pooled["test"]), splits["test"].targets
    assert targets is not None
    said = Predictions("probe", "test", splits["test"].ids, outputs.astype(np.float32), targets)
    span = interval(metric, said, kind, seed=recipe.seed, labels=prepared.labels or None)
    return RankedBase(
        name, Figure(value_of(metric, said.outputs, targets, kind), span), sum(map(len, splits.values())) / seconds,
        description.trunk_parameters * dtype.itemsize, description.bytes, description.parameters,
        description.longest_says, sum(int((one.cut_r > 0).sum()) for one in encoded.values()),
    )  # fmt: skip
