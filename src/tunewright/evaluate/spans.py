"""Figures of merit of spans: which were found, exactly or in part. Knows spans; must not know models, files or tokens.

A span is found exactly where one of the same characters and label was said (as seqeval and CoNLL-2000 count), in part
where one of the same label shares a character with it. Rows are counted first and figures read off sums of counts, so
that a bootstrap over rows is a product of matrices. Shape legend: r rows, l labels, k any leading axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tunewright.values import Span

COUNTS = ("hits", "said", "true", "said_touches", "true_touched")


def labels_of(answers: Iterable[Iterable[Span]]) -> list[str]:
    """The labels that occur, in order."""
    return sorted({span.label for spans in answers for span in spans})


def count_spans(
    said: Sequence[Sequence[Span]], true: Sequence[Sequence[Span]], labels: Sequence[str]
) -> np.ndarray:
    """What each row adds, float64 [r, 5, l]: see COUNTS; the last two count spans that the other side touches."""
    assert len(said) == len(true), "an answer for each row"
    number = {label: i for i, label in enumerate(labels)}
    counts_r5l = np.zeros((len(true), len(COUNTS), len(labels)))
    for row, (ours, theirs) in enumerate(zip(said, true, strict=True)):
        for span in set(ours) & set(theirs):
            counts_r5l[row, 0, number[span.label]] += 1
        for side, (spans, others) in enumerate(((set(ours), theirs), (set(theirs), ours))):
            for span in spans:
                counts_r5l[row, 1 + side, number[span.label]] += 1
                counts_r5l[row, 3 + side, number[span.label]] += any(_touch(span, other) for other in others)
    return counts_r5l


def span_scores(counts_k5l: np.ndarray) -> dict[str, np.ndarray]:
    """Figures [k] of summed counts [k, 5, l]: span_ for all labels together, macro_ the mean over labels that occur.

    A figure without a denominator counts as 0; no spans on either side is a perfect 1 nowhere, but 0, as in seqeval.
    """
    hits, said, true, touching, touched = np.moveaxis(counts_k5l, -2, 0)
    pooled = [part.sum(axis=-1) for part in (hits, said, true, touching, touched)]
    occurring = (said + true > 0).sum(axis=-1)
    precision, recall = _ratio(pooled[3], pooled[1]), _ratio(pooled[4], pooled[2])
    return {
        "span_precision": _ratio(pooled[0], pooled[1]),
        "span_recall": _ratio(pooled[0], pooled[2]),
        "span_f1": _ratio(2 * pooled[0], pooled[1] + pooled[2]),
        "macro_span_f1": _ratio(_ratio(2 * hits, said + true).sum(axis=-1), occurring),
        "partial_precision": precision,
        "partial_recall": recall,
        "partial_f1": _ratio(2 * precision * recall, precision + recall),
    }


def _touch(a: Span, b: Span) -> bool:
    return a.label == b.label and a.start < b.end and b.start < a.end


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)
