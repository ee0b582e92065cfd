"""A faster forward and backward for decoders built like Llama. Knows the trunk; must not know tasks, rows or files.

The mathematics is that of the layers in `transformers` (Touvron et al. 2023, arXiv:2302.13971); what differs is the way
there. Rows lie end to end and no padding is computed, save a little in attention; each layer is one step for autograd,
whose backward is written out: it keeps what is dear to compute, makes the rest again, and computes no gradient that
nothing asks for. LoRA on the seven linear maps is part of it. The last layer computes its second half, and the trunk
its last norm, only at the tokens asked.

A trunk of another kind, or one whose modules were replaced or are watched by hooks, goes through its own forward,
padded on the right; `why_plain` says why. This is looked at in every call, because adapters and hooks come and go. The
trunk itself is never changed, so that generation finds it as the library made it.

Shapes: n tokens of all rows, m tokens asked, d width, s rows, t tokens of a padded row, h width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tunewright.model import causal_attention
from tunewright.model.causal_attention import Heads, Packing
from tunewright.model.fused_linear import LinearMap, Wanted, linear_map, maps_of, project, project_backward
from tunewright.model.hooks import is_watched
from tunewright.model.quantized import QuantizedLinear
from tunewright.model.rms_norm import RmsNorm, gain_gradient, normalise, normalised, normalised_backward

_aten = torch.ops.aten
_LAYER_TYPES = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer")
_NORM_TYPES = ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm")


def run_packed(
    trunk: nn.Module, ids_n: Tensor, lengths_s: Sequence[int], *, at_m: Tensor | None = None, keep: str = "all"
) -> Tensor:
    """The trunk's last hidden states [n, d] of rows laid end to end, or [m, d] at the tokens `at_m` alone.

    `ids_n` int64 holds rows of `lengths_s` tokens, at least one each; a row sees itself alone and its positions start
    at 0. `keep` is `all`, or `inputs`: only each layer's input is kept for the backward pass, and the layer is computed
    again.
    """
    assert keep in ("all", "inputs"), f"keep is all or inputs, not {keep!r}"
    assert sum(lengths_s) == len(ids_n) and min(lengths_s, default=0) > 0, "every row has tokens, and no token is left"
    if why_plain(trunk, longest=max(lengths_s)) is not None:
        vectors_nd = _run_padded(trunk, ids_n, lengths_s)
        return vectors_nd if at_m is None else vectors_nd[at_m]
    x_nd = trunk.embed_tokens(ids_n)
    packing = _packing(trunk, lengths_s, x_nd)
    for number, layer in enumerate(trunk.layers):
        last = number + 1 == len(trunk.layers)
        x_nd = _run_layer(layer, x_nd, packing, at_m=at_m if last else None, keep=keep)
    return RmsNorm.apply(x_nd, trunk.norm.weight, trunk.norm.variance_epsilon)


def why_plain(trunk: nn.Module, *, longest: int = 1) -> str | None:
    """Why `run_packed` takes the trunk's own forward for rows of up to `longest` tokens; None where it is fused."""
    layers = getattr(trunk, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not all(type(layer).__name__ in _LAYER_TYPES for layer in layers):
        return "not fused: the trunk has no layers of Llama's kind"
    if trunk.embed_tokens.weight.device.type != "cpu":
        return f"not fused: the trunk is on {trunk.embed_tokens.weight.device.type}, and the library is faster there"
    if type(trunk.norm).__name__ not in _NORM_TYPES:
        return f"not fused: the last norm is a {type(trunk.norm).__name__}"
    if is_watched(trunk.norm) or is_watched(trunk):
        return "not fused: a hook watches the trunk"
    window = getattr(trunk.config, "sliding_window", None)
    if window is not None and longest > window:
        return f"not fused: a row has {longest} tokens, and attention slides over {window}"
    for number, layer in enumerate(layers):
        reason = _why_plain_layer(layer)
        if reason is not None:
            return f"not fused: in layer {number}, {reason}"
    return None


def _why_plain_layer(layer: nn.Module) -> str | None:
    attention, mlp = layer.self_attn, layer.mlp
    if type(mlp.act_fn).__name__ not in ("SiLUActivation", "SiLU"):
        return f"the activation is {type(mlp.act_fn).__name__}"
    if attention.head_dim % 2 or (attention.training and attention.attention_dropout):
        return "attention has dropout, or heads of odd width"
    for norm in (layer.input_layernorm, layer.post_attention_layernorm):
        if type(norm).__name__ not in _NORM_TYPES:
            return f"a norm is a {type(norm).__name__}"
    for module in _linears(layer):
        reason = linear_map(module)
        if isinstance(reason, str):
            return reason
    return "a hook watches a module" if any(is_watched(module) for module in layer.modules()) else None


def _linears(layer: nn.Module) -> tuple[nn.Module, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    return (
        attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, mlp.gate_proj, mlp.up_proj,
        mlp.down_proj,
    )  # fmt: skip


def _run_padded(trunk: nn.Module, ids_n: Tensor, lengths_s: Sequence[int]) -> Tensor:
    """The library's own way: what pads on the right is never seen by what stands before it.

    It is a token of the batch, because an optimiser may keep account of the tokens that were read.
    """
    rows = nn.utils.rnn.pad_sequence(
        list(ids_n.split(list(lengths_s))), batch_first=True, padding_value=int(ids_n[0])
    )
    positions_t = torch.arange(rows.shape[1], device=ids_n.device)
    real_st = positions_t < torch.tensor(list(lengths_s), device=ids_n.device)[:, None]
    return trunk(input_ids=rows, attention_mask=real_st.long(), use_cache=False).last_hidden_state[real_st]


def _packing(trunk: nn.Module, lengths_s: Sequence[int], x_nd: Tensor) -> Packing:
    positions_1t = torch.arange(max(lengths_s), device=x_nd.device)[None]
    cos_1th, sin_1th = trunk.rotary_emb(x_nd, position_ids=positions_1t)
    half = cos_1th.shape[-1] // 2
    return causal_attention.pack_rows(lengths_s, cos_1th[0, :, :half], sin_1th[0, :, :half])


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a layer's computation reads beside tensors."""

    heads: Heads
    epsilons: tuple[float, float]
    scales: tuple[float, ...]
    packed: tuple[QuantizedLinear | None, ...]
    keep: str


def _run_layer(layer: nn.Module, x_nd: Tensor, packing: Packing, *, at_m: Tensor | None, keep: str) -> Tensor:
    attention = layer.self_attn
    norms = (layer.input_layernorm, layer.post_attention_layernorm)
    maps = [linear_map(module) for module in _linears(layer)]
    assert all(isinstance(one, LinearMap) for one in maps)
    per_key = attention.num_key_value_groups
    heads = Heads(
        keys=maps[1].outputs // attention.head_dim, per_key=per_key, width=attention.head_dim,
        scaling=attention.scaling,
    )  # fmt: skip
    sizes = Sizes(
        heads, tuple(norm.variance_epsilon for norm in norms), tuple(one.scale for one in maps),
        tuple(one.packed for one in maps), keep,
    )  # fmt: skip
    tensors = (*(norm.weight for norm in norms), *(tensor for one in maps for tensor in one.tensors))
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x_nd, *tensors)):
        return _LayerFunction.apply(x_nd, at_m, packing, sizes, *tensors)
    return _forward(x_nd, at_m, packing, sizes, *tensors)[0]


