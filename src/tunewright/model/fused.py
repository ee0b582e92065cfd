"""A faster forward and backward for layers built like BERT's. Knows tensors of one layer; must not know tasks or files.

The mathematics is that of the layers in `transformers` (Devlin et al. 2019); what differs is the way there: query, key
and value are one matrix product, dropout draws 16 random bits an element and masks by them, and the backward pass is
written out, so that it stores less and visits memory less often. Layers of other kinds are left as they are, and a
layer in which a module was replaced (by an adapter, say) or is watched by a hook runs its own forward: this is looked
at in every call, because adapters and hooks come and go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tunewright.model.hooks import is_watched

_aten = torch.ops.aten
_LAYER_TYPES = ("BertLayer", "RobertaLayer", "XLMRobertaLayer", "CamembertLayer", "ElectraLayer")

_SHORT = 128  # tokens
_VECTOR = 16  # float32 numbers in the widest vector; torch's softmax takes rows shorter than that one by one


def fuse_layers(trunk: nn.Module) -> str:
    """Give every layer of `trunk` that allows it the fused forward. Returns what was done, in a sentence."""
    layers = [module for module in trunk.modules() if type(module).__name__ in _LAYER_TYPES]
    fusable = [layer for layer in layers if _allows(layer)]
    for layer in fusable:
        layer.forward = FusedLayer(layer)
    for path, module in list(trunk.named_modules()):
        if type(module) is nn.Dropout:
            parent, _, name = path.rpartition(".")
            setattr(trunk.get_submodule(parent), name, Dropout(module.p).train(module.training))
    if not layers:
        return "not fused: the trunk has no layers of BERT's kind"
    return f"{len(fusable)} of {len(layers)} layers fused"


class Dropout(nn.Dropout):
    """Dropout by 16 random bits an element: an element is dropped with probability round(32768 p) / 32768."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        return _Drop.apply(input, draw_mask(input.shape, self.p, like=input), 1 / (1 - self.p))


class _Drop(torch.autograd.Function):
    """Keep what `mask` keeps, times `scale`; the same for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return keep(x, mask).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (mask,) = ctx.saved_tensors
        return keep(gradients[0].contiguous(), mask).mul_(ctx.scale), None, None


def draw_mask(shape: Sequence[int], p: float, *, like: Tensor) -> Tensor:
    """What `keep` keeps of a tensor like `like`, each element dropped with probability p, from torch's generator.

    For types of 2 bytes on the CPU: int16 with all bits set where kept, none where dropped, made without a comparison
    because mixed types are slow there. Otherwise 1 and 0 in the type of `like`.
    """
    elements = math.prod(shape)
    if like.device.type != "cpu":
        return (torch.rand(tuple(shape), device=like.device) >= p).to(like.dtype)
    words = torch.empty((elements + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[:elements].view(tuple(shape))
    below_zero_where_dropped = bits.bitwise_and_(0x7FFF).sub_(round(p * 32768))
    mask = below_zero_where_dropped.bitwise_right_shift_(15).bitwise_not_()
    return mask if like.element_size() == 2 else mask.bitwise_and_(1).to(like.dtype)


def keep(x: Tensor, mask: Tensor) -> Tensor:
    """`x` with 0 where `mask` drops."""
    if mask.dtype == torch.int16:
        return x.view(torch.int16).bitwise_and(mask).view(x.dtype)
    return x * mask


def _allows(layer: nn.Module) -> bool:
    """Whether the layer is a plain encoder layer with exact GELU, nothing in it replaced and no hook to be called."""
    if layer.is_decoder or layer.add_cross_attention or type(layer.intermediate.intermediate_act_fn).__name__ not in (
        "GELUActivation", "GELU",
    ):  # fmt: skip
        return False
    attention, output = layer.attention, layer.output
    linears = (attention.self.query, attention.self.key, attention.self.value, attention.output.dense,
               layer.intermediate.dense, output.dense)  # fmt: skip
    norms = (attention.output.LayerNorm, output.LayerNorm)
    dropouts = (attention.self.dropout, attention.output.dropout, output.dropout)
    return (
        all(type(linear) is nn.Linear and linear.bias is not None for linear in linears)
        and all(type(norm) is nn.LayerNorm and norm.bias is not None for norm in norms)
        and all(type(dropout) in (nn.Dropout, Dropout) for dropout in dropouts)
        and norms[0].eps == norms[1].eps
        and dropouts[1].p == dropouts[2].p
        and attention.self.config._attn_implementation in ("sdpa", "eager")
        and not any(is_watched(module) for module in layer.modules() if module is not layer)
    )


@dataclass(frozen=True)
class Sizes:
    """What a layer's computation reads beside tensors; dropout is 0 outside of training."""

    heads: int
    attention_dropout: float
    hidden_dropout: float
    epsilon: float


