"""Weights in 4 and 8 bits, against those that transformers makes and against plain layers of the same values."""

from __future__ import annotations

import copy
import itertools
import shutil

import numpy as np
import pytest
import torch
import transformers
from tests.tiny_texts import tiny_text_model, tiny_text_rows
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from tunewright.model import quantized
from tunewright.model.adaptations import InsertLayers, Quantized, Site
from tunewright.model.adapters import add_lora, merge_lora
from tunewright.model.bases import find_base
from tunewright.model.build import build_model, skeleton_of
from tunewright.model.checkpointing import recompute_layers
from tunewright.model.describe import describe
from tunewright.model.fused_decoder import why_plain
from tunewright.model.predict import forward_rows, judge_tokens
from tunewright.model.quantized import (
    QuantizedLinear,
    count_weights,
    packed_tensors,
    quantize,
    quantized_layers,
    refuse_without_library,
    unquantize_layers,
)
from tunewright.model.weights import load_model, save_model
from tunewright.recipe.errors import BaseRefusal
from tunewright.serve.predictor import ready_to_serve

FORMS = {"nf4": Quantized(), "nf4, whole scales": Quantized(scales="float32"), "int8": Quantized(form="int8")}
OPTIONS = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "nf4, whole scales": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": False},
    "int8": {"load_in_8bit": True},
}
ROWS = [[2, 11, 40, 77, 5, 3], [2, 12, 3], [2, 150, 9, 3]]


@pytest.fixture(params=FORMS)
def form(request) -> str:
    return request.param


@pytest.fixture
def packed(tiny_base, with_lora):
    """A model of a family with packed weights; with LoRA it also says something."""

    def build(family: str, form: str, *, kind: str = "classification", lora: bool = False, changes=()):
        base = tiny_base(family)
        description = describe(base)
        outputs = {"classification": 3, "similarity": 0}.get(kind, 200)
        model = build_model(
            base, description, kind=kind, outputs=outputs, pooling=description.pooling, seed=5,
            adaptations=[*changes, FORMS[form]],
        ).eval()  # fmt: skip
        if lora:
            add_lora(model, rank=4, alpha=8.0, dropout=0.0, targets="linear", seed=1)
            with_lora(model)
        return model, base

    return build


def layer_of(form: str, *, bias: bool = True, shape: tuple[int, int] = (96, 64)) -> QuantizedLinear:
    torch.manual_seed(1)
    change = FORMS[form]
    return quantize(nn.Linear(shape[1], shape[0], bias=bias), change.form, double=change.scales != "float32")


# --------------------------------------------------------------------------------------------- one layer


@pytest.mark.parametrize(("form", "bits", "worst"), [("nf4", 4.13, 0.12), ("nf4, whole scales", 4.5, 0.12),
                                                     ("int8", 8.1, 0.01)], ids=lambda value: str(value))  # fmt: skip
