"""Layers computed again give the losses and gradients of layers that keep everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny_texts import tiny_text_model, tiny_text_rows
from tests.tiny_training import gradients_of, set_dropout, tiny_model, tiny_rows, tiny_training
from torch import nn

from tunewright.model.build import Model
from tunewright.model.checkpointing import layers_recomputed, recompute_layers
from tunewright.model.fused_decoder import why_plain
from tunewright.model.trainable import Lora

FAMILIES = ("bert", "distilbert", "gpt2", "llama", "t5")
WRITERS = ("llama", "qwen2", "gpt2", "t5", "bart")


def bytes_kept(compute) -> int:
    """What a forward pass leaves behind for its backward pass."""
    seen: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        compute()
    return sum(seen.values())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_the_same_to_the_last_bit_and_masks_too(family, dropout):
    found = []
    for recomputed in (False, True):
        training = tiny_training(tiny_model(family, dropout=dropout))
        if recomputed:
            assert recompute_layers(training.model) == layers_recomputed(training.model) == 3
        found.append(gradients_of(training, np.arange(8)))
    assert found[0].keys() == found[1].keys() and len(found[0]) > 10
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("name", WRITERS)
def test_models_that_write_have_the_same_gradients(name, dropout):
    found = []
    for recomputed in (False, True):
        model = with_lora(tiny_text_model(name))
        set_dropout(model, dropout)
        if recomputed:
            recompute_layers(model)
        found.append(gradients(model, name))
    assert found[0].keys() == found[1].keys() and len(found[0]) > 5
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


def with_lora(model: Model) -> Model:
    Lora(rank=2).prepare(model, seed=1)
    torch.manual_seed(2)
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in parameter_name)
        if "lora_B" in parameter_name:
            nn.init.normal_(parameter, std=0.3)
    return model.train()


def gradients(model: Model, name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    model(tiny_text_rows(name).batch(np.arange(4))).vectors_md.square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", ["llama", "gpt2", "t5"])
def test_less_is_kept_for_the_backward_pass(name):
    model, rows = with_lora(tiny_text_model(name)), tiny_text_rows(name, rows=24, longest=40)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def compute() -> None:
        model(rows.batch(np.arange(24)))

    before = bytes_kept(compute)
    recompute_layers(model)
    assert weights and bytes_kept(compute) < 0.6 * before
    assert name != "llama" or why_plain(model.trunk.base_model, longest=40) is None


def test_fused_encoder_layers_keep_less_too():
    model, rows = tiny_model(dropout=0.1).train(), tiny_rows()
    before = bytes_kept(lambda: model(rows.batch(np.arange(24))))
    recompute_layers(model)
    assert bytes_kept(lambda: model(rows.batch(np.arange(24)))) < 0.6 * before


def test_a_model_that_answers_computes_nothing_twice():
    model, rows = tiny_model(), tiny_rows()
    recompute_layers(model)
    calls: list[int] = []
    for layer in model.trunk.modules():
        if getattr(layer, "gradient_checkpointing", False):
            layer._gradient_checkpointing_func = lambda *_: calls.append(1)
    with torch.inference_mode():
        model.eval()(rows.batch(np.arange(2)))
    assert not calls
