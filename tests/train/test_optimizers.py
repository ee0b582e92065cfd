"""The optimiser against torch's own AdamW on the whole model."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.tiny_training import (
    gradients_of,
    masters_of,
    run,
    summed_gradients,
    tiny_model,
    tiny_rows,
    tiny_training,
    trained,
)
from torch import nn
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from tunewright.model.heads import New, TaskModel
from tunewright.model.trainable import TRAINABLE, part_name
from tunewright.train.engine import Training
from tunewright.train.optimizers import AdamW, Masters
from tunewright.values import Batch

# Made by reading the models of transformers, not by the code under test.
NORM_NAMES = {"bert": ("LayerNorm",), "gpt2": ("ln_1", "ln_2", "ln_f"), "t5": ("layer_norm", "final_layer_norm")}


def spared(family: str, name: str) -> bool:
    """Whether decay must leave this parameter alone."""
    return name.split(".")[-1] == "bias" or name.split(".")[-2].startswith(NORM_NAMES[family])


class Reference:
    """torch.optim.AdamW and clip_grad_norm_ on a whole float32 model."""

    def __init__(self, model: TaskModel, family: str, options: AdamW):
        self.model, self.options = model, options
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            rate = options.rate * (options.head_rate_factor if name.startswith("head.") else 1.0)
            decay = 0.0 if spared(family, name) else options.weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()],
            betas=(options.beta1, options.beta2), eps=options.epsilon,
        )  # fmt: skip

    def step(self, gradients: dict[str, torch.Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.grad = gradients[name].clone()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        self.optimizer.step()

    def gradients(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Of the mean cross-entropy; zeros where nothing was read, because AdamW skips what has no gradient."""
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(batch).logits, batch.targets).backward()
        return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in self.model.named_parameters()}

    def assert_equals(self, training: Training) -> None:
        """Weights after settling, to 1e-6."""
        seen = masters_of(training)
        for name, expected in self.model.named_parameters():
            close(seen[name], expected.detach(), name, atol=1e-6, rtol=1e-6)


def close(seen: torch.Tensor, expected: torch.Tensor, name: str, *, atol: float, rtol: float) -> None:
    torch.testing.assert_close(seen, expected, atol=atol, rtol=rtol, msg=lambda text: f"{name}: {text}")


OPTIONS = {
    "decay": {"weight_decay": 0.1, "clip": 1e9},
    "head": {"weight_decay": 0.0, "clip": 1e9, "head_rate_factor": 5.0},
    "all": {"weight_decay": 0.3, "clip": 0.5, "head_rate_factor": 0.1, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6},
}
FAMILIES = ("bert", "gpt2", "t5")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", OPTIONS)
def test_fifty_updates_with_the_same_gradients_are_those_of_torch(family, options, monkeypatch):
    training = tiny_training(
        tiny_model(family), tiny_rows(rows=40), rate=2e-3, budget="50 updates", **OPTIONS[options]
    )
    reference = Reference(tiny_model(family), family, training.pieces.optimizer)
    unread = set(range(200)) - set(training.material.encoded.tokens_n.tolist())
    assert len(unread) > 20, "some rows of the embedding must never be read"
    step = training.masters.step

    def both(rate: float, norm: float) -> None:
        reference.step(summed_gradients(training.masters))
        step(rate, norm)

    monkeypatch.setattr(training.masters, "step", both)
    run(training)
    reference.assert_equals(training)


@pytest.mark.parametrize("family", FAMILIES)
def test_fifty_updates_are_those_of_a_plain_loop_in_torch(family):
    """Each side computes its own gradients. A large epsilon keeps AdamW from blowing up gradients that are rounding."""
    material = tiny_rows(rows=40)
    options = {"weight_decay": 0.1, "clip": 0.5, "epsilon": 1e-3, "head_rate_factor": 2.0}
    training = tiny_training(tiny_model(family), material, rate=5e-4, budget="50 updates", **options)
    reference = Reference(tiny_model(family).train(), family, training.pieces.optimizer)
    for update, fact in enumerate(training.updates()):
        epoch, place = divmod(update, 5)
        rows = training.pieces.schedule.updates(
            material.lengths_r, rows_per_update=8, seed=training.pieces.seed, epoch=epoch
        )[place]
        gradients = reference.gradients(material.batch(rows))
        norm = float(torch.stack([g.double().norm() for g in gradients.values()]).norm())
        assert fact.gradient_norm == pytest.approx(norm, rel=1e-3)
        reference.step(gradients)
    reference.assert_equals(training)


