"""What a model says of encoded rows, as `Predictions` holds it. Knows models and encodings; must not know texts.

Shape legend: r rows, m tokens that are asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy.special import expit, log_softmax, softmax

from tunewright.data.apart import gather_passages
from tunewright.data.spans import spans_of_tokens
from tunewright.evaluate.baselines import cosine_ranks
from tunewright.model.build import Model, writes_text
from tunewright.model.predict import (
    forward_rows,
    forward_tokens,
    judge_tokens,
    pooled_rows,
    probabilities,
    row_of_asked,
)
from tunewright.recipe.tasks import KINDS
from tunewright.values import Encoded, Span

LONGEST_ANSWER_TOKENS = 30
TEMPERATURE = 0.05  # of the loss by which validation rows are watched, whatever the objective's own
_QUERIES_AT_ONCE = 1024


def logits_of(model: Model, encoded: Encoded) -> np.ndarray:
    """The numbers by which two forms of a model are compared: float32 [r, c] or [r], of tokens [m, c].

    Of a model that writes text [m, 3], as `judge_tokens`; of one that finds passages the vectors [r, k, d].
    """
    if writes_text(model.shape.kind):
        return judge_tokens(model, encoded)
    if KINDS[model.shape.kind].answers == "passages":
        return pooled_rows(model, encoded)
    return forward_rows(model, encoded) if encoded.answers_n is None else forward_tokens(model, encoded)


def outputs_of(
    logits: np.ndarray, encoded: Encoded, kind: str, *, labels: Sequence[str], inputs: Sequence[tuple[str, ...]]
) -> np.ndarray:
    """What logits amount to, as `Predictions.outputs` holds it; texts are not read off logits, but written.

    `inputs` are the texts of the rows, of which answers may be parts. Of a query and a passage it is their cosine,
    float32 [r], because a row is answered whatever its company; `places_of` is what is judged.
    """
    if kind == "pretraining":
        return sizes_of(logits, encoded)[:, 0].astype(np.float32)
    if kind == "retrieval":
        return (logits[:, 0] * logits[:, 1]).sum(axis=1)
    if kind == "token_classification":
        return _objects(located_spans(logits, encoded, labels))
    if kind == "question_answering":
        return _objects(located_answers(logits, encoded, [row[1] for row in inputs]))
    return probabilities(logits, kind)


def places_of(vectors_rkd: np.ndarray, inputs: Sequence[tuple[str, ...]]) -> np.ndarray:
    """The place, int64 [r] from 1, of each row's own passage among all different passages of these rows, by cosine."""
    passages = gather_passages(inputs)
    return cosine_ranks(vectors_rkd[:, 0], vectors_rkd[passages.row_p, passages.column_p], passages.own_r)


def nearest_passages(
    vectors_rkd: np.ndarray, inputs: Sequence[tuple[str, ...]], *, count: int
) -> list[list[tuple[str, float]]]:
    """For each row the `count` passages of all rows that are nearest to its query, with their cosines, nearest first.

    Of equally near ones the first.
    """
    passages = gather_passages(inputs)
    texts, vectors_pd = passages.texts(inputs), vectors_rkd[passages.row_p, passages.column_p]
    found = []
    for start in range(0, len(inputs), _QUERIES_AT_ONCE):
        for cosine_p in vectors_rkd[start : start + _QUERIES_AT_ONCE, 0] @ vectors_pd.T:
            best = np.argsort(-cosine_p, kind="stable")[:count]
            found.append([(texts[place], float(cosine_p[place])) for place in best])
    return found


def mean_loss_of_passages(vectors_rkd: np.ndarray, inputs: Sequence[tuple[str, ...]]) -> float:
    """The mean −log probability of each row's own passage among all of these rows, by cosines over TEMPERATURE."""
    passages, lost_r = gather_passages(inputs), []
    vectors_pd = vectors_rkd[passages.row_p, passages.column_p]
    for start in range(0, len(inputs), _QUERIES_AT_ONCE):
        logits_bp = vectors_rkd[start : start + _QUERIES_AT_ONCE, 0] @ vectors_pd.T / TEMPERATURE
        own_b = passages.own_r[start : start + _QUERIES_AT_ONCE, None]
        lost_r.append(-np.take_along_axis(log_softmax(logits_bp.astype(np.float64), axis=1), own_b, axis=1))
    return float(np.concatenate(lost_r).mean())


def located_spans(logits_mc: np.ndarray, encoded: Encoded, labels: Sequence[str]) -> list[tuple[Span, ...]]:
    """Of each row its likeliest spans."""
    asked_n, ends_r = _asked(encoded)
    offsets_m2, probabilities_mc = encoded.offsets_n2[asked_n], softmax(logits_mc.astype(np.float64), axis=1)
    parts = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends_r)]
    return [spans_of_tokens(probabilities_mc[part], offsets_m2[part], labels) for part in parts]


