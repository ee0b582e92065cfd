"""The spine from a recipe to a registered model."""

from __future__ import annotations

import json
import random

import pyarrow.parquet as parquet
import pytest
import torch
from safetensors.torch import load_file, save
from tests import tiny_tasks as tiny

from tunewright.pipeline.adapting import from_tensors, to_tensors
from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.run import keep_importance, run
from tunewright.recipe.errors import StoreRefusal
from tunewright.store import files
from tunewright.store.registry import Registry
from tunewright.store.runs import open_run


def test_a_run_leaves_everything_that_the_map_names(tiny_run):
    _, result = tiny_run
    expected = {
        "recipe.yaml", "recipe.resolved.json", "metrics.jsonl", "model", "predictions.parquet", "effect.json",
        "parity.json", "fit.json", "verdict.json", "evidence.json", "report.html", "MODEL_CARD.md",
    }  # fmt: skip
    assert expected <= {path.name for path in result.folder.iterdir()}
    assert {"manifest.json", "ledger.parquet", "splits.json"} <= {p.name for p in (result.folder / "data").iterdir()}
    assert files.verify_folder(result.folder / "model") == []


def test_the_same_recipe_again_does_nothing_again(tiny_run, monkeypatch):
    recipe, first = tiny_run
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(recipe.parent))
    before = {path: path.stat().st_mtime_ns for path in (first.folder / "model").rglob("*")}
    again = run(recipe)
    assert (again.id, again.version) == (first.id, first.version)
    assert {path: path.stat().st_mtime_ns for path in (first.folder / "model").rglob("*")} == before


def test_the_model_of_a_run_answers(tiny_run):
    _, result = tiny_run
    (said,) = result.model.predict(["where is my card please"])
    assert said.label in {"card", "refund", "rate"}


def test_the_resolved_recipe_lies_beside_the_weights(tiny_run):
    _, result = tiny_run
    written = json.loads((result.folder / "model" / "recipe.resolved.json").read_text())
    assert written["recipe"]["name"] == "tiny" and written["reasons"]


def test_a_regression_answers_in_the_units_of_its_rows(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    draw = random.Random(5)
    words = ("card", "late", "top", "up", "money", "fee", "refund", "account", "pin", "exchange", "rate", "shop")
    rows = [{"text": " ".join(draw.sample(words, 6)), "price": 1000.0 + draw.randint(0, 80)} for _ in range(120)]
    recipe = tiny_task(tmp_path, rows=rows)
    result = run(
        recipe,
        overrides=[
            "name=price", "task={kind: regression, input: text, output: price}", "phases.0.budget=3 epochs",
            "data.near_duplicates=keep",
        ],
    )  # fmt: skip
    values = [said.value for said in result.model.predict([row["text"] for row in rows[:20]])]
    assert all(950 < value < 1150 for value in values)
    assert json.loads((result.folder / "parity.json").read_text())["reloaded"]["holds"]


def test_nothing_that_is_kept_holds_what_the_environment_said(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path / "home"))
    recipe = tiny_task(tmp_path)
    (tmp_path / "s3cr3t-place").mkdir()
    (tmp_path / "rows.jsonl").rename(tmp_path / "s3cr3t-place" / "rows-s3cr3t.jsonl")
    monkeypatch.setenv("FILE", "s3cr3t-place/rows-s3cr3t.jsonl")
    result = run(recipe, overrides=["data.train=${FILE}"])
    assert json.loads((result.folder / "data/manifest.json").read_text())["files"][0]["path"] == "${FILE}"
    for path in (path for path in (tmp_path / "home").rglob("*") if path.is_file()):
        table = parquet.read_table(path).to_pydict() if path.suffix == ".parquet" else {}
        assert b"s3cr3t" not in path.read_bytes() and "s3cr3t" not in str(table), path


def test_a_full_disk_registers_nothing(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    recipe = tiny_task(tmp_path)
    monkeypatch.setattr(files.disk, "free_bytes", lambda path: 10)
    with pytest.raises(StoreRefusal):
        run(recipe, overrides=["keep.every=1 updates"])
    from tunewright.store.database import open_database

    with open_database() as database:
        assert Registry(database).versions() == []


def test_a_resumed_run_takes_the_same_units_away_as_when_it_began(tmp_path, monkeypatch):
    """Importance is measured with rounding, so what the run measured first is what holds."""
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    recipe = tiny.write_task(tmp_path)
    changes = ["adapt=[{kind: feed_forward, units: 24}]", "compute.threads=1"]
    result = run(recipe, overrides=changes)
    plan = make_plan(read_recipe(recipe, changes))
    kept = from_tensors(load_file(result.folder / "importance.safetensors"))
    assert all(torch.allclose(a, b) for a, b in zip(kept[0], plan.importance[0], strict=True))
    turned = {0: [score.flip(0) for score in kept[0]]}
    (result.folder / "importance.safetensors").write_bytes(save(to_tensors(turned)))
    with open_run(plan.recipe.name, plan.id) as held:
        found = keep_importance(held, plan)
    assert all(torch.equal(a, b) for a, b in zip(found[0], turned[0], strict=True))
    plain = make_plan(read_recipe(recipe))
    with open_run(plain.recipe.name, plain.id) as held:
        assert keep_importance(held, plain) == {} and not (held.folder / "importance.safetensors").exists()