def _forward(
    x_nd: Tensor, at_m: Tensor | None, packing: Packing, sizes: Sizes, gain_1: Tensor, gain_2: Tensor,
    *tensors: Tensor | None,
) -> tuple[Tensor, list[Tensor | None]]:  # fmt: skip
    """The layer's output and what its backward pass needs, in the order in which `_Needed` reads it."""
    q_map, k_map, v_map, o_map, gate_map, up_map, down_map = maps_of(tensors, sizes.scales, sizes.packed)
    y_nd, roots_1 = normalise(x_nd, gain_1, sizes.epsilons[0])
    (q, q_low), (k, k_low), (v, v_low) = (project(y_nd, one) for one in (q_map, k_map, v_map))
    attended, looked_at = causal_attention.attend(q, k, v, packing, sizes.heads)
    del q, k, v, y_nd
    if at_m is not None:
        attended, x_nd = attended.index_select(0, at_m), x_nd.index_select(0, at_m)
    z_nd, o_low = project(attended, o_map, plus=x_nd)
    y_nd, roots_2 = normalise(z_nd, gain_2, sizes.epsilons[1])
    (gate, gate_low), (up, up_low) = project(y_nd, gate_map), project(y_nd, up_map)
    del y_nd
    swish = _aten.silu(gate)
    out, down_low = project(swish * up, down_map, plus=z_nd)
    needed = [
        roots_1, q_low, k_low, v_low, attended, o_low, z_nd, roots_2, gate, gate_low, up, up_low, swish, down_low,
        *looked_at.tensors(),
    ]  # fmt: skip
    return out, needed


