"""Rungs that need no training: majority, zero-shot, nearest neighbours. Knows features; must not know texts or models.

Each returns outputs as `Predictions` holds them. Features are float [r, d], as the untouched base pools them. Those
marked * are rules of thumb that read texts, and are in `heuristics`:

| kind | rungs |
|---|---|
| classification, multi_label | majority, zero_shot, knn |
| regression | majority (the mean), knn |
| similarity | majority (the mean), pair_cosine, knn |
| token_classification | no_spans*, dictionary* |
| question_answering | no_answer*, first_sentence*, likest_sentence* |
| retrieval | bm25*, cosine |
| generation | copy*, most_common*, nearest |
| summarisation | lead*, longest_turn*, nearest |
| translation | copy*, most_common*, nearest |
| pretraining | unigram* |

Shape legend: r rows to answer, n training rows, p passages, c classes, d width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tunewright.recipe.tasks import KINDS

_NUMBERS_AT_ONCE = 16_000_000  # float32 similarities of one chunk: 64 MB


def majority(train_targets: np.ndarray, rows: int, kind: str, *, classes: int | None = None) -> np.ndarray:
    """The same answer for every row: the shares of the labels in training, or the mean of the values.

    `classes` is the number of labels where the last ones may lack training rows.
    """
    if KINDS[kind].answers == "numbers":
        return np.full(rows, train_targets.mean(), np.float32)
    share_c = _one_per_class(train_targets, classes).mean(axis=0)
    return np.tile(share_c.astype(np.float32), (rows, 1))


def zero_shot(
    test_features: np.ndarray, label_features: np.ndarray, *, kind: str = "classification", temperature: float = 0.05
) -> np.ndarray:
    """Each row's likeness to the descriptions of the labels (`label_features` [c, d]), float32 [r, c].

    One label a row: softmax of the cosines over `temperature`. Several: a logistic curve that gives even odds halfway
    between the row's mean and its best cosine, so that no labelled row is needed to place it.
    """
    assert KINDS[kind].labelled, "zero-shot answers with labels"
    assert temperature > 0
    labels = _unit(label_features)
    parts = []
    for chunk in _chunks(test_features, len(labels)):
        cosine = _unit(chunk) @ labels.T
        best = cosine.max(axis=1, keepdims=True)
        if kind == "multi_label":
            middle = (cosine.mean(axis=1, keepdims=True) + best) / 2
            parts.append(1 / (1 + np.exp(np.clip((middle - cosine) / temperature, -80, 80))))
        else:
            odds = np.exp((cosine - best) / temperature)
            parts.append(odds / odds.sum(axis=1, keepdims=True))
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros((0, len(labels)), np.float32)


def knn(
    train_features: np.ndarray, train_targets: np.ndarray, test_features: np.ndarray, kind: str, *, k: int = 10,
    classes: int | None = None,
) -> np.ndarray:
    """The vote (or mean) of the `k` training rows nearest by cosine, weighted by 1 / distance (Dudani, 1976)."""
    assert k >= 1 and len(train_features) == len(train_targets) > 0
    k = min(k, len(train_features))
    known = _unit(train_features)
    answers = train_targets if KINDS[kind].answers == "numbers" else _one_per_class(train_targets, classes)
    parts = [np.zeros((0, *answers.shape[1:]))]
    for chunk in _chunks(test_features, len(known)):
        cosine = _unit(chunk) @ known.T
        nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        distance = np.maximum(1 - np.take_along_axis(cosine, nearest, axis=1), 1e-6)
        weight = (1 / distance) / (1 / distance).sum(axis=1, keepdims=True)
        parts.append(np.einsum("rk,rk...->r...", weight, answers[nearest]))
    return np.concatenate(parts).astype(np.float32)


def nearest(train_features: np.ndarray, train_answers: np.ndarray, test_features: np.ndarray) -> np.ndarray:
    """The answer, object [r], of the training row nearest by cosine; of equally near ones, of the first."""
    assert len(train_features) == len(train_answers) > 0
    known = _unit(train_features)
    parts = [(_unit(chunk) @ known.T).argmax(axis=1) for chunk in _chunks(test_features, len(known))]
    return train_answers[np.concatenate([np.zeros(0, np.int64), *parts])]


def pair_cosine(first_features: np.ndarray, second_features: np.ndarray) -> np.ndarray:
    """How alike the two texts of each row are, float32 [r] from −1 to 1."""
    return (_unit(first_features) * _unit(second_features)).sum(axis=1)


def cosine_ranks(
    query_features: np.ndarray, passage_features: np.ndarray, own_r: np.ndarray | None = None
) -> np.ndarray:
    """The place, int64 [r] from 1, of each query's own passage among all [p, d] by cosine; see `rank_of_own`.

    `own_r` [r] says which passage is each query's, where it is not the one at its own place.
    """
    own_r = np.arange(len(query_features)) if own_r is None else own_r
    passages = _unit(passage_features)
    scores = (_unit(chunk) @ passages.T for chunk in _chunks(query_features, len(passages)))
    return rank_of_own(scores, own_r)


def rank_of_own(scores: Iterable[np.ndarray], own_r: np.ndarray) -> np.ndarray:
    """Places, int64 [r] from 1, from the scores of consecutive queries, [k, p] at a time.

    Passages with the same score stand before the own one: a rung that scores all alike has found nothing.
    """
    places, start = [np.zeros(0, np.int64)], 0
    for scores_kp in scores:
        own_k = own_r[start : start + len(scores_kp)]
        own_score = np.take_along_axis(scores_kp, own_k[:, None], axis=1)
        places.append((scores_kp >= own_score).sum(axis=1))
        start += len(scores_kp)
    return np.concatenate(places)


def _one_per_class(targets: np.ndarray, classes: int | None) -> np.ndarray:
    """Targets as 0/1 float32 [n, c]."""
    if targets.ndim == 2:
        return targets.astype(np.float32)
    return np.eye(classes or int(targets.max()) + 1, dtype=np.float32)[targets]


def _unit(features: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; float32. A row of zeros stays so."""
    features = features.astype(np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _chunks(features: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Rows in pieces whose product with `width` others stays in bounds."""
    at_once = max(1, _NUMBERS_AT_ONCE // max(width, 1))
    for start in range(0, len(features), at_once):
        yield features[start:start + at_once]
