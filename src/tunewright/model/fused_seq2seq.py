"""A faster forward and backward for encoder-decoders built like T5. Knows the trunk; must not know tasks or files.

The mathematics is that of the blocks in `transformers` (Raffel et al. 2020, arXiv:1910.10683; gated: Shazeer 2020,
arXiv:2002.05202); what differs is the way there. Sources lie end to end and targets lie end to end, so that no padding
is computed, save a little in attention. A block is two or three steps, x + dropout(f(norm(x))) with f attention among
the same row, attention to its source, or feed-forward; the backward pass of each is written out: it keeps what is dear
to compute, makes the rest again (dropout's masks from their seeds), and computes no gradient that nothing asks for.
LoRA on any of the linear maps is part of it.

A trunk of another kind, or one whose modules were replaced or are watched by hooks, goes through its own forward;
`why_plain` says why. This is looked at in every call, because adapters and hooks come and go. The trunk itself is never
changed, so that generation finds it as the library made it.

Shapes: n tokens of what is read, m of the source that it sees, d width, f width of the feed-forward block, h heads,
q queries and e keys of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tunewright.model.fused_linear import LinearMap, Wanted, linear_map, maps_of, project, project_backward
from tunewright.model.hooks import is_watched
from tunewright.model.quantized import QuantizedLinear
from tunewright.model.rms_norm import RmsNorm, gain_gradient, normalise, normalised, normalised_backward
from tunewright.model.row_attention import Sight, attend, attend_backward, longest, look
from tunewright.model.seeded_dropout import draw_seed, drop_

_aten = torch.ops.aten
_STACK_TYPES = ("T5Stack", "MT5Stack")
_NORM_TYPES = ("T5LayerNorm", "MT5LayerNorm")
_PLAIN_TYPES = ("T5DenseActDense", "MT5DenseActDense")
_GATED_TYPES = ("T5DenseGatedActDense", "MT5DenseGatedActDense")


class Rows(NamedTuple):
    """Rows laid end to end: token ids [n], int64, and how many each row has, at least one."""

    ids_n: Tensor
    lengths: Sequence[int]


def run_pairs(
    trunk: nn.Module, sources: Rows, targets: Rows, *, at_m: Tensor | None = None, keep: str = "all"
) -> Tensor:
    """The decoder's last hidden states [n, d] of `targets`, each row beside its source; [m, d] at the tokens `at_m`.

    `keep` is `all`, or `inputs`: only the input of each step is kept for the backward pass, and the step is computed
    again. Only for a trunk of which `why_plain` is None.
    """
    assert keep in ("all", "inputs"), f"keep is all or inputs, not {keep!r}"
    assert len(sources.lengths) == len(targets.lengths), "every row has a source and a target"
    encoded_md = _run_stack(trunk.encoder, sources, keep=keep)
    encoded_md = trunk.encoder.dropout(_last_norm(trunk.encoder, encoded_md))
    x_nd = _run_stack(trunk.decoder, targets, keep=keep, seen=sources.lengths, encoded_md=encoded_md)
    x_nd = x_nd if at_m is None else x_nd.index_select(0, at_m)
    return trunk.decoder.dropout(_last_norm(trunk.decoder, x_nd))


def why_plain(trunk: nn.Module) -> str | None:
    """Why `run_pairs` cannot run the trunk; None where it can."""
    stacks = [getattr(trunk, name, None) for name in ("encoder", "decoder")]
    if not all(isinstance(stack, nn.Module) and type(stack).__name__ in _STACK_TYPES for stack in stacks):
        return "not fused: the trunk is not two stacks of T5's kind"
    for name, stack in zip(("encoder", "decoder"), stacks, strict=True):
        weight = stack.embed_tokens.weight
        if weight.device.type != "cpu":
            return f"not fused: the trunk is on {weight.device.type}, and the library is faster there"
        reason = _why_plain_stack(stack)
        if reason is not None:
            return f"not fused: in the {name}, {reason}"
    return None


def _why_plain_stack(stack: nn.Module) -> str | None:
    dtype = stack.embed_tokens.weight.dtype
    if dtype not in (torch.bfloat16, torch.float32, torch.float64):
        return f"the weights are {dtype}"
    if is_watched(stack) or is_watched(stack.final_layer_norm):
        return "a hook watches the stack"
    if type(stack.final_layer_norm).__name__ not in _NORM_TYPES:
        return f"the last norm is a {type(stack.final_layer_norm).__name__}"
    if len(stack.block) == 0 or [_first_attention(b).has_relative_attention_bias for b in stack.block].count(True) != 1:
        return "positions are not one table of the first block"
    first = _first_attention(stack.block[0])
    if not first.has_relative_attention_bias or type(first.relative_attention_bias) is not nn.Embedding:
        return "positions are not one table of the first block"
    for number, block in enumerate(stack.block):
        reason = next(filter(None, (_why_plain_step(step, dtype) for step in _steps(block))), None)
        if reason is None and any(is_watched(module) for module in block.modules()):
            reason = "a hook watches a module"
        if reason is not None:
            return f"in block {number}, {reason}"
    return None


def _why_plain_step(step: Step, dtype: torch.dtype) -> str | None:
    if type(step.norm).__name__ not in _NORM_TYPES:
        return f"a norm is a {type(step.norm).__name__}"
    if not isinstance(step.outer, nn.Dropout) or step.rates[0] >= 1 or step.rates[1] >= 1:
        return f"dropout is a {type(step.outer).__name__}, or drops all"
    if step.attends:
        if step.inner.scaling != 1.0:
            return "scores are scaled"
    elif type(step.inner).__name__ not in (*_PLAIN_TYPES, *_GATED_TYPES):
        return f"the feed-forward block is a {type(step.inner).__name__}"
    elif type(step.inner.act).__name__ != ("NewGELUActivation" if _is_gated(step.inner) else "ReLU"):
        return f"the activation is {type(step.inner.act).__name__}"
    return next(filter(None, (_why_plain_linear(module, dtype) for module in step.linears)), None)


def _why_plain_linear(module: nn.Module, dtype: torch.dtype) -> str | None:
    found = linear_map(module)
    if isinstance(found, str):
        return found
    if found.bias is not None:
        return "a linear layer has a bias"
    return None if found.dtype == dtype else f"a weight is {found.dtype} beside embeddings of {dtype}"


class Step(NamedTuple):
    """One step of a block, as the library's modules: what x + outer(inner(norm(x))) is made of."""

    norm: nn.Module
    inner: nn.Module
    outer: nn.Module
    attends: bool

    @property
    def linears(self) -> tuple[nn.Module, ...]:
        inner = self.inner
        if self.attends:
            return inner.q, inner.k, inner.v, inner.o
        return (inner.wi_0, inner.wi_1, inner.wo) if _is_gated(inner) else (inner.wi, inner.wo)

    @property
    def rates(self) -> tuple[float, float]:
        """Dropout inside and outside; 0 where the module is not in training."""
        inner = self.inner
        within = float(inner.dropout) if self.attends else _rate(inner.dropout)
        return within if inner.training else 0.0, _rate(self.outer)