def test_untouched_rows_owe_decay_and_pay_it_when_first_read_or_settled():
    training = tiny_training(weight_decay=0.5, rate=0.01, budget="4 updates", rows_per_update=2)
    start = training.masters.rows.table.clone()
    updates = training.updates()
    next(updates), next(updates)
    rows = training.masters.rows
    unread = rows.slot_v < 0
    assert torch.equal(rows.table[unread], start[unread]), "nothing is done for rows that no batch read"
    late = int(unread.nonzero()[7])
    rows.touch(torch.tensor([[late, late]]))
    paid = start[late] * (1 - 0.01 * 0.5) ** 2
    torch.testing.assert_close(rows.embedding.weight[late].detach(), paid, atol=1e-7, rtol=1e-6)
    training.masters.settle()
    other = int((rows.slot_v < 0).nonzero()[9])
    torch.testing.assert_close(rows.table[other], start[other] * (1 - 0.01 * 0.5) ** 2, atol=1e-7, rtol=1e-6)
    settled = rows.table.clone()
    training.masters.settle()
    assert torch.equal(rows.table, settled), "a debt is paid once"


@pytest.mark.parametrize("family", FAMILIES)
def test_settling_on_the_way_changes_nothing_but_rounding(family):
    options = {"budget": "12 updates", "weight_decay": 0.3, "epsilon": 1e-3}
    plain, settling = (tiny_training(tiny_model(family), **options) for _ in range(2))
    run(plain)
    for _ in settling.updates():
        settling.masters.settle()
    a, b = masters_of(plain), masters_of(settling)
    assert all(torch.allclose(a[name], b[name], atol=1e-6, rtol=1e-6) for name in a)


@pytest.mark.parametrize("family", FAMILIES)
def test_decay_spares_norms_and_biases_and_nothing_else(family):
    """With a rate and no gradient only decay moves a parameter."""
    training = tiny_training(tiny_model(family), weight_decay=0.5, rate=0.1)
    with torch.no_grad():
        training.masters.master += 0.25  # biases start at zero, and decay would not be seen
    before = masters_of(training)
    training.masters.step(0.1, 1.0)
    after = masters_of(training)
    for name in before:
        factor = 1.0 if spared(family, name) else 0.95
        close(after[name], before[name] * factor, name, atol=1e-7, rtol=1e-6)
    assert sum(spared(family, name) for name in before) > 3


def test_bfloat16_working_copies_are_the_rounded_masters_and_the_head_stays_float32():
    training = tiny_training(dtype=torch.bfloat16, budget="6 updates", weight_decay=0.2)
    for fact in training.updates():
        assert not fact.skipped
    masters = masters_of(training)
    for name, parameter in training.model.named_parameters():
        is_head = name.startswith("head.")
        assert parameter.dtype == (torch.float32 if is_head else torch.bfloat16)
        assert torch.equal(parameter.detach(), masters[name] if is_head else masters[name].bfloat16()), name
        assert masters[name].dtype == torch.float32


def test_bfloat16_masters_keep_what_a_bfloat16_weight_would_lose():
    """Steps far below the spacing of bfloat16 add up in the masters."""
    start = dict(tiny_model().named_parameters())["trunk.encoder.layer.0.attention.self.query.weight"].detach()
    training = tiny_training(dtype=torch.bfloat16, rate=1e-6, budget="20 updates", weight_decay=0.0)
    moved = trained(training)["trunk.encoder.layer.0.attention.self.query.weight"] - start
    assert 1e-6 < float(moved.abs().median()) < 2.1e-5


