"""The fused layer against the layer of transformers that it stands in for."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import transformers
from tests.tiny_training import set_dropout, tiny_model
from torch import nn

from tunewright.model import fused
from tunewright.model.adapters import add_lora
from tunewright.model.predict import make_batch
from tunewright.values import Encoded

FUSABLE = {
    "bert": (transformers.BertConfig, transformers.BertModel),
    "roberta": (transformers.RobertaConfig, transformers.RobertaModel),
    "electra": (transformers.ElectraConfig, transformers.ElectraModel),
}
SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def pair(name: str = "bert", *, dropout: float = 0.0, attention: str = "sdpa") -> tuple[nn.Module, nn.Module]:
    """A plain trunk and its fused copy, with biases and norms that are not at their starting values."""
    configuration, model = FUSABLE[name]
    extra = {"embedding_size": 32} if name == "electra" else {}
    torch.manual_seed(1)
    plain = model(configuration(**SIZES, **extra, pad_token_id=0, attn_implementation=attention))
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    set_dropout(plain, dropout)
    fusing = copy.deepcopy(plain)
    assert fused.fuse_layers(fusing) == "2 of 2 layers fused"
    return plain.train(), fusing.train()


def inputs(lengths: tuple[int, ...] = (9, 4, 1)) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(2, 60, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


def outcome(trunk: nn.Module, given: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Token vectors at real tokens, and all gradients of an uneven sum of them."""
    trunk.zero_grad()
    vectors = trunk(**given).last_hidden_state[given["attention_mask"].bool()]
    (vectors.float() * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
    gradients = {name: p.grad.float() for name, p in trunk.named_parameters() if p.grad is not None}
    return vectors.detach().float(), gradients


def relative(a: torch.Tensor, b: torch.Tensor, *, floor: float) -> float:
    return float((a - b).norm() / max(float(b.norm()), floor))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("lengths", [(9, 4, 1), (6, 6), (1,)], ids=str)
@pytest.mark.parametrize("name", FUSABLE)
def test_outputs_and_all_gradients_are_those_of_the_plain_layers(name, lengths, attention):
    plain, fusing = pair(name, attention=attention)
    expected, expected_gradients = outcome(plain, inputs(lengths))
    seen, gradients = outcome(fusing, inputs(lengths))
    assert gradients.keys() == expected_gradients.keys()
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)
    for parameter, gradient in gradients.items():
        assert relative(gradient, expected_gradients[parameter], floor=1.0) < 1e-5, parameter


@pytest.mark.parametrize("lengths", [(9, 4, 1), (6, 6)], ids=str)
def test_without_gradients_the_outputs_are_the_same_too(lengths):
    plain, fusing = pair()
    with torch.inference_mode():
        seen = fusing.eval()(**inputs(lengths)).last_hidden_state
        expected = plain.eval()(**inputs(lengths)).last_hidden_state
    real = inputs(lengths)["attention_mask"].bool()
    torch.testing.assert_close(seen[real], expected[real], atol=1e-5, rtol=1e-5)


def test_in_bfloat16_the_fused_layers_are_as_near_to_float32_as_the_plain_ones():
    plain, fusing = pair()
    truth, true_gradients = outcome(plain, inputs())
    plain_16, plain_gradients = outcome(plain.bfloat16(), inputs())
    fused_16, fused_gradients = outcome(fusing.bfloat16(), inputs())
    bound = 2**-8 * 4  # four roundings of a bfloat16
    assert relative(fused_16, truth, floor=1.0) < max(bound, 1.5 * relative(plain_16, truth, floor=1.0))
    for name, gradient in fused_gradients.items():
        if "key.bias" in name:  # its gradient is zero but for rounding
            continue
        allowed = max(bound, 2 * relative(plain_gradients[name], true_gradients[name], floor=1e-2))
        assert relative(gradient, true_gradients[name], floor=1e-2) < allowed, name


def test_windows_of_long_rows_go_through_the_fused_layers_as_through_plain_ones():
    model = tiny_model("bert")
    plain = copy.deepcopy(model)
    unfuse(plain.trunk)
    tokens = np.arange(10, 27, dtype=np.int32)
    encoded = Encoded(tokens, np.array([0, 6, 12, 15, 17]), np.array([0, 0, 1, 1]), None, np.zeros(2, dtype=np.int64))
    batch = make_batch(encoded, np.array([1, 0]), pad_id=0)
    torch.testing.assert_close(model(batch).logits, plain(batch).logits, atol=1e-6, rtol=1e-5)


def unfuse(trunk: nn.Module) -> None:
    for module in trunk.modules():
        if isinstance(vars(module).get("forward"), fused.FusedLayer):
            del module.forward


