"""Tags to spans and back, on every scheme; the best path against trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.spans import (
    best_tags,
    is_tag,
    read_tags,
    scheme_of,
    spans_of_tokens,
    tag_names,
    tags_of_tokens,
)
from tunewright.values import Span

LABELS = ("per", "loc")
TOKENS = ["Ada", "King", "in", "New", "York", "City"]


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["B-per", "I-per", "O", "B-loc", "I-loc", "I-loc"], "BIO"),
        (["I-per", "I-per", "O", "I-loc", "I-loc", "I-loc"], "IOB1"),
        (["B-per", "E-per", "O", "B-loc", "I-loc", "E-loc"], "BIOES"),
        (["B-per", "L-per", "O", "B-loc", "I-loc", "L-loc"], "BILOU"),
    ],
)
def test_every_scheme_says_the_same_spans(tags, scheme):
    assert scheme_of([tags]) == scheme
    read = read_tags(TOKENS, tags, scheme=scheme)
    assert read.text == "Ada King in New York City" and read.stray_tags == 0
    assert read.spans == (Span(0, 8, "per"), Span(12, 25, "loc"))
    assert [read.text[span.start : span.end] for span in read.spans] == ["Ada King", "New York City"]


@pytest.mark.parametrize(
    ("tags", "scheme", "spans"),
    [
        (["I-per", "B-per", "O", "O", "O", "O"], "IOB1", ["Ada", "King"]),
        (["B-per", "B-per", "O", "O", "O", "O"], "BIO", ["Ada", "King"]),
        (["S-per", "S-per", "O", "O", "O", "O"], "BIOES", ["Ada", "King"]),
        (["U-per", "U-per", "O", "O", "O", "O"], "BILOU", ["Ada", "King"]),
        (["B-per", "I-loc", "O", "O", "O", "O"], "BIO", ["Ada", "King"]),
    ],
)
def test_neighbours_of_one_label_stay_apart(tags, scheme, spans):
    read = read_tags(TOKENS, tags, scheme=scheme)
    assert [read.text[span.start : span.end] for span in read.spans] == spans
    assert read.stray_tags == (1 if "I-loc" in tags else 0)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["O", "I-per", "O", "O", "O", "O"], "BIO"),
        (["B-per", "I-per", "O", "O", "O", "O"], "BIOES"),
        (["B-per", "O", "O", "O", "O", "O"], "BIOES"),
        (["O", "E-per", "O", "O", "O", "O"], "BIOES"),
    ],
)
def test_tags_that_break_their_scheme_are_counted_and_kept(tags, scheme):
    read = read_tags(TOKENS, tags, scheme=scheme)
    assert read.stray_tags == 1 and len(read.spans) == 1


def test_the_scheme_needs_a_span_that_begins_with_i_to_be_iob1():
    assert scheme_of([["I-per", "B-per"], ["O"]]) == "IOB1"
    assert scheme_of([["B-per", "I-per"], ["I-per"]]) == "BIO"
    assert scheme_of([["O", "O"]]) == "BIO"
    assert [is_tag(tag) for tag in ("O", "B-x", "I_x", "X-x", "B", "B-")] == [True, True, True, False, False, False]


spans_of_a_row = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from(LABELS)), max_size=6
).map(lambda parts: list(itertools.accumulate(parts, lambda last, part: (last[0] + last[1] + part[0], *part[1:]))))


@given(spans_of_a_row, st.integers(0, 5))
def test_spans_survive_the_way_to_tags_and_back(parts, more):
    """One token a character, so that every span is made of whole tokens."""
    spans = tuple(Span(start, start + length, label) for start, length, label in parts)
    length = max([span.end for span in spans], default=0) + more
    offsets = np.array([(i, i + 1) for i in range(length)], dtype=np.int64).reshape(-1, 2)
    tags, lost = tags_of_tokens(spans, offsets, LABELS)
    assert lost == 0
    sure = np.full((length, 5), 0.01)
    sure[np.arange(length), tags] = 0.96
    assert spans_of_tokens(sure, offsets, LABELS) == spans


def test_a_token_that_a_span_touches_belongs_to_it_and_special_ones_to_none():
    offsets = np.array([(0, 0), (0, 3), (4, 9), (9, 10), (0, 0)])
    tags, lost = tags_of_tokens([Span(1, 6, "loc"), Span(10, 12, "per")], offsets, LABELS)
    assert [tag_names(LABELS)[tag] for tag in tags] == ["O", "B-loc", "I-loc", "O", "O"]
    assert lost == 1


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_best_tags_are_the_best_of_all_that_are_allowed(length, seed):
    scores = np.random.default_rng(seed).normal(size=(length, 5))

    def allowed(path):
        steps = zip((0, *path), path, strict=False)
        return all(tag % 2 or not tag or before in (tag, tag - 1) for before, tag in steps)

    paths = [path for path in itertools.product(range(5), repeat=length) if allowed(path)]
    best = max(paths, key=lambda path: scores[np.arange(length), path].sum())
    assert tuple(best_tags(scores)) == best


def test_a_token_in_two_windows_counts_once_by_the_mean():
    offsets = np.array([(0, 3), (4, 8), (0, 0), (4, 8), (9, 12)])
    low, high = [0.6, 0.4, 0.0, 0.0, 0.0], [0.1, 0.9, 0.0, 0.0, 0.0]
    nothing = [1.0, 0.0, 0.0, 0.0, 0.0]
    (span,) = spans_of_tokens(np.array([nothing, low, nothing, high, nothing]), offsets, LABELS)
    assert span == Span(4, 8, "per") and span.probability == pytest.approx(0.65)
    assert spans_of_tokens(np.zeros((0, 5)), np.zeros((0, 2), dtype=int), LABELS) == ()
