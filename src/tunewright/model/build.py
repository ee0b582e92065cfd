"""From a base to the model of a task. Knows bases, trunks and heads; must not know rows, labels or training."""

from __future__ import annotations

from dataclasses import replace

import torch

from tunewright.model.bases import Base
from tunewright.model.describe import Description
from tunewright.model.heads import Pooling, Shape, TaskModel, initialise_head
from tunewright.model.text import TextModel
from tunewright.model.trunks import load_trunk
from tunewright.recipe.tasks import KINDS

Model = TaskModel | TextModel


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

    For answers that are texts the base keeps its own output layer and gets no head. Otherwise of an encoder-decoder
    only the encoder is kept, and of an encoder the pooler, which no task here reads, is left out. Raises BaseRefusal
    where the weights do not fill the trunk.
    """
    assert kind != "regression" or outputs == 1, "regression has one output"
    shape = Shape(
        kind=kind,
        outputs=outputs,
        pooling=pooling,
        family=description.family,
        takes_types=description.takes_types,
        dropout=dropout,
    )
    if writes_text(kind):
        return TextModel(load_trunk(base.folder, dtype=dtype, writes=True), replace(shape, dropout=0.0))
    model = TaskModel(load_trunk(base.folder, dtype=dtype), shape)
    initialise_head(model.head, seed=seed)
    return model


def writes_text(kind: str) -> bool:
    """Whether a task of this kind is answered by the base's own output layer, token by token."""
    return KINDS[kind].answers in ("texts", "nothing")