def test_gradients_stop_below_the_lowest_layer_that_trains():
    plain, fusing = pair()
    for trunk in (plain, fusing):
        for name, parameter in trunk.named_parameters():
            parameter.requires_grad_("layer.1.output" in name)
    _, expected = outcome(plain, inputs())
    _, gradients = outcome(fusing, inputs())
    assert gradients.keys() == expected.keys() and len(gradients) == 4
    for name, gradient in gradients.items():
        assert relative(gradient, expected[name], floor=1.0) < 1e-5
    fusing.requires_grad_(False)
    assert not fusing(**inputs()).last_hidden_state.requires_grad


@pytest.mark.parametrize("trains", ["query.weight", "value.bias", "key", "LayerNorm.weight", "intermediate"])
def test_any_choice_of_parameters_gets_the_gradient_of_the_plain_layer(trains):
    plain, fusing = pair()
    for trunk in (plain, fusing):
        for name, parameter in trunk.named_parameters():
            parameter.requires_grad_(trains in name and "encoder" in name)
    _, expected = outcome(plain, inputs())
    _, gradients = outcome(fusing, inputs())
    assert gradients.keys() == expected.keys() and gradients
    assert all(relative(gradients[name], expected[name], floor=1.0) < 1e-5 for name in gradients)


# ---- dropout


WIDTHS = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


def kept(shape: tuple[int, ...], p: float, dtype: torch.dtype) -> torch.Tensor:
    """Ones where an element is kept, zeros where it is dropped."""
    ones = torch.ones(shape, dtype=dtype)
    return fused.keep(ones, fused.draw_mask(shape, p, like=ones))


@WIDTHS
@pytest.mark.parametrize("p", [0.0, 0.1, 0.3, 0.5, 0.9])
def test_a_mask_drops_the_share_asked_for(p, dtype):
    torch.manual_seed(3)
    mask = kept((1000, 400), p, dtype)
    assert torch.all((mask == 0) | (mask == 1)) and mask.dtype == dtype
    dropped = float((mask == 0).double().mean())
    assert abs(dropped - p) <= 5 * math.sqrt(p * (1 - p) / 400_000) + 1 / 32768


@WIDTHS
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_what_is_kept_is_scaled_so_that_the_expectation_stays(p, dtype):
    torch.manual_seed(3)
    x = torch.ones(1000, 400, dtype=dtype)
    dropped = fused.Dropout(p).train()(x)
    assert set(dropped.unique().tolist()) == {0.0, float(torch.tensor(1 / (1 - p), dtype=dtype))}
    assert abs(float(dropped.double().mean()) - 1) < 5 * math.sqrt(p / (1 - p) / 400_000) + 4e-3


@WIDTHS
def test_elements_of_a_mask_are_independent_of_their_neighbours_and_of_the_next_mask(dtype):
    torch.manual_seed(4)
    a, b = (2 * kept((200_000,), 0.5, dtype).double() - 1 for _ in range(2))
    bound = 5 / math.sqrt(200_000)
    for lag in (1, 2, 3, 4, 7, 8, 64):  # four elements come from one random word
        assert abs(float((a[lag:] * a[:-lag]).mean())) < bound
    assert abs(float((a * b).mean())) < bound


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 11)], ids=str)
@WIDTHS
def test_the_same_seed_gives_the_same_mask_in_the_shape_asked_for(shape, dtype):
    def masks() -> torch.Tensor:
        torch.manual_seed(5)
        return kept(shape, 0.5, dtype)

    assert torch.equal(masks(), masks()) and masks().shape == shape


def test_both_widths_drop_the_same_elements_for_a_seed():
    masks = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(6)
        masks.append(kept((50, 20), 0.3, dtype).float())
    assert torch.equal(*masks)


@WIDTHS
def test_the_gradient_of_dropout_is_dropped_and_scaled_alike(dtype):
    x = torch.randn(30, 40, dtype=dtype, requires_grad=True)
    out = fused.Dropout(0.4).train()(x)
    out.sum().backward()
    torch.testing.assert_close(out.detach(), (x * x.grad).detach(), atol=1e-2, rtol=1e-2)
    assert 0 < int((x.grad == 0).sum()) < x.numel()


def test_dropout_is_nothing_in_evaluation_and_drops_in_training():
    layer, x = fused.Dropout(0.25), torch.ones(100, 100)
    assert torch.equal(layer.eval()(x), x)
    assert 0.2 < float((layer.train()(x) == 0).float().mean()) < 0.3


