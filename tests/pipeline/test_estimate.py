"""Estimates hold what a real run then takes, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import tiny_tasks as tiny

from tunewright.pipeline.estimate import disk_bytes, estimate, refuse_full_disk
from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.run import run
from tunewright.recipe.errors import StoreRefusal
from tunewright.store import files


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path / "home"))
    return tiny.write_task(tmp_path)


def plan_of(recipe: Path, *overrides: str):
    return make_plan(read_recipe(recipe, overrides))


@pytest.mark.parametrize("trainable", ["everything", "head", "lora", "last_layers"])
def test_every_trainable_is_estimated_in_order_and_leaves_threads_and_disk_alone(recipe, tmp_path, trainable):
    threads = torch.get_num_threads()
    found = estimate(plan_of(recipe, f"phases.0.trainable={trainable}", "compute.threads=1"))
    assert 0 < found.seconds.low <= found.seconds.expected <= found.seconds.high
    assert 0 < found.memory_bytes.low <= found.memory_bytes.expected <= found.memory_bytes.high
    assert found.updates[0] > 0 and found.rows_per_second > 0
    assert torch.get_num_threads() == threads and not (tmp_path / "home").exists()


def test_time_grows_with_the_budget_and_stops_at_one_in_minutes(recipe):
    many = estimate(plan_of(recipe, "phases.0.budget=50 epochs", "phases.0.patience=0"))
    assert many.updates[0] == 25 * estimate(plan_of(recipe)).updates[0]
    fixed = estimate(plan_of(recipe, "phases.0.budget=10 minutes", "phases.0.patience=0"))
    assert fixed.seconds.expected >= 600 and fixed.updates == (0,)


def test_phases_add_up(recipe):
    two = "phases=[{trainable: head, budget: 2 epochs}, {trainable: everything, budget: 2 epochs}]"
    found = estimate(plan_of(recipe, two))
    assert len(found.updates) == len(found.seconds_per_update) == 2


def test_what_a_run_writes_fits_what_was_asked_for(recipe, tmp_path):
    needed = disk_bytes(plan_of(recipe))
    run(recipe)
    models = [path for path in (tmp_path / "home").rglob("*") if path.suffix in (".safetensors", ".npy")]
    assert sum(path.stat().st_size for path in models) <= needed


def test_a_disk_too_small_is_refused_with_both_figures(recipe, monkeypatch):
    monkeypatch.setattr(files.disk, "free_bytes", lambda path: 1000)
    with pytest.raises(StoreRefusal, match=r"MB are needed and 0\.0 MB are free"):
        refuse_full_disk(plan_of(recipe))