class FusedLayer:
    """Stands in for the `forward` of one layer; reads the layer's own modules and parameters at every call."""

    def __init__(self, layer: nn.Module):
        self.layer = layer
        self.packed: Callable[[Tensor, Tensor | None, Sizes], Tensor] | None = None  # see model/packed.py

    def __call__(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *rest: Any, **named: Any) -> Tensor:
        layer = self.layer
        if not _allows(layer):
            return type(layer).forward(layer, hidden_states, attention_mask, *rest, **named)
        attention, output = layer.attention, layer.output
        inner = attention.self
        training = layer.training
        sizes = Sizes(
            heads=inner.num_attention_heads,
            attention_dropout=inner.dropout.p if training else 0.0,
            hidden_dropout=output.dropout.p if training else 0.0,
            epsilon=output.LayerNorm.eps,
        )
        if self.packed is not None and not training and not torch.is_grad_enabled():
            return self.packed(hidden_states, attention_mask, sizes)
        if training and getattr(layer, "gradient_checkpointing", False):
            return layer._gradient_checkpointing_func(self._compute, hidden_states, attention_mask, sizes)
        return self._compute(hidden_states, attention_mask, sizes)

    def _compute(self, hidden_states: Tensor, attention_mask: Tensor | None, sizes: Sizes) -> Tensor:
        layer, attention, output = self.layer, self.layer.attention, self.layer.output
        inner = attention.self
        parameters = (
            inner.query.weight, inner.query.bias, inner.key.weight, inner.key.bias, inner.value.weight,
            inner.value.bias, attention.output.dense.weight, attention.output.dense.bias,
            attention.output.LayerNorm.weight, attention.output.LayerNorm.bias, layer.intermediate.dense.weight,
            layer.intermediate.dense.bias, output.dense.weight, output.dense.bias, output.LayerNorm.weight,
            output.LayerNorm.bias,
        )  # fmt: skip
        if torch.is_grad_enabled() and any(t.requires_grad for t in (hidden_states, *parameters)):
            return _LayerFunction.apply(hidden_states, attention_mask, sizes, *parameters)
        return _infer(hidden_states, attention_mask, sizes, *parameters)


def stacked(*tensors: Tensor) -> Tensor:
    """Tensors joined along their first dimension: a view where they already lie one after the other in memory."""
    first = tensors[0]
    place = first.data_ptr()
    for tensor in tensors:
        if tensor.data_ptr() != place or not tensor.is_contiguous():
            return torch.cat(tensors)
        place += tensor.numel() * tensor.element_size()
    if first.untyped_storage().data_ptr() != tensors[-1].untyped_storage().data_ptr():
        return torch.cat(tensors)
    shape = (sum(len(t) for t in tensors), *first.shape[1:])
    return first.as_strided(shape, first.stride())


def _infer(
    x_std: Tensor, mask: Tensor | None, sizes: Sizes, wq: Tensor, bq: Tensor, wk: Tensor, bk: Tensor, wv: Tensor,
    bv: Tensor, wo: Tensor, bo: Tensor, g1: Tensor, b1: Tensor, wi: Tensor, bi: Tensor, wf: Tensor, bf: Tensor,
    g2: Tensor, b2: Tensor,
) -> Tensor:  # fmt: skip
    """The layer without gradients; dropout only where `sizes` asks for it."""
    s, t, d = x_std.shape
    x = x_std.reshape(s * t, d)
    qkv = torch.addmm(stacked(bq, bk, bv), x, stacked(wq, wk, wv).t())
    attended = attention_values(qkv, mask, sizes, (s, t, d))
    out = torch.addmm(bo, attended, wo.t())
    y = nn.functional.layer_norm(_dropped(out, sizes).add_(x), (d,), g1, b1, sizes.epsilon)
    hidden = _aten.gelu_(torch.addmm(bi, y, wi.t()))
    out = torch.addmm(bf, hidden, wf.t())
    return nn.functional.layer_norm(_dropped(out, sizes).add_(y), (d,), g2, b2, sizes.epsilon).view(s, t, d)


def attention_values(qkv: Tensor, mask: Tensor | None, sizes: Sizes, shape: tuple[int, int, int]) -> Tensor:
    """Attended values [n, d]. Short sequences go by plain products: the library's kernel takes three times as long."""
    s, t, d = shape
    heads, h = sizes.heads, d // sizes.heads
    split = qkv.view(s, t, 3, heads, h).permute(2, 0, 3, 1, 4)
    if t > _SHORT or sizes.attention_dropout:
        q, k, v = split
        out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=sizes.attention_dropout)
        return out.transpose(1, 2).reshape(s * t, d)
    q, k, v = split.reshape(3, s * heads, t, h).unbind(0)
    out = torch.bmm(_attend(q, k, mask, (s, heads, t)), v)
    return out.view(s, heads, t, h).transpose(1, 2).reshape(s * t, d)