@pytest.mark.parametrize("t", [1, 2, 7, 15, 16, 17, 24, 31, 32, 33, 64, 100, 129])
def test_softmax_in_place_and_its_gradient_are_torchs_own(t):
    x, gradient = torch.randn(11, t, t), torch.randn(11, t, t)
    x[:, :, t // 2 :] = float("-inf") if t > 1 else 0.0
    wanted = x.clone().requires_grad_()
    p = torch.softmax(wanted, -1)
    p.backward(gradient)
    torch.testing.assert_close(fused._softmax(x), p.detach(), atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(fused._softmax_backward(gradient, p.detach()), wanted.grad, atol=1e-6, rtol=1e-5)


def by_hand(layer: nn.Module, x: torch.Tensor, masks: list[torch.Tensor], p: float) -> torch.Tensor:
    """The layer in plain operations of torch, dropping what `masks` drop: attention, then both blocks' outputs."""
    inner = layer.attention.self
    q, k, v = (part(x).view(*x.shape[:2], 4, 8).transpose(1, 2) for part in (inner.query, inner.key, inner.value))
    weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(8), -1) * masks[0].view(x.shape[0], 4, x.shape[1], -1)
    attended = (weights / (1 - p) @ v).transpose(1, 2).reshape(x.shape)
    dropped = layer.attention.output.dense(attended) * masks[1].view(x.shape) / (1 - p)
    y = layer.attention.output.LayerNorm(dropped + x)
    dropped = layer.output.dense(nn.functional.gelu(layer.intermediate.dense(y))) * masks[2].view(x.shape) / (1 - p)
    return layer.output.LayerNorm(dropped + y)


def test_with_dropout_outputs_and_gradients_are_those_of_autograd_under_the_same_masks(monkeypatch):
    _, fusing = pair(dropout=0.3)
    layer, masks, original = fusing.encoder.layer[0], [], fused.draw_mask

    def record(*given, **named):
        masks.append(original(*given, **named))
        return masks[-1].clone()

    monkeypatch.setattr(fused, "draw_mask", record)
    x = torch.randn(2, 5, 32, requires_grad=True)
    towards = torch.randn(2, 5, 32)
    wanted = [x, *layer.parameters()]
    seen = layer(x, None)
    gradients = torch.autograd.grad((seen * towards).sum(), wanted)
    expected = by_hand(layer, x, masks, 0.3)
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)
    for gradient, other in zip(gradients, torch.autograd.grad((expected * towards).sum(), wanted), strict=True):
        assert relative(gradient, other, floor=1.0) < 1e-5
    assert len(masks) == 3 and all(0 < float((mask == 0).float().mean()) < 0.6 for mask in masks)


