"""Where the layers of a trunk lie and what each is made of, by architecture. Must not know tasks, recipes or rows."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from tunewright.model.describe import layer_stack
from tunewright.recipe.errors import BaseRefusal, RecipeRefusal

Half = Literal["encoder", "decoder"]


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What the layers of one architecture call their parts; names are shell patterns of paths inside a layer.

    A feed-forward block is `spread` to its units and `gathered` from them. What the modules in `added` make is added to
    what the layer read; `norms` come after these sums, in order, and are empty where the norms come before.
    `layers_key` and `units_key` are what the configuration calls the number of layers and of units, by half where it
    tells two.
    """

    spread: tuple[str, ...]
    gathered: str
    added: tuple[str, ...]
    norms: tuple[str, ...]
    layers_key: tuple[str, str]  # of an encoder or a lone stack, and of a decoder
    units_key: tuple[str, str]


_BERT = LayerKind(
    ("intermediate.dense",), "output.dense",
    ("attention.output.dense", "crossattention.output.dense", "output.dense"),
    ("attention.output.LayerNorm", "crossattention.output.LayerNorm", "output.LayerNorm"),
    ("num_hidden_layers",) * 2, ("intermediate_size",) * 2,
)  # fmt: skip
_LLAMA = LayerKind(
    ("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj", ("self_attn.o_proj", "mlp.down_proj"), (),
    ("num_hidden_layers",) * 2, ("intermediate_size",) * 2,
)  # fmt: skip
_BART = LayerKind(
    ("fc1",), "fc2", ("self_attn.out_proj", "encoder_attn.out_proj", "fc2"),
    ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
    ("encoder_layers", "decoder_layers"), ("encoder_ffn_dim", "decoder_ffn_dim"),
)  # fmt: skip
LAYER_KINDS: dict[str, LayerKind] = {
    "BertLayer": _BERT,
    "RobertaLayer": _BERT,
    "XLMRobertaLayer": _BERT,
    "CamembertLayer": _BERT,
    "ElectraLayer": _BERT,
    "TransformerBlock": LayerKind(  # DistilBERT
        ("ffn.lin1",), "ffn.lin2", ("attention.out_lin", "ffn.lin2"), ("sa_layer_norm", "output_layer_norm"),
        ("n_layers",) * 2, ("hidden_dim",) * 2,
    ),
    "LlamaDecoderLayer": _LLAMA,
    "MistralDecoderLayer": _LLAMA,
    "Qwen2DecoderLayer": _LLAMA,
    "GPT2Block": LayerKind(
        ("mlp.c_fc",), "mlp.c_proj", ("attn.c_proj", "crossattention.c_proj", "mlp.c_proj"), (),
        ("n_layer",) * 2, ("n_inner",) * 2,
    ),
    "T5Block": LayerKind(
        ("layer.*.DenseReluDense.wi*",), "layer.*.DenseReluDense.wo",
        ("layer.0.SelfAttention.o", "layer.1.EncDecAttention.o", "layer.*.DenseReluDense.wo"), (),
        ("num_layers", "num_decoder_layers"), ("d_ff",) * 2,
    ),
    "BartEncoderLayer": _BART,
    "BartDecoderLayer": _BART,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stack:
    """The layers that run one after the other, and the configuration that counts them."""

    half: Half | None  # None where the trunk has one stack alone
    layers: nn.ModuleList
    config: PretrainedConfig
    kind: LayerKind
    own_config: PretrainedConfig  # by which the stack runs: a copy in T5, where the halves may differ

    @property
    def layers_key(self) -> str:
        return self.kind.layers_key[self.half == "decoder"]

    @property
    def units_key(self) -> str:
        return self.kind.units_key[self.half == "decoder"]

    @property
    def units(self) -> int:
        """Units of the feed-forward block of each layer."""
        spread = parts_of(self.layers[0], self.kind.spread)[0]
        return int(getattr(spread, "nf", None) or spread.out_features)  # GPT-2's Conv1D says nf

    @property
    def says(self) -> str:
        return f"{self.half}: " if self.half else ""


def stacks_of(trunk: PreTrainedModel, *, half: Half | None = None) -> list[Stack]:
    """The stacks of a trunk, the encoder's first; with `half` that one alone.

    Raises BaseRefusal where the layers are of a kind that is not known here, and RecipeRefusal where there is no such
    half.
    """
    found = [
        _stack(trunk, path, layers)
        for path, layers in trunk.named_modules()
        if isinstance(layers, nn.ModuleList) and len(layers) and type(layers[0]).__name__ in LAYER_KINDS
    ]
    if not found:
        kind = type(layer_stack(trunk)[1][0]).__name__
        raise BaseRefusal(
            f"Layers of the kind {kind} cannot be changed: what they are made of is not known here.",
            where="adapt",
            remedy=f"Choose a base with one of {', '.join(LAYER_KINDS)}, or leave its layers as they are.",
        )
    if len(found) == 1:
        found = [replace(found[0], half=None)] if found[0].half != "decoder" else found
    if half is None:
        return found
    chosen = [stack for stack in found if stack.half == half]
    if not chosen:
        raise RecipeRefusal(f"This model has one stack of layers, and no {half} beside another half.",
                            where="adapt", remedy="Leave out half.")  # fmt: skip
    return chosen


def _stack(trunk: PreTrainedModel, path: str, layers: nn.ModuleList) -> Stack:
    steps, config = path.split("."), trunk.config
    half: Half = "decoder" if "decoder" in steps else "encoder"
    if config.model_type == "encoder-decoder":
        config = config.encoder if steps[0] == "encoder" else config.decoder
        half = "encoder" if steps[0] == "encoder" else "decoder"
    owner = trunk.get_submodule(path.rpartition(".")[0])
    return Stack(half, layers, config, LAYER_KINDS[type(layers[0]).__name__], getattr(owner, "config", config))


def parts_of(layer: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """The modules of a layer whose path fits one of `patterns`, in their order."""
    return [
        module for pattern in patterns for path, module in layer.named_modules() if fnmatch.fnmatchcase(path, pattern)
    ]


def recount(stack: Stack, chosen: Sequence[int]) -> None:
    """Make the configuration and the layers' own numbers say that `stack` now has the old layers `chosen`, in order."""
    setattr(stack.config, stack.layers_key, len(stack.layers))
    if stack.own_config is not stack.config:
        stack.own_config.num_hidden_layers = len(stack.layers)
    sorts = getattr(stack.config, "layer_types", None)
    if isinstance(sorts, list):
        stack.config.layer_types = [sorts[i] for i in chosen]
    for number, layer in enumerate(stack.layers):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number
