"""The kinds of task and what each asks of data, heads and metrics. Knows no torch and no rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskKind = Literal["classification", "multi_label", "regression"]


@dataclass(frozen=True, slots=True)
class KindOfTask:
    """One kind of task.

    `metric` is what early stopping and the gate use unless the recipe says otherwise; `metrics` are all that are
    reported, `lower_is_better` those of them where less is more.
    """

    name: TaskKind
    says: str
    metric: str
    metrics: tuple[str, ...]
    lower_is_better: frozenset[str] = frozenset()
    labelled: bool = True  # whether the answers are labels (with names and descriptions)


_LABEL_METRICS = tuple(f"{average}_{score}" for average in ("macro", "micro", "weighted")
                       for score in ("precision", "recall", "f1"))

KINDS: dict[str, KindOfTask] = {
    "classification": KindOfTask(
        "classification", "exactly one label per row", "macro_f1",
        ("accuracy", "balanced_accuracy", *_LABEL_METRICS, "auroc", "calibration_error"),
        frozenset({"calibration_error"}),
    ),
    "multi_label": KindOfTask(
        "multi_label", "any number of labels per row", "micro_f1",
        ("exact_match", *_LABEL_METRICS, "auroc", "calibration_error"),
        frozenset({"calibration_error"}),
    ),
    "regression": KindOfTask(
        "regression", "one number per row", "rmse",
        ("mae", "rmse", "spearman"), frozenset({"mae", "rmse"}), labelled=False,
    ),
}


def better(metric: str, kind: str) -> int:
    """+1 if a larger value of `metric` is better for this kind of task, -1 if a smaller one is."""
    return -1 if metric in KINDS[kind].lower_is_better else 1