def test_with_dropout_a_seed_decides():
    _, fusing = pair(dropout=0.3)
    layer, x = fusing.encoder.layer[0], torch.randn(2, 5, 32)

    def call(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return layer(x, None)

    assert torch.equal(call(6), call(6)) and not torch.equal(call(6), call(7))


@pytest.mark.parametrize("with_gradients", [True, False])
def test_dropout_falls_where_the_plain_layer_has_it(with_gradients):
    """Over many seeds the mean output of both layers is the same, and so is its spread."""
    plain, fusing = pair(dropout=0.2)
    x = torch.randn(1, 6, 32).expand(1500, 6, 32).contiguous()
    with torch.set_grad_enabled(with_gradients):
        torch.manual_seed(8)
        a = plain.encoder.layer[0](x, None).view(1500, -1).detach()
        b = fusing.encoder.layer[0](x, None).view(1500, -1).detach()
    spread = a.std(0)
    assert float((a.mean(0) - b.mean(0)).abs().div(spread).max()) < 6 * math.sqrt(2 / 1500)
    assert abs(float((b.std(0) / spread).mean()) - 1) < 0.02


def test_attention_dropout_and_hidden_dropout_are_told_apart():
    _, fusing = pair()
    layer, x = fusing.encoder.layer[0], torch.randn(3, 5, 32)
    still = layer(x, None)
    layer.attention.self.dropout.p = 0.5
    assert not torch.equal(layer(x, None), still)
    layer.attention.self.dropout.p = 0.0
    layer.attention.output.dropout.p = layer.output.dropout.p = 0.5
    assert not torch.equal(layer(x, None), still)
    torch.testing.assert_close(layer.eval()(x, None), still, atol=1e-6, rtol=1e-6)


# ---- what is not fused


def runs_fused(trunk: nn.Module) -> int:
    """How many layers compute by the fused forward in a call."""
    calls = []
    original = fused._LayerFunction.apply
    try:
        fused._LayerFunction.apply = lambda *given: calls.append(1) or original(*given)
        trunk(**inputs())
    finally:
        del fused._LayerFunction.apply
    return len(calls)


@pytest.mark.parametrize("family", ["distilbert", "gpt2", "llama", "t5", "bart"])
def test_other_architectures_are_left_as_they_are(family):
    trunk = tiny_model(family).trunk
    assert fused.fuse_layers(trunk) == "not fused: the trunk has no layers of BERT's kind"
    assert not any("forward" in vars(module) for module in trunk.modules())


def test_an_adapter_added_before_fusing_keeps_the_plain_layer_and_says_so():
    model = tiny_model("bert")
    unfuse(model.trunk)
    add_lora(model, rank=2, alpha=4.0, dropout=0.0, targets=["query"], seed=0)
    assert fused.fuse_layers(model.trunk) == "0 of 3 layers fused"


def test_an_adapter_added_after_fusing_takes_part_and_its_gradients_flow(with_lora):
    _, fusing = pair()
    before = fusing(**inputs()).last_hidden_state
    assert runs_fused(fusing) == 2
    model = tiny_model("bert")
    batch_before = outcome(model.trunk.train(), inputs())[0]
    add_lora(model, rank=2, alpha=4.0, dropout=0.0, targets="linear", seed=0)
    with_lora(model)
    after, gradients = outcome(model.trunk, inputs())
    assert float((after - batch_before).abs().max()) > 1e-2
    assert sum("lora_A" in name for name in gradients) == sum("lora_B" in name for name in gradients) == 18
    unfused = copy.deepcopy(model.trunk)
    unfuse(unfused)
    torch.testing.assert_close(after, outcome(unfused, inputs())[0], atol=1e-6, rtol=1e-6)
    assert before.shape == (3, 9, 32)


def replace_dense(layer: nn.Module) -> None:
    layer.output.dense = nn.Sequential(layer.output.dense)


def replace_norm(layer: nn.Module) -> None:
    layer.output.LayerNorm = nn.RMSNorm(32)


def replace_activation(layer: nn.Module) -> None:
    layer.intermediate.intermediate_act_fn = nn.ReLU()


def uneven_dropout(layer: nn.Module) -> None:
    layer.output.dropout.p = 0.5


@pytest.mark.parametrize("change", [replace_dense, replace_norm, replace_activation, uneven_dropout])
def test_a_layer_changed_after_fusing_runs_as_the_plain_layer_would(change):
    _, fusing = pair()
    change(fusing.encoder.layer[1])
    assert runs_fused(fusing) == 1
    unfused = copy.deepcopy(fusing)
    unfuse(unfused)
    torch.manual_seed(1)
    seen = fusing(**inputs()).last_hidden_state
    torch.manual_seed(1)
    torch.testing.assert_close(seen, unfused(**inputs()).last_hidden_state, atol=1e-5, rtol=1e-5)


def test_a_hook_inside_a_layer_is_called_and_the_layer_is_fused_again_without_it():
    _, fusing = pair()
    seen = []
    handle = fusing.encoder.layer[0].output.dense.register_forward_hook(lambda *_: seen.append(1))
    assert runs_fused(fusing) == 1 and seen == [1]
    handle.remove()
    assert runs_fused(fusing) == 2


def test_requested_hidden_states_and_attentions_are_those_of_the_plain_trunk():
    plain, fusing = pair(attention="eager")
    fusing(**inputs())
    wanted = {"output_hidden_states": True, "output_attentions": True}
    expected, seen = plain(**inputs(), **wanted), fusing(**inputs(), **wanted)
    real = inputs()["attention_mask"].bool()
    assert len(seen.hidden_states) == len(expected.hidden_states) == 3
    assert len(seen.attentions) == len(expected.attentions) == 2
    for a, b in zip(seen.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(a[real], b[real], atol=1e-5, rtol=1e-5)
    for a, b in zip(seen.attentions, expected.attentions, strict=True):
        torch.testing.assert_close(a[0], b[0], atol=1e-5, rtol=1e-5)


def test_gradient_checkpointing_changes_nothing():
    _, fusing = pair()
    expected, expected_gradients = outcome(fusing, inputs())
    fusing.activation_checkpointing_enable()
    seen, gradients = outcome(fusing, inputs())
    torch.testing.assert_close(seen, expected)
    assert all(torch.allclose(gradients[name], expected_gradients[name], atol=1e-6) for name in gradients)


def test_a_deep_copy_is_independent():
    _, fusing = pair()
    before, _ = outcome(fusing, inputs())
    copied = copy.deepcopy(fusing)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(0.5)
    assert torch.equal(outcome(fusing, inputs())[0], before)
    assert not torch.allclose(outcome(copied, inputs())[0], before, atol=1e-3)
    assert all(layer.forward.layer is layer for layer in copied.encoder.layer)
    assert runs_fused(copied) == 2


def test_query_key_and_value_that_lie_together_are_read_without_a_copy():
    buffer = torch.arange(24.0)
    together = [buffer[i * 8 : (i + 1) * 8].view(2, 4) for i in range(3)]
    stacked = fused.stacked(*together)
    assert stacked.data_ptr() == buffer.data_ptr() and torch.equal(stacked, torch.cat(together))
    apart = [together[0], together[2], together[1]]
    assert torch.equal(fused.stacked(*apart), torch.cat(apart))
    assert torch.equal(fused.stacked(together[0].t(), together[1].t()), torch.cat([together[0].t(), together[1].t()]))
