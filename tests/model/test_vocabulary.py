"""Losses over a vocabulary against torch's own cross-entropy over all logits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tunewright.model import vocabulary
from tunewright.model.vocabulary import cross_entropy_at, log_probabilities_at


def case(m: int = 7, d: int = 5, v: int = 11, *, seed: int = 1, dtype: torch.dtype = torch.float32, spread: float = 1):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(m, d, generator=generator) * spread
    weight = torch.randn(v, d, generator=generator)
    targets = torch.randint(0, v, (m,), generator=generator)
    upstream = torch.randn(m, generator=generator)
    return vectors.to(dtype), weight.to(dtype), targets, upstream


def outcome(loss, vectors, weight, targets, upstream, *, trained=("vectors", "weight"), **options):
    vectors = vectors.clone().requires_grad_("vectors" in trained)
    weight = weight.clone().requires_grad_("weight" in trained)
    values = loss(vectors, weight, targets, **options)
    (values * upstream).sum().backward()
    return values.detach(), vectors.grad, weight.grad


def plain(vectors, weight, targets, *, smoothing=0.0, **_):
    return functional.cross_entropy(
        (vectors @ weight.t()).float(), targets, reduction="none", label_smoothing=smoothing
    )


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 20), d=st.integers(1, 8), v=st.integers(2, 40), chunk=st.integers(1, 25), seed=st.integers(0, 99),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]), kept=st.booleans(),
    trained=st.sampled_from([("vectors",), ("weight",), ("vectors", "weight")]),
)  # fmt: skip
def test_values_and_gradients_are_those_of_plain_cross_entropy(m, d, v, chunk, seed, smoothing, trained, kept):
    given_ = case(m, d, v, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "_KEPT", 10**9 if kept else 0)
        seen = outcome(cross_entropy_at, *given_, trained=trained, smoothing=smoothing, chunk=chunk)
    expected = outcome(plain, *given_, trained=trained, smoothing=smoothing)
    for one, other in zip(seen, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kept", [0, 10**9])
def test_gradients_are_those_of_finite_differences(kept, monkeypatch):
    monkeypatch.setattr(vocabulary, "_KEPT", kept)
    vectors, weight, targets, _ = case(dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, w: cross_entropy_at(x, w, targets, smoothing=0.1, chunk=3),
        (vectors.requires_grad_(), weight.requires_grad_()),
    )


@pytest.mark.parametrize("trained", [("vectors",), ("vectors", "weight")], ids=str)
def test_in_bfloat16_it_is_as_near_to_float32_as_plain_cross_entropy_in_bfloat16(trained):
    vectors, weight, targets, upstream = case(200, 64, 500, spread=0.5)
    exact = outcome(plain, vectors, weight, targets, upstream, trained=trained)
    half = (vectors.bfloat16(), weight.bfloat16(), targets, upstream)
    seen = outcome(cross_entropy_at, *half, trained=trained)
    library = outcome(plain, *half, trained=trained)
    for one, other, right in zip(seen, library, exact, strict=True):
        if right is not None:
            assert (one - right).norm() <= 1.1 * (other.float() - right).norm() + 1e-6


def test_improbable_targets_have_a_finite_loss_that_is_right():
    vectors = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    values, slopes, _ = outcome(cross_entropy_at, vectors, weight, torch.tensor([1, 0]), torch.ones(2))
    assert values.tolist() == [200.0, 200.0]
    torch.testing.assert_close(slopes, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))


def test_without_gradients_the_values_are_the_same():
    vectors, weight, targets, upstream = case(9)
    with torch.no_grad():
        values = cross_entropy_at(vectors, weight, targets, chunk=4)
    torch.testing.assert_close(values, outcome(cross_entropy_at, vectors, weight, targets, upstream)[0], rtol=0, atol=0)


@pytest.mark.parametrize("chunk", [1, 4, None])
def test_log_probabilities_and_the_most_probable_word(chunk):
    vectors, weight, targets, _ = case(9)
    values, best, margin = log_probabilities_at(vectors, weight, targets, chunk=chunk)
    logits = vectors @ weight.t()
    everything = logits.log_softmax(-1)
    torch.testing.assert_close(values, everything[torch.arange(9), targets])
    assert best.tolist() == everything.argmax(-1).tolist()
    first, second = logits.sort(dim=-1, descending=True).values[:, :2].unbind(1)
    torch.testing.assert_close(margin, first - second)


def test_no_token_asked_is_no_loss_and_a_gradient_of_zero():
    vectors, weight, targets, upstream = case(0)
    values, dvectors, dweight = outcome(cross_entropy_at, vectors, weight, targets, upstream)
    assert values.shape == (0,) and dvectors.shape == (0, 5) and not dweight.any()


class LargestTensor(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts the bytes of the largest tensor that any operation made."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
        return out


def test_with_a_frozen_weight_no_tensor_is_larger_than_a_chunk_of_float32_logits():
    vectors, weight, targets, upstream = case(256, 8, 2000, dtype=torch.bfloat16)
    with LargestTensor() as watch:
        outcome(cross_entropy_at, vectors, weight, targets, upstream, trained=("vectors",), chunk=16)
    assert watch.largest == 16 * 2000 * 4


def test_with_a_weight_that_trains_and_too_many_logits_to_keep_only_the_weight_is_larger(monkeypatch):
    monkeypatch.setattr(vocabulary, "_KEPT", 0)
    vectors, weight, targets, upstream = case(256, 8, 2000, dtype=torch.bfloat16)
    with LargestTensor() as watch:
        outcome(cross_entropy_at, vectors, weight, targets, upstream, chunk=4)
    assert watch.largest == 2000 * 8 * 4
