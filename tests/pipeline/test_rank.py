"""Bases ranked on one's own rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import tiny_tasks as tiny

from tunewright.pipeline import rank
from tunewright.pipeline.rank import rank_bases
from tunewright.recipe.errors import DataRefusal


@pytest.fixture
def rows(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for family in ("bert", "gpt2", "t5", "vit"):
        tiny.tiny_bases.make_tiny_base(tmp_path / family, family)
    return tiny.write_rows(tmp_path / "rows.jsonl", tiny.make_rows(120))


def test_every_family_is_measured_and_the_best_comes_first(rows):
    found = rank_bases(rows, ["vit", "bert", "gpt2", "t5"])
    values = [base.figure.value for base in found.bases[:3]]
    assert values == sorted(values, reverse=True) and {base.name for base in found.bases[:3]} == {"bert", "gpt2", "t5"}
    for base in found.bases[:3]:
        assert base.figure.interval.low <= base.figure.value <= base.figure.interval.high
        assert min(base.rows_per_second, base.memory_bytes, base.disk_bytes) > 0
    assert found.bases[3].name == "vit" and "image" in found.bases[3].reason


def test_rows_beyond_the_most_are_left_out_and_said(rows, monkeypatch):
    monkeypatch.setattr(rank, "_MOST_ROWS", 40)
    assert rank_bases(rows, ["bert"]).train_rows == 40


def test_a_regression_is_ranked_by_the_smallest_error(rows):
    draw = np.random.default_rng(0)
    scored = [row | {"topic": float(draw.normal())} for row in tiny.make_rows(120)]
    found = rank_bases(tiny.write_rows(rows, scored), ["bert", "gpt2"])
    errors = [base.figure.value for base in found.bases]
    assert found.metric == "rmse" and errors == sorted(errors)


def test_rows_that_cannot_be_used_are_refused_before_any_base(rows):
    with pytest.raises(DataRefusal, match="Did you mean 'topic'"):
        rank_bases(rows, ["nowhere"], outputs=["topik"])