def _dropped(x: Tensor, sizes: Sizes) -> Tensor:
    if not sizes.hidden_dropout:
        return x
    return keep(x, draw_mask(x.shape, sizes.hidden_dropout, like=x)).mul_(1 / (1 - sizes.hidden_dropout))


class _LayerFunction(torch.autograd.Function):
    """One encoder layer, forward and backward. Shapes: n = s*t tokens, a = s*heads attention matrices, h = d/heads."""

    @staticmethod
    def forward(
        ctx: Any, x_std: Tensor, mask: Tensor | None, sizes: Sizes, wq: Tensor, bq: Tensor, wk: Tensor, bk: Tensor,
        wv: Tensor, bv: Tensor, wo: Tensor, bo: Tensor, g1: Tensor, b1: Tensor, wi: Tensor, bi: Tensor, wf: Tensor,
        bf: Tensor, g2: Tensor, b2: Tensor,
    ) -> Tensor:  # fmt: skip
        s, t, d = x_std.shape
        heads, h = sizes.heads, d // sizes.heads
        x = x_std.reshape(s * t, d)
        w_qkv = stacked(wq, wk, wv)
        qkv = torch.addmm(stacked(bq, bk, bv), x, w_qkv.t())
        qkv_ath = qkv.view(s, t, 3, heads, h).permute(2, 0, 3, 1, 4).reshape(3, s * heads, t, h)
        q, k, v = qkv_ath.unbind(0)
        p = _attend(q, k, mask, (s, heads, t))
        keep_a = draw_mask(p.shape, sizes.attention_dropout, like=p) if sizes.attention_dropout else None
        attended = torch.bmm(p if keep_a is None else keep(p, keep_a), v)
        attended = attended.view(s, heads, t, h).transpose(1, 2).reshape(s * t, d)
        attended.mul_(1 / (1 - sizes.attention_dropout))
        out = torch.addmm(bo, attended, wo.t())
        keep_1 = draw_mask(out.shape, sizes.hidden_dropout, like=out) if sizes.hidden_dropout else None
        z1 = _residual(x, out, keep_1, sizes)
        y, mean_1, rstd_1 = _aten.native_layer_norm(z1, [d], g1, b1, sizes.epsilon)
        before = torch.addmm(bi, y, wi.t())
        hidden = _aten.gelu(before)
        out = torch.addmm(bf, hidden, wf.t())
        keep_2 = draw_mask(out.shape, sizes.hidden_dropout, like=out) if sizes.hidden_dropout else None
        z2 = _residual(y, out, keep_2, sizes)
        result, mean_2, rstd_2 = _aten.native_layer_norm(z2, [d], g2, b2, sizes.epsilon)
        ctx.sizes = sizes
        ctx.save_for_backward(
            x_std, qkv_ath, p, keep_a, attended, keep_1, z1, mean_1, rstd_1, y, before, hidden, keep_2, z2, mean_2,
            rstd_2, w_qkv, wo, g1, b1, wi, wf, g2, b2,
        )  # fmt: skip
        return result.view(s, t, d)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (x_std, qkv_ath, p, keep_a, attended, keep_1, z1, mean_1, rstd_1, y, before, hidden, keep_2, z2, mean_2,
         rstd_2, w_qkv, wo, g1, b1, wi, wf, g2, b2) = ctx.saved_tensors  # fmt: skip
        s, t, d = x_std.shape
        needs = ctx.needs_input_grad
        result = gradients[0].reshape(s * t, d)
        # feed-forward block
        dz2, dg2, db2 = _aten.native_layer_norm_backward(
            result, z2, [d], mean_2, rstd_2, g2, b2, [True, needs[17], needs[18]]
        )
        dout = _undropped(dz2, keep_2, ctx.sizes)
        dwf, dbf = _weight_gradients(dout, hidden, needs[15], needs[16])
        dbefore = _aten.gelu_backward(torch.mm(dout, wf), before)
        dwi, dbi = _weight_gradients(dbefore, y, needs[13], needs[14])
        dy = torch.addmm(dz2, dbefore, wi)
        # attention block
        dz1, dg1, db1 = _aten.native_layer_norm_backward(
            dy, z1, [d], mean_1, rstd_1, g1, b1, [True, needs[11], needs[12]]
        )
        dout = _undropped(dz1, keep_1, ctx.sizes)
        dwo, dbo = _weight_gradients(dout, attended, needs[9], needs[10])
        dqkv = _attention_backward(ctx.sizes, torch.mm(dout, wo), qkv_ath, p, keep_a, (s, t, d))
        dwq, dbq, dwk, dbk, dwv, dbv = _split_gradients(dqkv, x_std.reshape(s * t, d), needs[3:9])
        dx = torch.addmm(dz1, dqkv, w_qkv).view(s, t, d) if needs[0] else None
        return (dx, None, None, dwq, dbq, dwk, dbk, dwv, dbv, dwo, dbo, dg1, db1, dwi, dbi, dwf, dbf, dg2, db2)


