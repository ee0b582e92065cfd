"""The form of a column's values is told from the values, however a file writes them."""

from __future__ import annotations

import json

import pytest

from tunewright.data.read import Table
from tunewright.pipeline.forms import FORMS, find_form, look_at_columns

VALUES = {
    "tags": [["O", "B-x"], ["O"]],
    "conversations": [[{"role": "user", "content": "hi"}], [{"from": "human", "value": "hi"}]],
    "spans": [[{"start": 0, "end": 1, "label": "x"}], []],
    "answers": [{"text": ["x"], "answer_start": [3]}, {"text": [], "answer_start": []}],
    "tokens": [["a", "b"], []],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("written", [lambda value: value, json.dumps, str], ids=["as lists", "as JSON", "as Python"])
def test_every_form_is_told_however_it_is_written(form, written):
    assert find_form([written(value) for value in VALUES[form]]) == form


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["O B-x", "O O"], "tags"), ([[[0, 1, "x"]], []], "spans"),
        ([[{"entity_type": "x", "start_position": 0}]], "spans"), ([[{"text": "x", "answer_start": 0}]], "answers"),
        (["O", "O"], ""), ([[], []], ""), (["plain", "text"], ""), ([[1, 2]], ""), ([{"a": 1}], ""), ([], ""),
        ([["O", "B-x"], "plain"], ""), (['["\\ud83d"]'], ""),
    ],
)  # fmt: skip
def test_values_of_another_form_or_of_several_are_told_apart(values, form):
    assert find_form(values) == form


def test_a_column_says_how_it_is_filled_and_by_what():
    rows = [{"a": f"some words {i}", "t": ["O", "B-x"], "n": i, "gap": None} for i in range(4)]
    table = Table(("a", "t", "n", "gap"), rows, [f"t:{i}" for i in range(4)], [])
    text, tags, number, gap = look_at_columns(table)
    assert text.is_prose and text.unique and text.says == "a (text, 4 different in 4 rows, 3 words)"
    assert (tags.form, tags.says) == ("tags", "t (tags, 1 different in 4 rows)")
    assert (number.kind, gap.kind, gap.filled) == ("whole number", "empty", 0)
    assert text.first == ("some words 0", "some words 1", "some words 2", "some words 3")
