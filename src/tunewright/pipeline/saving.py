"""What a recipe asks for to save memory: refused where it would save none. Knows recipes and models without weights."""

from __future__ import annotations

from collections.abc import Sequence

from tunewright.model.adaptations import Adaptation
from tunewright.model.bases import Base
from tunewright.model.build import skeleton_of
from tunewright.model.checkpointing import recomputing_layers
from tunewright.model.trainable import Trainable, TrainHead
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.read import RecipeFile

_CHECKPOINTING = "compute.gradient_checkpointing"


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
