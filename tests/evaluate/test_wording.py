"""Answers of every kind in words, and marks that lose no letter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.evaluate.wording import Piece, answer_in_words, mark, said_in_words
from tunewright.recipe.tasks import KINDS
from tunewright.values import Predictions, Span, Turn

TEXT = "Ines flew to Porto"
INES, PORTO = Span(0, 4, "person"), Span(13, 18, "place")


@pytest.mark.parametrize(("kind", "target", "words"), [
    ("classification", 1, "b"), ("multi_label", np.array([1, 0, 1]), "a, c"), ("multi_label", np.zeros(3), "none"),
    ("regression", np.float32(0.25), "0.25"), ("similarity", 3.0, "3"),
    ("token_classification", (INES, PORTO), "person: Ines; place: Porto"), ("token_classification", (), "none"),
    ("question_answering", (Span(0, 4, "Ines"), Span(0, 4, "Ines"), Span(0, 18, TEXT)), f"Ines · {TEXT}"),
    ("question_answering", (), "no answer"), ("generation", Turn("yes", "assistant"), "yes"),
    ("pretraining", 0.0, "the text itself"), ("retrieval", 1.0, "its passage at place 1")])  # fmt: skip
def test_right_answers_in_words(kind, target, words):
    assert answer_in_words(target, kind, labels="abc", text=TEXT) == words


@pytest.mark.parametrize(("kind", "output", "said"), [
    ("classification", np.array([0.1, 0.7, 0.2]), ("b", 0.7)),
    ("multi_label", np.array([0.9, 0.5, 0.2]), ("a, b", 0.36)),
    ("token_classification", (PORTO,), ("place: Porto", None)), ("question_answering", None, ("no answer", None)),
    ("question_answering", Span(0, 4, "Ines"), ("Ines", None)), ("summarisation", "A trip.", ("A trip.", None)),
    ("retrieval", 1204, ("its passage at place 1,204", None)), ("regression", 1.5, ("1.5", None)),
    ("pretraining", 12.0, ("3.00 nats a token over 4 tokens", None))])  # fmt: skip
def test_what_was_said_in_words(kind, output, said):
    outputs = np.fromiter([output], dtype=object, count=1)
    predictions = Predictions("m", "test", ("a",), outputs, np.zeros(1), sizes=np.array([[0, 4.0, 9]]))
    words, confidence = said_in_words(predictions, 0, kind, labels="abc", text=TEXT)
    assert words == said[0] and confidence == (pytest.approx(said[1]) if said[1] else None)


def test_every_kind_has_words(predictions):
    for kind in KINDS:
        some = predictions("m", rows=5, classes=3, skill=1, kind=kind)
        for row in range(5):
            assert answer_in_words(some.targets[row], kind, labels="abc", text="x" * 200)
            assert said_in_words(some, row, kind, labels="abc", text="x" * 200)[0]


def test_spans_that_agree_are_marked_once_and_others_on_their_side():
    pieces = mark(TEXT, [INES, PORTO], [INES, Span(10, 15, "place")])
    assert pieces == (
        Piece("Ines", True, True, True, (("both", "person"),)), Piece(" flew "), Piece("to ", False, True),
        Piece("Po", True, True, False, (("said", "place"),)), Piece("rto", True, False, False, (("answer", "place"),)))


SPANS = st.lists(st.builds(lambda a, n, label: Span(a, min(a + n, 18), label), st.integers(0, 16), st.integers(1, 9),
                           st.sampled_from("ab")), max_size=4)  # fmt: skip


@given(SPANS, SPANS)
def test_pieces_are_the_text_and_end_every_span_once(answer, said):
    pieces = mark(TEXT, answer, said)
    assert "".join(piece.text for piece in pieces) == TEXT and all(piece.text for piece in pieces)
    ends = [by for piece in pieces for by, _ in piece.ends]
    assert ends.count("both") == len(set(answer) & set(said)) and len(ends) == len(set(answer) | set(said))
    for letters, spans in (("answer", answer), ("said", said)):
        covered = "".join("x" * len(p.text) if getattr(p, letters) else " " * len(p.text) for p in pieces)
        assert covered == "".join("x" if any(s.start <= i < s.end for s in spans) else " " for i in range(18))


def test_an_empty_text_has_no_pieces():
    assert mark("", [], []) == ()
