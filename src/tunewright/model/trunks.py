"""Loading a pre-trained trunk from a folder. Knows files and architectures; must not know heads, tasks or rows."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING
from transformers.utils import logging

from tunewright.model.bases import weight_files
from tunewright.model.describe import (
    library_class_of,
    load_config,
    read_header,
    text_encoder_class,
    without_pooler,
    writing_class,
)
from tunewright.model.fused import fuse_layers
from tunewright.model.quantized import adopt_layers, refuse_without_library
from tunewright.recipe.errors import BaseRefusal


def load_trunk(
    folder: Path, *, dtype: torch.dtype, class_name: str | None = None, writes: bool = False,
    config: PretrainedConfig | None = None, mapped: bool = False,
) -> PreTrainedModel:  # fmt: skip
    """The trunk in `folder`, in evaluation mode, its tensors in memory of their own; with its output layer if `writes`.

    Where `mapped`, tensors may lie in the file still, for one who converts all of them at once. `class_name` names the
    class that wrote the folder; without it the class is chosen from the configuration, which `config` replaces.
    """
    config = load_config(folder) if config is None else config
    if getattr(config, "quantization_config", None) is not None:
        refuse_without_library(str(folder))
    whole = class_name is None and not writes and config.is_encoder_decoder and text_encoder_class(config) is None
    trunk_class = writing_class(config, folder) if writes else _trunk_class(config, folder, class_name)
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
    if config.model_type == "encoder-decoder":
        trunk.encoder.pooler = None  # the library gives it one that nothing reads
        loading["missing_keys"] = [name for name in loading["missing_keys"] if not name.startswith("encoder.pooler.")]
    if writes and lacks_word_head(folder, trunk):
        inside = f"{trunk.base_model_prefix}."
        loading["missing_keys"] = [name for name in loading["missing_keys"] if name.startswith(inside)]
    _refuse_unfilled(folder, loading, exactly=class_name is not None)
    if whole:
        trunk = trunk.get_encoder()
    adopt_layers(trunk)
    if not mapped:
        own_memory(trunk)
    fuse_layers(trunk)
    return trunk.eval()


def lacks_word_head(folder: Path, trunk: PreTrainedModel) -> bool:
    """Whether `trunk` is an encoder that fills in hidden words, and its weights on disk have nothing to do that by."""
    masked = type(trunk.config) in MODEL_FOR_MASKED_LM_MAPPING
    if not masked or not isinstance(trunk, MODEL_FOR_MASKED_LM_MAPPING[type(trunk.config)]):
        return False
    inside = f"{trunk.base_model_prefix}."
    beside = {name for name, _ in trunk.named_parameters() if not name.startswith(inside)}
    return not any(beside & read_header(folder / file).keys() for file in weight_files(folder))


def word_head_of(trunk: PreTrainedModel) -> list[nn.Module]:
    """The modules that lead from vectors to words, save the layer of words itself, which is the table of embeddings."""
    inside, words = {id(module) for module in trunk.base_model.modules()}, trunk.get_output_embeddings()
    return [module for module in trunk.modules() if id(module) not in inside and module not in (trunk, words)]


def initialise_word_head(modules: list[nn.Module], *, seed: int) -> None:
    """Normal weights of standard deviation 0.02 (as BERT, Devlin et al. 2019), norms at rest, from `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in modules:
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.dim() == 2:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
                else:
                    parameter.fill_(1.0 if name == "weight" else 0.0)


def own_memory(module: nn.Module) -> None:
    """Copies every tensor of `module` to memory of its own.

    Tensors that still view a mapped safetensors file are unaligned, and matrix products differ with alignment.
    """
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)


def _trunk_class(config: PretrainedConfig, folder: Path, class_name: str | None) -> type[PreTrainedModel]:
    joined = config.model_type == "encoder-decoder"
    library_class = writing_class(config, folder) if joined else library_class_of(config, folder)
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
