"""All that was measured of a model beside its rungs. Knows predictions; must not know gates, files or pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunewright.evaluate import metrics, statistics
from tunewright.evaluate.metrics import standing
from tunewright.evaluate.statistics import Difference, Interval
from tunewright.evaluate.tallies import row_figures
from tunewright.evaluate.wording import Piece, answer_in_words, mark, said_in_words
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
        return max(measured, key=lambda rung: self.merit(metric, rung), default=None)

    def merit(self, metric: str, rung: Rung) -> float:
        """A measured figure of a rung, turned so that more is better."""
        return better(metric, self.kind) * float(standing(metric, rung.figures[metric].value))


@dataclass(frozen=True, slots=True)
class Example:
    """One test row as the model and the best baseline see it; `confidence` is the probability of what was said.

    It is None where answers are not labels. `loss` orders examples (see `row_losses`). `marks` is the text with the
    spans of the answer and of the model, where answers are spans of it.
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
    marks: tuple[Piece, ...] = ()


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

    Where answers are not simply right or wrong, the better half of the rows are candidates for the best. `texts` holds
    one text per row. Fewer than `count` come back where fewer rows qualify; a row without a figure does not.
    """
    loss_r = row_losses(model, kind)
    gain_r = loss_r - (row_losses(baseline, kind) if baseline is not None else 0)
    wrong_r = _wrong(model, loss_r, kind)
    worst = [i for i in np.argsort(-loss_r, kind="stable") if wrong_r[i]][:count]
    best = [i for i in np.argsort(gain_r, kind="stable") if not wrong_r[i] and np.isfinite(loss_r[i])][:count]

    def example(i: int) -> Example:
        told = {"kind": kind, "labels": labels, "text": texts[i]}
        said, confidence = said_in_words(model, i, **told)
        beside: dict[str, Any] = {}
        if baseline is not None:
            words, sure = said_in_words(baseline, i, **told)
            beside = {"baseline": baseline.rung, "baseline_said": words, "baseline_confidence": sure}
        if kind == "token_classification":
            beside["marks"] = mark(texts[i], model.targets[i], model.outputs[i])
        answer = answer_in_words(model.targets[i], **told)
        return Example(model.row_ids[i], texts[i], answer, said, confidence, float(loss_r[i]), **beside)

    return [example(i) for i in best], [example(i) for i in worst]


def row_losses(predictions: Predictions, kind: str) -> np.ndarray:
    """How far each row is from right, float64 [r].

    −log probability of the answer (several labels: summed over labels), |error| of a number, spans missed and wrongly
    said, nats a token; else 1 less the row's own main figure.
    """
    outputs, targets, main = predictions.outputs, predictions.targets, KINDS[kind].metric
    if KINDS[kind].answers == "numbers":
        return np.abs(outputs.astype(np.float64) - targets)
    if kind == "token_classification":
        return np.array([len(set(said) ^ set(true)) for said, true in zip(outputs, targets, strict=True)], np.float64)
    if KINDS[kind].answers != "labels":
        figure_r = row_figures(predictions, kind, main)
        return np.log(figure_r) if main == "perplexity" else 1 - figure_r
    outputs = outputs.astype(np.float64)
    if kind == "multi_label":
        chosen = np.where(targets.astype(bool), outputs, 1 - outputs)
        return -np.log(np.clip(chosen, 1e-9, 1)).sum(axis=1)
    return -np.log(np.clip(outputs[np.arange(len(targets)), targets], 1e-9, 1))


def _wrong(predictions: Predictions, loss_r: np.ndarray, kind: str) -> np.ndarray:
    """The rows to choose the worst from, bool [r]: wrong labels, or the half that is farther from right."""
    if KINDS[kind].answers != "labels":
        known = loss_r[np.isfinite(loss_r)]
        middle = np.median(known) if len(known) else 0.0
        farther_r = loss_r > middle
        return farther_r if farther_r.any() else (loss_r > 0) & (loss_r >= middle)
    decided = metrics.decide(predictions.outputs, kind)
    if kind == "multi_label":
        return (decided != predictions.targets.astype(bool)).any(axis=1)
    return decided != predictions.targets