def test_weights_take_few_bits_and_stay_near(form, bits, worst):
    torch.manual_seed(1)
    plain = nn.Linear(1024, 512)
    change = FORMS[form]
    layer = quantize(plain, change.form, double=change.scales != "float32")
    assert 8 * layer.bytes / plain.weight.numel() == pytest.approx(bits, rel=0.03)
    assert float((layer.weight - plain.weight).detach().norm() / plain.weight.detach().norm()) < worst
    assert "weight" not in dict(layer.named_parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_a_plain_layer_and_nothing_is_kept(form, dtype):
    layer = layer_of(form).to(dtype)
    plain = layer.unquantized().to(dtype)
    kept, found = [], []
    for one in (layer, plain):
        one.bias.requires_grad_()
        one.bias.grad = None
        x = torch.randn(3, 5, 64, generator=torch.Generator().manual_seed(2)).to(dtype).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
            y = one(x)
        if one is layer:
            assert not kept
        (y.float() * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        found.append((y.detach(), x.grad, one.bias.grad.clone()))
    for seen, expected in zip(*found, strict=True):
        torch.testing.assert_close(seen, expected, rtol=1e-5 if dtype == torch.float32 else 2e-2, atol=1e-5)


def test_scales_keep_their_type_and_values_survive_any_cast(form):
    layer = layer_of(form)
    before = layer.weight
    cast = copy.deepcopy(layer).to(torch.bfloat16)
    assert cast.weight.dtype == cast.dtype == cast.bias.dtype == torch.bfloat16
    assert torch.equal(cast.to(torch.float32).weight, before)
    assert torch.equal(copy.deepcopy(layer).weight, before)


def test_shapes_without_values_are_those_with_them(form):
    change = FORMS[form]
    for shape in ((96, 64), (7, 3), (200, 130)):
        real = layer_of(form, shape=shape)
        empty = quantize(nn.Linear(shape[1], shape[0], device="meta"), change.form, double=change.scales != "float32")
        assert {n: (b.shape, b.dtype) for n, b in empty.named_buffers()} == {
            n: (b.shape, b.dtype) for n, b in real.named_buffers()
        }
        assert empty.bytes == real.bytes and empty.weight.shape == shape


# ------------------------------------------------------------------------------------------------ trunks


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_the_library_packs_the_same_bits(tiny_base, packed, form, family):
    model, base = packed(family, form, kind="generation" if family != "t5" else "summarisation")
    cls = transformers.T5ForConditionalGeneration if family == "t5" else AutoModelForCausalLM
    plain = [path for path, m in model.trunk.named_modules() if type(m) is nn.Linear]
    options = {"llm_int8_skip_modules": plain, **OPTIONS[form]}
    theirs = cls.from_pretrained(base.folder, quantization_config=BitsAndBytesConfig(**options), dtype=torch.float32)
    theirs = theirs.dequantize().state_dict()
    ours = {f"{path}.weight": layer.unpacked(torch.float32) for path, layer in quantized_layers(model.trunk)}
    assert len(ours) >= 12
    for name, weight in ours.items():
        if form == "int8":  # theirs are rounded to float16 on the way in
            torch.testing.assert_close(weight, theirs[name], rtol=1e-3, atol=1e-3)
        else:
            assert torch.equal(weight, theirs[name]), name


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "t5", "bart"])
def test_only_linear_maps_inside_layers_are_packed(packed, form, family):
    model, _ = packed(family, form)
    plain = [path for path, module in model.trunk.named_modules() if type(module) is nn.Linear]
    assert all(path.endswith(".wo") for path in plain) and bool(plain) == (family == "t5")
    assert len(list(quantized_layers(model.trunk))) >= 12
    assert type(model.head).__name__ == "Head" and all(p.dtype == torch.float32 for p in model.parameters())
    assert set(packed_tensors(model)) <= {name for name, _ in model.named_buffers()}


def test_weights_are_counted_by_what_they_stand_for(tiny_base, packed, form):
    model, base = packed("llama", form, kind="generation")
    skeleton = skeleton_of(base, "generation", [FORMS[form]]).trunk
    plain = sum(p.numel() for p in skeleton_of(base, "generation").trunk.parameters())
    assert count_weights(model) == count_weights(skeleton) == plain


@pytest.mark.parametrize("kind", ["generation", "classification"])
def test_a_base_of_two_bytes_a_weight_is_packed_as_if_it_had_been_widened_first(tiny_base, tmp_path, form, kind):
    shutil.copytree(tiny_base("llama").folder, tmp_path / "base")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.bfloat16)
    whole.save_pretrained(tmp_path / "base")
    base = find_base(str(tmp_path / "base"), root=tmp_path)
    description = describe(base)
    assert description.dtype == "bfloat16"
    options = {"kind": kind, "outputs": 3 if kind == "classification" else 200, "pooling": "last", "seed": 5}
    model, widened = (build_model(base, description, adaptations=changes, **options)
                      for changes in ([FORMS[form]], ()))  # fmt: skip
    FORMS[form].change(widened.trunk, Site(seed=5, words=200))
    seen, expected = ({**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (model, widened))
    assert seen.keys() == expected.keys()
    for name, tensor in expected.items():
        assert seen[name].dtype == tensor.dtype and torch.equal(seen[name], tensor), name


def test_what_is_new_stays_whole(packed):
    model, _ = packed("bert", "nf4", changes=[InsertLayers(after=(0,))])
    packed_layers = {path.split(".")[2] for path, _ in quantized_layers(model.trunk)}
    assert packed_layers == {"0", "2", "3"} and model.new.tensors
    assert set(model.new.tensors) <= {name for name, _ in model.named_parameters()}


# ---------------------------------------------------------------------------------------- training, with LoRA


@pytest.mark.parametrize("name", ["llama", "qwen2"])
@pytest.mark.parametrize("recomputed", [False, True])
def test_the_fused_decoder_takes_packed_weights(form, name, recomputed, with_lora):
    found = []
    for packs in (True, False):
        model = tiny_text_model(name)
        for path, module in list(model.trunk.base_model.layers.named_modules()):
            if type(module) is nn.Linear:
                change = FORMS[form]
                layer = quantize(module, change.form, double=change.scales != "float32")
                quantized.replace_module(model.trunk.base_model.layers, path, layer if packs else layer.unquantized())
        add_lora(model, rank=4, alpha=8.0, dropout=0.0, targets="linear", seed=1)
        with_lora(model)
        if recomputed:
            recompute_layers(model)
        assert why_plain(model.trunk.base_model, longest=14) is None
        for parameter_name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in parameter_name)
        outputs = model.train()(tiny_text_rows(name).batch(np.arange(6)))
        outputs.vectors_md.square().sum().backward()
        found.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys() and len(found[0]) > 20
    for parameter_name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][parameter_name]), parameter_name


