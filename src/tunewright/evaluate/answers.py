"""Figures of answers found in a context, as SQuAD defines them. Knows what spans say; must not know models or contexts.

A span's `label` is the text it covers: that is what is compared. Rows are counted first and figures read off sums.
Shape legend: r rows, k any leading axes.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

import numpy as np

from tunewright.evaluate.texts import overlap_f1, ratio
from tunewright.values import Span

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """A text as SQuAD's evaluation compares it (Rajpurkar et al., 2016): no case, punctuation, English articles."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def count_answers(said: Sequence[Span | None], true: Sequence[Sequence[Span]]) -> np.ndarray:
    """What each row adds, float64 [r, 5]: 1 if it has an answer, exact match and F1 of it; 1 if not, and that was said.

    Of several right answers the one that fits best counts. A question without one (Rajpurkar et al., 2018) is rightly
    answered by None alone, and None is right there alone.
    """
    assert len(said) == len(true), "an answer for each row"
    counts_r5 = np.zeros((len(true), 5))
    for row, (ours, theirs) in enumerate(zip(said, true, strict=True)):
        if not theirs:
            counts_r5[row, 3:] = 1, ours is None
        elif ours is None:
            counts_r5[row, 0] = 1
        else:
            text, right = normalise(ours.label), [normalise(span.label) for span in theirs]
            counts_r5[row, :3] = 1, text in right, max(overlap_f1(text.split(), other.split()) for other in right)
    return counts_r5


def answer_scores(sums_k5: np.ndarray) -> dict[str, np.ndarray]:
    """Figures [k] of summed counts [k, 5]; NaN for those of a sort of question that does not occur."""
    answerable, exact, f1, unanswerable, declined = np.moveaxis(sums_k5, -1, 0)
    rows = answerable + unanswerable
    return {
        "exact_match": ratio(exact + declined, rows),
        "answer_f1": ratio(f1 + declined, rows),
        "answered_exact_match": ratio(exact, answerable),
        "answered_f1": ratio(f1, answerable),
        "unanswerable_accuracy": ratio(declined, unanswerable),
    }
