"""Numbered lines: ticks with facts, one cross where something is refused, and what is skipped because of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import tiny_tasks as tiny

from tunewright.pipeline.check import check
from tunewright.store import files


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path / "home"))
    return tiny.write_task(tmp_path)


def states(report) -> dict[str, str]:
    return {line.title: line.state for line in report.lines}


def line(report, title: str):
    return next(line for line in report.lines if line.title == title)


def test_a_good_recipe_has_ticks_in_order_and_every_fact(recipe, tmp_path):
    report = check(recipe)
    assert report.ok and set(states(report).values()) == {"ok"}
    assert [line.number for line in report.lines] == list(range(1, len(report.lines) + 1))
    assert line(report, "rows").says.startswith("90 in = ")
    assert "[CLS]" in line(report, "supervision").samples[0].read
    assert report.resolved["encode.max_length"][0] == 64 and "64 tokens" in report.resolved["encode.max_length"][1]
    assert not (tmp_path / "home" / "runs").exists()
    json.dumps(report.to_json())


def test_every_resolved_value_is_a_detail_with_its_reason(recipe):
    report = check(recipe)
    details = line(report, "decided").details
    assert len(details) == len(report.resolved) > 5
    assert all(any(d.startswith(f"{key}: ") and d.endswith(why) for d in details)
               for key, (_, why) in report.resolved.items())  # fmt: skip


def test_a_recipe_that_cannot_be_read_skips_everything(recipe):
    report = check(recipe, overrides=["phases.0.budgett=1 epochs"])
    assert not report.ok and report.estimate is None
    assert [line.state for line in report.lines] == ["refused", *["skipped"] * (len(report.lines) - 1)]
    assert line(report, "rows").says == "because of line 1"
    json.dumps(report.to_json())


def test_two_things_wrong_are_two_crosses_in_one_look(recipe):
    report = check(recipe, overrides=["base=./nowhere", "task.output=topc"])
    assert [line.title for line in report.lines if line.state == "refused"] == ["base", "rows"]
    assert states(report)["lengths"] == "skipped"


def test_texts_too_long_are_a_cross_with_the_choices_and_a_tick_once_one_is_made(recipe, tmp_path):
    rows = tiny.make_rows()
    rows[5]["text"] = "where is my card " * 40
    tiny.write_rows(tmp_path / "rows.jsonl", rows)
    crossed = line(check(recipe), "lengths")
    assert crossed.state == "refused" and "truncate" in crossed.details[-1] and "windows" in crossed.details[-1]
    assert line(check(recipe, overrides=["encode.long=truncate"]), "lengths").state == "look"
    windows = check(recipe, overrides=["encode.long=windows"])
    assert windows.ok and "windows of 64" in line(windows, "lengths").says


def test_a_finding_that_deserves_a_look_says_so_with_examples(recipe, tmp_path):
    rows = tiny.make_rows()
    rows[4] = rows[3] | {"topic": "rate", "row_id": "r4"}
    rows[3]["topic"] = "card"
    tiny.write_rows(tmp_path / "rows.jsonl", rows)
    found = line(check(recipe), "conflicts")
    assert found.state == "look" and any("rows.jsonl:4" in detail for detail in found.details)


def test_a_full_disk_is_a_cross(recipe, monkeypatch):
    monkeypatch.setattr(files.disk, "free_bytes", lambda path: 10)
    report = check(recipe)
    assert [line.title for line in report.lines if line.state == "refused"] == ["disk"]
