"""Token ids and cached vectors give the model the same rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny_training import tiny_model, tiny_rows

from tunewright.model.predict import pooled_rows
from tunewright.train.material import Features, Tokens
from tunewright.values import Encoded

KINDS = ("classification", "multi_label", "regression")


def cached(kind: str) -> tuple[Tokens, Features]:
    tokens = tiny_rows(kind=kind, weights=np.linspace(0, 2, 24))
    pooled_rd = pooled_rows(tiny_model(kind=kind), tokens.encoded)
    return tokens, Features(pooled_rd, tokens.targets, tokens.weights_r, tokens.row_ids, tokens.lengths_r)


@pytest.mark.parametrize("kind", KINDS)
def test_cached_vectors_say_what_the_whole_model_says(kind):
    tokens, features = cached(kind)
    model, rows = tiny_model(kind=kind).eval(), np.array([5, 0, 23, 7])
    with torch.no_grad():
        whole = tokens.outputs(model, tokens.batch(rows))
        quick = features.outputs(model, features.batch(rows))
    torch.testing.assert_close(quick.logits, whole.logits, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(quick.vectors_md, whole.vectors_md, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_targets_weights_and_places_are_those_of_the_rows_asked_for(kind):
    tokens, features = cached(kind)
    rows = np.array([5, 0, 23, 7])
    for batch in (tokens.batch(rows), features.batch(rows)):
        assert batch.row_indices_b.tolist() == rows.tolist() and batch.rows == 4
        np.testing.assert_array_equal(batch.targets.numpy(), tokens.targets[rows])
        np.testing.assert_allclose(batch.weights_m.numpy(), np.linspace(0, 2, 24, dtype=np.float32)[rows])
        assert batch.targets.numpy().dtype == tokens.targets.dtype


def test_a_batch_holds_copies_so_that_training_cannot_change_the_data():
    tokens, features = cached("regression")
    for material in (tokens, features):
        batch = material.batch(np.array([1, 2]))
        batch.targets.fill_(9.0)
        batch.weights_m.fill_(9.0)
    assert 9.0 not in tokens.targets and 9.0 not in tokens.weights_r


def test_lengths_are_tokens_of_a_row_over_all_its_windows():
    tokens_n, starts_s, owner_s = np.arange(12, dtype=np.int32), np.array([0, 5, 9, 12]), np.array([0, 0, 1])
    encoded = Encoded(tokens_n, starts_s, owner_s, None, np.zeros(2, dtype=np.int64))
    material = Tokens(encoded, np.array([0, 1]), np.ones(2, dtype=np.float32), ("a", "b"), pad_id=0)
    assert material.lengths_r.tolist() == [9, 3]
    batch = material.batch(np.array([0, 1]))
    assert batch.owner_s.tolist() == [0, 0, 1] and batch.rows == 2


def test_a_cached_vector_counts_the_tokens_of_its_text():
    tokens, features = cached("classification")
    assert features.lengths_r.tolist() == tokens.lengths_r.tolist()


def test_dropout_falls_on_cached_vectors_in_training():
    _, features = cached("classification")
    model = tiny_model(dropout=0.5).train()
    batch = features.batch(np.arange(8))
    torch.manual_seed(0)
    a = features.outputs(model, batch).logits
    torch.manual_seed(1)
    assert not torch.equal(features.outputs(model, batch).logits, a)
