"""Figures of merit from predictions and answers. Knows outputs and targets; must not know models, files or intervals.

Shape legend: r rows, c classes, k any number of leading axes (resamples). A figure that cannot be measured on the rows
at hand (AUROC with one class, anything on no rows) is None here and UNMEASURED wherever people read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tunewright.evaluate.spans import COUNTS, count_spans
from tunewright.evaluate.tallies import tally
from tunewright.recipe.tasks import KINDS
from tunewright.values import Predictions

UNMEASURED = "UNMEASURED"
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Per class: rows rightly given it, rows given it, rows that have it; float64 [..., c]."""

    hits: np.ndarray
    said: np.ndarray
    true: np.ndarray


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One line of the per-class table; a score is None where it has no denominator.

    `rows` have the label and `predicted` were given it; where answers are spans, both count spans.
    """

    label: str
    rows: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """How many rows of one label were taken for another."""

    answer: str
    said: str
    rows: int
    share: float  # of the rows that have `answer`


@dataclass(frozen=True, slots=True)
class Confusion:
    """int64 `rows_cc[answer, prediction]` by label, and the pairs most often confused, the worst first."""

    labels: tuple[str, ...]
    rows_cc: np.ndarray
    pairs: tuple[ConfusedPair, ...]


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Predictions of like confidence: how sure they were, how often they were right, how many there are."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class Placements:
    """AUROC of each class and each row's pull on their mean (`influence_r` averages to 0)."""

    auroc_c: np.ndarray  # NaN where a class has no positive or no negative row
    influence_r: np.ndarray


def measure(predictions: Predictions, kind: str, *, only: Sequence[str] | None = None) -> dict[str, float | None]:
    """Every figure that `KINDS[kind]` lists, in that order, or `only` those."""
    asked = tuple(KINDS[kind].metrics if only is None else only)
    figures = _figures(predictions, kind, asked)
    return {metric: figures[metric] for metric in asked}


def value_of(
    metric: str, outputs: np.ndarray, targets: np.ndarray, kind: str, *, sizes: np.ndarray | None = None
) -> float | None:
    """One figure; shapes as in `Predictions`. A figure that needs no outputs (perplexity) does not look at them."""
    assert metric in KINDS[kind].metrics, f"{metric} is no figure of {kind}"
    return _figures(Predictions("", "", (), outputs, targets, sizes=sizes), kind, (metric,))[metric]


def standing(metric: str, value: float | np.ndarray) -> float | np.ndarray:
    """What a figure is compared by: itself, or for a length ratio, which is best at 1, how near to 1 it is (at most 0).

    Whether more of it is better says `tunewright.recipe.tasks.better`.
    """
    return -abs(value - 1) if metric == "length_ratio" else value


def decide(outputs: np.ndarray, kind: str) -> np.ndarray:
    """The answer that probabilities amount to: int64 [r] of the likeliest class, or bool [r, c] of labels at ≥ 0.5."""
    return outputs >= 0.5 if kind == "multi_label" else outputs.argmax(axis=1).astype(np.int64)


def count_classes(decided: np.ndarray, targets: np.ndarray, classes: int) -> ClassCounts:
    """Counts behind precision, recall and F1, from int64 [r] (one label a row) or bool [r, c] (several)."""
    if decided.ndim == 2:
        has = targets.astype(bool)
        return ClassCounts(*(x.sum(axis=0).astype(np.float64) for x in (decided & has, decided, has)))
    return ClassCounts(*(
        np.bincount(x, minlength=classes).astype(np.float64) for x in (targets[decided == targets], decided, targets)
    ))


