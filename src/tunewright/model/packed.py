"""Weights of fused layers laid out for multiplication, for a model that only answers. Knows layers; must not know rows.

oneDNN lays out a weight anew for every product. A copy laid out once takes 10 to 35 % off the products of a bfloat16
encoder, and GELU and the residual sum are then computed while a product is still in cache. The copy does not follow the
weight: nothing may train between `pack` and `unpack`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tunewright.model.fused import FusedLayer, Sizes, attention_values, stacked

_mkldnn = torch.ops.mkldnn
_WORTH_LEAVING_OUT = 0.9  # share of real tokens above which all are computed: moving them costs time too
_OPERATIONS = ("_linear_pointwise", "_reorder_linear_weight")


@contextmanager
def packed(trunk: nn.Module) -> Iterator[None]:
    """`trunk` with its fused layers packed; those that were packed before stay so afterwards."""
    fresh = pack(trunk)
    try:
        yield
    finally:
        for layer in fresh:
            layer.packed = None


def pack(trunk: nn.Module) -> list[FusedLayer]:
    """Pack every fused layer of `trunk` that computes in bfloat16 on the CPU; returns those that were not before."""
    layers = [module.forward for module in trunk.modules() if isinstance(module.forward, FusedLayer)]
    fresh = [layer for layer in layers if layer.packed is None and _is_packable(layer.layer)]
    for layer in fresh:
        layer.packed = PackedLayer(layer.layer)
    return fresh


def _is_packable(layer: nn.Module) -> bool:
    weight = layer.output.dense.weight
    known = torch.backends.mkldnn.is_available() and all(hasattr(_mkldnn, name) for name in _OPERATIONS)
    return known and weight.device.type == "cpu" and weight.dtype == torch.bfloat16


class _Product:
    """x W' + b with W laid out once."""

    def __init__(self, weight: Tensor, bias: Tensor):
        self.weight, self.bias = _mkldnn._reorder_linear_weight(weight.detach()), bias.detach().clone()

    def __call__(self, x: Tensor, then: str = "none") -> Tensor:
        return _mkldnn._linear_pointwise(x, self.weight, self.bias, then, [], "none")

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        return _mkldnn._linear_pointwise.binary(x, other, self.weight, self.bias, "add")


class PackedLayer:
    """One encoder layer without dropout and without gradients.

    Where much of a batch is padding, products are computed for real tokens only; padding comes out as zeros.
    """

    def __init__(self, layer: nn.Module):
        attention, inner, output = layer.attention, layer.attention.self, layer.output
        self.qkv = _Product(
            stacked(inner.query.weight, inner.key.weight, inner.value.weight),
            stacked(inner.query.bias, inner.key.bias, inner.value.bias),
        )
        self.out = _Product(attention.output.dense.weight, attention.output.dense.bias)
        self.up = _Product(layer.intermediate.dense.weight, layer.intermediate.dense.bias)
        self.down = _Product(output.dense.weight, output.dense.bias)
        self.norms = (attention.output.LayerNorm, output.LayerNorm)

    def __deepcopy__(self, memo: object) -> None:
        """A copy of a model may train, so it is not packed."""

    def __call__(self, x_std: Tensor, mask: Tensor | None, sizes: Sizes) -> Tensor:
        s, t, d = x_std.shape
        x, real = x_std.reshape(s * t, d), _real_tokens(mask, s, t)
        if real is None:
            attended = attention_values(self.qkv(x), mask, sizes, (s, t, d))
        else:
            x = x[real]
            attended = attention_values(_spread(self.qkv(x), real, s * t), mask, sizes, (s, t, d))[real]
        y = self.norms[0](self.out.plus(attended, x))
        z = self.norms[1](self.down.plus(self.up(y, then="gelu"), y))
        return (z if real is None else _spread(z, real, s * t)).view(s, t, d)


def _real_tokens(mask: Tensor | None, s: int, t: int) -> Tensor | None:
    """Places of the real tokens among all, int64 [m]; None where there is too little padding to pay for leaving it out.

    The first token of a sequence is real and attends to all that are, so its row of the mask says which.
    """
    if mask is None:
        return None
    seen = mask[:, 0, 0, :] if mask.dtype == torch.bool else mask[:, 0, 0, :] == 0
    real = seen.expand(s, t).reshape(-1).nonzero().squeeze(1)
    return real if len(real) < _WORTH_LEAVING_OUT * s * t else None


def _spread(x: Tensor, places: Tensor, n: int) -> Tensor:
    """Rows of `x` at `places` among `n`, zeros elsewhere."""
    return x.new_zeros(n, x.shape[1]).index_copy_(0, places, x)
