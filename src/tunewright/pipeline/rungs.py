"""The rungs measured beside the model, as predictions on the same frozen rows. Knows how to run each, judges none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from tunewright.evaluate.baselines import knn, majority, zero_shot
from tunewright.evaluate.heuristics import unigram
from tunewright.evaluate.results import CHAMPION
from tunewright.model.build import Model
from tunewright.model.predict import judge_tokens, row_of_asked
from tunewright.model.probe import fit_probe
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.fit import mean_loss, rebuild
from tunewright.pipeline.plan import Plan
from tunewright.recipe.errors import Refusal
from tunewright.serve.answering import sizes_of
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
    if plan.recipe.task.kind == "pretraining":
        return [_LIKELIHOODS[name](plan) for name in names]
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
    if plan.recipe.task.kind == "pretraining":
        return _likelihoods(plan, rung, predictor.model, split)
    return _predictions(plan, rung, lambda: predictor.outputs_of_rows(plan.rows(split).inputs), split)


def _likelihoods(plan: Plan, rung: str, model: Model, split: str = "test") -> Predictions:
    """How likely a model finds the blocks of one split."""
    rows, encoded = plan.rows(split), plan.encoded[split]
    assert rows.targets is not None
    started = time.perf_counter()
    sizes = sizes_of(judge_tokens(model, encoded), encoded)
    return Predictions(
        rung=rung, split=split, row_ids=rows.ids, outputs=sizes[:, 0].astype(np.float32), targets=rows.targets,
        seconds=time.perf_counter() - started, sizes=sizes,
    )  # fmt: skip


def _predictions(plan: Plan, rung: str, answer: Callable[[], np.ndarray], split: str = "test") -> Predictions:
    rows = plan.rows(split)
    assert rows.targets is not None
    started = time.perf_counter()
    outputs = answer()
    seconds = time.perf_counter() - started
    if outputs.dtype != object:
        outputs = outputs.astype(np.float32)
    return Predictions(
        rung=rung, split=split, row_ids=rows.ids, outputs=outputs, targets=rows.targets, seconds=seconds
    )


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


def _untouched_likelihoods(plan: Plan) -> Predictions:
    model = rebuild(plan, {}, phases=0)
    model.trunk.to(getattr(torch, str(plan.recipe.compute.dtype)))
    return _likelihoods(plan, "untouched", model)


def _unigram_likelihoods(plan: Plan) -> Predictions:
    """Each token by how often it occurs in the training blocks, whatever stands before it."""
    rows, encoded, learned = plan.rows("test"), plan.encoded["test"], plan.encoded["train"]
    assert rows.targets is not None and learned.answers_n is not None and encoded.answers_n is not None
    started = time.perf_counter()
    lost_r = unigram(
        learned.answers_n, encoded.answers_n, row_of_asked(encoded), rows=encoded.rows, vocabulary=plan.outputs
    )
    sizes = np.stack([lost_r, encoded.lengths_r().astype(float), encoded.bytes_r.astype(float)], axis=1)
    return Predictions(
        rung="unigram", split="test", row_ids=rows.ids, outputs=lost_r.astype(np.float32), targets=rows.targets,
        seconds=time.perf_counter() - started, sizes=sizes,
    )  # fmt: skip


_LIKELIHOODS: dict[str, Callable[[Plan], Predictions]] = {
    "untouched": _untouched_likelihoods, "unigram": _unigram_likelihoods,
}  # fmt: skip
