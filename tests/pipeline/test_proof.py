"""Proof of effect and parity, and that planted lies are seen."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from tests import tiny_tasks as tiny

from tunewright.model.weights import load_model
from tunewright.pipeline import proof
from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.proof import Arithmetic, changed_options, choose_arithmetic, prove_parity
from tunewright.pipeline.run import run
from tunewright.serve.predictor import fastest_dtype

FLOAT32 = Arithmetic("float32", "a test says so")


def read(result, name):
    return json.loads((result.folder / name).read_text())


def test_what_was_to_train_changed_and_the_rest_did_not(tiny_run):
    _, result = tiny_run
    effect = read(result, "effect.json")
    assert effect["changed"] is True and effect["frozen_identical"] is True
    assert effect["trainable"] > 0 and not effect["unchanged_though_trainable"]


def test_each_changed_option_has_what_was_seen_of_it(tiny_run):
    recipe, result = tiny_run
    options = {option["option"]: option for option in read(result, "effect.json")["options"]}
    assert set(options) == {key for key, _ in changed_options(read_recipe(recipe).recipe)}
    assert "updates" in options["phases.0.budget"]["seen"]


def test_the_saved_model_is_the_trained_one(tiny_run):
    _, result = tiny_run
    parity = read(result, "parity.json")
    assert parity["same_token_ids"] and parity["reloaded"]["holds"] and parity["reloaded"]["labels_flipped"] == 0


def test_a_head_that_was_swapped_is_seen(tiny_run, tmp_path):
    recipe, result = tiny_run
    trained = load_model(result.folder / "model").model
    folder = tmp_path / "model"
    shutil.copytree(result.folder / "model", folder)
    head = load_file(folder / "head.safetensors")
    save_file({name: tensor + 0.5 * (name == "bias") * tensor.numel() for name, tensor in head.items()} | {
        "weight": -head["weight"]}, folder / "head.safetensors")  # fmt: skip
    assert not prove_parity(make_plan(read_recipe(recipe)), trained, folder, FLOAT32)["reloaded"]["holds"]


@pytest.mark.skipif(fastest_dtype() == "float32", reason="this machine computes in float32 alone")
def test_a_model_that_rounding_changes_is_served_in_float32_and_says_why(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setitem(proof.TOLERANCE, "bfloat16", 1e-9)
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    result = run(tiny_task(tmp_path))
    served = read(result, "parity.json")["served"]
    assert served["dtype"] == result.model.dtype == "float32" and served["holds"]
    assert "in bfloat16 a logit moves by up to" in served["because"]


@pytest.mark.skipif(fastest_dtype() == "float32", reason="this machine computes in float32 alone")
def test_a_model_served_in_an_arithmetic_that_changes_it_is_seen(tiny_run, monkeypatch):
    recipe, result = tiny_run
    trained, folder = load_model(result.folder / "model").model, result.folder / "model"
    plan = make_plan(read_recipe(recipe))
    assert choose_arithmetic(plan, trained).dtype == result.model.dtype == "bfloat16"
    monkeypatch.setitem(proof.TOLERANCE, "bfloat16", 1e-9)
    assert not prove_parity(plan, trained, folder, Arithmetic("bfloat16", "so it was said"))["served"]["holds"]


def test_an_objective_that_is_named_though_it_is_the_usual_one_is_no_change(tmp_path):
    recipe = tiny.write_pairs_task(tmp_path, "retrieval")

    def changed(*overrides):
        return {key for key, _ in changed_options(read_recipe(recipe, overrides).recipe)}

    assert changed("phases.0.objective=contrastive") == changed()
    assert changed("phases.0.objective.temperature=0.1") - changed() == {"phases.0.objective.temperature"}