def test_a_gradient_above_the_clip_is_scaled_to_it_and_one_below_is_not():
    training = tiny_training(clip=0.01, beta1=0.0, beta2=0.0, epsilon=1.0, rate=1.0, weight_decay=0.0)
    gradients = gradients_of(training, training._planned(0)[0])
    norm = float(torch.stack([g.double().norm() for g in gradients.values()]).norm())
    assert norm > 0.05
    before = masters_of(training)
    fact = next(training.updates())
    assert fact.gradient_norm == pytest.approx(norm, rel=1e-5)
    after = masters_of(training)
    for name, gradient in gradients.items():  # with these betas the step is g / (|g| + 1)
        clipped = gradient * 0.01 / norm
        torch.testing.assert_close(after[name] - before[name], -clipped / (clipped.abs() + 1), atol=3e-7, rtol=1e-2)
    loose, looser = (tiny_training(clip=clip) for clip in (2 * norm, 1e9))
    a, b = trained(loose), trained(looser)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_heads_rate_factor_is_the_heads_alone():
    slow, fast = (tiny_training(head_rate_factor=f, budget="1 updates", weight_decay=0.0) for f in (1.0, 3.0))
    start = masters_of(slow)
    a, b = trained(slow), trained(fast)
    for name in a:
        factor = 3.0 if name.startswith("head.") else 1.0
        torch.testing.assert_close(b[name] - start[name], (a[name] - start[name]) * factor, atol=1e-7, rtol=1e-3)


@pytest.mark.parametrize("kind", TRAINABLE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_state_put_into_a_new_optimiser_continues_bit_for_bit(kind, dtype):
    def fresh():
        return tiny_training(trainable=TRAINABLE[kind](), dtype=dtype, budget="7 updates", weight_decay=0.2)

    whole = fresh()
    expected = trained(whole)
    first = fresh()
    updates = first.updates()
    for _ in range(3):
        next(updates)
    tensors, values = first.state()
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    second = fresh()
    second.load_state(kept, copy.deepcopy(values))
    again, values_again = second.state()
    assert all(torch.equal(again[name], kept[name]) for name in kept) and values_again == values
    found = trained(second)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    working = dict(whole.model.named_parameters())
    assert all(torch.equal(p, working[name]) for name, p in second.model.named_parameters())


def test_trained_tensors_put_back_are_what_the_model_computes_with():
    training = tiny_training(dtype=torch.bfloat16, budget="6 updates", weight_decay=0.2)
    updates = training.updates()
    next(updates), next(updates)
    best = masters_of(training)
    batch = training.material.batch(training._planned(0)[0])
    expected = training.model.eval()(batch).logits
    training.model.train()
    next(updates), next(updates)
    assert not torch.equal(training.model.eval()(batch).logits, expected)
    training.masters.load_trained(best)
    assert torch.equal(training.model.eval()(batch).logits, expected)
    assert all(torch.equal(tensor, best[name]) for name, tensor in masters_of(training).items())


def test_frozen_parameters_have_no_master_no_moment_and_no_gradient():
    training = tiny_training(trainable=TRAINABLE["head"]())
    assert training.masters.master.numel() == 32 * 3 + 3 and training.masters.rows is None
    run(training)
    assert {n for n, p in training.model.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}
    assert all(p.grad is None for p in training.model.parameters())


def test_an_embedding_that_is_used_twice_is_stepped_as_a_whole():
    model = tiny_model("bert")
    model.trunk.lm = nn.Linear(32, 200, bias=False)
    model.trunk.lm.weight = model.trunk.embeddings.word_embeddings.weight
    training = tiny_training(model)
    assert training.masters.rows is None
    assert "trunk.embeddings.word_embeddings.weight" in training.masters.places
    plain = trained(tiny_training(tiny_model("bert")))
    seen = trained(training)
    assert all(torch.allclose(seen[name], plain[name], atol=1e-6) for name in plain)


def test_only_rows_that_were_read_have_moments():
    training = tiny_training(budget="1 updates", rows_per_update=4)
    run(training)
    read = set(training.material.batch(training._planned(0)[0]).ids_st.unique().tolist())
    rows = training.masters.rows
    assert set(rows.token_of.tolist()) == read
    assert rows.active(rows.first_moment).shape == (len(read), 32)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
def test_rates_are_those_of_transformers(decay, warmup):
    total, warm = 40, int(40 * warmup)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.02)
    if decay == "linear":
        schedule = get_linear_schedule_with_warmup(optimizer, warm, total)
    elif decay == "cosine":
        schedule = get_cosine_schedule_with_warmup(optimizer, warm, total)
    else:
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / warm) if warm else 1.0)
    ours = AdamW(rate=0.02, warmup=warmup, decay=decay)
    for update in range(total):
        assert ours.rate_at(update / total) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9, abs=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("options", [
    {"rate": -1.0}, {"rate": float("nan")}, {"beta1": 1.0}, {"beta2": -0.1}, {"warmup": 1.0}, {"clip": 0.0},
    {"epsilon": 0.0}, {"head_rate_factor": 0.0}, {"weight_decay": -0.1},
], ids=str)  # fmt: skip
def test_options_without_sense_are_refused(options):
    with pytest.raises(ValueError, match="must be|above 0"):
        AdamW(**options)


