"""Where layers lie and what they are made of, for every family that can be changed."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_generators import tiny_lm
from torch import nn

from tunewright.model.build import build_model
from tunewright.model.describe import describe
from tunewright.model.stacks import LAYER_KINDS, parts_of, recount, stacks_of
from tunewright.recipe.errors import BaseRefusal, RecipeRefusal

STACKS = {"bert": 1, "distilbert": 1, "roberta": 1, "gpt2": 1, "llama": 1, "t5": 1, "bart": 1}


def trunk_of(tiny_base, family: str):
    base = tiny_base(family)
    return build_model(base, describe(base), kind="classification", outputs=2, pooling="mean", seed=1).trunk


@pytest.mark.parametrize("family", STACKS)
def test_a_trunk_that_reads_has_one_stack_whose_size_is_that_of_its_configuration(tiny_base, family):
    (stack,) = stacks_of(trunk_of(tiny_base, family))
    assert stack.half is None and len(stack.layers) == getattr(stack.config, stack.layers_key) == 3
    assert stack.units == (128 if family == "gpt2" else 64)
    assert getattr(stack.config, stack.units_key) in (stack.units, None)  # GPT-2 says None for four times the width


@pytest.mark.parametrize("family", ["t5", "bart", "bert2bert"])
def test_an_encoder_decoder_has_two(family):
    lm = tiny_lm(family)
    reader, writer = stacks_of(lm)
    assert (reader.half, writer.half) == ("encoder", "decoder")
    for stack in (reader, writer):
        assert getattr(stack.config, stack.layers_key) == len(stack.layers)
        assert stacks_of(lm, half=stack.half)[0].layers is stack.layers
        assert len(parts_of(stack.layers[0], stack.kind.added)) == (2 if stack is reader else 3)


@pytest.mark.parametrize("family", STACKS)
def test_the_parts_of_a_layer_are_all_that_it_adds_and_all_that_spreads(tiny_base, family):
    """Seen on the layer itself: without its added parts it passes on what it reads (where norms come first)."""
    trunk = trunk_of(tiny_base, family)
    (stack,) = stacks_of(trunk)
    layer = stack.layers[0]
    assert len(parts_of(layer, (stack.kind.gathered,))) == 1
    spread = parts_of(layer, stack.kind.spread)
    gathered = parts_of(layer, (stack.kind.gathered,))[0]
    assert sum(part.weight.numel() for part in spread) == len(spread) * gathered.weight.numel()
    if not stack.kind.norms:
        ids = torch.arange(6)[None]
        whole = trunk(input_ids=ids).last_hidden_state
        for part in parts_of(layer, stack.kind.added):
            nn.init.zeros_(part.weight)
        del stack.layers[1:]
        left = trunk(input_ids=ids).last_hidden_state
        assert not torch.allclose(left, whole, atol=1e-3)
        final = next(m for n, m in trunk.named_modules() if n in ("norm", "ln_f", "encoder.final_layer_norm"))
        words = trunk.get_input_embeddings()(ids)
        if family == "gpt2":
            words = words + trunk.wpe(torch.arange(6))
        assert torch.allclose(left, final(words), atol=1e-5)


def test_a_half_that_is_not_there_and_layers_that_are_not_known_are_refused(tiny_base):
    trunk = trunk_of(tiny_base, "bert")
    with pytest.raises(RecipeRefusal, match="no decoder beside"):
        stacks_of(trunk, half="decoder")
    with pytest.raises(BaseRefusal, match="kind Gemma3DecoderLayer cannot be changed"):
        stacks_of(tiny_lm("gemma3"))
    assert "Gemma3DecoderLayer" not in LAYER_KINDS


def test_recounting_keeps_sorts_of_layers_and_numbers_them(tiny_base):
    (stack,) = stacks_of(trunk_of(tiny_base, "llama"))
    stack.config.layer_types = ["a", "b", "c"]
    left = [stack.layers[0], stack.layers[2]]
    del stack.layers[:]
    stack.layers.extend(left)
    recount(stack, [0, 2])
    assert stack.config.layer_types == ["a", "c"] and stack.config.num_hidden_layers == 2
    assert [layer.self_attn.layer_idx for layer in stack.layers] == [0, 1]
