"""Losses over a vocabulary at some tokens. Knows vectors, one weight and targets; must not know models, rows or tasks.

A matrix of logits for every token of a batch is the largest thing that plain training of a language model holds: 2,048
tokens by 49,152 words are 400 MB in float32, several times over. Here only the tokens that are asked have logits, a
chunk of them at a time. Where the weight does not train, the gradient with respect to a vector is its upstream gradient
times something already known in the forward pass; that is computed there, and the backward pass only scales.

Shapes: m tokens asked, d width, v vocabulary, k tokens of a chunk. Products are computed in the type of the vectors,
the softmax in float32 (in float64 for vectors of that type).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten
_CHUNK = 12 << 20  # logits of a chunk: enough tokens for products at full speed, 48 MB in float32
_KEPT = 128 << 20  # gradients of logits kept from forward to backward; more of them are computed twice


def cross_entropy_at(
    vectors_md: Tensor, weight_vd: Tensor, targets_m: Tensor, *, smoothing: float = 0.0, chunk: int | None = None
) -> Tensor:
    """−log probability of each target, float32 [m]: cross-entropy of `vectors_md` times `weight_vd`, not reduced.

    `targets_m` int64, each from 0 to v − 1. `smoothing` gives that share of the target's probability to all v words
    evenly (Szegedy et al. 2016, section 7). `chunk` is the number of tokens whose logits are held at once; without it,
    so many as are fast. The values do not depend on it beyond rounding.
    """
    assert vectors_md.dtype == weight_vd.dtype, f"vectors are {vectors_md.dtype}, the weight is {weight_vd.dtype}"
    chunk = chunk or max(1, _CHUNK // len(weight_vd))
    if torch.is_grad_enabled() and (vectors_md.requires_grad or weight_vd.requires_grad):
        return _CrossEntropy.apply(vectors_md, weight_vd, targets_m, smoothing, chunk)
    values_m = vectors_md.new_empty(len(vectors_md), dtype=_wide(vectors_md.dtype))
    for part, logits_kv in _chunks(vectors_md, weight_vd, chunk):
        values_m[part], _ = _values_and_probabilities(logits_kv, targets_m[part], smoothing)
    return values_m


@torch.no_grad()
def log_probabilities_at(
    vectors_md: Tensor, weight_vd: Tensor, targets_m: Tensor, *, chunk: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Log probability of each target, float32 [m]; the most probable word, int64 [m]; its logit less the next, [m].

    Without gradients.
    """
    chunk = chunk or max(1, _CHUNK // len(weight_vd))
    values_m = vectors_md.new_empty(len(vectors_md), dtype=_wide(vectors_md.dtype))
    best_m, margin_m = torch.empty_like(targets_m), torch.empty_like(values_m)
    for part, logits_kv in _chunks(vectors_md, weight_vd, chunk):
        top = logits_kv.topk(2, dim=-1)
        best_m[part], margin_m[part] = top.indices[:, 0], top.values[:, 0] - top.values[:, 1]
        values_m[part], _ = _values_and_probabilities(logits_kv, targets_m[part], 0.0)
    return values_m.neg_(), best_m, margin_m


class _CrossEntropy(torch.autograd.Function):
    """The loss and, of its gradient, all that does not depend on the upstream gradient."""

    @staticmethod
    def forward(
        ctx: Any, vectors_md: Tensor, weight_vd: Tensor, targets_m: Tensor, smoothing: float, chunk: int
    ) -> Tensor:
        m, v = len(vectors_md), len(weight_vd)
        vectors_train, weight_trains = ctx.needs_input_grad[:2]
        values_m = vectors_md.new_empty(m, dtype=_wide(vectors_md.dtype))
        slopes_md = torch.empty_like(vectors_md) if vectors_train else None
        kept_mv = vectors_md.new_empty(m, v) if weight_trains and m * v <= _KEPT else None
        for part, logits_kv in _chunks(vectors_md, weight_vd, chunk):
            values_m[part], p_kv = _values_and_probabilities(logits_kv, targets_m[part], smoothing)
            into = logits_kv if kept_mv is None else kept_mv[part]
            deltas_kv = _logit_gradients(p_kv, targets_m[part], smoothing, into=into)
            if slopes_md is not None:
                torch.mm(deltas_kv, weight_vd, out=slopes_md[part])
        ctx.smoothing, ctx.chunk = smoothing, chunk
        ctx.save_for_backward(slopes_md, kept_mv, *((vectors_md, weight_vd, targets_m) if weight_trains else ()))
        return values_m

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        slopes_md, kept_mv, *inputs = ctx.saved_tensors
        upstream_m1 = gradients[0].to((inputs[0] if slopes_md is None else slopes_md).dtype).unsqueeze(1)
        dvectors_md = slopes_md * upstream_m1 if slopes_md is not None else None
        dweight_vd = None
        if inputs:
            vectors_md, weight_vd, targets_m = inputs
            scaled_md = vectors_md * upstream_m1
            if kept_mv is not None:
                dweight_vd = torch.mm(kept_mv.t(), scaled_md)
            else:
                dweight_vd = _weight_gradient(ctx, vectors_md, weight_vd, targets_m, scaled_md)
        return dvectors_md, dweight_vd, None, None, None


def _weight_gradient(
    ctx: Any, vectors_md: Tensor, weight_vd: Tensor, targets_m: Tensor, scaled_md: Tensor
) -> Tensor:
    """The weight's gradient with the logits computed again, summed over chunks in float32."""
    total_vd = torch.zeros_like(weight_vd, dtype=_wide(weight_vd.dtype))
    for part, logits_kv in _chunks(vectors_md, weight_vd, ctx.chunk):
        _, p_kv = _values_and_probabilities(logits_kv, targets_m[part], ctx.smoothing)
        deltas_kv = _logit_gradients(p_kv, targets_m[part], ctx.smoothing, into=logits_kv)
        total_vd.add_(torch.mm(deltas_kv.t(), scaled_md[part]))
    return total_vd.to(weight_vd.dtype)


def _chunks(vectors_md: Tensor, weight_vd: Tensor, chunk: int) -> Iterator[tuple[slice, Tensor]]:
    """Places of up to `chunk` tokens and their logits [k, v]; the memory of one chunk is that of the next."""
    m = len(vectors_md)
    space = vectors_md.new_empty(min(chunk, m), len(weight_vd))
    for start in range(0, m, chunk):
        part = slice(start, min(start + chunk, m))
        yield part, torch.mm(vectors_md[part], weight_vd.t(), out=space[: part.stop - start])


def _values_and_probabilities(logits_kv: Tensor, targets_k: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Losses [k] and probabilities [k, v], float32.

    The logarithm of the sum of exponentials is read off the largest probability, which is at least 1 / v: torch's
    softmax kernel is five times as fast as exponentials in float32 one by one.
    """
    wide = _wide(logits_kv.dtype)
    largest_k = logits_kv.amax(-1).to(wide)
    target_k = logits_kv.gather(1, targets_k[:, None]).squeeze(1).to(wide)
    floats_kv = logits_kv.to(wide, copy=True)
    means_k = floats_kv.mean(-1) if smoothing else 0.0
    p_kv = _aten._softmax.out(floats_kv, -1, False, out=floats_kv)
    totals_k = largest_k - p_kv.amax(-1).log_()
    return totals_k - (1 - smoothing) * target_k - smoothing * means_k, p_kv


def _logit_gradients(p_kv: Tensor, targets_k: Tensor, smoothing: float, *, into: Tensor) -> Tensor:
    """The gradient of each loss with respect to its logits, written over `into`; `p_kv` is used up."""
    if smoothing:
        p_kv.sub_(smoothing / p_kv.shape[1])
    p_kv.scatter_add_(1, targets_k[:, None], p_kv.new_full((len(p_kv), 1), smoothing - 1))
    return into.copy_(p_kv)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
