"""From a base to the model of a task. Knows bases, trunks and heads; must not know rows, labels or training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from transformers import PretrainedConfig, PreTrainedModel

from tunewright.model.adaptations import Adaptation, Importance, Quantized, Site
from tunewright.model.bases import Base
from tunewright.model.describe import Description, load_config, load_tokenizer, skeleton, tensor_headers
from tunewright.model.fused import fuse_layers
from tunewright.model.heads import Head, New, Pooling, Shape, TaskModel, VectorModel, initialise_head
from tunewright.model.joined import joined_config, load_joined, new_modules
from tunewright.model.text import TextModel
from tunewright.model.trunks import (
    initialise_word_head,
    lacks_word_head,
    load_trunk,
    own_memory,
    quiet_library,
    word_head_of,
)
from tunewright.recipe.tasks import KINDS

Model = TaskModel | VectorModel | TextModel


def build_model(
    base: Base,
    description: Description,
    *,
    kind: str,
    outputs: int,
    pooling: Pooling,
    dtype: torch.dtype = torch.float32,
    seed: int,
    dropout: float = 0.1,
    adaptations: Sequence[Adaptation] = (),
    importance: Mapping[int, Importance] | None = None,
) -> Model:
    """The pre-trained trunk of `base` in `dtype`, adapted, with a new float32 head of `outputs` columns.

    What is new is made from `seed` alone. For answers that are texts the base keeps its own output layer and gets no
    head, and none is needed where texts are compared. Otherwise of an encoder-decoder only the encoder is kept, and of
    an encoder the pooler, which no task here reads, is left out. `importance` says of adaptations, by their place, how
    much each unit matters that may go. Raises BaseRefusal where the weights do not fill the trunk, RecipeRefusal where
    an adaptation cannot be made.
    """
    assert kind != "regression" or outputs == 1, "regression has one output"
    assert outputs or not has_head(kind), f"a head for {kind} needs outputs"
    shape = shape_of(
        description, kind=kind, outputs=outputs, pooling=pooling, dropout=dropout, adaptations=adaptations
    )
    config, as_read = _configured(base, adaptations), _is_packed_as_read(base, adaptations)
    if as_read:
        trunk = load_trunk(base.folder, dtype=torch.bfloat16, writes=writes_text(kind), config=config, mapped=True)
    else:
        trunk = _load(base, config, dtype=dtype, writes=writes_text(kind), seed=seed)
    if base.decoder is None and lacks_word_head(base.folder, trunk):
        initialise_word_head(word_head_of(trunk), seed=seed)
    site = adapt_trunk(trunk, base, adaptations, seed=seed, importance=importance)
    if as_read:
        own_memory(trunk.to(dtype))
    fuse_layers(trunk)
    model = model_around(trunk, shape)
    if isinstance(model, TaskModel):
        initialise_head(model.head, seed=seed)
    model.new = site.news(trunk)
    return model


def shape_of(
    description: Description, *, kind: str, outputs: int, pooling: Pooling, dropout: float = 0.1,
    adaptations: Sequence[Adaptation] = (),
) -> Shape:  # fmt: skip
    """What stands on the trunk of `description` for a task of `kind`, adapted."""
    shape = Shape(
        kind=kind,
        outputs=outputs,
        pooling=pooling,
        family=description.family,
        takes_types=description.takes_types,
        dropout=dropout if has_head(kind) else 0.0,
    )
    for adaptation in adaptations:
        shape = adaptation.shaped(shape)
    return shape


def adapt_trunk(
    trunk: PreTrainedModel, base: Base, adaptations: Sequence[Adaptation], *, seed: int,
    importance: Mapping[int, Importance] | None = None,
) -> Site:  # fmt: skip
    """Make all changes of `trunk`, in place, also where it has no weights; returns what is known of them."""
    words = len(load_tokenizer(base.folder)) if adaptations else 0
    new = word_head_of(trunk) if base.decoder is None and lacks_word_head(base.folder, trunk) else []
    site = Site(seed=seed, words=words, modules=new_modules(trunk) if base.decoder is not None else new)
    for place, adaptation in enumerate(adaptations):
        site.seed, site.importance = seed + place, (importance or {}).get(place)
        adaptation.change(trunk, site)
    return site


class Skeleton(NamedTuple):
    """A trunk without weights, and what of it is new."""

    trunk: PreTrainedModel
    new: New


def skeleton_of(base: Base, kind: str, adaptations: Sequence[Adaptation] = ()) -> Skeleton:
    """The trunk of a model for `kind` without weights, as `build_model` makes it. Raises as that."""
    with quiet_library():
        trunk = skeleton(_configured(base, adaptations), base.folder, writes=writes_text(kind))
    site = adapt_trunk(trunk, base, adaptations, seed=0)
    return Skeleton(trunk, site.news(trunk))


def skeleton_of_head(
    description: Description, *, kind: str, outputs: int, adaptations: Sequence[Adaptation] = ()
) -> Head | None:
    """The head of such a model without weights; None of one that has none."""
    if not has_head(kind):
        return None
    shape = shape_of(description, kind=kind, outputs=outputs, pooling="mean", adaptations=adaptations)
    with torch.device("meta"):
        return Head(description.width, shape)


def model_around(trunk: PreTrainedModel, shape: Shape) -> Model:
    """The model of a task of `shape` around a trunk; the weights of its head, if it has one, are not of meaning yet."""
    if writes_text(shape.kind):
        return TextModel(trunk, shape)
    return TaskModel(trunk, shape) if has_head(shape.kind) else VectorModel(trunk, shape)


def has_head(kind: str) -> bool:
    """Whether a task of this kind puts a new head on the trunk."""
    return not (writes_text(kind) or KINDS[kind].compares)


def writes_text(kind: str) -> bool:
    """Whether a task of this kind is answered by the base's own output layer, token by token."""
    return KINDS[kind].answers in ("texts", "nothing")


def _is_packed_as_read(base: Base, adaptations: Sequence[Adaptation]) -> bool:
    """Whether a base of 2 bytes a weight is packed at once: it is never widened to 4 then, and no bit is another."""
    if base.decoder is not None or len(adaptations) != 1 or not isinstance(adaptations[0], Quantized):
        return False
    return all(header["dtype"] == "BF16" for header in tensor_headers(base))


def _configured(base: Base, adaptations: Sequence[Adaptation]) -> PretrainedConfig:
    config = copy.deepcopy(joined_config(base) if base.decoder is not None else load_config(base.folder))
    for adaptation in adaptations:
        adaptation.configure(config)
    return config


def _load(base: Base, config: PretrainedConfig, *, dtype: torch.dtype, writes: bool, seed: int) -> PreTrainedModel:
    if base.decoder is not None:
        return load_joined(base, dtype=dtype, config=config, seed=seed)
    return load_trunk(base.folder, dtype=dtype, writes=writes, config=config)