def test_merging_unpacks_and_answers_as_before(packed, encode, form):
    model, _ = packed("bert", form, lora=True)
    rows, before = encode(ROWS), None
    before = forward_rows(model, rows)
    merge_lora(model)
    assert not list(quantized_layers(model.trunk))
    np.testing.assert_allclose(forward_rows(model, rows), before, atol=1e-5)


def test_a_served_model_has_nothing_packed(packed, encode, form):
    model, _ = packed("llama", form)
    before = forward_rows(model, encode(ROWS))
    served = ready_to_serve(model, "float32")
    assert not list(quantized_layers(served.trunk))
    np.testing.assert_allclose(forward_rows(served, encode(ROWS)), before, atol=1e-6)


# ------------------------------------------------------------------------------------------------- on disk


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "t5"])
def test_a_saved_model_answers_to_the_bit_and_is_small(packed, encode, tmp_path, form, family, lora):
    model, base = packed(family, form, lora=lora)
    save_model(model, tmp_path, encoder_json={"max_length": 32, "join": None}, labels="abc", base=base,
               description=describe(base))  # fmt: skip
    loaded = load_model(tmp_path).model
    np.testing.assert_array_equal(forward_rows(loaded, encode(ROWS)), forward_rows(model, encode(ROWS)))
    seen, expected = packed_tensors(loaded), packed_tensors(model)
    assert seen.keys() == expected.keys() and all(torch.equal(seen[name], expected[name]) for name in seen)
    assert getattr(loaded.trunk.config, "quantization_config", None) is None
    loaded.trunk.to(torch.bfloat16)  # the library refuses that of trunks it believes to be packed


def test_texts_are_thought_the_same_when_loaded_and_the_library_opens_them(packed, tmp_path, form):
    model, base = packed("llama", form, kind="generation", lora=True)
    save_model(model, tmp_path, encoder_json={"max_length": 32}, labels=(), base=base, description=describe(base))
    encoded = tiny_text_rows("llama").encoded
    np.testing.assert_array_equal(
        judge_tokens(load_model(tmp_path).model, encoded), judge_tokens(model, encoded)
    )
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "trunk").dequantize()
    ids = torch.tensor([ROWS[0]])
    unquantize_layers(model.trunk)
    expected = model.trunk(input_ids=ids).logits
    from peft import PeftModel

    seen = PeftModel.from_pretrained(theirs, tmp_path / "adapter")(input_ids=ids).logits
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-4)


def test_a_model_that_compares_is_saved_unpacked(packed, encode, tmp_path):
    model, base = packed("bert", "nf4", kind="similarity", lora=True)
    save_model(model, tmp_path, encoder_json={"max_length": 32}, labels=(), base=base, description=describe(base))
    assert not list(quantized_layers(load_model(tmp_path).model.trunk))


def test_without_the_library_it_is_refused_with_what_to_install(monkeypatch):
    def absent():
        raise ImportError("No module named 'bitsandbytes'")

    monkeypatch.setattr(quantized, "_library", absent)
    with pytest.raises(BaseRefusal, match=r"tunewright\[quantized\]") as refused:
        refuse_without_library("recipe.yaml:4")
    assert refused.value.where == "recipe.yaml:4"


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="one scale a row"):
        Quantized(form="int8", scales="packed")
    sizes = [layer_of(form).bytes for form in FORMS]
    assert all(a < b for a, b in itertools.pairwise(sizes))
