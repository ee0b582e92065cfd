"""A refusal is one paragraph with what, where and remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.recipe.errors import BaseRefusal, DataRefusal, RecipeRefusal, Refusal, StoreRefusal, nearest


def test_a_refusal_says_what_where_and_what_to_do_in_one_paragraph():
    refusal = Refusal("There is no column 'txet'.", where="tickets.csv", remedy="Name one of: text, intent.")
    assert str(refusal) == "There is no column 'txet'. Where: tickets.csv. Remedy: Name one of: text, intent."
    assert (refusal.what, refusal.where) == ("There is no column 'txet'.", "tickets.csv")


def test_what_is_not_known_is_left_out():
    assert str(Refusal("No.")) == "No."
    assert str(Refusal("No.", remedy="Wait.")) == "No. Remedy: Wait."


@pytest.mark.parametrize("kind", [RecipeRefusal, DataRefusal, BaseRefusal, StoreRefusal])
def test_every_refusal_is_a_value_error_with_exit_code_3(kind):
    assert issubclass(kind, Refusal) and issubclass(kind, ValueError)
    assert kind("x").exit_code == 3


def test_the_nearest_name_is_offered_only_where_it_is_near():
    assert nearest("trian", ["train", "test"]) == " Did you mean 'train'?"
    assert nearest("zebra", ["train", "test"]) == ""
    assert nearest("x", []) == ""


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=8))
def test_what_is_offered_is_always_a_known_name(name, known):
    offered = nearest(name, known)
    assert offered == "" or offered in {f" Did you mean {each!r}?" for each in known}