def _steps(block: nn.Module) -> list[Step]:
    """Attention among the same row, attention to the source where there is one, feed-forward."""
    steps = [Step(block.layer[0].layer_norm, block.layer[0].SelfAttention, block.layer[0].dropout, True)]
    if block.is_decoder:
        steps.append(Step(block.layer[1].layer_norm, block.layer[1].EncDecAttention, block.layer[1].dropout, True))
    last = block.layer[-1]
    return [*steps, Step(last.layer_norm, last.DenseReluDense, last.dropout, False)]


def _first_attention(block: nn.Module) -> nn.Module:
    return block.layer[0].SelfAttention


def _is_gated(inner: nn.Module) -> bool:
    return type(inner).__name__ in _GATED_TYPES


def _rate(dropout: nn.Module) -> float:
    return float(dropout.p) if dropout.training else 0.0


def _last_norm(stack: nn.Module, x_nd: Tensor) -> Tensor:
    return RmsNorm.apply(x_nd, stack.final_layer_norm.weight, stack.final_layer_norm.variance_epsilon)


def _run_stack(
    stack: nn.Module, rows: Rows, *, keep: str, seen: Sequence[int] | None = None, encoded_md: Tensor | None = None
) -> Tensor:
    """The states of a stack before its last norm, [n, d]; of a decoder's, whose rows have sources of `seen` tokens."""
    x_nd = stack.dropout(stack.embed_tokens(rows.ids_n))
    first = _first_attention(stack.block[0])
    bias_hqe = _position_bias(first, longest(rows.lengths), x_nd.dtype)
    among = look(rows.lengths, rows.lengths, first.n_heads)
    across = None if seen is None else look(rows.lengths, seen, first.n_heads)
    for block in stack.block:
        attention, *to_source, feed_forward = _steps(block)
        x_nd = _run_step(_Attention, attention, x_nd, None, bias_hqe, sight=among, keep=keep)
        for step in to_source:
            x_nd = _run_step(_Attention, step, x_nd, encoded_md, None, sight=across, keep=keep)
        x_nd = _run_step(_FeedForward, feed_forward, x_nd, keep=keep)
    return x_nd


