"""The packed encoder-decoder against the trunk of transformers, dropout included, and its LoRA against peft."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from tunewright.model import fused_seq2seq
from tunewright.model.fused_seq2seq import Rows, run_pairs, why_plain
from tunewright.model.seeded_dropout import Dice, dropped

SIZES = {"vocab_size": 60, "d_model": 32, "d_kv": 6, "d_ff": 48, "num_layers": 3, "num_decoder_layers": 2,
         "num_heads": 4, "decoder_start_token_id": 0, "relative_attention_num_buckets": 8,
         "relative_attention_max_distance": 20}  # fmt: skip
KINDS = {
    "t5": (transformers.T5Config, transformers.T5ForConditionalGeneration, {}),
    "t5 v1.1": (transformers.T5Config, transformers.T5ForConditionalGeneration,
                {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "mt5": (transformers.MT5Config, transformers.MT5ForConditionalGeneration, {"tie_word_embeddings": False}),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", KINDS)
KEEP = pytest.mark.parametrize("keep", ["all", "inputs"])
SOURCES, TARGETS = (41, 5, 16, 1, 30), (7, 20, 1, 1, 33)
LINEAR = ["q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo"]


def make_trunk(name: str = "t5", *, dropout: float = 0.0, dtype: torch.dtype = torch.float32, **options) -> nn.Module:
    """A trunk whose norms and tables are not at their starting values."""
    configuration, model, kind = KINDS[name]
    torch.manual_seed(1)
    trunk = model(configuration(**SIZES, dropout_rate=dropout, attn_implementation="eager", **{**kind, **options}))
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return trunk.to(dtype).train()


def add_adapters(trunk: nn.Module, targets=("q", "v"), **options) -> nn.Module:
    inject_adapter_in_model(LoraConfig(r=4, lora_alpha=6, target_modules=list(targets), **options), trunk)
    torch.manual_seed(2)
    for path, parameter in trunk.named_parameters():
        parameter.requires_grad_("lora_" in path)
        if "lora_B" in path:
            nn.init.normal_(parameter, std=0.3)
    return trunk


def rows(lengths, *, seed: int) -> Rows:
    return Rows(torch.randint(1, 60, (sum(lengths),), generator=torch.Generator().manual_seed(seed)), lengths)


def library(trunk: nn.Module, sources: Rows, targets: Rows, *, at_m=None, **_) -> torch.Tensor:
    """The trunk's own forward, one row at a time."""
    pairs = zip(*(one.ids_n.split(list(one.lengths)) for one in (sources, targets)), strict=True)
    vectors = []
    for source, target in pairs:
        encoded = trunk.encoder(input_ids=source[None]).last_hidden_state
        decoded = trunk.decoder(input_ids=target[None], encoder_hidden_states=encoded, use_cache=False)
        vectors.append(decoded.last_hidden_state[0])
    return torch.cat(vectors) if at_m is None else torch.cat(vectors)[at_m]


def outcome(run, trunk, lengths=(SOURCES, TARGETS), **options) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    trunk.zero_grad()
    vectors = run(trunk, rows(lengths[0], seed=3), rows(lengths[1], seed=4), **options)
    (vectors.double() * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
    return vectors.detach(), {n: p.grad for n, p in trunk.named_parameters() if p.grad is not None}


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / max(float(b.double().norm()), 1.0))


def assert_equal(seen, expected, *, within: float = 1e-5) -> None:
    assert relative(seen[0], expected[0]) < within
    assert seen[1].keys() == expected[1].keys()
    for name, gradient in seen[1].items():
        assert relative(gradient, expected[1][name]) < within, name


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 5e-6)])
@KEEP
@EVERY
def test_outputs_and_all_gradients_are_those_of_the_library(name, keep, dtype, within):
    """In float64 the library still norms in float32."""
    trunk = make_trunk(name, dtype=dtype)
    assert why_plain(trunk) is None
    seen = outcome(run_pairs, trunk, keep=keep)
    assert sum("relative_attention_bias" in path for path in seen[1]) == 2
    assert_equal(seen, outcome(library, trunk), within=within)


@settings(max_examples=20, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=5))
def test_rows_of_any_lengths_are_as_the_library_has_them(pairs):
    trunk = add_adapters(make_trunk("t5 v1.1", dtype=torch.float64), LINEAR)
    lengths = tuple(zip(*pairs, strict=True))
    assert_equal(outcome(run_pairs, trunk, lengths), outcome(library, trunk, lengths))


