"""A trunk with a head on it. Knows pooling and logits; must not know objectives, optimisers, rows or labels."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from tunewright.model.bases import Base
from tunewright.model.describe import (
    Description,
    Family,
    library_class_of,
    load_config,
    text_encoder_class,
    without_pooler,
)
from tunewright.model.fused import fuse_layers
from tunewright.recipe.errors import BaseRefusal
from tunewright.values import Batch, Outputs

Pooling = Literal["mean", "cls", "last"]
HEAD_STD = 0.02


@dataclass(frozen=True, slots=True)
class Shape:
    """All that must be known to build a TaskModel around a trunk; saved beside the weights."""

    kind: str  # classification | multi_label | regression
    outputs: int  # classes, labels, or 1
    pooling: Pooling
    family: Family
    takes_types: bool
    dropout: float


class TaskModel(nn.Module):
    """A pre-trained trunk, a pooling of its token vectors, and a linear head.

    Correct in any parameter dtype: the trunk computes in its own, pooling and head compute in float32. A sequence of no
    tokens is read as one padding token.
    """

    def __init__(self, trunk: PreTrainedModel, shape: Shape):
        super().__init__()
        self.trunk = trunk
        self.shape = shape
        self.dropout = nn.Dropout(shape.dropout)
        self.head = nn.Linear(trunk.config.get_text_config().hidden_size, shape.outputs)
        self._trunk_options: dict[str, Any] = {"use_cache": False} if shape.family == "decoder" else {}

    @property
    def pad_id(self) -> int:
        """The id that stands where a batch has no token; never read, save by models that find positions by it."""
        config = self.trunk.config.get_text_config()
        return next((i for i in (config.pad_token_id, config.eos_token_id) if isinstance(i, int) and i >= 0), 0)

    def forward(self, batch: Batch) -> Outputs:
        """Logits float32 [b, c] (regression [b]) and pooled vectors float32 [b, d] of `batch`."""
        return self.answer(self.pool(batch))

    def token_vectors(self, batch: Batch) -> Tensor:
        """The trunk's last hidden states [s, t, d], in the trunk's dtype; padded positions hold nothing of meaning."""
        types = {}
        if self.shape.takes_types and batch.types_st is not None:
            types["token_type_ids"] = batch.types_st
        return self.trunk(
            input_ids=batch.ids_st, attention_mask=_readable(batch).long(), **types, **self._trunk_options
        ).last_hidden_state

    def pool(self, batch: Batch) -> Tensor:
        """One vector a row, float32 [b, d]: sequences pooled over their tokens, windows averaged by their tokens."""
        pooled_sd = self._pool_sequences(self.token_vectors(batch), batch)
        if len(pooled_sd) == batch.rows:
            return pooled_sd
        tokens_s = batch.lengths_s.clamp(min=1).to(pooled_sd.dtype)
        sums_bd = pooled_sd.new_zeros(batch.rows, pooled_sd.shape[1])
        sums_bd = sums_bd.index_add(0, batch.owner_s, pooled_sd * tokens_s[:, None])
        tokens_b = tokens_s.new_zeros(batch.rows).index_add(0, batch.owner_s, tokens_s)
        return sums_bd / tokens_b[:, None]

    def answer(self, pooled_bd: Tensor) -> Outputs:
        """What the head says of pooled vectors [b, d]; with a frozen trunk these may come from a cache."""
        dropped_bd = self.dropout(pooled_bd.float())
        logits_bc = functional.linear(dropped_bd, self.head.weight.float(), self.head.bias.float())
        logits = logits_bc.squeeze(1) if self.shape.kind == "regression" else logits_bc
        return Outputs(logits=logits, pooled_bd=pooled_bd)

    def _pool_sequences(self, vectors_std: Tensor, batch: Batch) -> Tensor:
        if self.shape.pooling == "cls":
            return vectors_std[:, 0].float()
        if self.shape.pooling == "last":
            last_s = batch.lengths_s.clamp(min=1) - 1
            return vectors_std[torch.arange(len(last_s), device=last_s.device), last_s].float()
        shares_st = _readable(batch).float() / batch.lengths_s.clamp(min=1)[:, None]
        return torch.bmm(shares_st[:, None, :], vectors_std.float()).squeeze(1)


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
) -> TaskModel:
    """The pre-trained trunk of `base` in `dtype`, with a new float32 head of `outputs` columns made from `seed` alone.

    Of an encoder-decoder only the encoder is kept; of an encoder the pooler, which no task here reads, is left out.
    Raises BaseRefusal where the weights do not fill the trunk.
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
    model = TaskModel(load_trunk(base.folder, dtype=dtype), shape)
    initialise_head(model.head, seed=seed)
    return model


