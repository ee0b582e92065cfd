"""What is asked at each token of an encoded text: its tag, or whether an answer begins or ends there.

Knows encodings and spans; must not know texts, tokenizers or models. Shape legend: n tokens, s sequences, r rows,
t tokens of a row, k those that are apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tunewright.data.spans import OUTSIDE, tags_of_tokens
from tunewright.values import Encoded, Span, ranges

NOWHERE, BEGINS, ENDS = 0, 1, 2  # of an answer; a token at which it begins and ends has both


def ask_tags(encoded: Encoded, spans_r: Sequence[Sequence[Span]] | None, labels: Sequence[str]) -> Encoded:
    """`encoded` with the tag of every token of a text; without spans each is asked for, and none known.

    A token that two windows show has one tag, and a window that begins inside a span goes on with it.
    """
    assert encoded.offsets_n2 is not None
    located_n = encoded.offsets_n2[:, 0] < encoded.offsets_n2[:, 1]
    answers_n = np.where(located_n, OUTSIDE, -1).astype(np.int32)
    if spans_r is not None:
        for row in np.flatnonzero([bool(spans) for spans in spans_r]):
            sequences_s, _ = encoded.sequences_of(np.array([row]))
            places_t = ranges(encoded.starts_s[sequences_s], encoded.lengths_s[sequences_s])
            places_t = places_t[located_n[places_t]]
            offsets_k2, token_of_t = np.unique(encoded.offsets_n2[places_t], axis=0, return_inverse=True)
            tags_k, _ = tags_of_tokens(spans_r[row], offsets_k2, labels)
            answers_n[places_t] = tags_k[token_of_t.ravel()]
    return replace(encoded, answers_n=answers_n)


def count_unseen_spans(encoded: Encoded, spans_r: Sequence[Sequence[Span]]) -> int:
    """How many spans no token of their row touches: they were cut off, or lie in white space."""
    assert encoded.offsets_n2 is not None
    unseen = 0
    for row in np.flatnonzero([bool(spans) for spans in spans_r]):
        sequences_s, _ = encoded.sequences_of(np.array([row]))
        parts = [encoded.offsets_n2[encoded.starts_s[s] : encoded.starts_s[s + 1]] for s in sequences_s]
        offsets_t2 = np.concatenate(parts)
        for span in spans_r[row]:
            touched = (offsets_t2[:, 0] < span.end) & (offsets_t2[:, 1] > span.start)
            unseen += not bool((touched & (offsets_t2[:, 0] < offsets_t2[:, 1])).any())
    return unseen


def ask_answer(encoded: Encoded, answers_r: Sequence[Sequence[Span]] | None) -> Encoded:
    """`encoded` with where the answer begins and ends: the first of a row's right ones.

    Candidates are the tokens of the context and each sequence's first token, which stands for "not in this part" (as
    in BERT: Devlin et al. 2019, section 4.3).
    """
    assert encoded.offsets_n2 is not None
    candidate_n = encoded.offsets_n2[:, 0] < encoded.offsets_n2[:, 1]
    candidate_n[encoded.starts_s[:-1]] = True
    answers_n = np.where(candidate_n, NOWHERE, -1).astype(np.int32)
    if answers_r is not None:
        for sequence, row in enumerate(encoded.owner_s):
            first, last = _ends_of(encoded, sequence, answers_r[row])
            answers_n[first] |= BEGINS
            answers_n[last] |= ENDS
    return replace(encoded, answers_n=answers_n)


def _ends_of(encoded: Encoded, sequence: int, answers: Sequence[Span]) -> tuple[int, int]:
    """First and last token of the answer in a sequence; the sequence's first twice where the answer is not whole."""
    start, stop = int(encoded.starts_s[sequence]), int(encoded.starts_s[sequence + 1])
    if not answers:
        return start, start
    assert encoded.offsets_n2 is not None
    offsets_t2, answer = encoded.offsets_n2[start:stop], answers[0]
    located = np.flatnonzero(offsets_t2[:, 0] < offsets_t2[:, 1])
    touched = located[(offsets_t2[located, 0] < answer.end) & (offsets_t2[located, 1] > answer.start)]
    whole = len(touched) and offsets_t2[touched[0], 0] <= answer.start and offsets_t2[touched[-1], 1] >= answer.end
    return (start + int(touched[0]), start + int(touched[-1])) if whole else (start, start)
