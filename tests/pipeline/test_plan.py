"""What is decided before the first update."""

from __future__ import annotations

import json

import pytest
from tests import tiny_tasks as tiny

from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.recipe.errors import BaseRefusal, DataRefusal, RecipeRefusal
from tunewright.recipe.schema import Component


def test_equal_recipe_and_rows_give_an_equal_id(tiny_plan):
    assert tiny_plan().id == tiny_plan().id


@pytest.mark.parametrize("override", ["seed=18", "phases.0.budget=3 epochs", "evaluate.resamples=300"])
def test_a_changed_recipe_gives_another_id(tiny_plan, override):
    assert tiny_plan().id != tiny_plan(override).id


def test_another_row_gives_another_id(tiny_plan, tmp_path):
    before = tiny_plan().id
    recipe = tmp_path / "recipe.yaml"
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"text": "where is my top up fee now please", "topic": "rate"}) + "\n")
    assert make_plan(read_recipe(recipe)).id != before


def test_every_open_value_is_filled_and_has_a_reason(tiny_plan):
    plan = tiny_plan()
    assert plan.recipe.phases[0].rows_per_update is not None
    assert plan.recipe.compute.dtype in ("bfloat16", "float32")
    assert set(plan.reasons) >= {"encode.max_length", "phases.0.rows_per_update", "phases.0.optimizer.rate"}
    assert all(reason for reason in plan.reasons.values())


def test_encoded_rows_are_the_splits_rows(tiny_plan):
    plan = tiny_plan()
    for split in ("train", "validation", "test"):
        assert plan.encoded[split].rows == len(plan.rows(split)) > 0


@pytest.mark.parametrize(
    ("override", "refusal", "says"),
    [
        ("evaluate.metric=rmse", RecipeRefusal, "no figure 'rmse'"),
        ("base=nowhere/at-all", BaseRefusal, "nowhere/at-all"),
        ("data.train=absent.jsonl", DataRefusal, "absent.jsonl"),
        ("task.output=label", DataRefusal, "label"),
        ("encode.max_length=4000", RecipeRefusal, "max_length 4000"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_name(tiny_plan, override, refusal, says):
    with pytest.raises(refusal, match=says):
        tiny_plan(override)


def test_a_secret_is_never_written_back(tiny_plan, monkeypatch):
    monkeypatch.setenv("PLACE_OF_ROWS", "rows.jsonl")
    plan = tiny_plan("data.train=${PLACE_OF_ROWS}")
    assert plan.recipe.data.train == "rows.jsonl"
    assert plan.written()["recipe"]["data"]["train"] == "${PLACE_OF_ROWS}"


def test_an_option_of_an_objective_that_is_not_named_is_one_of_the_usual_one(tmp_path):
    recipe = tiny.write_pairs_task(tmp_path, "retrieval")
    file = read_recipe(recipe, ["phases.0.objective.temperature=0.1"])
    assert file.recipe.phases[0].objective == (Component(kind="contrastive", options={"temperature": 0.1}),)