def initialise_head(head: nn.Linear, *, seed: int) -> None:
    """Normal weights of standard deviation 0.02 (as BERT, Devlin et al. 2019) and zero bias, from `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * HEAD_STD)
        head.bias.zero_()


def load_trunk(folder: Path, *, dtype: torch.dtype, class_name: str | None = None) -> PreTrainedModel:
    """The trunk in `folder`, in evaluation mode, its tensors in memory of their own.

    `class_name` names the class that wrote the folder; without it the class is chosen from the configuration.
    """
    config = load_config(folder)
    whole = class_name is None and config.is_encoder_decoder and text_encoder_class(config) is None
    trunk_class = _trunk_class(config, folder, class_name)
    with quiet_library():
        trunk, loading = trunk_class.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation="sdpa" if trunk_class._supports_sdpa else "eager",
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
            **without_pooler(trunk_class),
        )
    _refuse_unfilled(folder, loading, exactly=class_name is not None)
    if whole:
        trunk = trunk.get_encoder()
    own_memory(trunk)
    fuse_layers(trunk)
    return trunk.eval()


def own_memory(module: nn.Module) -> None:
    """Copies every tensor of `module` to memory of its own.

    Tensors that still view a mapped safetensors file are unaligned, and matrix products differ with alignment.
    """
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)


def _trunk_class(config: PretrainedConfig, folder: Path, class_name: str | None) -> type[PreTrainedModel]:
    library_class = library_class_of(config, folder)
    if class_name is None:
        return text_encoder_class(config) or library_class
    found = getattr(importlib.import_module(library_class.__module__), class_name, None)
    if not (isinstance(found, type) and issubclass(found, PreTrainedModel)):
        raise BaseRefusal(
            f"{class_name!r} is not a model of the installed transformers.",
            where=str(folder),
            remedy="Load the model with the transformers version that wrote it.",
        )
    return found


def _refuse_unfilled(folder: Path, loading: dict[str, Any], *, exactly: bool) -> None:
    """A base may carry tensors that no task reads, such as its old head; a trunk of our own may not (`exactly`)."""
    missing = sorted(loading["missing_keys"])
    misshapen = sorted(name for name, *_ in loading["mismatched_keys"])
    left_over = sorted(loading["unexpected_keys"]) if exactly else []
    if missing or misshapen or left_over:
        raise BaseRefusal(
            f"The weights do not fill the model: {len(missing)} tensors missing, {len(misshapen)} of another shape, "
            f"{len(left_over)} left over ({', '.join((missing + misshapen + left_over)[:3])}).",
            where=str(folder),
            remedy="Download the base again, or check that config.json belongs to these weights.",
        )


@contextmanager
def quiet_library() -> Iterator[None]:
    """Without the library's progress bar and load report; what they would say is checked and refused instead."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _readable(batch: Batch) -> Tensor:
    """True at tokens to read, bool [s, t]: the real ones, and the first of a sequence that has none."""
    positions_t = torch.arange(batch.ids_st.shape[1], device=batch.ids_st.device)
    return positions_t[None, :] < batch.lengths_s.clamp(min=1)[:, None]
