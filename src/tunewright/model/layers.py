"""Layers taken out of a trunk, put in, and their feed-forward blocks made wider or narrower. Must not know recipes.

All of it works in place, and on a trunk without weights as on one with weights, so that what a change makes of a base
can be said before the base is loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from tunewright.model.stacks import Stack, parts_of, recount


def keep_layers(stack: Stack, kept: Sequence[int]) -> None:
    """Leave the layers `kept`, in order, with the weights they have."""
    assert kept and sorted(set(kept)) == list(kept), "kept layers are some of those there are, each once"
    _hand_on_positions(stack.layers[0], stack.layers[kept[0]])
    left = [stack.layers[i] for i in kept]
    del stack.layers[:]
    stack.layers.extend(left)
    recount(stack, kept)


def insert_layers(stack: Stack, after: Sequence[int]) -> list[nn.Module]:
    """Put a layer behind each of the layers `after`, such that the trunk computes what it did. Returns the new ones.

    A new layer begins as a copy of the one before it, whose additions to what it reads are zero (as LLaMA Pro, Wu et
    al. 2024, arXiv:2401.02415). Where norms come after the sums, as in BERT, the new layer also takes over the last
    norm's gain and bias from the one before, so that what it normalises is normalised already; exact but for the norm's
    epsilon, 1e-12 in BERT.
    """
    order, fresh = [], []
    for number, layer in enumerate(stack.layers):
        order.append((number, layer))
        if number in after:
            fresh.append(_passing_on(layer, stack))
            order.append((number, fresh[-1]))
    del stack.layers[:]
    stack.layers.extend(layer for _, layer in order)
    recount(stack, [number for number, _ in order])
    return fresh


def _passing_on(layer: nn.Module, stack: Stack) -> nn.Module:
    new = copy.deepcopy(layer)
    _drop_positions(new)
    with torch.no_grad():
        for module in parts_of(new, stack.kind.added):
            for parameter in module.parameters():
                parameter.zero_()
        norms = parts_of(new, stack.kind.norms)
        for norm in [*norms[:-1], *parts_of(layer, stack.kind.norms)[-1:]]:
            norm.weight.fill_(1.0)
            norm.bias.zero_()
    return new


def _hand_on_positions(old: nn.Module, new: nn.Module) -> None:
    """T5 keeps the positions of all layers in the first one: let `new` have them, if it is to be the first."""
    if old is not new and hasattr(old, "layer") and hasattr(old.layer[0], "SelfAttention"):
        new.layer[0].SelfAttention.relative_attention_bias = old.layer[0].SelfAttention.relative_attention_bias
        new.layer[0].SelfAttention.has_relative_attention_bias = True
        _drop_positions(old)


def _drop_positions(layer: nn.Module) -> None:
    if hasattr(layer, "layer") and getattr(layer.layer[0].SelfAttention, "has_relative_attention_bias", False):
        del layer.layer[0].SelfAttention.relative_attention_bias
        layer.layer[0].SelfAttention.has_relative_attention_bias = False


def widen(stack: Stack, units: int, *, seed: int) -> None:
    """Give each feed-forward block `units` units; what the block says stays the same.

    New units are random, of the spread that the block's weights have, and nothing is gathered from them yet, so that
    their gathering weights get gradients at once (Net2Net, Chen et al. 2016, arXiv:1511.05641, with zeros for the share
    that a copied unit would hand over).
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in stack.layers:
        for module in parts_of(layer, stack.kind.spread):
            weight_ud = _weight_of(module)
            added_ud = torch.randn(units - len(weight_ud), weight_ud.shape[1], generator=generator)
            spread = weight_ud.float().std() if weight_ud.device.type != "meta" else 1.0
            _give_weight(module, torch.cat([weight_ud, (added_ud.to(weight_ud) * spread).to(weight_ud.dtype)]))
            if module.bias is not None:
                module.bias = _like(module.bias, torch.cat([module.bias, module.bias.new_zeros(len(added_ud))]))
        (gathered,) = parts_of(layer, (stack.kind.gathered,))
        weight_du = _weight_of(gathered)
        zeros_du = weight_du.new_zeros(len(weight_du), units - weight_du.shape[1])
        _give_weight(gathered, torch.cat([weight_du, zeros_du], dim=1))
    setattr(stack.config, stack.units_key, units)


def narrow(stack: Stack, kept: Sequence[Tensor]) -> None:
    """Leave of each layer's feed-forward block the units `kept`, int64 [u] a layer, all of one length."""
    for layer, kept_u in zip(stack.layers, kept, strict=True):
        for module in parts_of(layer, stack.kind.spread):
            place_u = kept_u.to(module.weight.device)
            _give_weight(module, _weight_of(module)[place_u])
            if module.bias is not None:
                module.bias = _like(module.bias, module.bias[place_u])
        (gathered,) = parts_of(layer, (stack.kind.gathered,))
        _give_weight(gathered, _weight_of(gathered)[:, kept_u.to(gathered.weight.device)])
    setattr(stack.config, stack.units_key, len(kept[0]))


def gathering(stack: Stack) -> list[nn.Module]:
    """What gathers the units of each layer's feed-forward block."""
    return [parts_of(layer, (stack.kind.gathered,))[0] for layer in stack.layers]


def output_norms(module: nn.Module) -> Tensor:
    """How strongly each unit that `module` gathers can be heard: the length of its weights, float32 [u]."""
    return _weight_of(module).float().norm(dim=0)


def _weight_of(module: nn.Module) -> Tensor:
    """The weight [outputs, inputs] of a linear map; GPT-2's Conv1D keeps it the other way round."""
    return module.weight.detach().t() if isinstance(module, Conv1D) else module.weight.detach()


def _give_weight(module: nn.Module, weight_oi: Tensor) -> None:
    outputs, inputs = weight_oi.shape
    if isinstance(module, Conv1D):
        module.weight, module.nf, module.nx = _like(module.weight, weight_oi.t()), outputs, inputs
    else:
        module.weight, module.out_features, module.in_features = _like(module.weight, weight_oi), outputs, inputs


def _like(old: nn.Parameter, tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.clone(memory_format=torch.contiguous_format), requires_grad=old.requires_grad)
