"""Counting spans: by hand, against a plain definition, and sums of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.evaluate.spans import COUNTS, count_spans, span_scores
from tunewright.values import Span

LABELS = ("per", "loc", "org")


def scores(said, true):
    return {name: float(value) for name, value in span_scores(count_spans(said, true, LABELS).sum(axis=0)).items()}


def test_exact_and_partial_figures_by_hand():
    true = [(Span(0, 3, "per"), Span(10, 18, "loc")), (), (Span(5, 9, "org"),)]
    said = [(Span(0, 3, "per"), Span(10, 14, "loc"), Span(20, 22, "org")), (Span(0, 2, "per"),), ()]
    seen = scores(said, true)
    assert seen["span_precision"] == 1 / 4 and seen["span_recall"] == 1 / 3 and seen["span_f1"] == 2 / 7
    assert seen["partial_precision"] == 2 / 4 and seen["partial_recall"] == 2 / 3
    assert seen["partial_f1"] == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
    assert seen["macro_span_f1"] == pytest.approx((2 / 3 + 0 + 0) / 3)


def test_a_wrong_label_or_a_span_said_twice_is_no_hit():
    assert scores([(Span(0, 3, "loc"),)], [(Span(0, 3, "per"),)])["span_f1"] == 0
    assert scores([(Span(0, 3, "per"), Span(0, 3, "per"))], [(Span(0, 3, "per"),)])["span_f1"] == 1
    assert scores([()], [()])["span_f1"] == 0


spans = st.lists(
    st.builds(lambda start, length, label: Span(start, start + length, label), st.integers(0, 6), st.integers(1, 4),
              st.sampled_from(LABELS)), max_size=4, unique=True,
).map(tuple)  # fmt: skip


@given(st.lists(st.tuples(spans, spans), min_size=1, max_size=5))
def test_counts_are_those_of_the_definition_and_add_up_over_rows(rows):
    said, true = [row[0] for row in rows], [row[1] for row in rows]
    counts = count_spans(said, true, LABELS)
    assert counts.shape == (len(rows), len(COUNTS), len(LABELS))
    whole = counts.sum(axis=0)
    for i, label in enumerate(LABELS):
        pairs = [
            ([s for s in ours if s.label == label], [s for s in theirs if s.label == label]) for ours, theirs in rows
        ]
        assert whole[0, i] == sum(len(set(ours) & set(theirs)) for ours, theirs in pairs)
        assert whole[1, i] == sum(len(ours) for ours, _ in pairs) and whole[2, i] == sum(len(t) for _, t in pairs)
        assert whole[3, i] == sum(any(set(range(a.start, a.end)) & set(range(b.start, b.end)) for b in theirs)
                                  for ours, theirs in pairs for a in ours)  # fmt: skip
    figures = span_scores(np.stack([whole, 2 * whole]))
    assert all(value.shape == (2,) and value[0] == pytest.approx(value[1]) for value in figures.values())
    assert (figures["partial_f1"] >= figures["span_f1"] - 1e-12).all()