def _position_bias(attention: nn.Module, tokens: int, dtype: torch.dtype) -> Tensor:
    """What a stack adds to its scores, [h, q, e]: a number for how far apart two tokens are, minus infinity for what a
    decoder may not see.

    Where the table trains it is float32: its gradient is a sum over all pairs of tokens, of all layers and rows.
    """
    table_bh = attention.relative_attention_bias.weight
    trains = torch.is_grad_enabled() and table_bh.requires_grad
    buckets_o = attention._relative_position_bucket(
        torch.arange(1 - tokens, tokens), bidirectional=not attention.is_decoder,
        num_buckets=attention.relative_attention_num_buckets, max_distance=attention.relative_attention_max_distance,
    )  # fmt: skip
    wide = table_bh.float() if trains and dtype == torch.bfloat16 else table_bh
    bias_hqe = wide.t()[:, buckets_o].unfold(1, tokens, 1).flip(1)
    if attention.is_decoder:
        bias_hqe = bias_hqe.masked_fill(torch.ones(tokens, tokens, dtype=torch.bool).triu_(1), -torch.inf)
    return bias_hqe.contiguous()


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a step's computation reads beside tensors; dropout inside and outside, each with its seed."""

    epsilon: float
    scales: tuple[float, ...]
    packed: tuple[QuantizedLinear | None, ...]
    rates: tuple[float, float]
    keep: str
    sight: Sight | None = None
    seeds: tuple[int, int] = field(default=(0, 0))


def _run_step(
    function: type[_Attention | _FeedForward], step: Step, *inputs: Tensor | None, keep: str, sight: Sight | None = None
) -> Tensor:
    maps = [linear_map(module) for module in step.linears]
    assert all(isinstance(one, LinearMap) for one in maps)
    rates = step.rates
    sizes = Sizes(
        epsilon=step.norm.variance_epsilon, scales=tuple(one.scale for one in maps),
        packed=tuple(one.packed for one in maps), rates=rates, keep=keep, sight=sight,
        seeds=(draw_seed(), draw_seed()) if any(rates) else (0, 0),
    )  # fmt: skip
    tensors = (*inputs, step.norm.weight, *(tensor for one in maps for tensor in one.tensors))
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return function.apply(sizes, *tensors)
    return function.compute(sizes, *tensors)[0]


def _added(x_nd: Tensor, out_nd: Tensor, sizes: Sizes, *, scale: float = 1.0) -> Tensor:
    """x + dropout(scale out); `out_nd` is used up."""
    rate, seed = sizes.rates[1], sizes.seeds[1]
    return torch.add(x_nd, drop_(out_nd, rate, seed), alpha=scale / (1 - rate))


def _added_backward(dz_nd: Tensor, sizes: Sizes, *, scale: float = 1.0) -> Tensor:
    """The gradient of out in `_added`."""
    rate, seed = sizes.rates[1], sizes.seeds[1]
    return dz_nd if rate == 0 and scale == 1.0 else drop_(dz_nd * (scale / (1 - rate)), rate, seed)