def average_scores(counts: ClassCounts) -> dict[str, np.ndarray]:
    """Macro, micro and weighted precision, recall and F1 and balanced accuracy; float64 [...].

    A score without a denominator counts as 0, as in scikit-learn. Macro averages run over the classes that occur in the
    answers or the predictions, balanced accuracy over those in the answers.
    """
    hits, said, true = counts.hits, counts.said, counts.true
    per_class = {
        "precision": _ratio(hits, said), "recall": _ratio(hits, true), "f1": _ratio(2 * hits, said + true)
    }
    pooled_hits, pooled_said, pooled_true = (x.sum(axis=-1) for x in (hits, said, true))
    pooled = {
        "precision": _ratio(pooled_hits, pooled_said), "recall": _ratio(pooled_hits, pooled_true),
        "f1": _ratio(2 * pooled_hits, pooled_said + pooled_true),
    }
    occurring = (said + true > 0).sum(axis=-1)
    scores = {}
    for score, value_kc in per_class.items():
        scores[f"macro_{score}"] = _ratio(value_kc.sum(axis=-1), occurring)
        scores[f"micro_{score}"] = pooled[score]
        scores[f"weighted_{score}"] = _ratio((value_kc * true).sum(axis=-1), pooled_true)
    scores["balanced_accuracy"] = _ratio(per_class["recall"].sum(axis=-1), (true > 0).sum(axis=-1))
    return scores


def confusion(predictions: Predictions, classes: int) -> np.ndarray:
    """int64 [c, c]: rows whose answer is the first index and whose prediction is the second."""
    decided = decide(predictions.outputs, "classification")
    return np.bincount(predictions.targets * classes + decided, minlength=classes**2).reshape(classes, classes)


def tabulate_confusion(predictions: Predictions, labels: Sequence[str], *, pairs: int = 10) -> Confusion:
    """The confusion matrix with names and its `pairs` largest entries off the diagonal."""
    rows_cc = confusion(predictions, len(labels))
    wrong_cc = rows_cc - np.diag(np.diag(rows_cc))
    worst = [divmod(int(place), len(labels)) for place in np.argsort(-wrong_cc, axis=None, kind="stable")[:pairs]]
    named = tuple(
        ConfusedPair(labels[a], labels[p], int(wrong_cc[a, p]), float(wrong_cc[a, p] / rows_cc[a].sum()))
        for a, p in worst if wrong_cc[a, p]
    )
    return Confusion(tuple(labels), rows_cc, named)


def per_class(predictions: Predictions, labels: Sequence[str]) -> list[ClassScore]:
    """Precision, recall and F1 of each label, in the order of `labels`; several labels a row if targets are [r, c].

    Where answers are spans, those of each label found exactly.
    """
    targets = predictions.targets
    if targets.dtype == object:
        counts_cl = count_spans(predictions.outputs, targets, labels).sum(axis=0)
        counts = ClassCounts(*(counts_cl[COUNTS.index(part)] for part in ("hits", "said", "true")))
    else:
        kind = "multi_label" if targets.ndim == 2 else "classification"
        counts = count_classes(decide(predictions.outputs, kind), targets, len(labels))
    return [
        ClassScore(
            label, int(true), int(said),
            precision=float(hits / said) if said else None,
            recall=float(hits / true) if true else None,
            f1=float(2 * hits / (said + true)) if said + true else None,
        )
        for label, hits, said, true in zip(labels, counts.hits, counts.said, counts.true, strict=True)
    ]


