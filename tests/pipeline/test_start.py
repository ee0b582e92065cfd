"""Proposed recipes: readable, commented, and accepted."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from tests import tiny_tasks as tiny

from tunewright.data.prepare import prepare
from tunewright.pipeline.check import check
from tunewright.pipeline.plan import read_recipe
from tunewright.pipeline.start import propose_recipe
from tunewright.recipe import tasks
from tunewright.recipe.errors import BaseRefusal, DataRefusal


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    tiny.tiny_bases.make_tiny_base(tmp_path / "base", "bert")
    tiny.tiny_bases.make_tiny_base(tmp_path / "writer", "llama")
    return tmp_path


def proposed(data: Path, folder: Path, *, base: str = "base", **options) -> Path:
    recipe = folder / "recipe.yaml"
    recipe.write_text(propose_recipe(data, base=str(folder / base), folder=folder, **options), encoding="utf-8")
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


TURNS = [{"role": "user", "content": "where is {i}?"}, {"role": "assistant", "content": "On its way, says {i}."}]
KINDS = {  # rows of each kind beyond labels and numbers, and what the recipe must say of them
    "token_classification": ({"tokens": ["Ada", "{i}"], "tags": ["B-per", "O"]}, "output: tags"),
    "question_answering": (
        {"question": "Who pays?", "context": "Ada pays {i}.", "answer": "Ada"}, "[question, context]"),
    "similarity": ({"sentence1": "one {i}", "sentence2": "two {i}", "score": 0.5}, "output: score"),
    "retrieval": ({"query": "who {i}?", "passage": "Ada, of {i} houses."}, "[query, passage]"),
    "generation": ({"messages": TURNS}, "input: messages  # conversations (role and content, as OpenAI's)"),
    "summarisation": ({"dialogue": "a talk of {i} about {i}", "summary": "a talk about {i}"}, "# prompts: ["),
    "translation": ({"en": "a house of {i} rooms", "de": "ein Haus mit {i} Zimmern"}, "change the two names"),
    "pretraining": ({"text": "so says {i} and " * 10}, "input: text  # texts of"),
}  # fmt: skip


def rows_like(row):
    """Forty rows with a word of its own in the place of {i}, long enough that no two rows are alike."""
    draw = random.Random(3)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=60)) for _ in range(40)]
    return [json.loads(json.dumps(row).replace("{i}", word)) for word in words]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_recipe_that_reads_back(folder, kind):
    row, says = KINDS[kind]
    base = "writer" if tasks.KINDS[kind].answers == "texts" else "base"
    recipe = proposed(tiny.write_rows(folder / "rows.jsonl", rows_like(row)), folder, base=base)
    assert says in recipe.read_text(encoding="utf-8")
    read = read_recipe(recipe)
    assert read.recipe.task.kind == kind and list(read.recipe.gate) == [tasks.KINDS[kind].metric]
    prepared = prepare(read.recipe, root=folder)
    assert [len(part) for part in (prepared.train, prepared.validation, prepared.test)] == [28, 4, 8]


@pytest.mark.parametrize(("kind", "base"), [("generation", "wright-nano"), ("retrieval", "minilm")])
def test_without_a_base_the_usual_one_of_the_kind_is_named(folder, kind, base):
    row, _ = KINDS[kind]
    text = propose_recipe(tiny.write_rows(folder / "rows.jsonl", rows_like(row)), folder=folder)
    assert f"\nbase: {base}  # " in text


def test_a_usual_base_that_is_not_here_is_named_all_the_same_and_a_chosen_one_is_refused(folder, monkeypatch):
    def absent(name, *, root):
        raise BaseRefusal(f"no {name}")

    monkeypatch.setattr("tunewright.pipeline.start.find_base", absent)
    path = tiny.write_rows(folder / "rows.jsonl", rows_like(KINDS["generation"][0]))
    assert "base: wright-nano  # the usual base of such tasks; it was not looked at" in propose_recipe(path)
    with pytest.raises(BaseRefusal, match="no wright-nano"):
        propose_recipe(path, base="wright-nano")


def test_columns_that_are_not_used_are_named(folder):
    rows = [{**row, "label": i % 2} for i, row in enumerate(rows_like(KINDS["generation"][0]))]
    recipe = proposed(tiny.write_rows(folder / "rows.jsonl", rows), folder, base="writer")
    assert "  # not used: label\n" in recipe.read_text()


def test_long_texts_are_provided_for_by_what_answers_are_made_of(folder):
    long = [{"question": "Who?", "context": f"Ada {i} " + "card " * 200, "answer": f"Ada {i}"} for i in range(40)]
    asked = proposed(tiny.write_rows(folder / "qa.jsonl", long), folder)
    assert "long: windows  # 40 texts have more than 64 tokens" in asked.read_text()
    written = [{"prompt": row["context"], "response": f"it was Ada {i} who paid"} for i, row in enumerate(long)]
    asked = proposed(tiny.write_rows(folder / "texts.jsonl", written), folder, base="writer")
    assert "long: truncate  # 40 texts have more than 64 tokens" in asked.read_text()
    assert "answers included; refuse would stop there" in asked.read_text()


def test_a_kind_that_is_asked_for_is_taken(folder):
    rows = [{"question": f"who {i}?", "answer": f"Ada, of {i} houses in the town by the sea"} for i in range(40)]
    path = tiny.write_rows(folder / "rows.jsonl", rows)
    recipe = proposed(path, folder, kind="retrieval", inputs=["question", "answer"])
    assert read_recipe(recipe).recipe.task.kind == "retrieval"