class _Attention(torch.autograd.Function):
    """x + dropout(attention(norm(x))), to its own tokens or to those of a source. Tensors: x, source, bias, gain, and
    four of each of the maps q, k, v and o."""

    @staticmethod
    def compute(
        sizes: Sizes, x_nd: Tensor, source_md: Tensor | None, bias_hqe: Tensor | None, gain: Tensor,
        *tensors: Tensor | None,
    ) -> tuple[Tensor, list[Tensor | None]]:  # fmt: skip
        """The output, and what the backward pass needs."""
        q_map, k_map, v_map, o_map = maps_of(tensors, sizes.scales, sizes.packed)
        y_nd, roots = normalise(x_nd, gain, sizes.epsilon)
        seen_md = y_nd if source_md is None else source_md
        (q, q_low), (k, k_low), (v, v_low) = project(y_nd, q_map), project(seen_md, k_map), project(seen_md, v_map)
        assert sizes.sight is not None
        bias = None if bias_hqe is None else bias_hqe.to(x_nd.dtype)
        attended, looked_at = attend(q, k, v, sizes.sight, bias, dropout=sizes.rates[0], seed=sizes.seeds[0])
        out, o_low = project(attended, o_map)
        return _added(x_nd, out, sizes), [roots, q_low, k_low, v_low, attended, o_low, *looked_at]

    @staticmethod
    def forward(ctx: Any, sizes: Sizes, *given: Tensor | None) -> Tensor:
        out, needed = _Attention.compute(sizes, *given)
        if not _wanted(ctx.needs_input_grad, 5, 4)[3].reads_input:
            needed[4] = None
        _save(ctx, sizes, given, needed)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        sizes, given, needed = _saved(ctx, _Attention)
        x_nd, source_md, bias_hqe, gain, *tensors = given
        _, for_x, for_source, for_bias, for_gain, *_ = ctx.needs_input_grad
        q_map, k_map, v_map, o_map = maps_of(tensors, sizes.scales, sizes.packed)
        wanted = _wanted(ctx.needs_input_grad, 5, 4)
        roots, q_low, k_low, v_low, attended, o_low, *looked_at = needed
        below = for_x or for_source or for_bias or for_gain or any(one.any for one in wanted[:3])
        dout = _added_backward(gradients[0], sizes)
        dattended, of_o = project_backward(dout, attended, o_low, o_map, wanted[3], with_input=below)
        if not below:
            return (None,) * 17 + tuple(of_o)
        dbias = torch.zeros_like(bias_hqe) if for_bias else None
        dq, dk, dv = attend_backward(
            dattended, looked_at, sizes.sight, dropout=sizes.rates[0], dbias_hqe=dbias,
            keys=len(x_nd if source_md is None else source_md),
        )  # fmt: skip
        read_by = wanted[:1] if source_md is not None else wanted[:3]
        y_nd = normalised(x_nd, roots, gain) if any(one.reads_input for one in read_by) else None
        through, alone = for_x or for_gain, source_md is None
        dy, of_q = project_backward(dq, y_nd, q_low, q_map, wanted[0], with_input=through)
        seen_md, dseen = (y_nd, dy) if alone else (source_md, None)
        down = through if alone else for_source
        dseen, of_k = project_backward(dk, seen_md, k_low, k_map, wanted[1], into=dseen, with_input=down)
        dseen, of_v = project_backward(dv, seen_md, v_low, v_map, wanted[2], into=dseen, with_input=down)
        dy, dsource = (dseen, None) if alone else (dy, dseen)
        dgain = gain_gradient(dy, x_nd, roots) if for_gain else None
        dx = normalised_backward(dy, x_nd, roots, gain, plus=gradients[0]) if for_x else None
        return None, dx, dsource, dbias, dgain, *of_q, *of_k, *of_v, *of_o


