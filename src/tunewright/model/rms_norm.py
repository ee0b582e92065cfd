"""Normalisation by the root mean square, forward and backward. Knows one matrix; must not know layers or models.

y = g x / sqrt(mean(x²) + ε) (Zhang & Sennrich 2019, arXiv:1910.07467). Only the reciprocal root of each row is kept for
the backward pass: y itself is made again from x faster than it is read from memory of another layer.

Shapes: n tokens, d width. Statistics are float32 (float64 for matrices of that type).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def reciprocal_roots(x_nd: Tensor, epsilon: float) -> Tensor:
    """1 / sqrt(mean(x²) + ε) of each row, [n, 1]."""
    norms_n1 = torch.linalg.vector_norm(x_nd, dim=-1, keepdim=True, dtype=_wide(x_nd.dtype))
    return norms_n1.square_().div_(x_nd.shape[1]).add_(epsilon).rsqrt_()


def normalised(x_nd: Tensor, roots_n1: Tensor, gain_d: Tensor) -> Tensor:
    """y from x and its reciprocal roots."""
    return torch.mul(x_nd, roots_n1, out=torch.empty_like(x_nd)).mul_(gain_d)


def normalised_backward(
    dy_nd: Tensor, x_nd: Tensor, roots_n1: Tensor, gain_d: Tensor, *, plus: Tensor | None = None
) -> Tensor:
    """The gradient of x, to which `plus` [n, d] is added."""
    dscaled_nd = dy_nd * gain_d
    shares_n1 = (dscaled_nd * x_nd).sum(-1, keepdim=True, dtype=roots_n1.dtype)
    shares_n1.mul_(roots_n1).mul_(roots_n1).mul_(roots_n1).div_(-x_nd.shape[1])
    dx_nd = torch.mul(dscaled_nd, roots_n1).addcmul_(x_nd.to(roots_n1.dtype), shares_n1)
    return dx_nd.to(x_nd.dtype) if plus is None else torch.add(plus, dx_nd, out=torch.empty_like(x_nd))


def gain_gradient(dy_nd: Tensor, x_nd: Tensor, roots_n1: Tensor) -> Tensor:
    """The gradient of the gain, [d]."""
    normal_nd = torch.mul(x_nd, roots_n1, out=torch.empty_like(x_nd))
    return normal_nd.mul_(dy_nd).sum(0)


class RmsNorm(torch.autograd.Function):
    """`RmsNorm.apply(x_nd, gain_d, epsilon)` is y, with gradients of x and the gain."""

    @staticmethod
    def forward(ctx: Any, x_nd: Tensor, gain_d: Tensor, epsilon: float) -> Tensor:
        roots_n1 = reciprocal_roots(x_nd, epsilon)
        ctx.save_for_backward(x_nd, gain_d, roots_n1)
        return normalised(x_nd, roots_n1, gain_d)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x_nd, gain_d, roots_n1 = ctx.saved_tensors
        dy_nd = gradients[0]
        dx_nd = normalised_backward(dy_nd, x_nd, roots_n1, gain_d) if ctx.needs_input_grad[0] else None
        return dx_nd, gain_gradient(dy_nd, x_nd, roots_n1) if ctx.needs_input_grad[1] else None, None


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
