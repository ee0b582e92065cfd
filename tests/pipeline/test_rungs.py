"""Rungs on the same rows, in the same order, as the model."""

from __future__ import annotations

import numpy as np

from tunewright.pipeline import rungs
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.fit import rebuild
from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.rungs import predict_rungs, predict_seen, predict_with


def test_every_rung_answers_every_test_row_with_probabilities(tiny_plan):
    plan = tiny_plan(
        "evaluate.baselines=[majority, zero_shot, knn, probe]",
        "task.labels={card: a card is missing, refund: money back, rate: exchange rates}",
    )
    said = predict_rungs(plan, BaseFeatures(plan, lambda: rebuild(plan, {}, phases=0)))
    assert [predictions.rung for predictions in said] == ["majority", "zero_shot", "knn", "probe"]
    for predictions in said:
        assert predictions.row_ids == plan.rows("test").ids and predictions.seconds > 0
        assert np.allclose(predictions.outputs.sum(axis=1), 1, atol=1e-4)
    by_name = {predictions.rung: predictions for predictions in said}
    right = {name: (p.outputs.argmax(1) == p.targets).mean() for name, p in by_name.items()}
    assert right["probe"] > right["majority"]


def test_a_loaded_model_is_judged_on_the_same_rows(tiny_run, monkeypatch):
    recipe, result = tiny_run
    plan = make_plan(read_recipe(recipe))
    said = predict_with(result.model, plan, "model")
    assert said.row_ids == plan.rows("test").ids
    assert np.array_equal(said.outputs, result.model.outputs(plan.rows("test").inputs))


def test_of_many_rows_it_was_trained_on_as_many_are_asked_as_are_tested(tiny_run, monkeypatch):
    recipe, result = tiny_run
    plan = make_plan(read_recipe(recipe))
    trained_on, tested = plan.rows("train"), len(plan.rows("test"))
    assert len(trained_on) > tested
    assert predict_seen(result.model, plan).row_ids == trained_on.ids
    monkeypatch.setattr(rungs, "_SEEN_ROWS", 1)
    said = predict_seen(result.model, plan)
    assert len(said.row_ids) == tested and set(said.row_ids) < set(trained_on.ids)
    assert said.row_ids == predict_seen(result.model, plan).row_ids
    texts = dict(zip(trained_on.ids, trained_on.inputs, strict=True))
    assert np.array_equal(said.outputs, result.model.outputs([texts[row] for row in said.row_ids]))
