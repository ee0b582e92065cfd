"""Layers that keep their input alone for the backward pass. Knows trunks; must not know tasks, rows or recipes.

What a layer computed on the way is computed again when its gradient is due (Chen et al. 2016, arXiv:1604.06174): one
more forward pass for the memory of one layer instead of all. Chance repeats itself, so dropout drops the same numbers.
"""

from __future__ import annotations

from functools import partial

from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from tunewright.model.build import Model
from tunewright.model.text import TextModel


def recomputing_layers(trunk: PreTrainedModel) -> list[GradientCheckpointingLayer]:
    """The layers of `trunk` that can be computed again; none of an architecture that does not foresee it."""
    return [module for module in trunk.modules() if isinstance(module, GradientCheckpointingLayer)]


def recompute_layers(model: Model) -> int:
    """Lets each layer of the trunk keep its input alone while it trains; returns how many layers there are."""
    layers = recomputing_layers(model.trunk)
    for layer in layers:
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
    if isinstance(model, TextModel):
        model.keep = "inputs"
    return len(layers)


def layers_recomputed(model: Model) -> int:
    """How many layers of the trunk keep their input alone."""
    return sum(layer.gradient_checkpointing for layer in recomputing_layers(model.trunk))
