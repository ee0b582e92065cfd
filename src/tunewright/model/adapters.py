"""LoRA on a trunk, built by peft. Knows module names; must not know which parameters train or how they are saved."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tunewright.model.build import Model
from tunewright.model.describe import layer_stacks
from tunewright.model.heads import New
from tunewright.model.quantized import QuantizedLinear, replace_module
from tunewright.recipe.errors import RecipeRefusal, nearest

ADAPTER = "default"
_WHERE = "phases.trainable.targets"
# How architectures name their query and value projections; fused ones hold both.
_ATTENTION_NAMES = (
    {"query", "value"}, {"q_proj", "v_proj"}, {"q_lin", "v_lin"}, {"q", "v"}, {"query_proj", "value_proj"},
    {"c_attn"}, {"query_key_value"}, {"qkv_proj"}, {"Wqkv"}, {"in_proj"},
)


def add_lora(
    model: Model, *, rank: int, alpha: float, dropout: float, targets: str | Sequence[str], seed: int
) -> None:
    """Puts LoRA matrices beside linear layers of the trunk, in place (Hu et al. 2021, arXiv:2106.09685).

    `targets`: `attention` (query and value), `linear` (every linear layer of the trunk's layers), or suffixes of module
    names. A model that already has these adapters keeps them; RecipeRefusal where it has others or a target is unknown.
    """
    if rank < 1 or not 0 <= dropout < 1 or alpha <= 0:
        raise RecipeRefusal(
            f"LoRA needs rank >= 1, alpha > 0 and 0 <= dropout < 1; "
            f"here are rank {rank}, alpha {alpha:g}, dropout {dropout:g}.",
            where="phases.trainable",
            remedy="A common choice is rank 16, alpha 32, dropout 0.",
        )
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  peft divides by r, so any number will do
        lora_dropout=dropout,
        target_modules=target_names(model.trunk, targets),
        exclude_modules=_new_modules(model.new) or None,
        bias="none",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.trunk.modules()),
        init_lora_weights=True,
    )
    if has_lora(model):
        _refuse_other_adapters(model.trunk.peft_config[ADAPTER], config)
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model.trunk, adapter_name=ADAPTER)


def has_lora(model: Model) -> bool:
    """Whether the trunk carries LoRA matrices."""
    return any(isinstance(module, LoraLayer) for module in model.trunk.modules())


def merge_lora(model: Model) -> None:
    """Adds the LoRA products to the layers they stand beside and takes the matrices away, in place.

    Computed in float32 whatever the dtype, then rounded once; a packed weight is unpacked for good.
    """
    for path, layer in list(model.trunk.named_modules()):
        if isinstance(layer, LoraLayer):
            assert isinstance(layer, nn.Module)
            beside = layer.get_base_layer()
            plain = beside.unquantized() if isinstance(beside, QuantizedLinear) else beside
            product = layer.float().get_delta_weight(ADAPTER)
            with torch.no_grad():
                plain.weight.data = (plain.weight.data.float() + product.float()).to(plain.weight.dtype)
            replace_module(model.trunk, path, plain)
    del model.trunk.peft_config


def target_names(trunk: PreTrainedModel, targets: str | Sequence[str]) -> list[str]:
    """Names of modules inside one layer of the trunk, as `attention.self.query`, that `targets` means; sorted."""
    linear = _linear_names(trunk)
    if targets == "linear":
        return sorted(linear)
    if targets == "attention":
        for names in _ATTENTION_NAMES:
            found = {name for name in linear if name.rpartition(".")[2] in names}
            if names <= {name.rpartition(".")[2] for name in found}:
                return sorted(found)
        raise RecipeRefusal(
            f"{type(trunk).__name__} names its query and value layers in no known way; it has {_listed(linear)}.",
            where=_WHERE,
            remedy="Give 'linear', or the names of the modules.",
        )
    wanted = [targets] if isinstance(targets, str) else list(targets)
    return sorted({name for suffix in wanted for name in _ending_in(suffix, linear)})


def layers_beside(trunk: PreTrainedModel, new: New, targets: str | Sequence[str]) -> dict[str, tuple[int, int]]:
    """The linear layers that `targets` puts matrices beside, by path in the trunk: how much each says and reads."""
    names, left_out = target_names(trunk, targets), set(_new_modules(new))
    return {
        path: tuple(module.weight.shape[::-1] if isinstance(module, Conv1D) else module.weight.shape)
        for path, module in trunk.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and path not in left_out
        and any(path == name or path.endswith(f".{name}") for name in names)
    }  # fmt: skip


def _new_modules(new: New) -> list[str]:
    """Paths in the trunk of modules that are new: they train themselves, so nothing stands beside them."""
    return sorted({name.removeprefix("trunk.").rpartition(".")[0] for name in new.tensors})


def _linear_names(trunk: PreTrainedModel) -> set[str]:
    return {
        path.removesuffix(".base_layer")
        for _, stack in layer_stacks(trunk)
        for layer in stack
        for path, module in layer.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and "lora_" not in path
    }


def _ending_in(suffix: str, linear: set[str]) -> list[str]:
    found = [name for name in linear if name == suffix or name.endswith(f".{suffix}")]
    if not found:
        raise RecipeRefusal(
            f"No linear layer of the base is called {suffix!r}; it has {_listed(linear)}."
            + nearest(suffix, {name.rpartition(".")[2] for name in linear}),
            where=_WHERE,
            remedy="Give 'attention', 'linear', or some of these names.",
        )
    return found


def _refuse_other_adapters(present: LoraConfig, wanted: LoraConfig) -> None:
    for key in ("r", "lora_alpha", "lora_dropout", "target_modules"):
        if getattr(present, key) != getattr(wanted, key):
            raise RecipeRefusal(
                f"The model already carries LoRA with {key} = {getattr(present, key)}; this phase asks for "
                f"{getattr(wanted, key)}.",
                where="phases.trainable",
                remedy="Give every LoRA phase the same options.",
            )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)[:12])
