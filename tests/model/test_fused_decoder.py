"""The packed decoder against the trunk of transformers, and its LoRA against peft."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from tunewright.model import fused_decoder
from tunewright.model.fused_decoder import run_packed, why_plain

DECODERS = {
    "llama": (transformers.LlamaConfig, transformers.LlamaModel),
    "mistral": (transformers.MistralConfig, transformers.MistralModel),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2Model),
}
LENGTHS = (70, 5, 66, 1, 130)
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_trunk(name: str = "llama", *, key_heads: int = 2, dtype: torch.dtype = torch.float32, **options) -> nn.Module:
    """A trunk with biases and norms that are not at their starting values."""
    configuration, model = DECODERS[name]
    torch.manual_seed(1)
    trunk = model(configuration(
        vocab_size=60, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=key_heads,
        intermediate_size=48, attn_implementation="sdpa", pad_token_id=None, **options,
    ))  # fmt: skip
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return trunk.to(dtype).train()


def add_adapters(trunk: nn.Module, targets=LINEAR, **options) -> nn.Module:
    inject_adapter_in_model(LoraConfig(r=4, lora_alpha=6, target_modules=targets, **options), trunk)
    torch.manual_seed(2)
    for name, parameter in trunk.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3)
    return trunk


def tokens(lengths=LENGTHS, *, seed: int = 3) -> torch.Tensor:
    return torch.randint(0, 60, (sum(lengths),), generator=torch.Generator().manual_seed(seed))


def library(trunk: nn.Module, ids, lengths, *, at_m=None, **_) -> torch.Tensor:
    """The trunk's own forward, one row at a time."""
    rows = [trunk(input_ids=row[None], use_cache=False).last_hidden_state[0] for row in ids.split(list(lengths))]
    return torch.cat(rows) if at_m is None else torch.cat(rows)[at_m]


def outcome(run, trunk, ids, lengths=LENGTHS, **options) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    trunk.zero_grad()
    vectors = run(trunk, ids, lengths, **options)
    (vectors.float() * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
    return vectors.detach().float(), {n: p.grad.float() for n, p in trunk.named_parameters() if p.grad is not None}


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / max(float(b.norm()), 1.0))


def assert_equal(seen, expected) -> None:
    torch.testing.assert_close(seen[0], expected[0], atol=1e-5, rtol=1e-5)
    assert seen[1].keys() == expected[1].keys()
    for name, gradient in seen[1].items():
        assert relative(gradient, expected[1][name]) < 1e-5, name


@pytest.mark.parametrize("keep", ["all", "inputs"])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("name", DECODERS)
def test_outputs_and_all_gradients_are_those_of_the_library(name, key_heads, keep):
    trunk, ids = make_trunk(name, key_heads=key_heads), tokens()
    assert why_plain(trunk, longest=130) is None
    assert_equal(outcome(run_packed, trunk, ids, keep=keep), outcome(library, trunk, ids))


@pytest.mark.parametrize("keep", ["all", "inputs"])
def test_at_some_tokens_they_are_those_of_the_library_at_those(keep):
    trunk, ids = make_trunk(attention_bias=True, mlp_bias=True), tokens()
    at_m = torch.tensor([0, 3, 69, 70, 200, 271, 271])
    assert_equal(outcome(run_packed, trunk, ids, at_m=at_m, keep=keep), outcome(library, trunk, ids, at_m=at_m))


@pytest.mark.parametrize("keep", ["all", "inputs"])
@pytest.mark.parametrize("targets", [LINEAR, ["q_proj", "v_proj"], ["down_proj"]], ids=["linear", "attention", "down"])
def test_with_adapters_they_are_those_of_peft(targets, keep):
    trunk, ids = add_adapters(make_trunk(), targets), tokens()
    assert why_plain(trunk) is None
    seen = outcome(run_packed, trunk, ids, keep=keep)
    assert len(seen[1]) == 3 * 2 * len(targets)
    assert_equal(seen, outcome(library, trunk, ids))


@pytest.mark.parametrize(
    "trained",
    ["layers.2.mlp", "layers.1.self_attn.o_proj", "layers.1.self_attn.k_proj", "layers.0.input_layernorm",
     "layers.1.post_attention_layernorm", "norm.weight"],
)  # fmt: skip
def test_where_only_a_part_trains_it_has_its_gradients_and_nothing_else_has(trained):
    trunk, ids = make_trunk(), tokens()
    for name, parameter in trunk.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    seen = outcome(run_packed, trunk, ids)
    assert seen[1] and all(name.startswith(trained) for name in seen[1])
    assert_equal(seen, outcome(library, trunk, ids))


