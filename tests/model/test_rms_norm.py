"""Normalisation by the root mean square against the module of transformers."""

from __future__ import annotations

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tunewright.model.rms_norm import RmsNorm, gain_gradient, normalise, normalised, normalised_backward


def outcome(apply, x: torch.Tensor, gain: torch.Tensor) -> tuple[torch.Tensor, ...]:
    x, gain = x.clone().requires_grad_(), gain.clone().requires_grad_()
    y = apply(x, gain)
    (y.float() * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return y.detach(), x.grad, gain.grad


def library(x: torch.Tensor, gain: torch.Tensor, *, epsilon: float) -> torch.Tensor:
    module = LlamaRMSNorm(len(gain), eps=epsilon)
    return torch.func.functional_call(module, {"weight": gain}, (x,))


@pytest.mark.parametrize("epsilon", [1e-6, 1e-2])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_values_and_gradients_are_those_of_the_module(scale, epsilon):
    torch.manual_seed(1)
    x, gain = torch.randn(6, 16) * scale, torch.randn(16)
    expected = outcome(lambda x, g: library(x, g, epsilon=epsilon), x, gain)
    for one, other in zip(outcome(lambda x, g: RmsNorm.apply(x, g, epsilon), x, gain), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_in_bfloat16_it_is_as_near_to_float32_as_the_module():
    torch.manual_seed(1)
    x, gain = torch.randn(50, 64).bfloat16(), torch.randn(64).bfloat16()
    exact = outcome(lambda x, g: library(x, g, epsilon=1e-6), x.float(), gain.float())
    seen = outcome(lambda x, g: RmsNorm.apply(x, g, 1e-6), x, gain)
    peer = outcome(lambda x, g: library(x, g, epsilon=1e-6), x, gain)
    for one, other, right in zip(seen, peer, exact, strict=True):
        assert (one.float() - right).norm() <= 1.5 * (other.float() - right).norm()


def test_gradients_are_those_of_finite_differences():
    x, gain = torch.randn(3, 8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, g: RmsNorm.apply(x, g, 1e-5), (x.requires_grad_(), gain.requires_grad_()))


def test_a_residual_is_added_to_the_gradient_and_stays_itself():
    torch.manual_seed(1)
    x, gain, dy, residual = torch.randn(4, 8), torch.randn(8), torch.randn(4, 8), torch.randn(4, 8)
    (y, roots), before = normalise(x, gain, 1e-6), residual.clone()
    assert torch.equal(normalised(x, roots, gain), y)
    alone = normalised_backward(dy, x, roots, gain)
    torch.testing.assert_close(normalised_backward(dy, x, roots, gain, plus=residual), alone + residual)
    assert torch.equal(residual, before)
    torch.testing.assert_close(gain_gradient(dy, x, roots), (normalised(x, roots, torch.ones(8)) * dy).sum(0))