def _attend(q: Tensor, k: Tensor, mask: Tensor | None, shape: tuple[int, int, int]) -> Tensor:
    """Attention probabilities [a, t, t] in the type of `q`; the softmax itself is computed in float32."""
    s, heads, t = shape
    scores = torch.bmm(q, k.transpose(1, 2)).mul_(q.shape[-1] ** -0.5)
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=scores.dtype, device=mask.device).masked_fill_(~mask, float("-inf"))
        scores.view(s, heads, t, t).add_(mask)
    return _softmax(scores.float()).to(q.dtype)


def _softmax(x: Tensor) -> Tensor:
    """Softmax over the last dimension, float32, in place of `x`: fresh memory costs more than the arithmetic.

    torch's own is four times slower on short rows.
    """
    if x.shape[-1] >= _VECTOR or x.device.type != "cpu":
        return _aten._softmax.out(x, -1, False, out=x)
    x.sub_(x.amax(-1, keepdim=True)).exp_()
    return x.mul_(x.sum(-1, keepdim=True).reciprocal_())


def _softmax_backward(dp: Tensor, p: Tensor) -> Tensor:
    """The gradient of the scores, float32, from that of the probabilities and the probabilities; as `_softmax`."""
    dp, p = dp.float(), p.float()
    if p.shape[-1] >= _VECTOR or p.device.type != "cpu":
        return _aten._softmax_backward_data.out(dp, p, -1, torch.float32, grad_input=dp)
    dp = dp.mul_(p)
    return dp.sub_(p * dp.sum(-1, keepdim=True))


def _residual(x: Tensor, out: Tensor, kept: Tensor | None, sizes: Sizes) -> Tensor:
    """x + dropout(out)."""
    return torch.add(x, out) if kept is None else torch.add(x, keep(out, kept), alpha=1 / (1 - sizes.hidden_dropout))


def _undropped(gradient: Tensor, kept: Tensor | None, sizes: Sizes) -> Tensor:
    """The gradient before dropout, from the one after it."""
    return gradient if kept is None else keep(gradient, kept).mul_(1 / (1 - sizes.hidden_dropout))


def _attention_backward(
    sizes: Sizes, dattended: Tensor, qkv_ath: Tensor, p: Tensor, kept: Tensor | None, shape: tuple[int, int, int]
) -> Tensor:
    """The gradient [n, 3d] of query, key and value, from that of the attended values [n, d]."""
    s, t, d = shape
    heads, h = sizes.heads, d // sizes.heads
    q, k, v = qkv_ath.unbind(0)
    dattended = dattended.mul_(1 / (1 - sizes.attention_dropout))
    dattended = dattended.view(s, t, heads, h).transpose(1, 2).reshape(s * heads, t, h)
    dqkv = torch.empty_like(qkv_ath)
    torch.bmm((p if kept is None else keep(p, kept)).transpose(1, 2), dattended, out=dqkv[2])
    dp = torch.bmm(dattended, v.transpose(1, 2))
    if kept is not None:
        dp = keep(dp, kept)
    dscores = _softmax_backward(dp, p).mul_(h**-0.5).to(p.dtype)
    torch.bmm(dscores, k, out=dqkv[0])
    torch.bmm(dscores.transpose(1, 2), q, out=dqkv[1])
    return dqkv.view(3, s, heads, t, h).permute(1, 3, 0, 2, 4).reshape(s * t, 3 * d)


def _weight_gradients(dy: Tensor, x: Tensor, weight: bool, bias: bool) -> tuple[Tensor | None, Tensor | None]:
    return (torch.mm(dy.t(), x) if weight else None), (dy.sum(0) if bias else None)


def _split_gradients(dqkv: Tensor, x: Tensor, needs: Sequence[bool]) -> list[Tensor | None]:
    """Gradients of the three weights and biases behind one product, in the order w, b, w, b, w, b."""
    d = x.shape[1]
    weights = torch.mm(dqkv.t(), x) if any(needs[0::2]) else None
    biases = dqkv.sum(0) if any(needs[1::2]) else None
    gradients: list[Tensor | None] = []
    for i in range(3):
        part = slice(i * d, (i + 1) * d)
        gradients.append(weights[part] if weights is not None and needs[2 * i] else None)
        gradients.append(biases[part] if biases is not None and needs[2 * i + 1] else None)
    return gradients