def located_answers(logits_m2: np.ndarray, encoded: Encoded, contexts: Sequence[str]) -> list[Span | None]:
    """Of each row the likeliest answer (its text is the span's label), or None.

    The best pair of beginning and end in any part of the context stands against the least "not in this part" (as in
    SQuAD 2.0: Rajpurkar, Jia and Liang 2018).
    """
    asked_n, ends_r = _asked(encoded)
    sequence_m = np.repeat(np.arange(len(encoded.owner_s)), encoded.lengths_s)[asked_n]
    offsets_m2, found = encoded.offsets_n2[asked_n], []
    for row, (start, stop) in enumerate(itertools.pairwise(ends_r)):
        found.append(
            _best_answer(logits_m2[start:stop], offsets_m2[start:stop], sequence_m[start:stop], contexts[row])
        )
    return found


def _best_answer(
    logits_t2: np.ndarray, offsets_t2: np.ndarray, sequence_t: np.ndarray, context: str
) -> Span | None:
    nowhere, best = np.inf, (-np.inf, 0, 0)
    for sequence in np.unique(sequence_t):
        places = np.flatnonzero(sequence_t == sequence)
        nowhere = min(nowhere, float(logits_t2[places[0]].sum()))
        begin_k, end_k = logits_t2[places[1:], 0], logits_t2[places[1:], 1]
        if not len(begin_k):
            continue
        pairs_kk = np.triu(np.ones((len(begin_k), len(begin_k)), dtype=bool))
        pairs_kk &= ~np.triu(pairs_kk, LONGEST_ANSWER_TOKENS)
        scores_kk = np.where(pairs_kk, begin_k[:, None] + end_k[None, :], -np.inf)
        first, last = np.unravel_index(int(scores_kk.argmax()), scores_kk.shape)
        if scores_kk[first, last] > best[0]:
            best = (float(scores_kk[first, last]), int(places[1 + first]), int(places[1 + last]))
    sure = float(expit(best[0] - nowhere)) if np.isfinite(best[0]) else 0.0
    if sure < 0.5:
        return None
    start, end = int(offsets_t2[best[1], 0]), int(offsets_t2[best[2], 1])
    return Span(start, end, context[start:end], sure)


def _asked(encoded: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """Places of the asked tokens, int64 [m], and where each row's begin among them, int64 [r + 1]."""
    assert encoded.answers_n is not None and encoded.offsets_n2 is not None
    counts_r = np.bincount(row_of_asked(encoded), minlength=encoded.rows)
    return np.flatnonzero(encoded.answers_n >= 0), np.concatenate([[0], np.cumsum(counts_r)])


def _objects(values: Sequence[object]) -> np.ndarray:
    """An array of objects, one a row, whatever they are."""
    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        array[place] = value
    return array


def sizes_of(judged_m3: np.ndarray, encoded: Encoded) -> np.ndarray:
    """As `Predictions.sizes`: float64 [r, 3] of summed −log probability, tokens and bytes of each row's answer."""
    row_m = row_of_asked(encoded)
    assert encoded.bytes_r is not None
    lost_r = np.bincount(row_m, weights=-judged_m3[:, 0].astype(np.float64), minlength=encoded.rows)
    tokens_r = np.bincount(row_m, minlength=encoded.rows).astype(np.float64)
    return np.stack([lost_r, tokens_r, encoded.bytes_r.astype(np.float64)], axis=1)


def mean_loss_of(logits: np.ndarray, encoded: Encoded, kind: str) -> float:
    """The mean loss of the tokens that are asked for."""
    assert encoded.answers_n is not None
    if writes_text(kind):
        return float(-logits[:, 0].astype(np.float64).mean())
    answers_m = encoded.answers_n[encoded.answers_n >= 0]
    if kind == "question_answering":
        return _mean_loss_of_ends(logits, encoded, answers_m)
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(answers_m)), answers_m].mean())


def _mean_loss_of_ends(logits_m2: np.ndarray, encoded: Encoded, answers_m: np.ndarray) -> float:
    """The mean cross-entropy of beginnings and ends, each among the candidates of its sequence."""
    sequence_m = np.repeat(np.arange(len(encoded.owner_s)), encoded.lengths_s)[encoded.answers_n >= 0]
    first = np.flatnonzero(np.diff(sequence_m, prepend=-1))
    total_s2 = np.logaddexp.reduceat(logits_m2.astype(np.float64), first, axis=0)
    lost_m2 = total_s2[np.cumsum(np.diff(sequence_m, prepend=-1) > 0) - 1] - logits_m2
    ends_m2 = np.stack([answers_m & 1, answers_m >> 1 & 1], axis=1).astype(bool)
    return float(lost_m2[ends_m2].mean())
