"""Findings show a few rows and name them all."""

from __future__ import annotations

from tunewright.data.clean import CleanRow
from tunewright.data.findings import all_text, find_rows, show
from tunewright.values import Turn


def test_a_finding_without_rows_is_fine_and_one_with_many_shows_some():
    assert find_rows("check", "warn", "0 rows", []).severity == "ok"
    found = find_rows("check", "warn", "9 rows", [(f"a:{i}", "x") for i in range(9)])
    assert (found.severity, found.count, len(found.examples), len(found.origins)) == ("warn", 9, 5, 9)


def test_what_is_shown_is_one_short_line():
    assert show("a:1", "two\n lines") == "a:1: two lines"
    assert len(show("a:1", "x" * 200)) < 100


def test_a_conversation_is_shown_by_what_is_said_in_it():
    inputs = (Turn("[]", "tools"), Turn("be kind", "system"), Turn("hello", "user"))
    assert all_text(CleanRow(0, "a:1", "id", inputs, None, None, "train")) == "hello"
    assert all_text(CleanRow(0, "a:1", "id", ("one", "two"), None, None, "train")) == "one | two"
