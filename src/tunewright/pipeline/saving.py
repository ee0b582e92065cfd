"""What a recipe asks for to save memory: refused where it would save none, and counted. Knows models, not weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tunewright.model.adaptations import Adaptation
from tunewright.model.bases import Base
from tunewright.model.build import skeleton_of
from tunewright.model.checkpointing import recomputing_layers
from tunewright.model.quantized import count_weights, quantized_layers, refuse_without_library
from tunewright.model.trainable import Trainable, TrainHead
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.read import RecipeFile

_PACKING = ("quantized", "adamw_8bit")
_CHECKPOINTING = "compute.gradient_checkpointing"


class BaseBytes(NamedTuple):
    """What a base takes in memory: all its `weights` were they numbers of their own, those that are, and the packed."""

    weights: int  # how many
    plain: int  # how many of them are numbers of their own
    packed: int  # bytes of the others

    def at(self, width: int) -> int:
        """Bytes where a number takes `width` of them."""
        return self.plain * width + self.packed


def count_base(base: Base, kind: str, adaptations: Sequence[Adaptation]) -> BaseBytes:
    """The weights of `base` after its changes, as a model for `kind` holds them."""
    trunk = skeleton_of(base, kind, adaptations).trunk
    packed = sum(layer.bytes for _, layer in quantized_layers(trunk))
    return BaseBytes(count_weights(trunk), sum(p.numel() for p in trunk.parameters()), packed)


def refuse_missing_library(file: RecipeFile) -> None:
    """Raises RecipeRefusal where something is to be packed and the library that packs is not installed."""
    asked = {f"adapt.{place}": change.kind for place, change in enumerate(file.recipe.adapt)}
    asked |= {f"phases.{index}.optimizer": phase.optimizer.kind for index, phase in enumerate(file.recipe.phases)}
    for key, kind in asked.items():
        if kind in _PACKING:
            refuse_without_library(file.where(key), RecipeRefusal)


def refuse_idle_checkpointing(
    file: RecipeFile, base: Base, adaptations: Sequence[Adaptation], trainables: Sequence[Trainable]
) -> None:
    """Raises RecipeRefusal where layers are to be computed again and nothing of them would be kept anyway."""
    if file.recipe.compute.gradient_checkpointing == "none":
        return
    skeleton = skeleton_of(base, file.recipe.task.kind, adaptations)
    new = bool(skeleton.new.tensors or skeleton.new.rows)
    if not new and all(isinstance(trainable, TrainHead) for trainable in trainables):
        raise RecipeRefusal(
            "The trunk is frozen, so no layer keeps anything for a backward pass and nothing would be saved.",
            where=file.where(_CHECKPOINTING), remedy="Leave it out, or train more than the head.",
        )  # fmt: skip
    if not recomputing_layers(skeleton.trunk):
        raise RecipeRefusal(
            f"The library cannot compute the layers of a {type(skeleton.trunk).__name__} again.",
            where=file.where(_CHECKPOINTING), remedy="Leave it out, or raise accumulate so that passes are smaller.",
        )  # fmt: skip
