"""The rungs measured beside the model, as predictions on the same frozen rows. Knows how to run each, judges none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tunewright.evaluate.baselines import knn, majority, zero_shot
from tunewright.evaluate.results import CHAMPION
from tunewright.model.probe import fit_probe
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.fit import mean_loss
from tunewright.pipeline.plan import Plan
from tunewright.recipe.errors import Refusal
from tunewright.serve.predictor import Predictor
from tunewright.store.registry import Registry
from tunewright.values import Predictions

_NEIGHBOURS = (1, 3, 5, 10, 20)


def predict_rungs(plan: Plan, features: BaseFeatures) -> list[Predictions]:
    """The baselines that the recipe names, on the test rows; `seconds` leaves out vectors that were cached before."""
    names = plan.recipe.evaluate.baselines or ()
    answer: dict[str, Callable[[], np.ndarray]] = {
        "majority": lambda: _majority(plan),
        "zero_shot": lambda: _zero_shot(plan, features),
        "knn": lambda: _knn(plan, features),
        "probe": lambda: _probe(plan, features),
    }
    return [_predictions(plan, name, answer[name]) for name in names]


def predict_champion(plan: Plan, registry: Registry) -> tuple[Predictions | None, str]:
    """What the registered champion of this name says of the test rows, or None and why there is nothing to compare."""
    name = plan.recipe.name
    if not any(version.name == name and CHAMPION in version.aliases for version in registry.versions()):
        return None, "there is no champion of this name yet"
    try:
        version = registry.resolve(f"{name}@{CHAMPION}")
        predictor = Predictor.load(version.folder, name=name, version=str(version.number))
        if (predictor.task, predictor.labels) != (plan.recipe.task.kind, plan.prepared.labels):
            return None, f"the champion {version.reference} answers with other labels"
        if predictor.columns != plan.recipe.task.inputs:
            return None, f"the champion {version.reference} reads other columns"
        return predict_with(predictor, plan, CHAMPION), ""
    except Refusal as error:
        return None, f"the champion cannot answer: {error}"


def predict_with(predictor: Predictor, plan: Plan, rung: str, split: str = "test") -> Predictions:
    """What a loaded model says of the rows of one split."""
    return _predictions(plan, rung, lambda: predictor.outputs_of_rows(plan.rows(split).inputs), split)


def as_predictions(
    rung: str, split: str, row_ids: Sequence[str], outputs: np.ndarray, targets: np.ndarray, seconds: float
) -> Predictions:
    return Predictions(
        rung=rung, split=split, row_ids=tuple(row_ids), outputs=outputs.astype(np.float32), targets=targets,
        seconds=seconds,
    )  # fmt: skip


def _predictions(plan: Plan, rung: str, answer: Callable[[], np.ndarray], split: str = "test") -> Predictions:
    rows = plan.rows(split)
    assert rows.targets is not None
    started = time.perf_counter()
    outputs = answer()
    return as_predictions(rung, split, rows.ids, outputs, rows.targets, time.perf_counter() - started)


def _majority(plan: Plan) -> np.ndarray:
    return majority(_targets(plan, "train"), len(plan.rows("test")), plan.recipe.task.kind, classes=_classes(plan))


def _zero_shot(plan: Plan, features: BaseFeatures) -> np.ndarray:
    descriptions: Mapping[str, str] = plan.recipe.task.labels or {}
    texts = [(descriptions[label],) + ("",) * (len(plan.recipe.task.inputs) - 1) for label in plan.prepared.labels]
    return zero_shot(features.split("test"), features.of(plan.encoder.encode(texts)), kind=plan.recipe.task.kind)


def _knn(plan: Plan, features: BaseFeatures) -> np.ndarray:
    """Nearest neighbours, their number chosen on the validation rows."""
    kind, train, targets = plan.recipe.task.kind, features.split("train"), _targets(plan, "train")

    def answers(split: str, k: int) -> np.ndarray:
        return knn(train, targets, features.split(split), kind, k=k, classes=_classes(plan))

    def loss(k: int) -> float:
        return mean_loss(answers("validation", k), plan.rows("validation").targets, kind)

    return answers("test", min(_NEIGHBOURS, key=loss))


def _probe(plan: Plan, features: BaseFeatures) -> np.ndarray:
    probe = fit_probe(
        features.split("train"), _targets(plan, "train"), features.split("validation"), _targets(plan, "validation"),
        kind=plan.recipe.task.kind,
    )  # fmt: skip
    return probe.predict(features.split("test"))


def _targets(plan: Plan, split: str) -> np.ndarray:
    targets = plan.rows(split).targets
    assert targets is not None
    return targets


def _classes(plan: Plan) -> int | None:
    return len(plan.prepared.labels) or None
