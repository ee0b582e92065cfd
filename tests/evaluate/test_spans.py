"""Counting spans: by hand, against a plain definition, and sums of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.evaluate.spans import COUNTS, count_spans, labels_of, span_scores
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


MARKS = st.lists(st.tuples(st.sampled_from("OOBI"), st.sampled_from(LABELS)), min_size=1, max_size=12)


def spans_of(tags: list[str]) -> tuple[Span, ...]:
    """The spans of BIO tags, one character a token."""
    found: list[Span] = []
    for place, tag in enumerate(tags):
        kind, _, label = tag.partition("-")
        if kind == "I" and found and found[-1].end == place and found[-1].label == label:
            found[-1] = Span(found[-1].start, place + 1, label)
        elif kind != "O":
            found.append(Span(place, place + 1, label))
    return tuple(found)


@pytest.mark.filterwarnings("ignore:.*ill-defined.*:sklearn.exceptions.UndefinedMetricWarning")
@given(st.lists(st.tuples(MARKS, MARKS), min_size=1, max_size=6))
def test_exact_figures_are_those_of_seqeval(rows):
    from seqeval.metrics import f1_score, precision_score, recall_score

    said, true = [], []
    for ours, theirs in rows:
        length = min(len(ours), len(theirs))
        for side, marks in ((said, ours), (true, theirs)):
            side.append([kind if kind == "O" else f"{kind}-{label}" for kind, label in marks[:length]])
    spans_said, spans_true = ([spans_of(tags) for tags in side] for side in (said, true))
    labels = labels_of([*spans_said, *spans_true])
    seen = span_scores(count_spans(spans_said, spans_true, labels).sum(axis=0))
    assert seen["span_precision"] == pytest.approx(precision_score(true, said, zero_division=0))
    assert seen["span_recall"] == pytest.approx(recall_score(true, said, zero_division=0))
    assert seen["span_f1"] == pytest.approx(f1_score(true, said, zero_division=0))
    if labels:
        assert seen["macro_span_f1"] == pytest.approx(f1_score(true, said, average="macro", zero_division=0))
