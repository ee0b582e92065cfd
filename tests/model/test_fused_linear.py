"""A linear map with LoRA against the modules of torch and peft."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from tunewright.model.fused_linear import LinearMap, Wanted, linear_map, maps_of, project, project_backward
from tunewright.model.quantized import quantize

EVERYTHING = Wanted(weight=True, bias=True, down=True, up=True)


def adapted(*, bias: bool = True, **options) -> nn.Module:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(12, 8, bias=bias))
    config = LoraConfig(r=4, lora_alpha=6, target_modules=["0"], **options)
    inject_adapter_in_model(config, model)
    for parameter in model.parameters():
        parameter.requires_grad_()
        nn.init.normal_(parameter)
    return model[0]


@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_peft(bias):
    module = adapted(bias=bias)
    x, upstream, plus = torch.randn(5, 12, requires_grad=True), torch.randn(5, 8), torch.randn(5, 8)
    expected = module(x) + plus
    expected.backward(upstream)
    one = linear_map(module)
    with torch.no_grad():
        y, low = project(x, one, plus=plus)
        wanted = Wanted(weight=True, bias=bias, down=True, up=True)
        dx, gradients = project_backward(upstream, x, low, one, wanted)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(dx, x.grad)
    for tensor, gradient in zip(one.tensors, gradients, strict=True):
        assert (tensor is None) == (gradient is None)
        if tensor is not None:
            torch.testing.assert_close(gradient, tensor.grad)


def test_a_gradient_is_added_where_one_is_given_and_left_alone_where_none_is_asked():
    one = linear_map(adapted())
    x, upstream = torch.randn(5, 12), torch.randn(5, 8)
    with torch.no_grad():
        _, low = project(x, one)
        alone, _ = project_backward(upstream, x, low, one, EVERYTHING)
        before = torch.randn(5, 12)
        added, _ = project_backward(upstream, x, low, one, EVERYTHING, into=before.clone())
        untouched, gradients = project_backward(upstream, None, low, one, Wanted(False, False, False, True),
                                                into=before, with_input=False)  # fmt: skip
    torch.testing.assert_close(added, alone + before)
    assert untouched is before
    assert [gradient is None for gradient in gradients] == [True, True, True, False]


def test_tensors_make_the_maps_that_they_came_from():
    maps = [linear_map(adapted()), LinearMap(torch.randn(2, 3)), linear_map(quantize(nn.Linear(64, 4), "nf4"))]
    tensors = [tensor for one in maps for tensor in one.tensors]
    again = maps_of(tensors, [one.scale for one in maps], [one.packed for one in maps])
    assert again[2].packed is maps[2].packed and again[2].outputs == 4 and again[2].weight is None
    assert [one.scale for one in again] == [1.5, 0.0, 0.0]
    tensors = ([tensor for one in some for tensor in one.tensors] for some in (maps, again))
    assert all(a is b for a, b in zip(*tensors, strict=True))


def test_a_disabled_or_merged_adapter_is_its_base():
    module = adapted()
    module.enable_adapters(False)
    assert linear_map(module).down is None
    module.enable_adapters(True)
    assert linear_map(module).down is not None
    module.merge()
    assert linear_map(module).down is None and linear_map(module).weight is module.base_layer.weight


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"use_dora": True}, "plain kind"), ({"lora_bias": True}, "plain kind"), ({"lora_dropout": 0.1}, "dropout")],
    ids=str,
)
def test_lora_of_another_kind_is_not_a_map_and_says_why(options, reason):
    module = adapted(**options).train()
    assert reason in linear_map(module)


def test_dropout_is_nothing_outside_of_training():
    assert isinstance(linear_map(adapted(lora_dropout=0.1).eval()), LinearMap)


def test_adapters_of_another_type_or_two_of_them_and_other_modules_are_not_maps():
    module = adapted()
    mixed = copy.deepcopy(module)
    mixed.base_layer.bfloat16()
    assert linear_map(mixed) == "its LoRA is torch.float32 beside weights of torch.bfloat16"
    module.update_layer("second", 2, 2, config=LoraConfig(r=2))
    module.set_adapter(["default", "second"])
    assert "plain kind" in linear_map(module)
    assert "Conv1d" in linear_map(nn.Conv1d(1, 1, 1))
