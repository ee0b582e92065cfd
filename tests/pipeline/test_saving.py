"""Memory that a recipe asks to save, and where it would save none."""

from __future__ import annotations

import json

import pytest
from tests import tiny_bases
from tests import tiny_tasks as tiny

from tunewright.model.quantized import quantized_layers
from tunewright.model.weights import load_model
from tunewright.pipeline.check import check
from tunewright.pipeline.estimate import disk_bytes
from tunewright.pipeline.run import run
from tunewright.recipe.errors import RecipeRefusal

CHECKPOINTING = "compute.gradient_checkpointing=layers"


def test_layers_that_keep_nothing_cannot_be_computed_again(tiny_plan):
    with pytest.raises(RecipeRefusal, match="The trunk is frozen") as refused:
        tiny_plan(CHECKPOINTING, "phases.0.trainable=head")
    assert "gradient_checkpointing" in refused.value.where


@pytest.mark.parametrize("override", ["phases.0.trainable=lora", 'adapt=[{kind: insert_layers, after: [1]}]'])
def test_they_can_where_something_trains(tiny_plan, override):
    assert tiny_plan(CHECKPOINTING, override).recipe.compute.gradient_checkpointing == "layers"


def test_a_run_says_which_layers_it_computed_again(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    done = run(tiny_task(tmp_path), overrides=[CHECKPOINTING, "phases.0.budget=4 updates"])
    options = json.loads((done.folder / "effect.json").read_text())["options"]
    (option,) = [option for option in options if "checkpointing" in option["option"]]
    assert option["seen"] == "3 layers computed again"


QLORA = ("phases.0.trainable=lora", "phases.0.budget=6 updates", "compute.dtype=float32", "compute.threads=1")


@pytest.mark.parametrize("form", ["nf4", "int8"])
def test_a_run_on_packed_weights_is_proven_saved_packed_and_answers(tiny_task, tmp_path, monkeypatch, form):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    recipe = tiny_task(tmp_path)
    done = run(recipe, overrides=[*QLORA, f"adapt=[{{kind: quantized, form: {form}}}]"])
    effect, parity = (json.loads((done.folder / f"{name}.json").read_text()) for name in ("effect", "parity"))
    assert effect["changed"] and effect["frozen_identical"] and not effect["unchanged_though_trainable"]
    (option,) = [option for option in effect["options"] if option["option"].startswith("adapt")]
    assert option["seen"] == option["expected"] and f"of them in {form}" in option["seen"]
    assert all(parity[name]["holds"] for name in ("reloaded", "merged", "served"))
    saved = load_model(done.folder / "model").model
    assert len(list(quantized_layers(saved.trunk))) == 18
    assert done.model.predict(["my card"])[0] is not None


def test_a_model_that_writes_trains_on_packed_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    tiny_bases.make_tiny_base(tmp_path / "base", "llama")
    recipe = tiny.write_task(tmp_path)
    overrides = ["task.kind=generation", "encode.chat_template=plain", "evaluate.baselines=[untouched]", CHECKPOINTING]
    done = run(recipe, overrides=[*QLORA, *overrides, "adapt=[quantized]"])
    parity = json.loads((done.folder / "parity.json").read_text())
    assert all(parity[name]["holds"] for name in ("reloaded", "merged", "served"))


def test_check_says_what_the_base_takes_before_and_after(tiny_task, tmp_path, tiny_plan):
    report = check(tiny_task(tmp_path), overrides=[*QLORA, "adapt=[quantized]"])
    assert report.ok
    (memory,) = [line for line in report.lines if line.title == "memory"]
    assert memory.details[0].startswith("base weights: ") and "24,576 of" in memory.details[0]
    plain, packed = tiny_plan(*QLORA), tiny_plan(*QLORA, "adapt=[quantized]")
    assert disk_bytes(packed) < 0.8 * disk_bytes(plain)