@KEEP
def test_at_some_tokens_they_are_those_of_the_library_at_those(keep):
    trunk, at_m = make_trunk(), torch.tensor([0, 3, 6, 7, 61, 61])
    assert_equal(outcome(run_pairs, trunk, at_m=at_m, keep=keep), outcome(library, trunk, at_m=at_m))


@KEEP
@pytest.mark.parametrize("targets", [LINEAR, ["q", "v"], ["wo"]], ids=["linear", "attention", "wo"])
@EVERY
def test_with_adapters_they_are_those_of_peft(name, targets, keep):
    trunk = add_adapters(make_trunk(name), targets)
    seen = outcome(run_pairs, trunk, keep=keep)
    assert len(seen[1]) == sum("lora_" in path for path, _ in trunk.named_parameters()) > 0
    assert_equal(seen, outcome(library, trunk))


PARTS = ["relative_attention_bias", "encoder.block.1.layer.1", "decoder.block.0.layer.1.EncDecAttention.k",
         "decoder.block.1.layer.2", "encoder.block.0.layer.0.layer_norm", "decoder.block.0.layer.1.layer_norm",
         "decoder.final_layer_norm", "shared"]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_where_only_a_part_trains_it_has_its_gradients_and_nothing_else_has(part):
    trunk = make_trunk("t5 v1.1")
    for name, parameter in trunk.named_parameters():
        parameter.requires_grad_(part in name)
    seen = outcome(run_pairs, trunk)
    assert seen[1] and all(part in name for name in seen[1])
    assert_equal(seen, outcome(library, trunk))


@pytest.mark.parametrize(("part", "steps"), [("decoder.block.1.layer.2", 1), ("decoder.block.0.layer.1", 5),
                                            ("encoder.block.2.layer.1", 6)])  # fmt: skip
def test_no_gradient_is_computed_below_what_trains(part, steps, monkeypatch):
    trunk, saved = make_trunk(), fused_seq2seq._saved
    for name, parameter in trunk.named_parameters():
        parameter.requires_grad_(name.startswith(part))
    ran = []
    monkeypatch.setattr(fused_seq2seq, "_saved", lambda *given: ran.append(1) or saved(*given))
    outcome(run_pairs, trunk)
    assert len(ran) == steps


def seeded(monkeypatch) -> list[int]:
    """Lets every dropout, torch's and ours, take the next seed of one list; as many as were taken stand in it."""
    taken: list[int] = []

    def next_seed() -> int:
        taken.append(len(taken))
        return taken[-1]

    def dropout(x, p=0.5, training=True, inplace=False):
        if not training:
            return x
        return x * (dropped(x.shape, p, Dice(next_seed())) == 0) / (1 - p)

    monkeypatch.setattr(fused_seq2seq, "draw_seed", next_seed)
    monkeypatch.setattr(nn.functional, "dropout", dropout)
    return taken


@KEEP
@EVERY
def test_dropout_stands_where_the_library_has_it(name, keep, monkeypatch):
    trunk, lengths = add_adapters(make_trunk(name, dropout=0.2, dtype=torch.float64), LINEAR), ((32,), (16,))
    taken = seeded(monkeypatch)
    expected = outcome(library, trunk, lengths)
    assert len(taken) == 2 + 3 * 4 + 2 + 2 * 6
    taken.clear()
    assert_equal(outcome(run_pairs, trunk, lengths, keep=keep), expected, within=1e-5)
    assert len(taken) == 2 + 3 * 4 + 2 + 2 * 6
    taken.clear()
    assert relative(outcome(library, trunk.eval(), lengths)[0], expected[0]) > 0.1 and not taken


@KEEP
def test_torchs_seed_decides_what_is_dropped(keep):
    trunk = make_trunk(dropout=0.1, dtype=torch.bfloat16)
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(outcome(run_pairs, trunk, keep=keep))
    assert torch.equal(outs[0][0], outs[1][0]) and not torch.equal(outs[0][0], outs[2][0])
    assert all(torch.equal(outs[0][1][name], outs[1][1][name]) for name in outs[0][1])
    with torch.no_grad():
        trunk.eval()
        calm = [run_pairs(trunk, rows(SOURCES, seed=3), rows(TARGETS, seed=4)) for _ in range(2)]
    assert torch.equal(*calm)


