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


def test_rows_that_are_too_long_are_left_out_and_each_has_its_reason(tiny_plan, tiny_task, tmp_path):
    whole = tiny_plan()
    plan = tiny_plan("encode.long=drop", "encode.max_length=12")
    counts = plan.prepared.ledger.counts()
    lost = counts["dropped_because"]["too_long"]
    assert 0 < lost == whole.prepared.ledger.counts()["rows"] - sum(len(plan.rows(split)) for split in plan.encoded)
    assert max(int(part.lengths_s.max()) for part in plan.encoded.values()) <= 12
    assert all(not part.cut_r.any() for part in plan.encoded.values())
    (finding,) = [finding for finding in plan.prepared.findings if finding.check == "too_long"]
    assert finding.count == lost == len(finding.origins) and "12 tokens" in finding.says
    assert plan.facts.rows["train"] == len(plan.rows("train"))
    assert plan.prepared.manifest["split_sha256"] != whole.prepared.manifest["split_sha256"]
    assert plan.prepared.manifest["rows"] == counts


@pytest.mark.parametrize(("length", "says"), [(4, "No row of train"), (9, "left in train for these classes")])
def test_a_length_that_leaves_too_little_is_refused(tiny_plan, tmp_path, length, says):
    rows = [row | {"text": row["text"] + " transfer fee top up how" * (row["topic"] == "rate")}
            for row in tiny.make_rows()]  # fmt: skip
    with pytest.raises(DataRefusal, match=says):
        tiny_plan("encode.long=drop", f"encode.max_length={length}", rows=rows)


def test_only_as_much_may_be_shared_as_leaves_windows_moving(tiny_plan):
    assert tiny_plan("encode.long=windows", "encode.max_length=12", "encode.long.overlap=5").encoder.overlap == 5
    with pytest.raises(RecipeRefusal, match="cannot share 6"):
        tiny_plan("encode.long={kind: windows, overlap: 6}", "encode.max_length=12")
