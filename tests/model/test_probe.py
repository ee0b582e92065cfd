import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from tunewright.model import probe
from tunewright.model.probe import fit_probe


def features_and_scores(rows, *, width=12, outputs=4, seed=0):
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(rows, width)) * rng.uniform(0.1, 5, width) + rng.normal(size=width)).astype(np.float32)
    return features, features @ rng.normal(size=(width, outputs)) / 3 + rng.normal(size=(rows, outputs))


def halves(features, targets):
    cut = len(features) * 2 // 3
    return features[:cut], targets[:cut], features[cut:], targets[cut:]


def test_classification_finds_scikit_learns_optimum(monkeypatch):
    features, scores = features_and_scores(600)
    train, targets, *validation = halves(features, scores.argmax(1))
    monkeypatch.setattr(probe, "STRENGTHS", (1e-2,))
    seen = fit_probe(train, targets, *validation, kind="classification")
    standard = (train - train.mean(0)) / train.std(0)
    peer = LogisticRegression(C=1 / (1e-2 * len(train)), max_iter=5000, tol=1e-8).fit(standard, targets)
    np.testing.assert_allclose(seen.predict(train), peer.predict_proba(standard), atol=3e-3)


def test_multi_label_finds_scikit_learns_optimum_for_each_label(monkeypatch):
    features, scores = features_and_scores(600, outputs=3)
    train, targets, *validation = halves(features, (scores > 0.3).astype(np.float32))
    monkeypatch.setattr(probe, "STRENGTHS", (1e-2,))
    seen = fit_probe(train, targets, *validation, kind="multi_label").predict(train)
    standard = (train - train.mean(0)) / train.std(0)
    for label in range(3):
        peer = LogisticRegression(C=1 / (1e-2 * len(train)), max_iter=5000, tol=1e-8).fit(standard, targets[:, label])
        np.testing.assert_allclose(seen[:, label], peer.predict_proba(standard)[:, 1], atol=3e-3)


def test_regression_is_ridge(monkeypatch):
    features, scores = features_and_scores(300, outputs=1)
    train, targets, *validation = halves(features, scores[:, 0].astype(np.float32))
    monkeypatch.setattr(probe, "RIDGE_STRENGTHS", (0.1,))
    seen = fit_probe(train, targets, *validation, kind="regression").predict(train)
    standard = (train - train.mean(0)) / train.std(0)
    peer = Ridge(alpha=0.1 * len(train)).fit(standard, targets)
    assert seen.shape == (len(train),)
    np.testing.assert_allclose(seen, peer.predict(standard), atol=1e-3)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_validation_rows_choose_the_strength(kind):
    rng = np.random.default_rng(1)
    features, scores = features_and_scores(300, width=40, outputs=3)
    real = scores.argmax(1) if kind == "classification" else scores[:, 0].astype(np.float32)
    noise = rng.permutation(real)
    clear = fit_probe(*halves(features, real), kind=kind)
    noisy = fit_probe(*halves(features, noise), kind=kind)
    assert noisy.strength > clear.strength
    assert np.isfinite(noisy.predict(features)).all()


def test_probabilities_sum_to_one_and_a_constant_column_does_no_harm():
    features, scores = features_and_scores(300)
    features[:, 3] = 7.0
    seen = fit_probe(*halves(features, scores.argmax(1)), kind="classification").predict(features)
    np.testing.assert_allclose(seen.sum(1), 1, atol=1e-5)
    assert (seen.argmax(1) == scores.argmax(1)).mean() > 0.6
