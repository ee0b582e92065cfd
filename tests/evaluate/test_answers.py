"""Exact match and F1 of answers as SQuAD's evaluation defines them, written out beside ours."""

from __future__ import annotations

import json
import re
import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.evaluate.answers import answer_scores, count_answers, normalise
from tunewright.evaluate.heuristics import likest_sentence, no_answer
from tunewright.values import Span

ANSWERS = st.lists(st.sampled_from(["The", "a", "an", "Theatre", "cat", "Cat", "308,", "-", "x"]), max_size=4)


def span(text: str) -> Span:
    return Span(0, len(text), text)


def scores(said, true) -> dict[str, float]:
    return {name: float(value) for name, value in answer_scores(count_answers(said, true).sum(axis=0)).items()}


def squad_f1(said: str, true: str) -> float:
    """SQuAD's formula, step by step."""
    def prepare(text):
        text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    ours, theirs = prepare(said), prepare(true)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(ours), shared / len(theirs)
    return 2 * precision * recall / (precision + recall)


@given(ANSWERS.map(" ".join), st.lists(ANSWERS.map(" ".join), min_size=1, max_size=3))
def test_the_best_of_several_answers_counts(said, true):
    counts = count_answers([span(said)], [tuple(map(span, true))])[0]
    assert counts[2] == pytest.approx(max(squad_f1(said, other) for other in true))
    assert counts[1] == (normalise(said) in {normalise(other) for other in true})


def test_case_punctuation_and_articles_do_not_matter():
    assert normalise("  The  Theatre, an Act-or! ") == "theatre actor"
    assert scores([span("the Denver Broncos.")], [(span("Denver Broncos"),)])["exact_match"] == 1


def test_a_question_without_an_answer_is_right_where_none_is_said_and_there_alone():
    said, true = [None, span("x"), None, span("a b")], [(), (), (span("y"),), (span("b c"),)]
    seen = scores(said, true)
    assert seen["exact_match"] == 1 / 4 and seen["unanswerable_accuracy"] == 1 / 2
    assert seen["answered_f1"] == pytest.approx(squad_f1("a b", "b c") / 2) and seen["answered_exact_match"] == 0
    assert seen["answer_f1"] == pytest.approx((1 + squad_f1("a b", "b c")) / 4)


def test_a_sort_of_question_that_does_not_occur_is_not_measured():
    assert np.isnan(scores([None], [()])["answered_f1"])
    assert np.isnan(scores([span("x")], [(span("x"),)])["unanswerable_accuracy"])


@pytest.mark.data
def test_right_answers_of_a_public_set_are_perfect_and_saying_none_is_not(public_data):
    lines = (public_data("xquad_en") / "test_en.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    true = [tuple(Span(a["answer_start"], a["answer_start"] + len(a["text"]), a["text"]) for a in row["answers"])
            for row in rows]
    assert scores([answers[0] for answers in true], true)["answer_f1"] == 1
    assert scores(no_answer(len(rows)), true)["answer_f1"] == 0
    guessed = scores(likest_sentence([row["question"] for row in rows], [row["context"] for row in rows]), true)
    assert 0.1 < guessed["answer_f1"] < 0.5 and guessed["exact_match"] < 0.1
