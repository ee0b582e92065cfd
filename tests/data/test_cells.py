"""Cells are taken as they are; lists that a text writes are read, and nothing is evaluated."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.cells import Unusable, as_name, is_missing, read_every_text, read_texts, shown, unfolded


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('["O", "B-x"]', ["O", "B-x"]), ("['O', 'B-x']", ["O", "B-x"]), (" (1, 2)", [1, 2]),
        ('{"a": null}', {"a": None}),
        ("{'text': None}", {"text": None}), (r"['\d']", [r"\d"]), ("[]", []),
    ],
)  # fmt: skip
def test_lists_and_objects_are_read_from_json_or_python(written, found):
    assert unfolded(written) == found


@pytest.mark.parametrize(
    "text", ["[citation needed]", "(sic)", "(1)", "{name}", "O B-x", "[" * 5000, "[exit()]", "", "12", None, 3, ["a"]]
)
def test_what_writes_no_list_stays_as_it_is(text):
    assert unfolded(text) == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_both_notations_say_the_same(values):
    assert unfolded(json.dumps(values)) == unfolded(repr(values)) == values


def test_half_a_character_in_a_written_list_is_a_fault():
    with pytest.raises(Unusable) as fault:
        unfolded('["\\ud83d"]')
    assert fault.value.detail == r"""'["\\ud83d"]' holds half a character (a lone surrogate)"""


def test_a_list_without_commas_is_a_fault_and_commas_within_texts_are_none():
    with pytest.raises(Unusable) as fault:
        unfolded("['O' 'B-x'\n 'O']")
    assert fault.value.detail.endswith("lists texts without commas, as numpy prints them")
    assert unfolded("""["it's", 'a "b" "c"']""") == ["it's", 'a "b" "c"']


def test_a_cell_is_missing_where_it_says_nothing():
    assert all(map(is_missing, (None, float("nan"), " ", "")))
    assert not any(map(is_missing, (0, False, [], {}, "x")))
    assert (as_name(3.0), as_name(2.5), as_name("3.0")) == ("3", "2.5", "3.0")
    assert shown("a" * 50) == repr("a" * 40 + "…")


def test_several_texts_may_have_a_gap_unless_each_is_needed():
    values = {"a": "x", "b": " "}
    assert read_texts(values, ["a", "b"]) == ("x", " ")
    with pytest.raises(Unusable, match="^no_input$") as fault:
        read_every_text(values, ["a", "b"])
    assert fault.value.detail == "b is empty"