def auroc(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Macro one-vs-rest area under the ROC curve over the classes that have both sides; NaN where none has."""
    auroc_c = place(outputs, targets).auroc_c
    return float(np.nanmean(auroc_c)) if np.isfinite(auroc_c).any() else float("nan")


def place(outputs: np.ndarray, targets: np.ndarray) -> Placements:
    """AUROC per class with the structural components of DeLong, DeLong and Clarke-Pearson (1988), summed over classes.

    The variance of the macro AUROC is `var(influence_r) / r`; the same influences, subtracted, serve a paired test.
    """
    rows, classes = outputs.shape
    has_rc = targets.astype(bool) if targets.ndim == 2 else targets[:, None] == np.arange(classes)[None, :]
    auroc_c, influence_r = np.full(classes, np.nan), np.zeros(rows)
    for c in range(classes):
        has = has_rc[:, c]
        positives = int(has.sum())
        negatives = rows - positives
        if not positives or not negatives:
            continue
        score, rank = outputs[:, c], stats.rankdata(outputs[:, c])
        beaten = (rank[has] - stats.rankdata(score[has])) / negatives
        beaten_by = 1 - (rank[~has] - stats.rankdata(score[~has])) / positives
        auroc_c[c] = beaten.mean()
        influence_r[has] += (beaten - auroc_c[c]) * rows / positives
        influence_r[~has] += (beaten_by - auroc_c[c]) * rows / negatives
    return Placements(auroc_c, influence_r / max(1, np.isfinite(auroc_c).sum()))


def calibration_error(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Expected calibration error over equal-mass bins (Nguyen and O'Connor, 2015); NaN without rows.

    One label a row: confidence of the likeliest class against being right. Several: each probability, its label.
    """
    if not len(outputs):
        return float("nan")
    gap, bin_of, _ = calibration_gaps(outputs, targets)
    return float(np.abs(np.bincount(bin_of, weights=gap)).sum() / len(gap))


def calibration_bins(outputs: np.ndarray, targets: np.ndarray) -> list[CalibrationBin]:
    """The bins behind `calibration_error`, from the least to the most confident."""
    gap, bin_of, confidence = calibration_gaps(outputs, targets)
    return [
        CalibrationBin(float(confidence[bin_of == b].mean()), float((confidence - gap)[bin_of == b].mean()),
                       int((bin_of == b).sum()))
        for b in np.unique(bin_of)
    ]


def calibration_gaps(outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(confidence − right, bin, confidence) of each prediction, float64/int64 [r] (several labels: [r × c], by row).

    Equal confidences share a bin, so that the order of rows cannot matter.
    """
    if targets.ndim == 2:
        confidence, right = outputs.ravel().astype(np.float64), targets.ravel().astype(np.float64)
    else:
        confidence = outputs.max(axis=1).astype(np.float64)
        right = (outputs.argmax(axis=1) == targets).astype(np.float64)
    place_of = (stats.rankdata(confidence) - 0.5) / len(confidence)
    return confidence - right, (place_of * CALIBRATION_BINS).astype(np.int64), confidence


def _figures(predictions: Predictions, kind: str, asked: Sequence[str]) -> dict[str, float | None]:
    """At least the figures `asked` for."""
    if not len(predictions.targets):
        return dict.fromkeys(asked)
    if KINDS[kind].answers == "labels":
        figures = _label_figures(predictions.outputs, predictions.targets, kind, asked)
    elif KINDS[kind].answers == "numbers":
        figures = _number_figures(predictions.outputs, predictions.targets)
    else:
        figures = tally(predictions, kind, asked).total()
    return {metric: float(value) if np.isfinite(value) else None for metric, value in figures.items()}


def _label_figures(outputs: np.ndarray, targets: np.ndarray, kind: str, asked: Sequence[str]) -> dict[str, float]:
    of_probabilities = {"auroc": auroc, "calibration_error": calibration_error}
    figures = {metric: of_probabilities[metric](outputs, targets) for metric in asked if metric in of_probabilities}
    if set(figures) == set(asked):
        return figures
    decided = decide(outputs, kind)
    if kind == "multi_label":
        figures["exact_match"] = (decided == targets.astype(bool)).all(axis=1).mean()
    else:
        figures["accuracy"] = (decided == targets).mean()
    return figures | average_scores(count_classes(decided, targets, outputs.shape[1]))


def _number_figures(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    error = outputs.astype(np.float64) - targets
    ranks, answers = stats.rankdata(outputs), stats.rankdata(targets)
    varied = ranks.std() > 0 and answers.std() > 0
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "spearman": float(np.corrcoef(ranks, answers)[0, 1]) if varied else float("nan"),
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, 0 where below is 0."""
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)
