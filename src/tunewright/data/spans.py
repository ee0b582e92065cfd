"""Spans of a text and the tags of its tokens, each made from the other. Must not know models, files or recipes.

A span is a part of a text with a label, by characters. A tag belongs to a token: O outside of every span, B-x where a
span of label x begins, I-x where it goes on (IOB2: Tjong Kim Sang and Veenstra, 1999). Shape legend: t tokens of a
text, k those that are apart, g tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.values import Span

OUTSIDE = 0
_BEGINS, _ENDS = frozenset("BSU"), frozenset("ELSU")
_PREFIXES = _BEGINS | _ENDS | {"I"}


@dataclass(frozen=True, slots=True)
class TaggedText:
    """Tokens joined by single spaces, the spans that their tags mean, and how many tags broke their scheme."""

    text: str
    spans: tuple[Span, ...]
    stray_tags: int


def tag_names(labels: Sequence[str]) -> list[str]:
    """The tags in the order of their numbers: O, then B and I of each label."""
    return ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


def is_tag(text: str) -> bool:
    """Whether `text` could be a tag of BIO, IOB1, BIOES or BILOU."""
    return text == "O" or (len(text) > 2 and text[0] in _PREFIXES and text[1] in "-_")


def scheme_of(rows: Sequence[Sequence[str]]) -> str:
    """The scheme that the tags of all rows follow: BIO, IOB1, BIOES or BILOU.

    In IOB1 a span begins with I, and with B only where it follows one of its own label.
    """
    prefixes = {tag[0] for row in rows for tag in row}
    if prefixes & set("LU"):
        return "BILOU"
    if prefixes & set("ES"):
        return "BIOES"
    begins_with_b = begins_with_i = 0
    for row in rows:
        for before, tag in zip(("O", *row), row, strict=False):
            if tag != "O" and before[2:] != tag[2:]:
                begins_with_b += tag[0] == "B"
                begins_with_i += tag[0] == "I"
    return "IOB1" if begins_with_i and not begins_with_b else "BIO"


def read_tags(tokens: Sequence[str], tags: Sequence[str], *, scheme: str) -> TaggedText:
    """The text and spans that tokens and their tags stand for; a tag that breaks the scheme begins a new span."""
    assert len(tokens) == len(tags), "a tag for each token"
    ends = np.cumsum([len(token) + 1 for token in tokens]) - 1
    starts = ends - [len(token) for token in tokens]
    spans, stray = [], 0
    for first, last, label, broken in _runs(tags, scheme):
        spans.append(Span(int(starts[first]), int(ends[last]), label))
        stray += broken
    return TaggedText(" ".join(tokens), tuple(spans), stray)


def _runs(tags: Sequence[str], scheme: str) -> Iterator[tuple[int, int, str, bool]]:
    """First and last token of each span, its label, and whether its tags broke the scheme."""
    closes = scheme in ("BIOES", "BILOU")
    first, broken = -1, False
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        goes_on = first >= 0 and tag[0] not in _BEGINS and tags[i - 1][2:] == tag[2:]
        if not goes_on:
            first = i
            broken = tag[0] not in _BEGINS and scheme != "IOB1"
        following = tags[i + 1] if i + 1 < len(tags) else "O"
        ends_here = tag[0] in _ENDS if closes else False
        next_goes_on = following != "O" and following[0] not in _BEGINS and following[2:] == tag[2:]
        if ends_here or not next_goes_on:
            yield first, i, tag[2:], broken or (closes and not ends_here)
            first = -1


def tags_of_tokens(spans: Sequence[Span], offsets_t2: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, int]:
    """The number of the tag of each token, int64 [t], and how many spans no token touches.

    `offsets_t2` are the tokens' characters; a token of none (a special one) is outside. Spans must not overlap.
    """
    tags_t = np.full(len(offsets_t2), OUTSIDE, dtype=np.int64)
    number = {label: i for i, label in enumerate(labels)}
    lost = 0
    for span in spans:
        inside = (offsets_t2[:, 0] < span.end) & (offsets_t2[:, 1] > span.start)
        places = np.flatnonzero(inside & (offsets_t2[:, 0] < offsets_t2[:, 1]))
        if not len(places):
            lost += 1
            continue
        tags_t[places] = 2 + 2 * number[span.label]
        tags_t[places[0]] -= 1
    return tags_t, lost


def best_tags(scores_tg: np.ndarray) -> np.ndarray:
    """The sequence of tags with the largest sum of scores in which I-x follows B-x or I-x alone: int64 [t].

    `scores_tg` are logarithms of probabilities (Viterbi, 1967; transitions that are allowed cost nothing).
    """
    t, tags = scores_tg.shape
    if not t:
        return np.empty(0, dtype=np.int64)
    likeliest = scores_tg.argmax(axis=1)
    before = np.concatenate([[OUTSIDE], likeliest[:-1]])
    goes_on = (likeliest > 0) & (likeliest % 2 == 0)
    if ((before[goes_on] == likeliest[goes_on]) | (before[goes_on] == likeliest[goes_on] - 1)).all():
        return likeliest.astype(np.int64)  # the best of each token is allowed, so it is the best of all
    inner = np.arange(2, tags, 2)
    total = scores_tg[0].astype(np.float64).copy()
    total[inner] = -np.inf
    came_from = np.zeros((t, tags), dtype=np.int64)
    for i in range(1, t):
        best = int(total.argmax())
        step, origin = np.full(tags, total[best]), np.full(tags, best)
        begun = total[inner - 1] >= total[inner]
        step[inner] = np.where(begun, total[inner - 1], total[inner])
        origin[inner] = np.where(begun, inner - 1, inner)
        came_from[i] = origin
        total = step + scores_tg[i]
    path = np.empty(t, dtype=np.int64)
    path[-1] = int(total.argmax())
    for i in range(t - 1, 0, -1):
        path[i - 1] = came_from[i, path[i]]
    return path


def spans_of_tokens(
    probabilities_tg: np.ndarray, offsets_t2: np.ndarray, labels: Sequence[str]
) -> tuple[Span, ...]:
    """The likeliest spans of one text, in order, each as probable as its tags are on average.

    Tokens are those with characters, in order of their place; where windows show one twice, its probabilities are
    averaged.
    """
    real = np.flatnonzero(offsets_t2[:, 0] < offsets_t2[:, 1])
    if not len(real):
        return ()
    places_k2, token_of = np.unique(offsets_t2[real], axis=0, return_inverse=True)
    summed_kg = np.zeros((len(places_k2), probabilities_tg.shape[1]))
    np.add.at(summed_kg, token_of.ravel(), probabilities_tg[real])
    mean_kg = summed_kg / np.bincount(token_of.ravel())[:, None]
    tags_k = best_tags(np.log(np.maximum(mean_kg, 1e-12)))
    spans = []
    begins = np.flatnonzero(tags_k % 2 == 1)
    for begin in begins:
        end = begin + 1
        while end < len(tags_k) and tags_k[end] == tags_k[begin] + 1:
            end += 1
        label = labels[(int(tags_k[begin]) - 1) // 2]
        sure = float(mean_kg[np.arange(begin, end), tags_k[begin:end]].mean())
        spans.append(Span(int(places_k2[begin, 0]), int(places_k2[begin:end, 1].max()), label, sure))
    return tuple(spans)