def test_masters_of_a_model_on_names_out_of_order_are_the_same():
    names = [name for name, _ in tiny_model().named_parameters()]
    model = tiny_model()
    masters = Masters(model, names[::-1], AdamW(rate=1e-3), dtype=torch.float32)
    assert set(masters.trained()) == set(names)
    for name, parameter in tiny_model().named_parameters():
        assert torch.equal(masters.trained()[name], parameter.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_of_a_table_with_new_rows_these_alone_train_and_as_torch_would_train_them(dtype):
    """Against torch's AdamW on a table whose other rows get no gradient; the others keep their bits."""
    model, rows = tiny_model(), (10, 13)  # the words that tell the classes, as if they were new
    name = "trunk.embeddings.word_embeddings.weight"
    model.new = New(frozenset(), {name: rows})
    before = dict(model.named_parameters())[name].detach().clone()
    options = {"rate": 1e-2, "weight_decay": 0.0, "clip": 1e9}
    training = tiny_training(model, trainable=TRAINABLE["head"](), dtype=dtype, **options)
    part = part_name(name, *rows)
    masters, gradients = [training.masters.trained()[part].clone()], []
    step = training.masters.step

    def watched(rate, norm):
        gradients.append(training.masters.gradients[part].clone())
        step(rate, norm)

    training.masters.step = watched
    run(training)
    after = dict(model.named_parameters())[name].detach().float()
    others = torch.ones(len(after), dtype=torch.bool)
    others[slice(*rows)] = False
    assert torch.equal(after[others], before.to(dtype).float()[others])
    reference = torch.nn.Parameter(masters[0])
    optimizer = torch.optim.AdamW([reference], lr=1e-2, weight_decay=0.0)
    for gradient in gradients:
        reference.grad = gradient
        optimizer.step()
    assert torch.allclose(training.masters.trained()[part], reference.detach(), atol=1e-6)
    assert torch.equal(after[slice(*rows)], training.masters.trained()[part].to(dtype).float())
    assert float((after - before)[slice(*rows)].abs().min()) > 0


def test_gradients_of_new_rows_are_those_of_the_whole_table():
    model, rows = tiny_model(), (10, 13)
    name = "trunk.embeddings.word_embeddings.weight"
    model.new = New(frozenset(), {name: rows})
    parts = gradients_of(tiny_training(model, trainable=TRAINABLE["head"](), accumulate=3), np.arange(24))
    whole = gradients_of(tiny_training(trainable=TRAINABLE["everything"]()), np.arange(24))
    assert torch.allclose(parts[part_name(name, *rows)], whole[name][slice(*rows)], atol=1e-6)
    assert float(parts[part_name(name, *rows)].abs().max()) > 1e-3
