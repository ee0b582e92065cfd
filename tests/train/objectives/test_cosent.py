"""The CoSENT loss is that of sentence-transformers; weights count pairs of rows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.losses import CoSENTLoss

from tunewright.recipe.tasks import KINDS
from tunewright.train.objectives.cosent import CoSent
from tunewright.values import Batch, Context, Outputs


def batch_of(targets, weights=None) -> Batch:
    nothing = torch.empty(0, dtype=torch.int64)
    weights_m = torch.ones(len(targets)) if weights is None else torch.tensor(weights)
    rows = torch.arange(len(targets))
    return Batch(nothing[:, None], nothing, None, nothing, rows, torch.tensor(targets), weights_m, texts=2)


def values(objective: CoSent, batch: Batch, cosines: torch.Tensor) -> torch.Tensor:
    return objective.values(Context(batch, Outputs(cosines, torch.empty(0)), "similarity"))


@given(
    rows=st.lists(st.tuples(st.floats(-1, 1, width=32), st.sampled_from([0.0, 0.25, 1.0])), min_size=1, max_size=9),
    temperature=st.sampled_from([0.05, 0.2]),
)
def test_it_is_the_loss_of_sentence_transformers(rows, temperature):
    cosines, targets = map(list, zip(*rows, strict=True))
    theirs = CoSENTLoss(SimpleNamespace(), scale=1 / temperature, similarity_fct=lambda first, _: first[:, 0])
    pairs = [torch.tensor(cosines)[:, None].requires_grad_() for _ in range(2)]
    expected = theirs.compute_loss_from_embeddings(pairs, torch.tensor(targets))
    given_cosines = torch.tensor(cosines).requires_grad_()
    seen = values(CoSent(temperature), batch_of(targets), given_cosines)
    assert seen.tolist() == pytest.approx([expected.item()] * len(rows), rel=1e-5, abs=1e-6)
    seen.mean().backward()
    expected.backward()
    assert torch.allclose(given_cosines.grad, pairs[0].grad[:, 0], atol=1e-4)


def test_rows_without_an_order_have_no_loss_and_no_gradient():
    cosines = torch.tensor([0.1, 0.9]).requires_grad_()
    seen = values(CoSent(), batch_of([1.0, 1.0]), cosines)
    seen.sum().backward()
    assert seen.tolist() == [0.0, 0.0] and cosines.grad.tolist() == [0.0, 0.0]


def test_a_row_of_weight_two_counts_as_two_rows():
    cosines, targets = torch.tensor([0.3, 0.1, 0.2]), [0.0, 1.0, 0.5]
    twice = values(CoSent(), batch_of(targets, [1.0, 2.0, 1.0]), cosines)[0]
    apart = values(CoSent(), batch_of([*targets, 1.0]), torch.cat([cosines, cosines[1:2]]))[0]
    assert twice.item() == pytest.approx(apart.item(), rel=1e-6)


def test_it_fits_graded_pairs_alone():
    assert [kind for kind in KINDS if CoSent().refusal(kind) is None] == ["similarity"]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_is_above_zero(temperature):
    with pytest.raises(ValueError, match="above 0"):
        CoSent(temperature)
