"""Figures of texts against the right ones: words shared, ROUGE, length, JSON fields. Knows pairs of texts, no models.

All figures lie between 0 and 1, as those of every other kind of task do, except the length ratio. Each row is counted
first and figures are read off sums of rows. Shape legend: r rows, k any leading axes.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

PAIRS_REMEMBERED = 1 << 14  # the same pair is counted for a figure, for its interval and for every comparison
_ROUGE = ("rouge1", "rouge2", "rougeL")
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"  # scripts that do not part words
_WORD = regex.compile(rf"(?V1)[{_UNSPACED}]\p{{M}}*|[\w--[_{_UNSPACED}]]+")


def words(text: str) -> tuple[str, ...]:
    """The words of a text in any script, without case or punctuation; of scripts without spaces, the characters."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def overlap_f1(said: Sequence[str], true: Sequence[str]) -> float:
    """F1 of two bags of words (Rajpurkar et al., 2016); where one is empty, whether both are."""
    if not said or not true:
        return float(not said and not true)
    shared = sum((Counter(said) & Counter(true)).values())
    return 2 * shared / (len(said) + len(true))


def count_words(said: Sequence[str], true: Sequence[str]) -> np.ndarray:
    """What each row adds, float64 [r, 8]: 1, exact match, token F1, ROUGE-1, -2 and -L, words said, words right."""
    return np.array([_compare(ours, theirs) for ours, theirs in zip(said, true, strict=True)]).reshape(-1, 8)


def word_scores(sums_k8: np.ndarray) -> dict[str, np.ndarray]:
    """Figures [k] of summed counts [k, 8]: means over rows, and all words said over all words right."""
    rows, *scores, said, true = np.moveaxis(sums_k8, -1, 0)
    names = ("exact_match", "token_f1", "rouge_1", "rouge_2", "rouge_l")
    return {name: ratio(score, rows) for name, score in zip(names, scores, strict=True)} | {
        "length_ratio": ratio(said, true)
    }


def count_fields(said: Sequence[str], true: Sequence[str]) -> np.ndarray:
    """What each row adds, float64 [r, 3]: JSON fields rightly said, said, and right.

    A field is a value with the path that leads to it, places in lists included. Rows whose right answer is no JSON
    object add nothing; an answer that is not JSON has no fields.
    """
    return np.array([_count_fields(ours, theirs) for ours, theirs in zip(said, true, strict=True)]).reshape(-1, 3)


def field_scores(sums_k3: np.ndarray) -> dict[str, np.ndarray]:
    """F1 [k] over all fields of summed counts [k, 3]; NaN where no right answer is a JSON object."""
    hits, said, true = np.moveaxis(sums_k3, -1, 0)
    return {"json_f1": np.where(true > 0, ratio(2 * hits, said + true), np.nan)}


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below != 0)


class _Words:
    """`words`, as RougeScorer takes a tokenizer: its own knows no letters but a to z."""

    def tokenize(self, text: str) -> tuple[str, ...]:
        return words(text)


@cache
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer  # here, since it loads NLTK, which takes a second

    return RougeScorer(_ROUGE, tokenizer=_Words())


@lru_cache(maxsize=PAIRS_REMEMBERED)
def _compare(said: str, true: str) -> tuple[float, ...]:
    rouge = _scorer().score(true, said)
    ours, theirs = words(said), words(true)
    return (
        1.0, float(said.strip() == true.strip()), overlap_f1(ours, theirs), *(rouge[name].fmeasure for name in _ROUGE),
        len(ours), len(theirs),
    )  # fmt: skip


@lru_cache(maxsize=PAIRS_REMEMBERED)
def _count_fields(said: str, true: str) -> tuple[int, int, int]:
    right = _read_fields(true)
    if right is None or not true.lstrip().startswith("{"):
        return 0, 0, 0
    ours = _read_fields(said) or Counter()
    return (ours & right).total(), ours.total(), right.total()


def _read_fields(text: str) -> Counter[tuple[Any, ...]] | None:
    """The fields of a JSON text; None where it is none."""
    try:
        return Counter(_fields(json.loads(text, parse_constant=_refuse)))
    except (ValueError, RecursionError):
        return None


def _fields(value: Any, *path: str | int) -> Iterator[tuple[Any, ...]]:
    """Path, type and value of each leaf; the type since True is 1 to Python, and an empty list or object is a leaf."""
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _fields(inner, *path, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, "number", value
    else:
        yield path, type(value).__name__, str(value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
