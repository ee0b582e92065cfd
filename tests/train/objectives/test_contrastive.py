"""The contrastive loss is that of sentence-transformers, and knows which passages are no mistakes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.nn.functional import normalize

from tunewright.recipe.tasks import KINDS
from tunewright.train.objectives.contrastive import Contrastive, candidates_of
from tunewright.values import Batch, Context, Outputs


def batch_of(numbers, weights=None) -> Batch:
    """Rows whose texts have these numbers; without tokens, which no objective reads."""
    numbers = torch.tensor(numbers)
    rows, texts = numbers.shape
    nothing = torch.empty(0, dtype=torch.int64)
    weights_m = torch.ones(rows) if weights is None else torch.tensor(weights)
    return Batch(nothing[:, None], nothing, None, nothing, torch.arange(rows), numbers, weights_m, texts=texts)


def vectors_of(rows: int, texts: int, *, seed: int = 0, width: int = 5) -> torch.Tensor:
    drawn = torch.randn(rows, texts, width, generator=torch.Generator().manual_seed(seed))
    return normalize(drawn, dim=2)


def values(objective: Contrastive, batch: Batch, vectors: torch.Tensor) -> torch.Tensor:
    return objective.values(Context(batch, Outputs(None, vectors), "retrieval"))


@pytest.mark.parametrize("texts", [2, 3, 4])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_without_equal_texts_it_is_the_loss_of_sentence_transformers(texts, temperature):
    vectors = (3 * vectors_of(6, texts)).requires_grad_()
    theirs = MultipleNegativesRankingLoss(SimpleNamespace(), scale=1 / temperature)
    expected = theirs.compute_loss_from_embeddings(list(vectors.unbind(1)), torch.empty(0))
    batch, unit = batch_of(np.arange(6 * texts).reshape(6, texts).tolist()), normalize(vectors, dim=2)
    seen = values(Contrastive(temperature), batch, unit).mean()
    assert seen.item() == pytest.approx(expected.item(), rel=1e-6)
    ours, reference = (torch.autograd.grad(loss, vectors)[0] for loss in (seen, expected))
    assert torch.allclose(ours, reference, atol=1e-6)


def test_a_passage_that_is_right_as_well_is_no_candidate():
    batch = batch_of([[0, 10, 20], [0, 11, 21], [1, 10, 11], [2, 12, 10]])
    expected = [  # passages 10, 11, 10, 12, then 20, 21, 11, 10; each row's own is the one at its place
        [1, 0, 0, 1, 1, 1, 0, 0],  # the query of rows 0 and 1 has the answers 10 and 11
        [0, 1, 0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 1, 1],
    ]
    assert candidates_of(batch).int().tolist() == expected


def test_equal_passages_of_one_update_cost_nothing():
    """Two queries that one passage answers: with the second row's copy as a rival no loss could come near 0."""
    vectors = torch.eye(3)[torch.tensor([[0, 0], [0, 0], [1, 1]])]
    seen = values(Contrastive(), batch_of([[0, 10], [1, 10], [2, 11]]), vectors)
    assert seen.max() < 1e-6
    assert values(Contrastive(), batch_of([[0, 10], [1, 12], [2, 11]]), vectors)[0] > 0.6  # log 2


def test_rows_of_no_weight_are_nobodys_rivals_and_tell_nothing():
    vectors = vectors_of(4, 2)
    batch = batch_of([[0, 10], [0, 11], [1, 12], [2, 11]], weights=[1.0, 0.0, 1.0, 1.0])
    seen = values(Contrastive(), batch, vectors)
    kept = [0, 2, 3]
    alone = values(Contrastive(), batch_of([[0, 10], [1, 12], [2, 11]]), vectors[kept])
    assert torch.allclose(seen[kept], alone)
    assert torch.isfinite(seen).all()


def test_a_row_alone_has_nothing_to_lose():
    assert values(Contrastive(), batch_of([[0, 1]]), vectors_of(1, 2)).tolist() == [0.0]


@given(rows=st.integers(1, 8), texts=st.integers(2, 3), few=st.integers(1, 6), seed=st.integers(0, 99))
def test_each_row_keeps_its_own_passage_and_loses_only_equals(rows, texts, few, seed):
    numbers = np.random.default_rng(seed).integers(0, few, (rows, texts))
    numbers[:, 0] += 100  # queries are no passages
    seen = candidates_of(batch_of(numbers.tolist())).numpy()
    right = {query: set(numbers[numbers[:, 0] == query, 1]) for query in numbers[:, 0]}
    for row in range(rows):
        for place, passage in enumerate(numbers[:, 1:].T.ravel()):
            assert seen[row, place] == (place == row or passage not in right[numbers[row, 0]])


def test_it_fits_retrieval_alone():
    assert [kind for kind in KINDS if Contrastive().refusal(kind) is None] == ["retrieval"]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_is_above_zero(temperature):
    with pytest.raises(ValueError, match="above 0"):
        Contrastive(temperature)
