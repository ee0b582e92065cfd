"""Normalisation by the root mean square, forward and backward. Knows one matrix; must not know layers or models.

y = g x / sqrt(mean(x²) + ε) (Zhang & Sennrich 2019, arXiv:1910.07467). Only the reciprocal root of each row is kept for
the backward pass: y itself is made again from x faster than it is read from memory of another layer.

Shapes: n tokens, d width. Statistics are float32 (float64 for matrices of that type).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def normalise(x_nd: Tensor, gain_d: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """y and 1 / sqrt(mean(x²) + ε) of each row, [n, 1].

    The vectors are made wide once and worked on in place: operations on mixed types make such copies one by one.
    """
    x = x_nd.to(_wide(x_nd.dtype), copy=True)
    roots_n1 = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x_nd.shape[1]).add_(epsilon).rsqrt_()
    return x.mul_(roots_n1).mul_(gain_d.to(x.dtype)).to(x_nd.dtype), roots_n1


def normalised(x_nd: Tensor, roots_n1: Tensor, gain_d: Tensor) -> Tensor:
    """y again, from x and its reciprocal roots."""
    x = x_nd.to(roots_n1.dtype, copy=True)
    return x.mul_(roots_n1).mul_(gain_d.to(x.dtype)).to(x_nd.dtype)


def normalised_backward(
    dy_nd: Tensor, x_nd: Tensor, roots_n1: Tensor, gain_d: Tensor, *, plus: Tensor | None = None
) -> Tensor:
    """The gradient of x, to which `plus` [n, d] is added."""
    wide = roots_n1.dtype
    dx, x = dy_nd.to(wide, copy=True).mul_(gain_d.to(wide)), x_nd.to(wide)
    shares_n1 = (dx * x).sum(-1, keepdim=True).mul_(roots_n1**3).div_(-x_nd.shape[1])
    dx_nd = dx.mul_(roots_n1).addcmul_(x, shares_n1).to(x_nd.dtype)
    return dx_nd if plus is None else dx_nd.add_(plus)


def gain_gradient(dy_nd: Tensor, x_nd: Tensor, roots_n1: Tensor) -> Tensor:
    """The gradient of the gain, [d]."""
    x = x_nd.to(roots_n1.dtype, copy=True)
    return x.mul_(roots_n1).mul_(dy_nd).sum(0).to(x_nd.dtype)


class RmsNorm(torch.autograd.Function):
    """`RmsNorm.apply(x_nd, gain_d, epsilon)` is y, with gradients of x and the gain."""

    @staticmethod
    def forward(ctx: Any, x_nd: Tensor, gain_d: Tensor, epsilon: float) -> Tensor:
        y_nd, roots_n1 = normalise(x_nd, gain_d, epsilon)
        ctx.save_for_backward(x_nd, gain_d, roots_n1)
        return y_nd

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x_nd, gain_d, roots_n1 = ctx.saved_tensors
        dy_nd = gradients[0]
        dx_nd = normalised_backward(dy_nd, x_nd, roots_n1, gain_d) if ctx.needs_input_grad[0] else None
        return dx_nd, gain_gradient(dy_nd, x_nd, roots_n1) if ctx.needs_input_grad[1] else None, None


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
