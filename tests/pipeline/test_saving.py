"""Memory that a recipe asks to save, and where it would save none."""

from __future__ import annotations

import json

import pytest

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