def test_no_gradient_is_computed_below_the_lowest_layer_that_trains(monkeypatch):
    trunk, backward = make_trunk(), fused_decoder._backward
    for name, parameter in trunk.named_parameters():
        parameter.requires_grad_(name.startswith(("layers.1", "layers.2")))
    asked = []

    def spy(*given):
        asked.append(given[-1][0])
        return backward(*given)

    monkeypatch.setattr(fused_decoder, "_backward", spy)
    outcome(run_packed, trunk, tokens())
    assert asked == [True, False]


@pytest.mark.parametrize("adapters", [False, True])
def test_tied_embeddings_have_the_gradient_of_both_uses(adapters):
    trunk, ids = make_trunk(), tokens()
    trunk = add_adapters(trunk) if adapters else trunk

    def logits(run, trunk, ids, lengths, **options):
        return run(trunk, ids, lengths, **options) @ trunk.embed_tokens.weight.t()

    seen = outcome(lambda *given: logits(run_packed, *given), trunk, ids)
    assert ("embed_tokens.weight" in seen[1]) != adapters
    assert_equal(seen, outcome(lambda *given: logits(library, *given), trunk, ids))


@pytest.mark.parametrize("adapters", [False, True])
def test_in_bfloat16_they_are_as_near_to_float32_as_the_library(adapters):
    exact = make_trunk()
    exact = add_adapters(exact) if adapters else exact
    half, ids = copy.deepcopy(exact).bfloat16(), tokens()
    expected, seen, peer = outcome(library, exact, ids), outcome(run_packed, half, ids), outcome(library, half, ids)
    assert relative(seen[0], expected[0]) < max(0.02, 1.3 * relative(peer[0], expected[0]))
    for name, gradient in expected[1].items():
        assert relative(seen[1][name], gradient) < max(0.03, 1.5 * relative(peer[1][name], gradient)), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_changing_one_row_of_a_pack_leaves_the_others_as_they_are_to_the_bit(dtype):
    trunk, ids, changed = make_trunk(dtype=dtype), tokens(), slice(75, 141)
    other = ids.clone()
    other[changed] = tokens((66,), seed=9)
    with torch.no_grad():
        one, two = run_packed(trunk, ids, LENGTHS), run_packed(trunk, other, LENGTHS)
    untouched = torch.ones(len(ids), dtype=torch.bool)
    untouched[changed] = False
    assert torch.equal(one[untouched], two[untouched]) and not torch.equal(one[changed], two[changed])


@pytest.mark.parametrize("keep", ["all", "inputs"])
def test_twice_the_same_is_twice_the_same_to_the_bit(keep):
    trunk, ids = make_trunk(dtype=torch.bfloat16), tokens()
    first, second = (outcome(run_packed, trunk, ids, keep=keep) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(first[1][name], second[1][name]) for name in first[1])


def test_without_gradients_the_outputs_are_the_same():
    trunk, ids = add_adapters(make_trunk()), tokens()
    with torch.inference_mode():
        seen = run_packed(trunk, ids, LENGTHS)
    torch.testing.assert_close(seen, outcome(run_packed, trunk, ids)[0], atol=0, rtol=0)


def test_the_trunk_generates_as_before():
    trunk, ids = add_adapters(make_trunk()), tokens()
    before = library(trunk, ids, LENGTHS)
    outcome(run_packed, trunk, ids)
    assert torch.equal(library(trunk, ids, LENGTHS), before)


def _hook(trunk):
    trunk.layers[1].mlp.up_proj.register_forward_hook(lambda *_: None)


def _replace(trunk):
    trunk.layers[2].self_attn.o_proj = nn.Bilinear(1, 1, 1)


def _norm(trunk):
    trunk.layers[0].input_layernorm = nn.LayerNorm(32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_hook, "in layer 1, a hook watches a module"),
        (_replace, "in layer 2, a Bilinear stands where a linear layer was"),
        (_norm, "in layer 0, a norm is a LayerNorm"),
        (lambda trunk: add_adapters(trunk, lora_dropout=0.1), "in layer 0, its LoRA has dropout"),
    ],
)
def test_what_is_not_fused_says_why(change, reason):
    trunk = make_trunk()
    change(trunk)
    assert why_plain(trunk) == f"not fused: {reason}"


def test_other_trunks_and_windows_shorter_than_a_row_are_not_fused():
    assert "no layers of Llama's kind" in why_plain(transformers.BertModel(transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)))  # fmt: skip
    trunk = make_trunk("mistral", sliding_window=64)
    assert why_plain(trunk, longest=64) is None and "slides over 64" in why_plain(trunk, longest=65)
    assert "activation" in why_plain(make_trunk(hidden_act="gelu"))
    assert "dropout" in why_plain(make_trunk(attention_dropout=0.1))


def test_a_trunk_that_is_not_fused_goes_its_own_way_to_the_same_end():
    trunk, ids = make_trunk(), tokens()
    expected = outcome(library, trunk, ids, at_m=torch.tensor([5, 100]))
    _hook(trunk)
    assert_equal(outcome(run_packed, trunk, ids, at_m=torch.tensor([5, 100])), expected)
