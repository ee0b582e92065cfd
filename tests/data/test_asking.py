"""What is asked at tokens against rules written out by hand, on tokenizers of several kinds and over windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.annotated import LABELS, TOKENIZERS, annotated
from tests.annotated import located_encoder as encoder

from tunewright.data.asking import BEGINS, ENDS, NOWHERE, ask_answer, ask_tags, count_unseen_spans
from tunewright.data.spans import tag_names
from tunewright.values import Span

TAGS = tag_names(LABELS)
KINDS = pytest.mark.parametrize("kind", TOKENIZERS)
few = settings(max_examples=30, deadline=None)


def located(encoded, row: int) -> list[tuple[int, int, int]]:
    """(start, end, asked) of the tokens of a row that have characters, window after window."""
    places = np.repeat(encoded.owner_s, encoded.lengths_s) == row
    triples = zip(*encoded.offsets_n2[places].T.tolist(), encoded.answers_n[places].tolist(), strict=True)
    return [(start, end, asked) for start, end, asked in triples if start < end]


@KINDS
@few
@given(given=st.lists(annotated(), min_size=1, max_size=3), max_length=st.integers(8, 30), overlap=st.integers(0, 3))
def test_each_token_has_the_tag_of_the_span_that_it_touches(kind, given, max_length, overlap):
    encoded = encoder(kind, max_length=max_length, overlap=overlap).encode([(text,) for text, _ in given])
    asked = ask_tags(encoded, [spans for _, spans in given], LABELS)
    for row, (_, spans) in enumerate(given):
        tokens = located(asked, row)
        for start, end, tag in tokens:
            touching = [span for span in spans if start < span.end and span.start < end]
            expected = "O"
            for span in touching[-1:]:
                first = min((s, e) for s, e, _ in tokens if s < span.end and span.start < e)
                expected = ("B-" if (start, end) == first else "I-") + span.label
            assert TAGS[tag] == expected, (start, end)
    without = encoded.offsets_n2[:, 0] == encoded.offsets_n2[:, 1]
    assert (asked.answers_n[without] == -1).all() and (asked.answers_n[~without] >= 0).all()
    assert asked.tokens_n is encoded.tokens_n and asked.answers_n.dtype == np.int32


def test_a_word_of_several_pieces_begins_once():
    encoded = encoder("bert", max_length=20).encode([("unheard of",)])
    tags = [TAGS[asked] for _, _, asked in located(ask_tags(encoded, [(Span(0, 7, "thing"),)], LABELS), 0)]
    assert tags[0] == "B-thing" and set(tags[1:-2]) == {"I-thing"} and tags[-1] == "O" and len(tags) > 4


def test_a_window_that_begins_inside_a_span_goes_on_with_it():
    encoded = encoder("words", max_length=4, overlap=2).encode([("my card my card my card",)])
    asked = ask_tags(encoded, [(Span(0, 23, "time"),)], LABELS)
    windows = [part.tolist() for part in np.split(asked.answers_n, asked.starts_s[1:-1])]
    assert len(windows) > 1
    assert [TAGS[window[0]] for window in windows] == ["B-time"] + ["I-time"] * (len(windows) - 1)


def test_without_spans_every_token_is_asked_for_and_none_known():
    encoded = encoder("bert", max_length=20).encode([("my card",), ("",)])
    for spans in (None, [(), ()]):
        assert ask_tags(encoded, spans, LABELS).answers_n.tolist() == [-1, 0, 0, -1, -1, -1]


def test_spans_that_were_cut_off_are_counted():
    text, spans = "my card now my card", (Span(3, 7, "thing"), Span(8, 11, "time"), Span(15, 19, "thing"))
    ours = encoder("bert", max_length=5, long="truncate")  # [CLS] my card now [SEP], where now is one piece
    assert len(TOKENIZERS["bert"]()("now", add_special_tokens=False)["input_ids"]) == 1
    encoded = ours.encode([(text,), ("hello",)])
    assert count_unseen_spans(encoded, [spans, ()]) == 1
    assert count_unseen_spans(encoder("bert", max_length=5, overlap=1).encode([(text,)]), [spans]) == 0
    assert count_unseen_spans(encoder("bert", max_length=9).encode([("my   card",)]), [(Span(2, 4, "thing"),)]) == 1


# ---- answers to questions


def ends(asked, sequence: int) -> tuple[int, int, np.ndarray]:
    """Places of beginning and end of the answer in a sequence, and the offsets of the sequence."""
    part = slice(asked.starts_s[sequence], asked.starts_s[sequence + 1])
    marks = asked.answers_n[part]
    (begin,), (end,) = (np.flatnonzero((marks >= 0) & (marks & which > 0)) for which in (BEGINS, ENDS))
    return int(begin), int(end), asked.offsets_n2[part]


@KINDS
@few
@given(said=annotated(), max_length=st.integers(16, 40), overlap=st.integers(0, 3))
def test_an_answer_begins_and_ends_where_it_is_whole_and_nowhere_elsewhere(kind, said, max_length, overlap):
    text, spans = said
    ours = encoder(kind, max_length=max_length, overlap=overlap, question=True)
    encoded = ours.encode([("my card now", text)])
    asked = ask_answer(encoded, [spans])
    for sequence in range(len(encoded.owner_s)):
        begin, end, offsets = ends(asked, sequence)
        seen = {place for start, stop in offsets.tolist() for place in range(start, stop)}
        answer = spans[0] if spans else Span(0, 0, "")
        inside = {place for place in range(answer.start, answer.end) if not text[place].isspace()}
        if inside and inside <= seen:
            assert begin > 0 and (offsets[begin, 0], offsets[end, 1]) == (answer.start, answer.end)
        else:
            assert begin == end == 0
        marks = asked.answers_n[asked.starts_s[sequence] : asked.starts_s[sequence + 1]]
        candidates = offsets[:, 0] < offsets[:, 1]
        candidates[0] = True
        assert ((marks >= NOWHERE) == candidates).all()


def test_an_answer_that_no_window_shows_whole_is_nowhere():
    ours = encoder("words", max_length=8, question=True)
    encoded = ours.encode([("now", "my card my card my card my card my card my card")])
    offsets = [part[part[:, 1] > 0].tolist() for part in np.split(encoded.offsets_n2, encoded.starts_s[1:-1])]
    assert len(offsets) > 1
    whole, torn = Span(offsets[0][1][0], offsets[0][3][1], ""), Span(offsets[0][-1][0], offsets[1][0][1], "")
    asked = ask_answer(encoded, [(whole, torn)])  # the first right answer counts
    found = [ends(asked, sequence) for sequence in range(len(offsets))]
    assert [begin > 0 for begin, _, _ in found] == [True] + [False] * (len(offsets) - 1)
    begin, end, seen = found[0]
    assert (seen[begin, 0], seen[end, 1]) == (whole.start, whole.end)
    asked = ask_answer(encoded, [(torn, whole)])
    assert [ends(asked, sequence)[:2] for sequence in range(len(offsets))] == [(0, 0)] * len(offsets)


def test_a_question_without_an_answer_and_one_that_is_not_known_yet():
    encoded = encoder("bert", max_length=20, question=True).encode([("hello", "my card")])
    assert ask_answer(encoded, [()]).answers_n.tolist() == [BEGINS | ENDS, -1, -1, NOWHERE, NOWHERE, -1]
    assert ask_answer(encoded, None).answers_n.tolist() == [NOWHERE, -1, -1, NOWHERE, NOWHERE, -1]
    assert ask_answer(encoded, [(Span(3, 7, "card"),)]).answers_n.tolist() == [0, -1, -1, 0, BEGINS | ENDS, -1]
