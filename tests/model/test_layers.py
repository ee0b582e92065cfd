"""Layers taken out are the library's own smaller model; layers put in and units added change nothing that is said."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.tiny_generators import tiny_lm
from transformers import AutoModel

from tunewright.model.build import build_model
from tunewright.model.describe import describe
from tunewright.model.layers import gathering, insert_layers, keep_layers, narrow, output_norms, widen
from tunewright.model.predict import forward_rows
from tunewright.model.stacks import stacks_of

FAMILIES = ["bert", "distilbert", "roberta", "gpt2", "llama", "t5", "bart"]
IDS = torch.tensor([[2, 11, 40, 77, 5, 3], [2, 12, 150, 3, 3, 3]])
# Norms after sums normalise what is normalised already, but for their epsilon: 1e-5 in RoBERTa and BART.
TOLERANCE = {"roberta": 1e-4, "bart": 1e-4}


@pytest.fixture
def trunk(tiny_base):
    def get(family: str):
        base = tiny_base(family)
        found = build_model(base, describe(base), kind="classification", outputs=2, pooling="mean", seed=1).trunk
        with torch.no_grad():
            for parameter in found.parameters():  # norms with gains of their own, and nothing too small to see
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
        return found

    return get


def says(trunk) -> torch.Tensor:
    with torch.no_grad():
        return trunk(input_ids=IDS).last_hidden_state


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, of the largest number."""
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("family", FAMILIES)
def test_kept_layers_are_those_of_a_library_model_built_with_them(trunk, family, tmp_path):
    model = trunk(family)
    before = copy.deepcopy(model)
    (stack,) = stacks_of(model)
    keep_layers(stack, [0, 2])
    model.save_pretrained(tmp_path)
    opened = type(model).from_pretrained(tmp_path)
    assert gap(says(opened), says(model)) < 2e-6 and gap(says(model), says(before)) > 1e-2
    (old,), (new,) = stacks_of(before), stacks_of(opened)
    for layer, source in zip(new.layers, (old.layers[0], old.layers[2]), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), source.parameters(), strict=True))


def test_a_library_model_of_the_first_layers_is_what_is_left_of_all(trunk, tiny_base):
    model = trunk("bert")
    with torch.no_grad():
        everything = model(input_ids=IDS, output_hidden_states=True).hidden_states
    keep_layers(stacks_of(model)[0], [0, 1])
    assert torch.allclose(says(model), everything[2], atol=1e-6)
    library = AutoModel.from_pretrained(tiny_base("bert").folder, num_hidden_layers=2)
    assert library.config.num_hidden_layers == model.config.num_hidden_layers


def test_the_positions_of_t5_go_to_the_layer_that_is_first_now(trunk, tmp_path):
    model = trunk("t5")
    positions = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.clone()
    keep_layers(stacks_of(model)[0], [1, 2])
    assert torch.equal(model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight, positions)
    model.save_pretrained(tmp_path)
    assert gap(says(type(model).from_pretrained(tmp_path)), says(model)) < 2e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_inserted_layers_change_nothing_and_can_learn(trunk, family, tmp_path):
    model = trunk(family)
    before = says(model)
    fresh = insert_layers(stacks_of(model)[0], [0, 2])
    assert len(fresh) == 2 and len(stacks_of(model)[0].layers) == 5
    assert gap(says(model), before) < TOLERANCE.get(family, 1e-6)
    model(input_ids=IDS).last_hidden_state.square().sum().backward()
    added = [p for layer in fresh for p in layer.parameters() if p.grad is not None and float(p.grad.abs().max()) > 0]
    assert added, "no gradient reaches the new layers"
    model.save_pretrained(tmp_path)
    assert gap(says(type(model).from_pretrained(tmp_path)), says(model)) < 2e-6


@pytest.mark.parametrize("family", ["t5", "bert2bert", "llama", "gpt2"])
def test_logits_of_models_that_write_stay_the_same_under_insertion_and_growth(family):
    lm = copy.deepcopy(tiny_lm(family))
    given = {"input_ids": IDS} | ({"decoder_input_ids": IDS} if lm.config.is_encoder_decoder else {})
    with torch.no_grad():
        before = lm(**given).logits
        for stack in stacks_of(lm):
            insert_layers(stack, [1])
            widen(stack, stack.units + 24, seed=3)
        after = lm(**given).logits
    assert gap(after, before) < 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_wider_blocks_say_the_same_and_their_new_units_get_gradients(trunk, family, tmp_path):
    model = trunk(family)
    before = says(model)
    (stack,) = stacks_of(model)
    old = stack.units
    widen(stack, old + 40, seed=3)
    assert stack.units == old + 40 == getattr(stack.config, stack.units_key)
    assert gap(says(model), before) < 1e-6
    model(input_ids=IDS).last_hidden_state.square().sum().backward()
    for module in gathering(stack):
        gradient = module.weight.grad if family != "gpt2" else module.weight.grad.t()
        assert (gradient[:, old:].abs().amax(0) > 0).float().mean() > 0.3  # ReLU leaves some silent
    model.save_pretrained(tmp_path)
    assert gap(says(type(model).from_pretrained(tmp_path)), says(model)) < 2e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_units_that_say_nothing_can_go(trunk, family):
    """The ones that a wider block was given are heard by nobody: the narrower block is the old one, exactly."""
    model = trunk(family)
    before = says(model)
    (stack,) = stacks_of(model)
    old = stack.units
    widen(stack, old + 16, seed=3)
    heard = [output_norms(module) for module in gathering(stack)]
    assert all(float(one[old:].max()) == 0 and float(one[:old].min()) > 0 for one in heard)
    narrow(stack, [one.topk(old).indices.sort().values for one in heard])
    assert torch.equal(says(model), before)


def test_chance_comes_from_the_seed_alone(trunk):
    made = []
    for seed in (3, 3, 4):
        model = trunk("bert")
        widen(stacks_of(model)[0], 80, seed=seed)
        made.append(model.encoder.layer[1].intermediate.dense.weight.detach().clone())
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_fused_layers_stay_fused(tiny_base, encode):
    base = tiny_base("bert")
    model = build_model(base, describe(base), kind="classification", outputs=3, pooling="mean", seed=1).eval()
    encoded = encode([[2, 5, 6, 7, 3], [2, 9, 3]])
    before = forward_rows(model, encoded)
    insert_layers(stacks_of(model.trunk)[0], [1])
    layers = model.trunk.encoder.layer
    assert len({id(layer.forward.layer) for layer in layers}) == 4, "a copied layer computes with its own weights"
    assert np.abs(forward_rows(model, encoded) - before).max() < 1e-6
