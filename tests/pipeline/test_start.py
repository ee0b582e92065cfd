"""Proposed recipes: readable, commented, and accepted."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
from tests import tiny_tasks as tiny

from tunewright.pipeline.check import check
from tunewright.pipeline.plan import read_recipe
from tunewright.pipeline.start import propose_recipe
from tunewright.recipe.errors import DataRefusal


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    tiny.tiny_bases.make_tiny_base(tmp_path / "base", "bert")
    return tmp_path


def proposed(data: Path, folder: Path, **options) -> Path:
    recipe = folder / "recipe.yaml"
    recipe.write_text(propose_recipe(data, base=str(folder / "base"), folder=folder, **options), encoding="utf-8")
    return recipe


def assert_accepted(recipe: Path) -> None:
    report = check(recipe)
    assert report.ok, [line for line in report.lines if line.state == "refused"]


def test_names_that_yaml_would_misread_are_quoted(folder):
    rows = [{"The: text": row["text"], "label": {"card": "yes #1", "refund": "null", "rate": "0x1F"}[row["topic"]]}
            for row in tiny.make_rows(60)]  # fmt: skip
    recipe = proposed(tiny.write_rows(folder / "my rows: all.jsonl", rows), folder)
    read = read_recipe(recipe).recipe
    assert read.task.input == "The: text" and read.data.train == "my rows: all.jsonl"
    uncommented = recipe.write_text(
        recipe.read_text().replace("  # labels:", "  labels:").replace("  #   ", "    ").replace(": ...", ": words")
    )
    assert uncommented and set(read_recipe(recipe).recipe.task.labels) == {"yes #1", "null", "0x1F"}


@pytest.mark.parametrize("kind", ["regression", "multi_label"])
def test_other_kinds_are_accepted_too(folder, kind):
    draw = random.Random(1)
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "score" if kind == "regression" else "tags"])
        for row in tiny.make_rows(80):
            several = ";".join(draw.sample(["a", "b", "c"], draw.randint(1, 3)))
            writer.writerow([row["text"], draw.random() if kind == "regression" else several])
    recipe = proposed(path, folder)
    assert read_recipe(recipe).recipe.task.kind == kind
    assert_accepted(recipe)


def test_long_texts_and_unusable_rows_are_provided_for_and_said(folder):
    rows = tiny.make_rows(60)
    rows[0]["text"] = "card " * 200
    rows += [{"text": "", "topic": "card"}] * 3
    recipe = proposed(tiny.write_rows(folder / "rows.jsonl", rows), folder)
    text = recipe.read_text()
    assert "long: truncate  # 1 texts have more than 64 tokens" in text and "malformed: drop  # 3 rows" in text
    assert_accepted(recipe)


def test_a_class_that_cannot_be_in_three_splits_is_refused_by_name(folder):
    rows = [*tiny.make_rows(60), {"text": "something else entirely here", "topic": "rare"}]
    with pytest.raises(DataRefusal, match=r"'rare' \(1\)"):
        propose_recipe(tiny.write_rows(folder / "rows.jsonl", rows), base=str(folder / "base"))


def test_the_path_of_the_rows_counts_from_the_recipe(folder):
    (folder / "recipes").mkdir()
    text = propose_recipe(
        tiny.write_rows(folder / "rows.jsonl", tiny.make_rows()), base=str(folder / "base"), folder=folder / "recipes"
    )
    assert "train: ../rows.jsonl" in text
