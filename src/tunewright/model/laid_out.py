"""Weights of linear layers laid out once for many small products. Knows layers of torch; must not know models.

A step of decoding multiplies a few rows by every weight, and laying a weight out anew takes as long as multiplying: 10
to 30 % of a step of a small decoder on CPU. The copies do not follow the weights: nothing may train meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_OPERATIONS = ("_linear_pointwise", "_reorder_linear_weight")
_MOST_BYTES = 1 << 30  # of weights; the copies take as much again


@contextmanager
def laid_out(model: nn.Module) -> Iterator[None]:
    """`model` with copies of the weights of its plain linear layers laid out, where that is known to help.

    That is on CPU, in float32 or bfloat16, without gradients, for at most a gigabyte of weights. Layers of other
    classes (quantized ones, for instance) are left as they are, and so are those laid out before, which stay so.
    """
    layers = [layer for layer in model.modules() if _is_plain(layer)]
    if sum(layer.weight.nbytes for layer in layers) > _MOST_BYTES:
        layers = []
    for layer in layers:
        layer.forward = _Product(layer)
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _is_plain(layer: nn.Module) -> bool:
    if type(layer) is not nn.Linear or "forward" in vars(layer):
        return False
    known = torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS)
    return known and layer.weight.device.type == "cpu" and layer.weight.dtype in (torch.float32, torch.bfloat16)


class _Product:
    """x W' + b with W laid out; the layer's own where gradients are asked for."""

    def __init__(self, layer: nn.Linear):
        self._layer = layer
        with torch.no_grad():
            self._weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())

    def __call__(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.dtype != self._layer.weight.dtype:
            return nn.Linear.forward(self._layer, x)
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._layer.bias, "none", [], "none")
