"""Layers with their weights laid out against the same layers without."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.tiny_generators import prompts_of, tiny_lm
from torch import nn

from tunewright.model import laid_out as module
from tunewright.model.laid_out import laid_out

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch lacks oneDNN, so nothing is ever laid out"
)


def laid(model: nn.Module) -> int:
    return sum("forward" in vars(layer) for layer in model.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", ["llama", "t5", "bart"])
def test_the_logits_are_the_same_within_rounding(family, dtype):
    lm = copy.deepcopy(tiny_lm(family)).to(dtype)
    (ids,) = prompts_of(1, seed=4)
    inputs = {"input_ids": torch.tensor([ids] * 3)}
    if lm.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    with torch.inference_mode():
        plain = lm(**inputs).logits
        with laid_out(lm):
            assert laid(lm) > 5
            seen = lm(**inputs).logits
    assert laid(lm) == 0
    assert (seen - plain).abs().max() <= (1e-5 if dtype == torch.float32 else 5e-2) * plain.abs().max()


def test_a_slice_of_a_larger_tensor_is_multiplied_too():
    layer = nn.Sequential(nn.Linear(8, 5))
    x = torch.randn(3, 9, 8)[:, -1:]
    with torch.inference_mode():
        plain = layer(x)
        with laid_out(layer):
            torch.testing.assert_close(layer(x), plain)


def test_those_that_were_laid_out_before_stay_so():
    lm = copy.deepcopy(tiny_lm("llama"))
    with laid_out(lm):
        count = laid(lm)
        with laid_out(lm):
            assert laid(lm) == count
        assert laid(lm) == count


def test_gradients_take_the_plain_way():
    layer = nn.Linear(4, 3)
    both = nn.Sequential(layer)
    with laid_out(both):
        both(torch.randn(2, 4)).sum().backward()
    assert layer.weight.grad is not None


def test_what_is_no_plain_layer_or_too_large_is_left_alone(monkeypatch):
    class Other(nn.Linear):
        pass

    both = nn.Sequential(Other(4, 3), nn.Linear(3, 4).double(), nn.Linear(4, 2))
    with laid_out(both):
        assert [("forward" in vars(layer)) for layer in both] == [False, False, True]
        monkeypatch.setattr(module, "_MOST_BYTES", 10)
    with laid_out(both):
        assert laid(both) == 0
