"""Linear maps with LoRA beside them, forward and backward. Knows weights of one map; must not know layers or models.

y = x W' + b + s (x A') B' (Hu et al. 2021, arXiv:2106.09685). The low-rank part is added to the product while that is
still there, instead of being made, scaled and added as three more matrices of the size of y; of it only x A' (n x r) is
kept for the backward pass. What needs no gradient has none computed.

Shapes: n tokens, i inputs, o outputs, r rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn

from tunewright.model.quantized import QuantizedLinear


@dataclass(frozen=True, slots=True)
class LinearMap:
    """Weight [o, i], bias [o], LoRA matrices A [r, i] and B [o, r], and the scale of their product.

    A weight that is packed has no tensor here: it is unpacked for each product, so that none outlives its layer.
    """

    weight: Tensor | None
    bias: Tensor | None = None
    down: Tensor | None = None
    up: Tensor | None = None
    scale: float = 0.0
    packed: QuantizedLinear | None = None

    @property
    def tensors(self) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        return self.weight, self.bias, self.down, self.up

    @property
    def dtype(self) -> torch.dtype:
        return self.packed.dtype if self.packed is not None else _given(self.weight).dtype

    @property
    def outputs(self) -> int:
        return self.packed.out_features if self.packed is not None else len(_given(self.weight))

    def matrix(self, dtype: torch.dtype) -> Tensor:
        """The weight [o, i]; a packed one in `dtype`."""
        return self.packed.unpacked(dtype) if self.packed is not None else _given(self.weight)


def linear_map(module: nn.Module) -> LinearMap | str:
    """The map that `module` computes where that is a plain linear layer, with or without LoRA, or why it is not one."""
    base = module.base_layer if type(module) is LoraLinear else module
    if type(base) not in (nn.Linear, QuantizedLinear):
        return f"a {type(base).__name__} stands where a linear layer was"
    packed = base if isinstance(base, QuantizedLinear) else None
    weight = base.weight if packed is None else None
    if type(module) is not LoraLinear:
        return LinearMap(weight, base.bias, packed=packed)
    active = [name for name in module.active_adapters if name in module.lora_A]
    if module.disable_adapters or module.merged or not active:
        return LinearMap(weight, base.bias, packed=packed)
    name = active[0]
    down, up = module.lora_A[name], module.lora_B[name]
    dropout = module.lora_dropout[name]
    if len(active) > 1 or module.lora_variant or module.fan_in_fan_out:
        return "its LoRA is not of the plain kind"
    if module.training and isinstance(dropout, nn.Dropout) and dropout.p > 0:
        return "its LoRA has dropout"
    if type(down) is not nn.Linear or type(up) is not nn.Linear or up.bias is not None:
        return "its LoRA is not of the plain kind"
    dtype = LinearMap(weight, packed=packed).dtype
    if {down.weight.dtype, up.weight.dtype} != {dtype}:
        return f"its LoRA is {down.weight.dtype} beside weights of {dtype}"
    return LinearMap(weight, base.bias, down.weight, up.weight, float(module.scaling[name]), packed)


def project(x_ni: Tensor, to: LinearMap, *, plus: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """y [n, o], to which `plus` [n, o] is added, and s x A' [n, r] for `project_backward`."""
    matrix_io = to.matrix(x_ni.dtype).t()
    if plus is not None:
        y_no = torch.addmm(plus, x_ni, matrix_io)
        if to.bias is not None:
            y_no.add_(to.bias)
    elif to.bias is not None:
        y_no = torch.addmm(to.bias, x_ni, matrix_io)
    else:
        y_no = torch.mm(x_ni, matrix_io)
    if to.down is None or to.up is None:
        return y_no, None
    low_nr = torch.mm(x_ni, to.down.t()).mul_(to.scale)
    return y_no.addmm_(low_nr, to.up.t()), low_nr


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which gradients to compute: of weight, bias, A and B."""

    weight: bool
    bias: bool
    down: bool
    up: bool

    @property
    def any(self) -> bool:
        return self.weight or self.bias or self.down or self.up

    @property
    def reads_input(self) -> bool:
        """Whether the input itself is needed, not only its low-rank image."""
        return self.weight or self.down


def project_backward(
    dy_no: Tensor, x_ni: Tensor | None, low_nr: Tensor | None, to: LinearMap, wanted: Wanted,
    *, into: Tensor | None = None, with_input: bool = True,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """The gradient of x [n, i], added to `into` in place where that is given, and those of weight, bias, A and B.

    Without `with_input` there is no gradient of x: `into` is returned as it is.
    """  # fmt: skip
    dlow_nr = None
    if to.up is not None and (with_input or wanted.down):
        dlow_nr = torch.mm(dy_no, to.up).mul_(to.scale)
    gradients = [
        torch.mm(dy_no.t(), _given(x_ni)) if wanted.weight else None,
        dy_no.sum(0) if wanted.bias else None,
        torch.mm(_given(dlow_nr).t(), _given(x_ni)) if wanted.down else None,
        torch.mm(dy_no.t(), _given(low_nr)) if wanted.up else None,
    ]
    if not with_input:
        return into, gradients
    matrix_oi = to.matrix(dy_no.dtype)
    dx_ni = torch.mm(dy_no, matrix_oi) if into is None else into.addmm_(dy_no, matrix_oi)
    return (dx_ni if dlow_nr is None else dx_ni.addmm_(dlow_nr, _given(to.down))), gradients


def maps_of(
    tensors: Sequence[Tensor | None], scales: Sequence[float], packed: Sequence[QuantizedLinear | None]
) -> list[LinearMap]:
    """Maps from their tensors, four to a map, as `LinearMap.tensors` lists them."""
    assert len(tensors) == 4 * len(scales) == 4 * len(packed)
    return [
        LinearMap(*tensors[4 * i : 4 * i + 4], scale=scale, packed=one)
        for i, (scale, one) in enumerate(zip(scales, packed, strict=True))
    ]


def _given(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