def _error(seen, expected) -> float:
    """Of all gradients together, relative."""
    apart = sum(float((seen[1][name].double() - g.double()).square().sum()) for name, g in expected[1].items())
    return (apart / sum(float(g.double().square().sum()) for g in expected[1].values())) ** 0.5


@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("name", ["t5", "t5 v1.1"])
def test_in_bfloat16_they_are_as_near_to_float32_as_the_library(name, adapters):
    errors = []
    for seed in range(4):  # one model is mostly luck: a ReLU opens or does not
        exact = make_trunk(name)
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in exact.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        exact = add_adapters(exact) if adapters else exact
        exact = exact.bfloat16().float()
        half = copy.deepcopy(exact).bfloat16()
        expected, seen, peer = outcome(library, exact), outcome(run_pairs, half), outcome(library, half)
        errors.append([relative(seen[0], expected[0]), relative(peer[0], expected[0]), _error(seen, expected),
                       _error(peer, expected)])  # fmt: skip
    outputs, of_peer, gradients, gradients_of_peer = torch.tensor(errors).mean(0).tolist()
    assert outputs < 1.15 * of_peer < 0.1
    assert gradients < 1.15 * gradients_of_peer < 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_changing_one_row_of_a_pack_leaves_the_others_as_they_are_to_the_bit(dtype):
    trunk, sources, targets = make_trunk(dtype=dtype), rows(SOURCES, seed=3), rows(TARGETS, seed=4)
    with torch.no_grad():
        one = run_pairs(trunk, sources, targets)
        sources.ids_n[41:46] += 1
        two = run_pairs(trunk, sources, targets)
    changed = torch.zeros(len(one), dtype=torch.bool)
    changed[7:27] = True
    assert torch.equal(one[~changed], two[~changed]) and not torch.equal(one[changed], two[changed])


def test_without_gradients_the_outputs_are_the_same_and_the_library_is_untouched():
    trunk = add_adapters(make_trunk())
    before = outcome(library, trunk)[0]
    seen = outcome(run_pairs, trunk)[0]
    with torch.inference_mode():
        assert torch.equal(run_pairs(trunk, rows(SOURCES, seed=3), rows(TARGETS, seed=4)), seen)
    assert torch.equal(outcome(library, trunk)[0], before)


def _hook(trunk):
    trunk.encoder.block[1].layer[1].DenseReluDense.wi.register_forward_hook(lambda *_: None)


def _replace(trunk):
    trunk.decoder.block[0].layer[1].EncDecAttention.o = nn.Bilinear(1, 1, 1)


def _norm(trunk):
    trunk.encoder.block[0].layer[0].layer_norm = nn.LayerNorm(32)


def _rounded(trunk):
    trunk.decoder.block[1].layer[2].DenseReluDense.wo.to(torch.bfloat16)


def _biased(trunk):
    trunk.encoder.block[0].layer[0].SelfAttention.q = nn.Linear(32, 24)


def _first_gone(trunk):
    del trunk.decoder.block[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_hook, "in the encoder, in block 1, a hook watches a module"),
        (_replace, "in the decoder, in block 0, a Bilinear stands where a linear layer was"),
        (_norm, "in the encoder, in block 0, a norm is a LayerNorm"),
        (_rounded, "in the decoder, in block 1, a weight is torch.bfloat16 beside embeddings of torch.float32"),
        (_biased, "in the encoder, in block 0, a linear layer has a bias"),
        (_first_gone, "in the decoder, positions are not one table of the first block"),
        (lambda trunk: trunk.half(), "in the encoder, the weights are torch.float16"),
        (lambda trunk: trunk.decoder.register_forward_hook(print), "in the decoder, a hook watches the stack"),
        (lambda trunk: add_adapters(trunk, lora_dropout=0.1), "in the encoder, in block 0, its LoRA has dropout"),
    ],
)
def test_what_is_not_fused_says_why(change, reason):
    trunk = make_trunk()
    change(trunk)
    assert why_plain(trunk) == f"not fused: {reason}"


def test_other_trunks_and_activations_are_not_fused():
    assert "the activation is SiLU" in why_plain(make_trunk(feed_forward_proj="gated-silu"))
    bart = transformers.BartConfig(vocab_size=9, d_model=8, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=8,
                                   decoder_ffn_dim=8, encoder_attention_heads=2, decoder_attention_heads=2)  # fmt: skip
    assert "not two stacks of T5's kind" in why_plain(transformers.BartForConditionalGeneration(bart))
