"""Training phases: judging, stopping early, keeping the best, rebuilding; resuming is in tests/journeys."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests import tiny_tasks as tiny

from tunewright.data.apart import number_texts
from tunewright.model.predict import forward_rows
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.fit import (
    EarlyStop,
    Fit,
    answer_in_units,
    answers_to_learn,
    mean_loss,
    rebuild,
    target_scale,
)
from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.run import Quiet
from tunewright.store.runs import open_run
from tunewright.train.engine import NotFinite


class Judgements(Quiet):
    def __init__(self):
        self.seen = []

    def judged(self, figures):
        self.seen.append(figures)


def train(plan):
    watcher = Judgements()
    with open_run(plan.recipe.name, plan.id) as run:
        fitted = Fit(plan, run, BaseFeatures(plan, lambda: rebuild(plan, {}, phases=0)), watcher).train()
        facts = list(run.metrics.facts())
    return fitted, watcher.seen, facts


def test_the_best_update_is_kept_not_the_last():
    stop = EarlyStop()
    seen = [(0.5, 1.0), (0.8, 0.9), (0.8, 0.7), (0.6, 0.5), (math.nan, 0.1)]
    best = [stop.see(value, loss, update, sign=1) for update, (value, loss) in enumerate(seen, start=1)]
    assert best == [True, True, True, False, False]
    assert (stop.best_update, stop.best, stop.since) == (3, 0.8, 2)


def test_less_is_better_where_the_figure_says_so():
    stop = EarlyStop()
    assert [stop.see(v, 0.0, i, sign=-1) for i, v in enumerate([3.0, 2.0, 2.5])] == [True, True, False]


def test_early_stopping_restores_the_best_weights(tiny_plan):
    plan = tiny_plan("phases.0.budget=12 epochs", "phases.0.patience=2", "phases.0.optimizer.rate=0.02")
    fitted, judged, _ = train(plan)
    facts = fitted.facts["phases"][0]
    assert facts["kept_update"] == max(f["update"] for f in judged if f["best"])
    assert facts["kept_value"] == max(f["value"] for f in judged)
    assert facts["stopped_early"] == (facts["updates"] < 12 * (facts["updates"] // len(judged)))


@pytest.mark.parametrize("trainable", ["everything", "head", "last_layers", "biases", "lora"])
def test_what_changed_is_what_was_to_train(tiny_plan, trainable):
    plan = tiny_plan(f"phases.0.trainable={trainable}", "phases.0.optimizer.rate=0.01")
    fitted, _, _ = train(plan)
    start, end = (dict(m.named_parameters()) for m in (rebuild(plan, {}, phases=1), fitted.model))
    moved = {name for name in end if not torch.equal(start[name], end[name])}
    assert moved == set(fitted.changed) and any(name.startswith("head.") for name in moved)


def test_a_second_phase_starts_where_the_first_ended(tiny_plan, tmp_path):
    plan = tiny_plan("phases=[{trainable: head, budget: 2 epochs}, {trainable: lora, budget: 1 epochs}]")
    fitted, _, facts = train(plan)
    assert {fact["phase"] for fact in facts} == {0, 1}
    assert fitted.facts["phases"][0]["cached_features"] and not fitted.facts["phases"][1]["cached_features"]
    assert any("lora_" in name for name in fitted.changed)


def test_a_rate_that_explodes_stops_the_run_and_names_rows(tiny_plan, monkeypatch):
    plan = tiny_plan()
    monkeypatch.setattr("tunewright.train.optimizers.Masters.gradient_norm", lambda self: math.nan)
    with pytest.raises(NotFinite) as stopped:
        train(plan)
    assert set(stopped.value.row_ids) <= set(plan.rows("train").ids) and stopped.value.row_ids


def test_mean_loss_is_the_mean_negative_log_likelihood():
    outputs = np.array([[0.5, 0.5], [0.25, 0.75]], np.float32)
    assert mean_loss(outputs, np.array([0, 1]), "classification") == pytest.approx(-np.log([0.5, 0.75]).mean())
    assert mean_loss(np.array([1.0, 3.0]), np.array([0.0, 0.0]), "regression") == 5.0


@pytest.fixture(scope="module", params=["similarity", "retrieval"])
def plan_that_compares(request, tmp_path_factory):
    recipe = tiny.write_pairs_task(tmp_path_factory.mktemp(request.param), request.param)
    return make_plan(read_recipe(recipe))


def test_answers_are_laid_out_for_what_learns_them(plan_that_compares):
    plan = plan_that_compares
    rows, learned = plan.rows("train"), answers_to_learn(plan, "train")
    if plan.recipe.task.kind == "retrieval":
        assert learned.tolist() == number_texts(rows.inputs).tolist() and learned.shape == (len(rows), 2)
        return
    zero, unit = target_scale(plan)
    assert (zero, unit) == (1.0, 4.0) and (learned.min(), learned.max()) == (0.0, 1.0)
    np.testing.assert_allclose(zero + unit * learned, rows.targets, atol=1e-6)


def test_a_model_that_compares_says_numbers_in_the_users_units(plan_that_compares):
    model, encoded = rebuild(plan_that_compares, {}, phases=0), plan_that_compares.encoded["validation"]
    cosines = forward_rows(model, encoded)
    assert (np.abs(cosines) <= 1 + 1e-6).all()
    answer_in_units(model, (1.0, 4.0))
    np.testing.assert_allclose(forward_rows(model, encoded), 1 + 4 * cosines, rtol=1e-6)
