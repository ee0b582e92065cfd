import copy

import numpy as np
import pytest
import torch
from peft.tuners.lora import LoraLayer
from tests import tiny_texts
from transformers.pytorch_utils import Conv1D

from tunewright.model.adapters import add_lora, has_lora, merge_lora, target_names
from tunewright.model.predict import forward_rows
from tunewright.recipe.errors import RecipeRefusal

IDS = [[2, 9, 10, 3], [2, 11, 3]]
LORA = {"rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": "linear", "seed": 1}


def test_a_new_adapter_changes_no_answer(tiny_model, encode, family):
    model = tiny_model(family)
    before = forward_rows(model, encode(IDS))
    add_lora(model, **LORA)
    assert has_lora(model)
    # Not bit for bit: the fused layer of a model without adapters multiplies query, key and value in one product.
    np.testing.assert_allclose(forward_rows(model, encode(IDS)), before, rtol=0, atol=1e-6 * np.abs(before).max())


def test_a_new_adapter_adds_nothing_at_all_to_its_layer(tiny_model, family):
    model = tiny_model(family)
    add_lora(model, **LORA)
    adapted = [module for module in model.trunk.modules() if isinstance(module, LoraLayer)]
    assert adapted
    for layer in adapted:
        inputs = torch.randn(5, layer.in_features)
        assert torch.equal(layer(inputs), layer.get_base_layer()(inputs))


def test_an_adapter_adds_the_scaled_product_of_its_matrices(tiny_model, with_lora):
    model = tiny_model("bert")
    add_lora(model, **LORA)
    with_lora(model)
    layer = model.trunk.encoder.layer[0].attention.self.query
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    inputs = torch.randn(5, 32)
    expected = inputs @ (layer.base_layer.weight + 8.0 / 4 * b @ a).T + layer.base_layer.bias
    torch.testing.assert_close(layer(inputs), expected)


def test_a_merged_model_answers_as_the_adapted_one(tiny_model, with_lora, encode, family):
    model = tiny_model(family)
    untouched = forward_rows(model, encode(IDS))
    names = [name for name, _ in model.named_parameters()]
    add_lora(model, **LORA)
    with_lora(model)
    adapted = forward_rows(model, encode(IDS))
    merge_lora(model)
    assert not has_lora(model) and [name for name, _ in model.named_parameters()] == names
    assert np.abs(adapted - untouched).max() > 1e-3
    np.testing.assert_allclose(forward_rows(model, encode(IDS)), adapted, atol=1e-5)


def test_the_matrices_depend_on_the_seed_alone(tiny_model):
    def first_matrix(seed):
        model = tiny_model("bert")
        state = torch.get_rng_state()
        add_lora(model, **{**LORA, "seed": seed})
        assert torch.equal(torch.get_rng_state(), state)
        return model.trunk.encoder.layer[0].attention.self.query.lora_A["default"].weight

    assert torch.equal(first_matrix(1), first_matrix(1)) and not torch.equal(first_matrix(1), first_matrix(2))


@pytest.mark.parametrize(
    ("family", "attention"),
    [("bert", {"query", "value"}), ("distilbert", {"q_lin", "v_lin"}), ("gpt2", {"c_attn"}),
     ("llama", {"q_proj", "v_proj"}), ("t5", {"q", "v"}), ("bart", {"q_proj", "v_proj"})],
)
def test_attention_means_query_and_value_in_every_architecture(tiny_model, family, attention):
    trunk = tiny_model(family).trunk
    chosen = target_names(trunk, "attention")
    assert {name.rpartition(".")[2] for name in chosen} == attention
    assert set(chosen) < set(target_names(trunk, "linear"))


def test_targets_by_name_and_an_unknown_name(tiny_model):
    trunk = tiny_model("bert").trunk
    assert target_names(trunk, ["query", "intermediate.dense"]) == ["attention.self.query", "intermediate.dense"]
    with pytest.raises(RecipeRefusal, match="called 'qeury'.*Did you mean 'query'"):
        target_names(trunk, ["qeury"])


def test_the_same_adapter_twice_is_kept_and_another_is_refused(tiny_model):
    model = tiny_model("bert")
    add_lora(model, **LORA)
    before = copy.deepcopy(model.state_dict())
    add_lora(model, **LORA)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(RecipeRefusal, match="already carries LoRA with r = 4; this phase asks for 8"):
        add_lora(model, **{**LORA, "rank": 8})


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}])
def test_senseless_options_are_refused(tiny_model, wrong):
    with pytest.raises(RecipeRefusal, match="LoRA needs rank"):
        add_lora(tiny_model("bert"), **{**LORA, **wrong})


@pytest.mark.parametrize("name", tiny_texts.ALL)
def test_of_a_model_that_writes_every_linear_layer_but_the_output_layer_is_adapted(name):
    model = tiny_texts.tiny_text_model(name)
    output = model.trunk.get_output_embeddings()
    linear = {path for path, module in model.trunk.named_modules()
              if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not output}  # fmt: skip
    linear -= {path for path in linear if "cls.predictions" in path or "pooler" in path}  # behind BERT's last layer
    add_lora(model, **LORA)
    assert {path for path, module in model.trunk.named_modules() if isinstance(module, LoraLayer)} == linear


@pytest.mark.parametrize(("name", "per_layer"), [("t5", 2 + 4), ("bart", 2 + 4), ("bert2bert", 2 + 4), ("llama", 2)])
def test_query_and_value_of_every_attention_are_adapted_those_between_the_halves_too(name, per_layer):
    model = tiny_texts.tiny_text_model(name)
    add_lora(model, **LORA | {"targets": "attention"})
    adapted = [path for path, module in model.trunk.named_modules() if isinstance(module, LoraLayer)]
    assert len(adapted) == 2 * per_layer
    assert {path.rpartition(".")[2] for path in adapted} in ({"q", "v"}, {"q_proj", "v_proj"}, {"query", "value"})
