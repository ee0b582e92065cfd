"""BLEU and chrF as sacreBLEU defines them, read off sums of rows. Knows pairs of texts; must not know models or files.

Both are figures of a corpus, not means over rows: n-grams are counted for each row, and the figure of any rows is that
of the sums, which makes a bootstrap over rows exact and a product of matrices. Both lie between 0 and 1, as all figures
here do; papers multiply by 100. Shape legend: r rows, k any leading axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import regex

from tunewright.evaluate.texts import PAIRS_REMEMBERED

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU

WORDS, LETTERS, BETA = 4, 6, 2  # the longest n-gram of words and of letters; recall counts BETA times as much
_HAN = regex.compile(r"\p{Han}")
_LETTER = regex.compile(r"\p{L}")


def count_bleu(said: Sequence[str], true: Sequence[str]) -> np.ndarray:
    """What each row adds, float64 [r, 10]: words said and right, then of 1- to 4-grams those matched and those said."""
    tokenize = tokenizer_for(true)
    counts = [_count_bleu(ours, theirs, tokenize) for ours, theirs in zip(said, true, strict=True)]
    return np.array(counts, np.float64).reshape(-1, 2 + 2 * WORDS)


def tokenizer_for(true: Sequence[str]) -> str:
    """sacreBLEU's tokenizer: 13a, its default; zh where most letters are Han, which 13a would not part into words."""
    counts = [_count_letters(text) for text in true]
    return "zh" if 2 * sum(han for han, _ in counts) > sum(letters for _, letters in counts) else "13a"


def bleu_score(sums_ks: np.ndarray) -> dict[str, np.ndarray]:
    """BLEU (Papineni et al., 2002) [k] of summed counts [k, 10], smoothed as sacreBLEU does by default ("exp")."""
    said, right, matched, total = np.split(sums_ks, (1, 2, 2 + WORDS), axis=-1)
    halved = 0.5 ** np.cumsum((matched == 0) & (total > 0), axis=-1)
    precision = np.where(matched > 0, matched, halved) / np.maximum(total, 1)
    measured = (total > 0).all(axis=-1) & (matched > 0).any(axis=-1)
    mean = np.log(precision).mean(axis=-1)
    penalty = np.minimum(0, 1 - right / np.maximum(said, 1))[..., 0]
    return {"bleu": np.where(measured, np.exp(mean + penalty), 0.0)}


def count_chrf(said: Sequence[str], true: Sequence[str]) -> np.ndarray:
    """What each row adds, float64 [r, 18]: of 1- to 6-grams of letters those said, right, and matched."""
    counts = [_count_chrf(ours, theirs) for ours, theirs in zip(said, true, strict=True)]
    return np.array(counts, np.float64).reshape(-1, 3 * LETTERS)


def chrf_score(sums_ks: np.ndarray) -> dict[str, np.ndarray]:
    """chrF (Popović, 2015) [k] of summed counts [k, 18]: F2 of precision and recall averaged over orders that occur."""
    said, right, matched = np.moveaxis(sums_ks.reshape(*sums_ks.shape[:-1], LETTERS, 3), -1, 0)
    occurs = (said > 0) & (right > 0)
    orders = np.maximum(occurs.sum(axis=-1), 1)
    precision, recall = (
        np.divide(matched, side, out=np.zeros(matched.shape), where=occurs).sum(axis=-1) / orders
        for side in (said, right)
    )
    below = BETA**2 * precision + recall
    score = np.divide((1 + BETA**2) * precision * recall, below, out=np.zeros(below.shape), where=below > 0)
    return {"chrf": score}


@lru_cache(maxsize=PAIRS_REMEMBERED)
def _count_letters(text: str) -> tuple[int, int]:
    """Han letters, and letters of all scripts."""
    return len(_HAN.findall(text)), len(_LETTER.findall(text))


@cache
def _bleu(tokenize: str) -> BLEU:
    from sacrebleu.metrics import BLEU  # here, since few runs need it

    return BLEU(tokenize=tokenize, effective_order=True)


@lru_cache(maxsize=PAIRS_REMEMBERED)
def _count_bleu(said: str, true: str, tokenize: str) -> tuple[int, ...]:
    score = _bleu(tokenize).sentence_score(said, [true])
    return score.sys_len, score.ref_len, *score.counts, *score.totals


@lru_cache(maxsize=PAIRS_REMEMBERED)
def _count_chrf(said: str, true: str) -> tuple[int, ...]:
    from sacrebleu.metrics.helpers import extract_all_char_ngrams

    counts: list[int] = []
    for ours, theirs in zip(*(extract_all_char_ngrams(text, LETTERS) for text in (said, true)), strict=True):
        counts += (ours.total() if theirs else 0, theirs.total(), (ours & theirs).total())
    return tuple(counts)