class _FeedForward(torch.autograd.Function):
    """x + dropout(W dropout(act(norm(x)))), with ReLU, or gated by GELU. Tensors: x, gain, and four of each map."""

    @staticmethod
    def compute(
        sizes: Sizes, x_nd: Tensor, gain: Tensor, *tensors: Tensor | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The output, and what the backward pass needs.

        The hidden numbers are not scaled for those that are dropped: that is done to what they give, which is smaller.
        """
        *in_maps, o_map = maps_of(tensors, sizes.scales, sizes.packed)
        y_nd, roots = normalise(x_nd, gain, sizes.epsilon)
        if len(in_maps) == 1:
            hidden, low = project(y_nd, in_maps[0])
            hidden, of_gate = hidden.relu_(), []
        else:
            (gate, low), (linear, linear_low) = (project(y_nd, one) for one in in_maps)
            opened = _aten.gelu(gate, approximate="tanh")
            hidden, of_gate = opened * linear, [gate, opened, linear, linear_low]
        drop_(hidden, sizes.rates[0], sizes.seeds[0])
        out, o_low = project(hidden, o_map)
        return _added(x_nd, out, sizes, scale=1 / (1 - sizes.rates[0])), [roots, low, hidden, o_low, *of_gate]

    @staticmethod
    def forward(ctx: Any, sizes: Sizes, *given: Tensor | None) -> Tensor:
        out, needed = _FeedForward.compute(sizes, *given)
        gated = len(sizes.scales) == 3
        if gated and not _wanted(ctx.needs_input_grad, 3, 3)[2].reads_input:
            needed[2] = None  # without a gate its zeros say where the gradient stops
        _save(ctx, sizes, given, needed)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        sizes, given, needed = _saved(ctx, _FeedForward)
        x_nd, gain, *tensors = given
        *in_maps, o_map = maps_of(tensors, sizes.scales, sizes.packed)
        roots, low, hidden, o_low, *of_gate = needed
        _, for_x, for_gain, *_ = ctx.needs_input_grad
        *for_in, for_o = _wanted(ctx.needs_input_grad, 3, len(sizes.scales))
        below = for_x or for_gain or any(one.any for one in for_in)
        dout = _added_backward(gradients[0], sizes, scale=1 / (1 - sizes.rates[0]))
        dhidden, of_o = project_backward(dout, hidden, o_low, o_map, for_o, with_input=below)
        if not below:
            return (None,) * (3 + 4 * len(in_maps)) + tuple(of_o)
        y_nd = normalised(x_nd, roots, gain) if any(one.reads_input for one in for_in) else None
        through = for_x or for_gain
        if not of_gate:
            _aten.threshold_backward.grad_input(dhidden, hidden, 0, grad_input=dhidden)
            dy, of_in = project_backward(dhidden, y_nd, low, in_maps[0], for_in[0], with_input=through)
        else:
            gate, opened, linear, linear_low = of_gate
            drop_(dhidden, sizes.rates[0], sizes.seeds[0])
            dlinear = opened * dhidden
            dgate = _aten.gelu_backward(dhidden.mul_(linear), gate, approximate="tanh")
            dy, of_in = project_backward(dgate, y_nd, low, in_maps[0], for_in[0], with_input=through)
            dy, of_linear = project_backward(
                dlinear, y_nd, linear_low, in_maps[1], for_in[1], into=dy, with_input=through
            )
            of_in = [*of_in, *of_linear]
        dgain = gain_gradient(dy, x_nd, roots) if for_gain else None
        dx = normalised_backward(dy, x_nd, roots, gain, plus=gradients[0]) if for_x else None
        return None, dx, dgain, *of_in, *of_o


def _wanted(wants: Sequence[bool], first: int, maps: int) -> list[Wanted]:
    """What `maps` maps want whose tensors begin at place `first` of what a function is given."""
    return [Wanted(*wants[first + 4 * i : first + 4 * i + 4]) for i in range(maps)]


def _save(ctx: Any, sizes: Sizes, given: Sequence[Tensor | None], needed: Sequence[Tensor | None]) -> None:
    ctx.sizes, ctx.given = sizes, len(given)
    ctx.save_for_backward(*given, *(needed if sizes.keep == "all" else ()))


def _saved(ctx: Any, function: type[_Attention | _FeedForward]) -> tuple[Sizes, list[Any], list[Any]]:
    """Sizes, what the function was given, and what it needs, computed again where it was not kept."""
    given, needed = list(ctx.saved_tensors[: ctx.given]), list(ctx.saved_tensors[ctx.given :])
    return ctx.sizes, given, needed or function.compute(ctx.sizes, *given)[1]
