"""Figures that sums of rows give: what each kind of task counts of a row. Knows predictions; must not know intervals.

For all kinds but those answered with labels or numbers, each row adds some numbers, and every figure is a function of
their sums. So a figure is that function of all rows, a bootstrap over rows is a product of matrices whatever the
figure, and a row's own figure is that function of the row alone. Shape legend: r rows, n numbers of a row, k any
leading axes (resamples).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from tunewright.evaluate.answers import answer_scores, count_answers
from tunewright.evaluate.ngrams import bleu_score, chrf_score, count_bleu, count_chrf
from tunewright.evaluate.spans import COUNTS, count_spans, labels_of, span_scores
from tunewright.evaluate.texts import count_fields, count_words, field_scores, ratio, word_scores
from tunewright.recipe.tasks import KINDS
from tunewright.values import Predictions

NDCG_PLACES = 10
RECALL_PLACES = (1, 5, 10)

Scores = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Support:
    """What a figure rests on: how many of what, and how many there should be for its interval to be relied on."""

    number: int
    one: str = "row"
    several: str = ""
    enough: int = 30


@dataclass(frozen=True, slots=True)
class Tallies:
    """Numbers of each row, float64 [r, n]; figures [k] read off sums of rows [k, n], NaN where one cannot be measured.

    `supports` has an entry for each figure that rests on other than the rows.
    """

    counts_rn: np.ndarray
    figures: Scores
    supports: Mapping[str, Support]

    def total(self) -> dict[str, np.ndarray]:
        """The figures of all rows together."""
        return self.figures(self.counts_rn.sum(axis=0))


@dataclass(frozen=True, slots=True)
class Family:
    """Figures that share their counting."""

    figures: tuple[str, ...]
    count: Callable[[Predictions], np.ndarray]
    scores: Scores
    supports: Callable[[np.ndarray], Mapping[str, Support]] = lambda counts_rn: {}


def tally(predictions: Predictions, kind: str, asked: Collection[str] | None = None) -> Tallies:
    """What the rows add to the figures of a kind (or to those `asked` for: others are not counted)."""
    asked = KINDS[kind].metrics if asked is None else asked
    families = [family for family in FAMILIES[kind] if set(family.figures) & set(asked)]
    counts = [np.asarray(family.count(predictions), np.float64) for family in families]
    ends = np.cumsum([part.shape[1] for part in counts])[:-1]

    def figures(sums_kn: np.ndarray) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for family, own in zip(families, np.split(sums_kn, ends, axis=-1), strict=True):
            found |= family.scores(own)
        return {name: found[name] for name in asked}

    supports: dict[str, Support] = {}
    for family, part in zip(families, counts, strict=True):
        supports |= family.supports(part)
    return Tallies(np.concatenate(counts, axis=1), figures, supports)


def row_figures(predictions: Predictions, kind: str, metric: str) -> np.ndarray:
    """One figure of each row alone, float64 [r]; NaN where the row does not measure it."""
    tallies = tally(predictions, kind, (metric,))
    return tallies.figures(tallies.counts_rn)[metric]


def count_likelihood(predictions: Predictions) -> np.ndarray:
    """What each row adds, float64 [r, 3]: −log probability of the right answer, its tokens, its bytes; NaN if unknown.

    Where the text is its own answer, what the rung says of a row is that −log probability.
    """
    rows = len(predictions.targets)
    return np.full((rows, 3), np.nan) if predictions.sizes is None else predictions.sizes


def count_own_likelihood(predictions: Predictions) -> np.ndarray:
    """`count_likelihood` of rows whose text is its own answer: outputs [r] are their −log probability."""
    counts_r3 = np.array(count_likelihood(predictions), np.float64)
    counts_r3[:, 0] = predictions.outputs
    return counts_r3


def likelihood_scores(sums_k3: np.ndarray) -> dict[str, np.ndarray]:
    """Perplexity of a token, e to the mean −log probability, and bits of a byte, which no tokenizer changes; [k]."""
    loss, tokens, sizes = np.moveaxis(sums_k3, -1, 0)
    with np.errstate(over="ignore"):  # a perplexity beyond all floats is none
        return {"perplexity": np.exp(ratio(loss, tokens)), "bits_per_byte": ratio(loss, sizes) / np.log(2)}


def count_ranks(ranks: np.ndarray) -> np.ndarray:
    """What each row adds, float64 [r, 6], from the place (from 1) of its own passage: 1, and each figure of one row."""
    ranks = ranks.astype(np.float64)
    found = np.stack([ranks <= place for place in RECALL_PLACES], axis=1)
    gain = np.where(ranks <= NDCG_PLACES, 1 / np.log2(ranks + 1), 0)
    return np.column_stack([np.ones(len(ranks)), 1 / ranks, found, gain])


def rank_scores(sums_k6: np.ndarray) -> dict[str, np.ndarray]:
    """Means over rows [k]; one passage is right for each, so that the ideal gain is 1."""
    rows, *scores = np.moveaxis(sums_k6, -1, 0)
    names = ("mrr", *(f"recall_at_{place}" for place in RECALL_PLACES), f"ndcg_at_{NDCG_PLACES}")
    return {name: ratio(score, rows) for name, score in zip(names, scores, strict=True)}


def _count_spans(predictions: Predictions) -> np.ndarray:
    said, true = predictions.outputs, predictions.targets
    return count_spans(said, true, labels_of([*said, *true])).reshape(len(true), -1)


def _span_scores(sums_kn: np.ndarray) -> dict[str, np.ndarray]:
    return span_scores(sums_kn.reshape(*sums_kn.shape[:-1], len(COUNTS), -1))


def _span_supports(counts_rn: np.ndarray) -> dict[str, Support]:
    """Rows without spans tell nothing; the mean over labels rests on the rarest."""
    rows = Support(int(counts_rn.any(axis=1).sum()), "row with spans", "rows with spans")
    true_l = counts_rn.sum(axis=0).reshape(len(COUNTS), -1)[COUNTS.index("true")]
    fewest = min((int(number) for number in true_l if number), default=0)
    rarest = Support(fewest, "span of the rarest label", "spans of the rarest label", enough=10)
    return dict.fromkeys(KINDS["token_classification"].metrics, rows) | {"macro_span_f1": rarest}


def _answer_supports(counts_r5: np.ndarray) -> dict[str, Support]:
    answerable, unanswerable = int(counts_r5[:, 0].sum()), int(counts_r5[:, 3].sum())
    with_answer = Support(answerable, "question with an answer", "questions with an answer")
    without = Support(unanswerable, "question without an answer", "questions without an answer")
    return {"answered_exact_match": with_answer, "answered_f1": with_answer, "unanswerable_accuracy": without}


def _field_supports(counts_r3: np.ndarray) -> dict[str, Support]:
    rows = int((counts_r3[:, 2] > 0).sum())
    return {"json_f1": Support(rows, "row answered with a JSON object", "rows answered with JSON objects")}


def _of_texts(count: Callable[[list[str], list[str]], np.ndarray]) -> Callable[[Predictions], np.ndarray]:
    return lambda said: count([str(text) for text in said.outputs], [str(text) for text in said.targets])


_LIKELIHOOD = Family(("perplexity",), count_likelihood, likelihood_scores)
_TEXTS = (
    _LIKELIHOOD,
    Family(("exact_match", "token_f1", "rouge_1", "rouge_2", "rouge_l", "length_ratio"), _of_texts(count_words),
           word_scores),
    Family(("bleu",), _of_texts(count_bleu), bleu_score),
    Family(("chrf",), _of_texts(count_chrf), chrf_score),
)  # fmt: skip
FAMILIES: dict[str, tuple[Family, ...]] = {
    "token_classification": (
        Family(KINDS["token_classification"].metrics, _count_spans, _span_scores, _span_supports),),
    "question_answering": (
        Family(KINDS["question_answering"].metrics, lambda said: count_answers(said.outputs, said.targets),
               answer_scores, _answer_supports),),
    "retrieval": (
        Family(KINDS["retrieval"].metrics, lambda said: count_ranks(said.outputs), rank_scores),),
    "generation": (*_TEXTS, Family(("json_f1",), _of_texts(count_fields), field_scores, _field_supports)),
    "summarisation": _TEXTS,
    "translation": _TEXTS,
    "pretraining": (
        Family(KINDS["pretraining"].metrics, count_own_likelihood, likelihood_scores),),
}  # fmt: skip
