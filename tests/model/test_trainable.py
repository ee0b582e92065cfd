import numpy as np
import pytest
import torch
from tests import tiny_texts
from torch import nn

from tunewright.model import trainable as t
from tunewright.model.describe import layer_stack
from tunewright.model.predict import make_batch, pooled_rows
from tunewright.recipe.errors import RecipeRefusal


def test_filters_combine_as_sets(tiny_model):
    model = tiny_model("bert")
    everything = set(t.select(model, t.Everything()))
    head = set(t.select(model, t.Head()))
    assert head == {"head.weight", "head.bias"}
    assert set(t.select(model, t.Not(t.Head()))) == everything - head
    assert t.select(model, t.All((t.Not(t.Head()), t.Head()))) == []
    assert set(t.select(model, t.Any((t.Head(), t.Not(t.Head()))))) == everything
    norms = set(t.select(model, t.OfType(nn.LayerNorm)))
    assert norms == {name for name in everything if ".LayerNorm." in name}
    assert set(t.select(model, t.All((t.Biases(), t.OfType(nn.LayerNorm))))) == {n for n in norms if n.endswith("bias")}
    assert set(t.select(model, t.Embeddings())) == set(t.select(model, t.Path("trunk.embeddings.*_embeddings.weight")))


def test_selected_names_keep_the_models_order(tiny_model):
    model = tiny_model("bert")
    order = [name for name, _ in model.named_parameters()]
    chosen = t.select(model, t.Biases())
    assert chosen == [name for name in order if name in set(chosen)]


def test_the_last_layers_are_those_nearest_the_head(tiny_model, family):
    model = tiny_model(family)
    path, stack = layer_stack(model.trunk)
    assert len(stack) == 3
    expected = {f"trunk.{path}.2.{name}" for name, _ in stack[2].named_parameters()}
    assert set(t.select(model, t.LastLayers(1))) == expected
    assert len(t.select(model, t.LastLayers(3))) > len(expected)


@pytest.mark.parametrize("layers", [0, 4])
def test_more_layers_than_there_are_is_refused(tiny_model, layers):
    with pytest.raises(RecipeRefusal, match=f"asks for {layers} layers and the base has 3"):
        t.select(tiny_model("bert"), t.LastLayers(layers))


@pytest.mark.parametrize("name", t.TRAINABLE)
def test_exactly_what_a_choice_selects_trains_and_the_head_with_it(tiny_model, encode, name):
    model = tiny_model("bert").train()
    choice = t.TRAINABLE[name]()
    choice.prepare(model, seed=1)
    names = t.select(model, choice.filter())
    assert {"head.weight", "head.bias"} <= set(names)
    t.freeze_except(model, names)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    batch = make_batch(encode([[2, 9, 10, 3], [2, 11, 3]]), np.arange(2), pad_id=0)
    for _ in range(2):  # LoRA's first matrix moves only once its second has
        nn.functional.cross_entropy(model(batch).logits, torch.tensor([0, 1])).backward()
        assert all(p.grad is not None for n, p in model.named_parameters() if n in names)
        optimizer.step()
    frozen = {n for n, p in model.named_parameters() if torch.equal(p, before[n])}
    assert not frozen & {n for n in names if "key.bias" not in n}  # attention cancels a key's bias exactly
    assert set(before) - set(names) <= frozen


@pytest.mark.parametrize("name", t.TRAINABLE)
def test_features_are_fixed_exactly_where_it_is_said(tiny_model, name):
    model = tiny_model("bert")
    choice = t.TRAINABLE[name]()
    choice.prepare(model, seed=1)
    trains_trunk = any(n.startswith("trunk.") for n in t.select(model, choice.filter()))
    assert choice.features_fixed is not trains_trunk


def test_a_head_cannot_train_where_there_is_none(tiny_model):
    model = tiny_model(kind="retrieval", outputs=0)
    with pytest.raises(RecipeRefusal, match="writes or compares texts has no new head"):
        t.TRAINABLE["head"]().prepare(model, seed=1)
    assert t.select(model, t.TRAINABLE["everything"]().filter()) == [name for name, _ in model.named_parameters()]


def test_head_training_leaves_the_pooled_vectors_alone(tiny_model, encode):
    model = tiny_model("bert")
    before = pooled_rows(model, encode([[2, 9, 3]]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in t.select(model, t.TrainHead().filter()):
                parameter.add_(1.0)
    np.testing.assert_array_equal(pooled_rows(model, encode([[2, 9, 3]])), before)


def test_biases_of_a_base_without_any_are_refused(tiny_model):
    with pytest.raises(RecipeRefusal, match="LlamaModel has no bias terms"):
        t.TrainBiases().prepare(tiny_model("llama"), seed=1)


@pytest.mark.parametrize("architecture", tiny_texts.SOURCED)
def test_the_last_layers_of_a_whole_encoder_decoder_are_the_decoders(architecture):
    model = tiny_texts.tiny_text_model(architecture)
    names = t.select(model, t.LastLayers(1))
    assert names and all(".decoder." in f".{name}." and ".encoder.layers." not in name for name in names)
    assert {part for name in names for part in name.split(".") if part.isdigit()} >= {"1"}
    assert not any(name.split(".decoder.")[-1].startswith(("block.0.", "layers.0.", "bert.encoder.layer.0."))
                   for name in names)  # fmt: skip


def test_a_model_that_writes_has_no_head_to_train():
    model = tiny_texts.tiny_text_model("llama")
    with pytest.raises(RecipeRefusal, match="no new head") as refused:
        t.TrainHead().prepare(model, seed=1)
    assert refused.value.where == "phases.trainable" and "lora" in refused.value.remedy


@pytest.mark.parametrize("name", ["everything", "last_layers", "lora", "biases"])
@pytest.mark.parametrize("architecture", ["gpt2", "t5, newer", "bart"])
def test_of_a_model_that_writes_exactly_what_a_choice_selects_trains(architecture, name):
    model = tiny_texts.tiny_text_model(architecture)
    if (architecture, name) == ("t5, newer", "biases"):
        with pytest.raises(RecipeRefusal, match="no bias terms"):
            t.TrainBiases().prepare(model, seed=1)
        return
    choice = t.LastLayersTrainable(layers=1) if name == "last_layers" else t.TRAINABLE[name]()
    choice.prepare(model, seed=1)
    names = t.select(model, choice.filter())
    t.freeze_except(model, names)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    batch = tiny_texts.tiny_text_rows(architecture).batch(np.arange(4))
    for _ in range(2):  # LoRA's first matrix moves only once its second has
        seen = model(batch)
        nn.functional.cross_entropy(seen.vectors_md @ seen.vocabulary_vd.t(), batch.targets).backward()
        optimizer.step()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert names and moved <= set(names)
    assert {n for n in set(names) - moved if not n.endswith("k_proj.bias")} == set()  # attention cancels it exactly


def test_loras_options_reach_the_adapter(tiny_model):
    model = tiny_model("bert")
    t.Lora(rank=2, dropout=0.25, targets="query, key").prepare(model, seed=1)
    config = model.trunk.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (2, 4.0, 0.25)
    assert {n.rsplit(".lora_")[0].rpartition(".")[2] for n in t.select(model, t.Adapters())} == {"query", "key"}


def test_freezing_refuses_names_that_do_not_exist(tiny_model):
    with pytest.raises(AssertionError, match="no such parameters"):
        t.freeze_except(tiny_model("bert"), ["trunk.nothing"])
