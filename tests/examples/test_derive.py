"""Derived rows say what they are, and an unanswerable question has no answer where it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "derive.py"


def derive(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(EXAMPLE), *map(str, words)], capture_output=True, text=True, timeout=60)


def written(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def articles(tmp_path) -> Path:
    rows = [
        {"id": f"{title}{number}", "title": title, "context": f"{title} {number} has a flag of colour{number}.",
         "question": f"Which flag has {title} {number}?", "answers": [{"text": f"Colour{number}", "answer_start": 0}]}
        for title in "AB" for number in range(40)
    ]  # fmt: skip
    rows.append({"id": "alone", "title": "C", "context": "One.", "question": "?", "answers": [{"text": "One"}]})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_unanswerable_questions_are_asked_of_another_paragraph_of_the_article(articles, tmp_path):
    done = derive("unanswerable", articles, tmp_path / "out.jsonl")
    rows, given = written(tmp_path / "out.jsonl"), written(articles)
    derived = [row for row in rows if row["derived"]]
    assert [row for row in rows if not row["derived"]] == [row | {"derived": False} for row in given]
    assert 20 < len(derived) < 60 and f"{len(derived)} of them derived" in done.stdout
    before = {row["id"]: row for row in given}
    for row in derived:
        origin = before[row["id"].removesuffix("-elsewhere")]
        assert row["question"] == origin["question"] and row["title"] == origin["title"] and row["answers"] == []
        assert origin["answers"][0]["text"].lower() not in row["context"].lower()
    assert not any(row["title"] == "C" for row in derived), "an article of one paragraph has no other"
    derive("unanswerable", articles, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


def test_types_are_those_that_the_tags_name(tmp_path):
    rows = [
        {"tokens": ["Ada", "met", "IBM"], "ner_tags": ["B-person", "O", "B-firm"]},
        {"tokens": ["No", "one"], "ner_tags": ["O", "O"]},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert derive("types", tmp_path / "rows.jsonl", tmp_path / "out.jsonl").returncode == 0
    assert written(tmp_path / "out.jsonl") == [
        {"text": "Ada met IBM", "types": ["firm", "person"], "derived": True},
        {"text": "No one", "types": [], "derived": True},
    ]


def test_answers_in_columns_and_texts_with_other_ends_of_lines_are_read(articles, tmp_path):
    rows = written(articles)
    for row in rows:
        row["question"] = "one\u2028two"
        row["answers"] = {"text": [row["answers"][0]["text"]], "answer_start": [0]}
    (tmp_path / "columns.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    assert derive("unanswerable", tmp_path / "columns.jsonl", tmp_path / "out.jsonl").returncode == 0
    derived = [row for row in map(json.loads, (tmp_path / "out.jsonl").read_text().split("\n")[:-1]) if row["derived"]]
    assert derived and all(row["answers"] == {"text": [], "answer_start": []} for row in derived)


def test_nothing_is_overwritten_or_written_where_there_is_no_folder(articles, tmp_path):
    before = articles.read_bytes()
    done = derive("unanswerable", articles, articles)
    assert done.returncode == 2 and "name another file" in done.stderr and articles.read_bytes() == before
    done = derive("unanswerable", articles, tmp_path / "nowhere" / "out.jsonl")
    assert done.returncode == 2 and "nowhere" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"text": "a"}'], ids=["absent", "no JSON", "a list", "no tags"])
def test_what_cannot_be_read_is_refused_and_nothing_is_written(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    if content:
        path.write_text(content)
    done = derive("types", path, tmp_path / "out.jsonl")
    assert done.returncode == 2 and str(path) in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
