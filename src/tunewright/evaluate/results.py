"""All that was measured of a model beside its rungs. Knows predictions; must not know gates, files or pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunewright.evaluate import metrics, statistics
from tunewright.evaluate.statistics import Difference, Interval
from tunewright.recipe.tasks import KINDS, better
from tunewright.values import Predictions

CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; both fields None where it is UNMEASURED."""

    value: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Rung:
    """One way of doing the task, measured: its figures, and what the model is above it (empty for the model itself)."""

    name: str
    figures: Mapping[str, Figure]
    model_above: Mapping[str, Difference] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Results:
    """A model and its rungs on the same `rows` test rows. `absent` says of each rung that was not measured why."""

    kind: str
    metric: str
    rows: int
    model: Rung
    others: tuple[Rung, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)

    def rung(self, name: str) -> Rung | None:
        return next((rung for rung in self.others if rung.name == name), None)

    def best_baseline(self, metric: str) -> Rung | None:
        """The rung, champion apart, that does best on a figure; None where none was measured."""
        measured = [
            rung for rung in self.others if rung.name != CHAMPION and rung.figures[metric].value is not None
        ]
        return max(measured, key=lambda rung: better(metric, self.kind) * rung.figures[metric].value, default=None)


@dataclass(frozen=True, slots=True)
class Example:
    """One test row as the model and the best baseline see it; `confidence` is the probability of what was said.

    For regression `confidence` is None. `loss` orders examples: −log of the answer's probability, or |error|.
    """

    row_id: str
    text: str
    answer: str
    said: str
    confidence: float | None
    loss: float
    baseline: str = ""
    baseline_said: str = ""
    baseline_confidence: float | None = None


def assess(
    model: Predictions, others: Sequence[Predictions], *, kind: str, metric: str, labels: Sequence[str] | None = None,
    confidence: float = 0.95, resamples: int = 2000, seed: int = 17, absent: Mapping[str, str] | None = None,
) -> Results:
    """Every figure of every rung with its interval, and what the model is above each of the others, paired.

    DataRefusal where rungs were judged on different rows.
    """
    assert metric in KINDS[kind].metrics, f"{metric} is no figure of {kind}"
    options = {"resamples": resamples, "confidence": confidence, "seed": seed, "labels": labels}

    def measured(predictions: Predictions, above: Mapping[str, Difference]) -> Rung:
        values, spans = metrics.measure(predictions, kind), statistics.intervals(predictions, kind, **options)
        figures = {name: Figure(values[name], spans[name]) for name in values}
        return Rung(predictions.rung, figures, above, predictions.seconds)

    rungs = tuple(measured(other, statistics.compare_all(model, other, kind, **options)) for other in others)
    return Results(kind, metric, len(model.row_ids), measured(model, {}), rungs, dict(absent or {}))


def pick_examples(
    model: Predictions, baseline: Predictions | None, *, kind: str, texts: Sequence[str], labels: Sequence[str],
    count: int = 5,
) -> tuple[list[Example], list[Example]]:
    """(best, worst) test rows: the best are right where the baseline is most wrong, the worst most confidently wrong.

    `texts` holds one text per row. Fewer than `count` come back where fewer rows qualify.
    """
    loss_r = row_losses(model, kind)
    gain_r = loss_r - (row_losses(baseline, kind) if baseline is not None else 0)
    wrong_r = loss_r > np.median(loss_r) if kind == "regression" else ~_right(model, kind)
    worst = [i for i in np.argsort(-loss_r, kind="stable") if wrong_r[i]][:count]
    best = [i for i in np.argsort(gain_r, kind="stable") if not wrong_r[i]][:count]

    def example(i: int) -> Example:
        said, confidence = _said(model.outputs[i], kind, labels)
        beside: dict[str, Any] = {}
        if baseline is not None:
            told, sure = _said(baseline.outputs[i], kind, labels)
            beside = {"baseline": baseline.rung, "baseline_said": told, "baseline_confidence": sure}
        answer = _named(model.targets[i], kind, labels)
        return Example(model.row_ids[i], texts[i], answer, said, confidence, float(loss_r[i]), **beside)

    return [example(i) for i in best], [example(i) for i in worst]


def row_losses(predictions: Predictions, kind: str) -> np.ndarray:
    """−log probability of the answer (several labels: summed over labels), or |error|; float64 [r]."""
    outputs, targets = predictions.outputs.astype(np.float64), predictions.targets
    if kind == "regression":
        return np.abs(outputs - targets)
    if kind == "multi_label":
        chosen = np.where(targets.astype(bool), outputs, 1 - outputs)
        return -np.log(np.clip(chosen, 1e-9, 1)).sum(axis=1)
    return -np.log(np.clip(outputs[np.arange(len(targets)), targets], 1e-9, 1))


def _right(predictions: Predictions, kind: str) -> np.ndarray:
    decided = metrics.decide(predictions.outputs, kind)
    if kind == "multi_label":
        return (decided == predictions.targets.astype(bool)).all(axis=1)
    return decided == predictions.targets


def _said(output: np.ndarray, kind: str, labels: Sequence[str]) -> tuple[str, float | None]:
    """What one row's output amounts to in words, and how probable it is (several labels: all of them together)."""
    if kind == "regression":
        return f"{float(output):.4g}", None
    if kind == "multi_label":
        chosen = output >= 0.5
        return _named(chosen, kind, labels), float(np.where(chosen, output, 1 - output).prod())
    return labels[int(output.argmax())], float(output.max())


def _named(target: np.ndarray, kind: str, labels: Sequence[str]) -> str:
    if kind == "regression":
        return f"{float(target):.4g}"
    if kind == "multi_label":
        return ", ".join(label for label, has in zip(labels, target, strict=True) if has) or "none"
    return labels[int(target)]
