"""From a base to the model of a task. Knows bases, trunks and heads; must not know rows, labels or training."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from tunewright.model.bases import Base
from tunewright.model.describe import Description
from tunewright.model.heads import Pooling, Shape, TaskModel, VectorModel, initialise_head
from tunewright.model.text import TextModel
from tunewright.model.trunks import load_trunk
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
) -> Model:
    """The pre-trained trunk of `base` in `dtype`, with a new float32 head of `outputs` columns made from `seed` alone.

    For answers that are texts the base keeps its own output layer and gets no head, and none is needed where texts are
    compared. Otherwise of an encoder-decoder only the encoder is kept, and of an encoder the pooler, which no task here
    reads, is left out. Raises BaseRefusal where the weights do not fill the trunk.
    """
    assert kind != "regression" or outputs == 1, "regression has one output"
    assert outputs or not has_head(kind), f"a head for {kind} needs outputs"
    shape = Shape(
        kind=kind,
        outputs=outputs,
        pooling=pooling,
        family=description.family,
        takes_types=description.takes_types,
        dropout=dropout if has_head(kind) else 0.0,
    )
    model = model_around(load_trunk(base.folder, dtype=dtype, writes=writes_text(kind)), shape)
    if isinstance(model, TaskModel):
        initialise_head(model.head, seed=seed)
    return model


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
