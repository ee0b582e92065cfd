"""Rungs without training against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from tunewright.evaluate import baselines


def test_majority_gives_the_shares_of_training_to_every_row() -> None:
    outputs = baselines.majority(np.array([0, 2, 2, 2]), 3, "classification", classes=4)
    assert outputs == pytest.approx(np.tile([0.25, 0, 0.75, 0], (3, 1)))
    several = baselines.majority(np.array([[1, 0], [1, 1]], np.float32), 2, "multi_label")
    assert several == pytest.approx(np.tile([1, 0.5], (2, 1)))
    for kind in ("regression", "similarity"):
        assert baselines.majority(np.array([1.0, 4.0]), 2, kind) == pytest.approx([2.5, 2.5])


def test_zero_shot_is_a_softmax_of_cosines() -> None:
    outputs = baselines.zero_shot(np.array([[2.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 3.0]]), temperature=0.5)
    assert outputs[0] == pytest.approx([np.exp(2) / (np.exp(2) + 1), 1 / (np.exp(2) + 1)], rel=1e-5)


def test_zero_shot_of_several_labels_says_yes_to_the_likest_and_no_below_halfway() -> None:
    outputs = baselines.zero_shot(np.array([[1.0, 0.0]]), np.array([[1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]),
                                  kind="multi_label")
    assert outputs[0, 0] > 0.5 > outputs[0, 1:].max()


@pytest.mark.parametrize("k", [1, 7, 500])
def test_neighbours_are_those_of_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(0)
    train, test, answers = rng.normal(size=(80, 6)), rng.normal(size=(20, 6)), rng.integers(3, size=80)
    theirs = KNeighborsClassifier(min(k, 80), metric="cosine", weights="distance").fit(train, answers)
    ours = baselines.knn(train, answers, test, "classification", k=k)
    assert ours == pytest.approx(theirs.predict_proba(test), abs=1e-4)
    values = rng.normal(size=80)
    theirs = KNeighborsRegressor(min(k, 80), metric="cosine", weights="distance").fit(train, values)
    assert baselines.knn(train, values, test, "regression", k=k) == pytest.approx(theirs.predict(test), abs=1e-3)


def test_chunks_do_not_change_the_answer(monkeypatch) -> None:
    rng = np.random.default_rng(1)
    train, test, answers = rng.normal(size=(30, 4)), rng.normal(size=(25, 4)), rng.integers(2, size=(30, 3))
    whole = baselines.knn(train, answers, test, "multi_label", k=3), baselines.zero_shot(test, train[:3])
    monkeypatch.setattr(baselines, "_NUMBERS_AT_ONCE", 64)
    parts = baselines.knn(train, answers, test, "multi_label", k=3), baselines.zero_shot(test, train[:3])
    for a, b in zip(whole, parts, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_no_rows_give_no_answers() -> None:
    features = np.zeros((0, 4))
    assert baselines.zero_shot(features, np.ones((3, 4))).shape == (0, 3)
    assert baselines.knn(np.ones((2, 4)), np.array([0, 1]), features, "classification").shape == (0, 2)


def test_the_nearest_row_gives_its_answer() -> None:
    train, answers = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]), np.array(["x", "y", "z"], dtype=object)
    assert baselines.nearest(train, answers, np.array([[0.1, 9.0], [5.0, 0.1]])).tolist() == ["y", "x"]
    assert baselines.nearest(train, answers, np.zeros((0, 2))).shape == (0,)


def test_pairs_are_as_alike_as_their_cosine() -> None:
    first, second = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 3.0], [-2.0, -2.0]])
    assert baselines.pair_cosine(first, second) == pytest.approx([0, -1])


def test_ranks_are_those_of_cosines_whatever_the_chunks(monkeypatch) -> None:
    rng = np.random.default_rng(2)
    passages, own = rng.normal(size=(40, 5)), rng.integers(40, size=30)
    queries = passages[own] + rng.normal(size=(30, 5))
    cosine = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ (
        passages / np.linalg.norm(passages, axis=1, keepdims=True)).T
    expected = (-cosine).argsort(axis=1).argsort(axis=1)[np.arange(30), own] + 1
    assert (baselines.cosine_ranks(queries, passages, own) == expected).all()
    monkeypatch.setattr(baselines, "_NUMBERS_AT_ONCE", 100)
    assert (baselines.cosine_ranks(queries, passages, own) == expected).all()
    assert (baselines.cosine_ranks(passages, passages) == 1).all()


def test_a_rung_that_scores_all_alike_has_found_nothing() -> None:
    assert baselines.rank_of_own([np.zeros((2, 7))], np.array([0, 3])).tolist() == [7, 7]
    assert baselines.rank_of_own([], np.zeros(0, int)).tolist() == []