class _LayerFunction(torch.autograd.Function):
    """One decoder layer. Its tensors are two gains and four a linear map."""

    @staticmethod
    def forward(
        ctx: Any, x_nd: Tensor, at_m: Tensor | None, packing: Packing, sizes: Sizes, *tensors: Tensor | None
    ) -> Tensor:
        out, needed = _forward(x_nd, at_m, packing, sizes, *tensors)
        ctx.packing, ctx.sizes, ctx.given = packing, sizes, len(tensors)
        ctx.save_for_backward(x_nd, at_m, *tensors, *(needed if sizes.keep == "all" else ()))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x_nd, at_m, *rest = ctx.saved_tensors
        tensors, needed = rest[: ctx.given], rest[ctx.given :]
        if not needed:
            _, needed = _forward(x_nd, at_m, ctx.packing, ctx.sizes, *tensors)
        wants = ctx.needs_input_grad
        dx_nd, dtensors = _backward(gradients[0], x_nd, at_m, ctx.packing, ctx.sizes, tensors, needed, wants)
        return dx_nd, None, None, None, *dtensors


def _backward(
    dout: Tensor, x_nd: Tensor, at_m: Tensor | None, packing: Packing, sizes: Sizes,
    tensors: Sequence[Tensor | None], needed: Sequence[Tensor | None], wants: Sequence[bool],
) -> tuple[Tensor | None, list[Tensor | None]]:  # fmt: skip
    """Gradients of the input and of all tensors; None where `wants` does not ask for one."""
    gain_1, gain_2, *in_maps = tensors
    q_map, k_map, v_map, o_map, gate_map, up_map, down_map = maps_of(in_maps, sizes.scales, sizes.packed)
    in_want = [Wanted(*wants[6 + 4 * i : 10 + 4 * i]) for i in range(7)]
    (roots_1, q_low, k_low, v_low, attended, o_low, z, roots_2, gate, gate_low, up, up_low, swish, down_low,
     *for_attention) = needed  # fmt: skip
    gradients: list[list[Tensor | None]] = [[None] * 4 for _ in range(7)]
    dgains: list[Tensor | None] = [None, None]
    below = wants[0] or wants[4] or any(one.any for one in in_want[:3])
    # feed-forward block
    hidden = torch.mul(swish, up) if in_want[6].reads_input else None
    dhidden, gradients[6] = project_backward(dout, hidden, down_low, down_map, in_want[6])
    del hidden
    dup = swish * dhidden
    dgate = _aten.silu_backward.grad_input(dhidden.mul_(up), gate, grad_input=dhidden)
    y = normalised(z, roots_2, gain_2) if in_want[4].reads_input or in_want[5].reads_input else None
    dy, gradients[4] = project_backward(dgate, y, gate_low, gate_map, in_want[4])
    dy, gradients[5] = project_backward(dup, y, up_low, up_map, in_want[5], into=dy)
    if wants[5]:
        dgains[1] = gain_gradient(dy, z, roots_2)
    dz = normalised_backward(dy, z, roots_2, gain_2, plus=dout)
    # attention block
    dattended, gradients[3] = project_backward(dz, attended, o_low, o_map, in_want[3], with_input=below)
    if not below:
        return None, [*dgains, *(one for part in gradients for one in part)]
    if at_m is not None:
        dattended = attended.new_zeros(len(x_nd), attended.shape[1]).index_add_(0, at_m, dattended)
        dz = dz.new_zeros(x_nd.shape).index_add_(0, at_m, dz)
    looked_at = causal_attention.Attended.of(for_attention)
    dq, dk, dv = causal_attention.attend_backward(dattended, looked_at, packing, sizes.heads)
    y = normalised(x_nd, roots_1, gain_1) if any(one.reads_input for one in in_want[:3]) else None
    through = wants[0] or wants[4]
    dy = None
    for i, (part, low, one) in enumerate(((dq, q_low, q_map), (dk, k_low, k_map), (dv, v_low, v_map))):
        dy, gradients[i] = project_backward(part, y, low, one, in_want[i], into=dy, with_input=through)
    if wants[4]:
        dgains[0] = gain_gradient(dy, x_nd, roots_1)
    dx = normalised_backward(dy, x_nd, roots_1, gain_1, plus=dz) if wants[0] else None
    return dx, [*dgains, *(one for part in gradients for one in part)]
