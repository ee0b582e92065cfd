"""Linear layers whose weights are kept in 4 or 8 bits. Knows one layer and bitsandbytes; must not know tasks or rows.

- nf4 (Dettmers et al. 2023, arXiv:2305.14314): a weight is one of 16 numbers, spaced as a normal distribution asks,
  times the largest of its block of 64; `double` keeps these in 8 bits too, in blocks of 256.
- int8 (Dettmers et al. 2022, arXiv:2208.07339): a weight is a whole number up to 127 times the largest of its row.

A weight is unpacked for as long as a product takes, forwards and again backwards, in the type of what it is multiplied
with; it has no gradient. Names and layout on disk are those of transformers, so that it opens what is saved here.

Shapes: o outputs, i inputs.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tunewright.recipe.errors import BaseRefusal, Refusal

Form = Literal["nf4", "int8"]
_BLOCK, _BLOCK_OF_SCALES = 64, 256
_ONE_OF_127 = 7.874015718698502e-3  # 1 / 127, as bitsandbytes and transformers have it
_PARTS = ("codes", "scales", "outer_scales", "mean_scale")


class QuantizedLinear(nn.Linear):
    """x W' + b, W packed in buffers: `codes`, `scales`, and of doubly quantised scales `outer_scales`, `mean_scale`.

    Scales stay as they are whatever type the model is cast to; `dtype` is that type, and the one of `weight`, which
    unpacks W [o, i] whenever it is asked for.
    """

    def __init__(self, shape_oi: tuple[int, int], form: Form, packed: Mapping[str, Tensor], bias: nn.Parameter | None,
                 *, dtype: torch.dtype):  # fmt: skip
        nn.Module.__init__(self)
        self.out_features, self.in_features = shape_oi
        self.form, self.dtype = form, dtype
        for name in _PARTS:
            self.register_buffer(name, packed.get(name))
        self.register_parameter("bias", bias)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        return self.unpacked(self.dtype)

    @property
    def bytes(self) -> int:
        """Bytes that the packed weight takes."""
        return sum(part.numel() * part.element_size() for part in self.buffers(recurse=False))

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """W [o, i], anew at each call."""
        if self.codes.device.type == "meta":
            return torch.empty(self.out_features, self.in_features, dtype=dtype, device="meta")
        if self.form == "int8":
            return torch.mul(self.codes, self.scales[:, None]).mul_(_ONE_OF_127).to(dtype)
        return kernels().dequantize_4bit(self.codes, self._state(dtype))

    def unquantized(self) -> nn.Linear:
        """A plain layer of the same values in float32."""
        plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        plain.weight = nn.Parameter(self.unpacked(torch.float32), requires_grad=False)
        plain.bias = self.bias
        return plain.train(self.training)

    def forward(self, input: Tensor) -> Tensor:
        return _Product.apply(input, self.bias, self)

    def _state(self, dtype: torch.dtype) -> Any:
        """What bitsandbytes knows of a 4-bit weight beside its codes."""
        f, outer = kernels(), None
        if self.outer_scales is not None:
            outer = f.QuantState(absmax=self.outer_scales, code=_dynamic_codes(), blocksize=_BLOCK_OF_SCALES,
                                 dtype=torch.float32)  # fmt: skip
        return f.QuantState(
            absmax=self.scales, shape=torch.Size((self.out_features, self.in_features)), code=_nf4_codes(),
            blocksize=_BLOCK, quant_type="nf4", dtype=dtype, offset=self.mean_scale, state2=outer,
        )  # fmt: skip

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantizedLinear:
        exact = {name: part for name, part in self.named_buffers(recurse=False) if part.is_floating_point()}
        super()._apply(fn, recurse)
        for name, part in exact.items():
            if getattr(self, name).dtype != part.dtype:
                setattr(self, name, part.to(getattr(self, name).device))
        self.dtype = fn(torch.empty(0, dtype=self.dtype)).dtype
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """As bitsandbytes names the parts and transformers reads them."""
        destination[f"{prefix}weight"] = self.codes
        if self.form == "int8":
            destination[f"{prefix}SCB"], destination[f"{prefix}weight_format"] = self.scales, torch.tensor(0).byte()
        else:
            for name, part in self._state(torch.float32).as_dict(packed=True).items():
                destination[f"{prefix}weight.{name}"] = part.clone()  # the table of codes is one for all layers
        if self.bias is not None:
            destination[f"{prefix}bias"] = self.bias if keep_vars else self.bias.detach()


class _Product(torch.autograd.Function):
    """x W' + b that keeps nothing for its backward pass: W is unpacked again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, layer: QuantizedLinear) -> Tensor:
        ctx.layer = layer
        return nn.functional.linear(x, layer.unpacked(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        dy = gradients[0]
        dx = dy @ ctx.layer.unpacked(dy.dtype) if ctx.needs_input_grad[0] else None
        dbias = dy.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return dx, dbias, None


def quantize(layer: nn.Module, form: Form, *, double: bool = True) -> QuantizedLinear:
    """`layer`, a linear one, with its weight packed; without values where it has none."""
    weight_oi = layer.weight.detach().t() if isinstance(layer, Conv1D) else layer.weight.detach()
    outputs, inputs = weight_oi.shape
    if weight_oi.device.type == "meta":
        packed = _empty(outputs * inputs, outputs, form, double)
    elif form == "int8":
        codes, scales, _ = kernels().int8_vectorwise_quant(weight_oi.to(torch.float16))
        packed = {"codes": codes, "scales": scales}
    else:
        codes, state = kernels().quantize_4bit(
            weight_oi.float().contiguous(), blocksize=_BLOCK, compress_statistics=double, quant_type="nf4"
        )
        packed = {"codes": codes, **_parts_of(state)}
    return QuantizedLinear((outputs, inputs), form, packed, layer.bias, dtype=weight_oi.dtype).train(layer.training)


def quantized_layers(module: nn.Module) -> Iterator[tuple[str, QuantizedLinear]]:
    """Path and layer of all packed ones in `module`."""
    return ((path, layer) for path, layer in module.named_modules() if isinstance(layer, QuantizedLinear))


def count_weights(module: nn.Module) -> int:
    """How many numbers `module` computes with, packed or not."""
    packed = sum(layer.in_features * layer.out_features for _, layer in quantized_layers(module))
    return packed + sum(parameter.numel() for parameter in module.parameters())


def packed_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The parts of all packed weights, by name; they are buffers, so no parameter shows them."""
    return {f"{path}.{name}": part for path, layer in quantized_layers(module)
            for name, part in layer.named_buffers(recurse=False)}  # fmt: skip


def unquantize_layers(trunk: nn.Module) -> None:
    """Replaces packed layers by plain ones of the same values in float32."""
    for path, layer in list(quantized_layers(trunk)):
        replace_module(trunk, path, layer.unquantized())


def give_back_memory() -> None:
    """Returns freed memory to the system: glibc keeps pieces of a few megabytes, such as weights that were packed."""
    with contextlib.suppress(OSError, AttributeError):  # of another system's library nothing is known
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def replace_module(trunk: nn.Module, path: str, module: nn.Module) -> None:
    """Puts `module` where another one stands."""
    parent, _, name = path.rpartition(".")
    setattr(trunk.get_submodule(parent), name, module)


# ------------------------------------------------------------------------------------- as transformers has it


def quantization_config(trunk: PreTrainedModel) -> dict[str, Any] | None:
    """What transformers must read in a configuration to open the packed weights of `trunk`; None where it has none."""
    packed = {path: layer for path, layer in quantized_layers(trunk)}
    if not packed:
        return None
    first = next(iter(packed.values()))
    plain = [path.replace(".base_layer", "") for path, module in trunk.named_modules()
             if isinstance(module, (nn.Linear, Conv1D)) and path not in packed and "lora_" not in path]  # fmt: skip
    return {
        "quant_method": "bitsandbytes", "load_in_4bit": first.form == "nf4", "load_in_8bit": first.form == "int8",
        "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": first.outer_scales is not None,
        "bnb_4bit_compute_dtype": "float32", "bnb_4bit_quant_storage": "uint8", "llm_int8_threshold": 0.0,
        "llm_int8_skip_modules": plain,
    }  # fmt: skip


def adopt_layers(trunk: PreTrainedModel) -> None:
    """Replaces packed layers as transformers loads them by those of this file; of other trunks nothing changes."""
    if getattr(trunk, "hf_quantizer", None) is None:
        return
    layers = _library().nn
    for path, module in list(trunk.named_modules()):
        if isinstance(module, layers.Linear4bit):
            packed: dict[str, Tensor] = {"codes": module.weight.data, **_parts_of(module.weight.quant_state)}
        elif isinstance(module, layers.Linear8bitLt):
            packed = {"codes": module.weight.data, "scales": module.weight.SCB}
        else:
            continue
        form: Form = "nf4" if isinstance(module, layers.Linear4bit) else "int8"
        shape_oi = (module.out_features, module.in_features)
        replace_module(trunk, path, QuantizedLinear(shape_oi, form, packed, module.bias, dtype=trunk.dtype))
    trunk.hf_quantizer.remove_quantization_config(trunk)


def refuse_without_library(where: str, refusal: type[Refusal] = BaseRefusal) -> None:
    """Raises `refusal` where bitsandbytes is not installed."""
    try:
        _library()
    except ImportError:
        raise refusal(
            "Weights in 4 or 8 bits, and optimisers in 8, need bitsandbytes, which is not installed.", where=where,
            remedy='pip install "tunewright[quantized]"',
        ) from None  # fmt: skip


@functools.cache
def _library() -> types.ModuleType:
    import bitsandbytes

    return bitsandbytes


def kernels() -> Any:
    """The functions of bitsandbytes."""
    return _library().functional


@functools.cache
def _nf4_codes() -> Tensor:
    found: Tensor = kernels().get_4bit_type("nf4", device="cpu")
    return found


@functools.cache
def _dynamic_codes() -> Tensor:
    found: Tensor = kernels().create_dynamic_map()
    return found


def _parts_of(state: Any) -> dict[str, Tensor]:
    """What has to be kept of what bitsandbytes knows of a 4-bit weight."""
    assert state.quant_type == "nf4" and state.blocksize == _BLOCK
    if not state.nested:
        return {"scales": state.absmax}
    assert state.state2.blocksize == _BLOCK_OF_SCALES
    return {"scales": state.absmax, "outer_scales": state.state2.absmax, "mean_scale": state.offset}


def _empty(weights: int, outputs: int, form: Form, double: bool) -> dict[str, Tensor]:
    """Parts of the shapes that packing so many weights gives, without values."""
    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    if form == "int8":
        return {"codes": empty(outputs, weights // outputs, dtype=torch.int8), "scales": empty(outputs)}
    blocks = -(-weights // _BLOCK)
    codes = empty(-(-weights // 2), 1, dtype=torch.uint8)
    if not double:
        return {"codes": codes, "scales": empty(blocks)}
    return {"codes": codes, "scales": empty(blocks, dtype=torch.uint8),
            "outer_scales": empty(-(-blocks // _BLOCK_OF_SCALES)), "mean_scale": empty()}  # fmt: skip
