"""Labels of rows and of spans, in their order, and those that nobody taught."""

from __future__ import annotations

import pytest

from tunewright.data.clean import Cleaned, CleanRow
from tunewright.data.labels import count_labels, find_labels, find_unknown_labels, has_labels, labels_in, listed
from tunewright.recipe.errors import DataRefusal
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS
from tunewright.values import Span, Turn


def recipe(kind="token_classification", **task):
    return Recipe(name="t", base="b", task={"kind": kind, "input": "text", "output": "y", **task}, data={"train": "a"})


def row(answer, source="train"):
    return CleanRow(0, f"{source}.jsonl:1", "id", ("x y z",), answer, None, source)


def cleaned(*answers, source="train"):
    return Cleaned(("text",), len(answers), [row(answer, source) for answer in answers], [])


SPANS = (Span(0, 1, "b"), Span(2, 3, "a"), Span(4, 5, "a"))


def test_an_answer_has_labels_of_its_kind():
    assert labels_in("x") == ("x",) and labels_in(("x", "y")) == ("x", "y") and labels_in(SPANS) == ("b", "a", "a")
    assert labels_in(None) == labels_in(()) == ()
    assert count_labels([row(SPANS), row(())]) == {"a": 2, "b": 1}


def test_labels_of_spans_stand_sorted_or_as_the_recipe_says():
    assert find_labels(recipe(), {"train": cleaned(SPANS)}) == ("a", "b")
    assert find_labels(recipe(labels={"b": "", "a": "", "c": ""}), {"train": cleaned(SPANS)}) == ("b", "a", "c")


def test_labels_of_spans_that_only_the_test_file_has_are_refused():
    parts = {"train": cleaned(SPANS), "test": cleaned((Span(0, 1, "aa"),), source="test")}
    with pytest.raises(DataRefusal, match="test has labels that train does not have: 'aa'") as refused:
        find_labels(recipe(), parts)
    assert refused.value.where == "test.jsonl:1" and "name all labels under task.labels" in refused.value.remedy
    assert find_labels(recipe(labels={"a": "", "b": "", "aa": ""}), parts) == ("a", "b", "aa")


def test_only_some_kinds_have_labels():
    having = {kind for kind in KINDS if kind in ("classification", "multi_label", "token_classification")}
    for kind in KINDS:
        columns = {"input": ["a", "b"]} if kind in ("question_answering", "similarity", "retrieval") else {}
        unanswered = {"output": None} if kind in ("retrieval", "pretraining") else {}
        assert has_labels(recipe(kind, **columns, **unanswered).task) == (kind in having)
    made = recipe("generation")
    assert find_labels(made, {"train": cleaned(Turn("x", "assistant"))}) == ()
    assert find_unknown_labels([row(Turn("x", "assistant"))], (), made) == {}


def test_many_names_are_cut_short():
    assert listed(["a", "b"]) == "'a', 'b'" and listed(list("abcdefg")).endswith("'e' and 2 more")
