"""Each check of answers sees its defect in rows of its kind, and nothing else."""

from __future__ import annotations

import pytest

from tunewright.data.clean import CleanRow
from tunewright.data.inspect_answers import inspect_answers
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS
from tunewright.values import Span, Turn

ASKED = "Please explain how the parcel came to stand in the rain"


def findings(kind, *rows):
    two = kind in ("question_answering", "similarity", "retrieval")
    task = {"kind": kind, "input": ["one", "two"] if two else "one",
            "output": None if kind in ("retrieval", "pretraining") else "y"}  # fmt: skip
    clean = [CleanRow(i, f"a:{i}", f"id{i}", (one,) if isinstance(one, str) else one, answer, None, "train", *remark)
             for i, (one, answer, *remark) in enumerate(rows)]  # fmt: skip
    recipe = Recipe(name="t", base="b", task=task, data={"train": "a"})
    return {finding.check: finding for finding in inspect_answers(clean, recipe)}


def said(text):
    return Turn(text, "assistant")


def good(count=9):
    return [(f"{ASKED}, number {i}", said(f"Nobody was at home that day, says courier {i}.")) for i in range(count)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].answers == "texts"])
@pytest.mark.parametrize(
    ("check", "row"),
    [
        ("short_answers", (ASKED, said("No."))),
        ("copied_answers", (ASKED, said("how the parcel came to stand"))),
        ("repeated_prompts", (ASKED, said(f"{ASKED}: nobody was there, and so it was left."))),
        ("refusals", (ASKED, said("I'm sorry, but as an AI language model I have no parcels."))),
        ("refusals", (ASKED, said("I cannot help with that, since parcels are private."))),
        ("unfinished_answers", (ASKED, said("The courier rang twice and when nobody"))),
    ],
)
def test_each_defect_of_an_answer_is_seen(kind, check, row):
    assert findings(kind, *good())[check].severity == "ok"
    found = findings(kind, *good(), row)[check]
    assert found.count == 1 and found.severity != "ok" and found.origins == ("a:9",)


def test_what_a_row_asks_for_in_vain_is_said():
    found = findings("generation", (ASKED, said("Nobody."), "turn 2 has the weight 0, which is not read"))["unread"]
    assert found.severity == "warn" and found.examples == ("a:0: turn 2 has the weight 0, which is not read",)


@pytest.mark.parametrize("text", ["A cat cannot help being a cat.", "Sorry to hear that, your card will come.", "AI."])
def test_words_of_refusal_within_an_answer_are_none(text):
    assert findings("generation", (ASKED, said(text)))["refusals"].count == 0


def test_answers_that_usually_have_no_full_stop_do_not_look_cut():
    rows = [(ASKED, said(f"label {i}")) for i in range(9)]
    assert findings("generation", *rows)["unfinished_answers"].count == 0


def test_a_translation_that_is_its_source_counts_at_any_length():
    assert findings("translation", ("OK", said("OK")))["copied_answers"].severity == "warn"
    assert findings("generation", ("OK", said("OK")))["copied_answers"].count == 0


def test_labels_of_spans_are_counted_by_span():
    spans = tuple(Span(i, i + 1, "x") for i in range(0, 24, 2))
    found = findings("token_classification", ("a " * 12, (*spans[:-1], Span(22, 23, "y"))), ("a b c d e", ()))
    assert found["classes"].says.startswith("2 labels, from 1 spans (y) to 11 (x); 1 have fewer than 10 spans")
    assert found["unmarked"].says == "1 of 2 texts have no span"


def test_stray_tags_and_odd_edges_of_spans_are_shown():
    found = findings("token_classification", ("Ada King lives", (Span(0, 7, "x"),), "1 tags of y break BIO"),
                     ("Ada King lives", (Span(3, 8, "x"),)), ("(Ada) King", (Span(1, 4, "x"),)))  # fmt: skip
    assert found["stray_tags"].examples == ("a:0: 1 tags of y break BIO",) and found["stray_tags"].severity == "warn"
    assert found["span_edges"].origins == ("a:0", "a:1")
    assert found["span_edges"].examples[0] == "a:0: [Ada Kin]g lives"


def test_questions_without_an_answer_are_counted():
    found = findings("question_answering", (("q?", "a context"), ()), (("r?", "a context"), (Span(2, 9, "context"),)))
    assert found["unmarked"].says == "1 of 2 questions have no answer in their context"
    assert found["span_edges"].count == 0


def test_queries_with_several_passages_are_named():
    found = findings("retrieval", (("q", "one"), 1.0), (("q", "two"), 1.0), (("r", "one"), 1.0))
    assert found["shared_queries"].origins == ("a:0", "a:1")


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_are_no_trouble(kind):
    assert all(finding.severity == "ok" for finding in findings(kind).values())
