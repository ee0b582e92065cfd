"""The engine: what an update is, what it never lets through, and when it ends."""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests import tiny_texts
from tests.tiny_training import gradients_of, masters_of, run, tiny_model, tiny_rows, tiny_training, trained
from torch import nn
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from tunewright.model.trainable import TRAINABLE
from tunewright.train import engine
from tunewright.train.engine import NotFinite, Training, seed_of
from tunewright.train.objectives.contrastive import Contrastive
from tunewright.train.objectives.cosent import CoSent
from tunewright.train.objectives.supervised import Supervised
from tunewright.train.schedules import LengthGrouped
from tunewright.values import Context

KINDS = ("classification", "multi_label", "regression")


def objective(kind: str, options: str) -> Supervised:
    targets = tiny_rows(kind=kind).targets
    weights = "balanced" if options == "balanced" else "none"
    return Supervised(class_weights=weights).fitted(targets, kind=kind, classes=3)


def norm_of(gradients: dict[str, torch.Tensor]) -> float:
    return float(torch.stack([g.double().norm() for g in gradients.values()]).norm())


# ---- denominators

WEIGHTS = {
    "plain": [1.0] * 24,
    "some rows at 0": [0.0, 1.0, 2.0] * 8,
    "most rows at 0": [0.0] * 23 + [3.0],
}
CASES = [(kind, "none", weights) for kind in KINDS for weights in WEIGHTS]
CASES += [("classification", "balanced", weights) for weights in WEIGHTS]


@pytest.mark.parametrize(("kind", "options", "weights"), CASES)
def test_the_number_of_passes_changes_neither_loss_nor_gradient(kind, options, weights):
    def once(**changes):
        material = tiny_rows(kind=kind, weights=WEIGHTS[weights])
        training = tiny_training(
            None, material, kind=kind, objectives=[(objective(kind, options), 1.0)], rows_per_update=24, **changes
        )
        gradients = gradients_of(training, np.arange(24))
        return next(training.updates()), gradients

    whole, expected = once(accumulate=1, tokens_per_pass=100_000)
    assert whole.passes == 1
    for passes, changes in {4: {"accumulate": 4}, 8: {"accumulate": 8}, 24: {"tokens_per_pass": 1}}.items():
        fact, gradients = once(**{"tokens_per_pass": 100_000, **changes})
        assert fact.passes == passes
        assert fact.loss == pytest.approx(whole.loss, rel=1e-6)
        assert norm_of({n: gradients[n] - expected[n] for n in expected}) < 1e-6 * norm_of(expected)


TEXT_CASES = [(name, trainable) for name in ("llama", "llama, tied", "gpt2", "t5", "bart") for trainable in
              ("everything", "lora")]  # fmt: skip


def text_training(name: str, trainable: str = "everything", **changes) -> Training:
    material = changes.pop("material", None) or tiny_texts.tiny_text_rows(name, rows=8, longest=24, seed=4)
    model = tiny_texts.tiny_text_model(name)
    choice = TRAINABLE["lora"](rank=4) if trainable == "lora" else TRAINABLE[trainable]()
    choice.prepare(model, seed=3)
    if trainable == "lora":
        with torch.no_grad():
            for path, parameter in model.named_parameters():
                if "lora_B" in path:
                    parameter.add_(0.1)
    options = {"kind": "generation", "rows_per_update": 8, "tokens_per_pass": 100_000} | changes
    return tiny_training(model, material, trainable=choice, **options)


@pytest.mark.parametrize(("name", "trainable"), TEXT_CASES)
def test_eight_rows_at_once_are_eight_rows_one_by_one_in_texts_too(name, trainable):
    def once(**changes):
        training = text_training(name, trainable, **changes)
        gradients = gradients_of(training, np.arange(8))
        return next(training.updates()), gradients

    whole, expected = once()
    assert whole.passes == 1 and whole.loss > 1
    for passes, changes in {3: {"accumulate": 3}, 8: {"accumulate": 8}}.items():
        fact, gradients = once(**changes)
        assert fact.passes == passes
        assert fact.loss == pytest.approx(whole.loss, rel=1e-6)
        assert norm_of({n: gradients[n] - expected[n] for n in expected}) < 1e-6 * norm_of(expected)


@pytest.mark.parametrize("name", tiny_texts.ALL)
def test_updates_are_those_of_torch_on_the_librarys_own_loss(name):
    material, rate = tiny_texts.tiny_text_rows(name, rows=8, seed=4), 1e-2
    same = {"weight_decay": 0.0, "eps": 1e-5}  # with a smaller one, gradients that are rounding alone take whole steps
    training = text_training(name, material=material, rate=rate, weight_decay=0.0, epsilon=same["eps"], accumulate=3,
                             budget="3 updates")  # fmt: skip
    facts = run(training)
    theirs = tiny_texts.tiny_lm(name)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=rate, **same)
    for fact in facts:
        loss = tiny_texts.library_loss(theirs, material.encoded)
        assert fact.loss == pytest.approx(loss.item(), rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        assert fact.gradient_norm == pytest.approx(norm.item(), rel=1e-3)
        optimizer.step()
    assert facts[-1].loss < facts[0].loss


def test_what_pads_a_batch_is_no_token_that_was_read():
    """A decoder of another kind than Llama's pads by itself, and the rows of its embedding are kept one by one."""
    material = tiny_texts.tiny_text_rows("neox", rows=8, seed=4)
    assert 0 not in material.encoded.tokens_n
    object.__setattr__(material, "pad_id", 3)
    facts = run(text_training("neox", material=material, budget="2 updates"))
    assert len(facts) == 2 and not any(fact.skipped for fact in facts)


def test_the_loss_is_the_weighted_mean_over_the_update():
    weights = np.linspace(0, 3, 24)
    material = tiny_rows(weights=weights)
    training = tiny_training(None, material, rows_per_update=24, accumulate=5)
    fact = next(training.updates())
    batch = material.batch(np.arange(24))
    values = nn.functional.cross_entropy(tiny_model().train()(batch).logits, batch.targets, reduction="none")
    expected = np.average(values.detach().double().numpy(), weights=weights)
    assert fact.loss == pytest.approx(expected, rel=1e-6)


def test_several_objectives_are_added_by_weight():
    smooth = Supervised(label_smoothing=0.4)

    def loss(objectives) -> float:
        return next(tiny_training(objectives=objectives, accumulate=2).updates()).loss

    both = loss([(Supervised(), 0.25), (smooth, 2.0)])
    assert both == pytest.approx(0.25 * loss([(Supervised(), 1.0)]) + 2 * loss([(smooth, 1.0)]), rel=1e-6)


def test_an_update_whose_rows_all_weigh_nothing_moves_nothing_but_by_decay():
    training = tiny_training(None, tiny_rows(weights=[0.0] * 24), weight_decay=0.0)
    before = masters_of(training)
    fact = next(training.updates())
    assert fact.loss == 0 and fact.gradient_norm == 0 and not fact.skipped
    assert all(torch.equal(tensor, before[name]) for name, tensor in masters_of(training).items())


def test_gradients_do_not_flow_from_one_update_into_the_next():
    training = tiny_training(budget="2 updates", rate=0.0)
    norms = [fact.gradient_norm for fact in training.updates()]
    other = tiny_training(rate=0.0)
    second = gradients_of(other, other._planned(0)[1])
    assert norms[1] == pytest.approx(norm_of(second), rel=1e-5)


@pytest.mark.parametrize("accumulate", [1, 3, 4, 8, 50])
@pytest.mark.parametrize("tokens_per_pass", [1, 20, 10_000])
def test_passes_hold_every_row_once_and_fit_their_tokens(accumulate, tokens_per_pass):
    training = tiny_training(accumulate=accumulate, tokens_per_pass=tokens_per_pass)
    rows = np.array([3, 1, 4, 15, 9, 2, 6, 5])
    passes = training._passes(rows)
    assert Counter(np.concatenate(passes).tolist()) == Counter(rows.tolist())
    assert len(passes) >= min(accumulate, len(rows))
    lengths = training.material.lengths_r
    assert all(len(part) == 1 or len(part) * lengths[part].max() <= tokens_per_pass for part in passes)


# ---- gradients cached


def coupled(kind: str, *, dropout: float = 0.0, **changes) -> Training:
    """A training whose loss sees all rows of an update side by side."""
    chosen = {"retrieval": Contrastive(), "similarity": CoSent()}[kind]
    return tiny_training(
        tiny_model(kind=kind, dropout=dropout), None, kind=kind, objectives=[(chosen, 1.0)], rows_per_update=24,
        **changes,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["retrieval", "similarity"])
def test_rows_meet_all_others_of_an_update_whatever_the_number_of_passes(kind):
    """A loss of each pass alone would lack most rivals and pairs, and be smaller."""
    training = coupled(kind)
    whole, expected = next(training.updates()), gradients_of(coupled(kind), np.arange(24))
    assert whole.passes == 1
    for passes in (2, 24):
        fact = next(coupled(kind, accumulate=passes).updates())
        assert fact.passes == passes and fact.loss == pytest.approx(whole.loss, rel=1e-6)
        seen = gradients_of(coupled(kind, accumulate=passes), np.arange(24))
        assert norm_of({n: seen[n] - expected[n] for n in expected}) < 1e-6 * norm_of(expected)
    (objective, _), = training.pieces.objectives
    parts = [training.material.batch(part) for part in np.array_split(np.arange(24), 2)]
    apart = [objective.values(Context(part, training.model.eval()(part), kind)).mean().item() for part in parts]
    assert np.mean(apart) < 0.9 * whole.loss


def test_several_objectives_are_added_up_over_cached_gradients_too():
    def once(*objectives, **changes):
        training = coupled("similarity", **changes)
        training.pieces = replace(training.pieces, objectives=objectives)
        return gradients_of(training, np.arange(24))

    both = once((CoSent(), 1.0), (Supervised(), 0.5), accumulate=5)
    first, second = once((CoSent(), 1.0)), once((Supervised(), 0.5))
    assert norm_of({n: both[n] - first[n] - second[n] for n in both}) < 1e-6 * norm_of(both)


def test_a_pass_drops_the_same_elements_when_it_runs_again():
    """Otherwise a vector would be given the gradient of another one."""
    training = coupled("retrieval", dropout=0.3, accumulate=4)
    seen: dict[int, list[torch.Tensor]] = {}
    original = type(training.material).outputs

    def watched(model, batch):
        outputs = original(training.material, model, batch)
        seen.setdefault(int(batch.row_indices_b[0]), []).append(outputs.vectors_md.detach())
        return outputs

    object.__setattr__(training.material, "outputs", watched)
    next(training.updates())
    assert len(seen) == 4
    for first, again in seen.values():
        assert torch.equal(first, again)
    apart = list(seen.values())
    assert not torch.equal(apart[0][0][:1], apart[1][0][:1])


# ---- randomness


def test_seeds_of_passes_differ_in_every_part_and_depend_on_nothing_else():
    seeds = {
        seed_of(run, update, pass_, view=view)
        for run in (0, 1, 12) for update in (0, 1, 21) for pass_ in (0, 1, 2) for view in (0, 1)
    }  # fmt: skip
    assert len(seeds) == 54 and all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(1, 11, 1, view=0) != seed_of(11, 1, 1, view=0) != seed_of(1, 1, 11, view=0)
    torch.manual_seed(4)
    before = seed_of(3, 5, 1, view=0)
    torch.rand(7)
    assert seed_of(3, 5, 1, view=0) == before


def test_every_pass_of_every_update_draws_dropout_of_its_own(monkeypatch):
    seeds = []
    monkeypatch.setattr(engine, "seed_randomness", seeds.append)
    run(tiny_training(accumulate=4, budget="6 updates"))
    assert len(seeds) == len(set(seeds)) == 24


def test_dropout_is_decided_by_the_seed_and_not_by_what_ran_before():
    def once() -> dict[str, torch.Tensor]:
        torch.rand(np.random.randint(1, 50))
        return trained(tiny_training(tiny_model(dropout=0.3), accumulate=2))

    a, b = once(), once()
    assert all(torch.equal(a[name], b[name]) for name in a)
    other = trained(tiny_training(tiny_model(dropout=0.3), accumulate=2, seed=12))
    assert any(not torch.equal(a[name], other[name]) for name in a)


@pytest.mark.parametrize("kind", ["everything", "lora"])
def test_a_run_stopped_anywhere_and_resumed_is_the_whole_run_bit_for_bit(kind):
    def fresh() -> Training:
        return tiny_training(
            tiny_model(dropout=0.2), trainable=TRAINABLE[kind](), budget="3 epochs", accumulate=2,
            schedule=LengthGrouped(), rows_per_update=7, decay="cosine", warmup=0.2,
        )  # fmt: skip

    whole, kept, facts = fresh(), [], []
    for fact in whole.updates():
        facts.append(fact)
        tensors, values = whole.state()
        kept.append(({n: t.clone() for n, t in tensors.items()}, json.loads(json.dumps(values))))
    expected = masters_of(whole)
    assert len(facts) == 12
    for at, (tensors, values) in enumerate(kept[:-1]):
        again = fresh()
        again.load_state(tensors, copy.deepcopy(values))
        rest = [replace(fact, seconds=0.0) for fact in again.updates()]
        assert rest == [replace(fact, seconds=0.0) for fact in facts[at + 1 :]]
        seen = masters_of(again)
        assert all(torch.equal(seen[name], expected[name]) for name in expected)


# ---- what is not finite


def plant_in_weight(training: Training, row: int, value: float) -> None:
    training.material.weights_r[row] = value


def plant_in_embedding(training: Training, row: int, value: float) -> None:
    """The vectors of one batch come out not finite, once."""

    def hook(module, args, vectors):
        handle.remove()
        return vectors.index_fill(1, torch.tensor([0]), value)

    handle = training.model.trunk.get_input_embeddings().register_forward_hook(hook)


def plant_in_gradient(training: Training, row: int, value: float) -> None:
    """One gradient on its way back is not finite, once; the loss is."""
    names = sorted(name for name, p in training.model.named_parameters() if p.requires_grad and "word_emb" not in name)
    parameter = dict(training.model.named_parameters())[names[row * 7 % len(names)]]

    def hook(gradient):
        handle.remove()
        return gradient.index_fill(0, torch.tensor([0]), value)

    handle = parameter.register_hook(hook)


PLANTS = [plant_in_weight, plant_in_embedding, plant_in_gradient]
INJECTIONS = [(PLANTS[i % 3], i, [math.nan, math.inf, -math.inf][i // 3 % 3], i % 2) for i in range(51)]


@pytest.mark.parametrize(("plant", "number", "value", "narrow"), INJECTIONS)
def test_what_is_not_finite_is_recorded_and_never_reaches_the_weights(plant, number, value, narrow):
    training = tiny_training(
        budget="6 updates", accumulate=1 + number % 3, dtype=torch.bfloat16 if narrow else torch.float32
    )
    updates = training.updates()
    for _ in range(number % 3):
        next(updates)
    state = {name: tensor.clone() for name, tensor in training.masters.state().items() if not name.startswith("rows.")}
    before, bad = masters_of(training), int(training._planned(0)[number % 3][number % 8])
    plant(training, bad, value)
    fact = next(updates)
    assert fact.skipped and not (math.isfinite(fact.loss) and math.isfinite(fact.gradient_norm))
    assert json.loads(json.dumps(fact.recorded(), allow_nan=False))["skipped"] is True
    assert f"row-{bad}" in training.cursor.skipped_rows
    assert all(torch.equal(tensor, before[name]) for name, tensor in masters_of(training).items())
    now = training.masters.state()
    assert all(torch.equal(now[name], tensor) for name, tensor in state.items())
    training.material.weights_r[bad] = 1.0
    after = next(updates)
    assert not after.skipped and training.cursor.skips_in_a_row == 0 and training.cursor.skipped_rows == []
    assert all(torch.isfinite(tensor).all() for tensor in masters_of(training).values())
    assert all(torch.isfinite(parameter).all() for parameter in training.model.parameters())


def test_three_in_a_row_stop_with_the_ids_of_their_rows():
    training = tiny_training(None, tiny_rows(weights=[math.nan] * 24), budget="3 epochs", rows_per_update=4)
    before, facts = masters_of(training), []
    with pytest.raises(NotFinite) as stop:
        for fact in training.updates():
            facts.append(fact)
    assert [fact.skipped for fact in facts] == [True, True, True]
    expected = [f"row-{i}" for update in training._planned(0)[:3] for i in update]
    assert list(stop.value.row_ids) == expected and all(row in str(stop.value) for row in expected)
    assert "Remedy" in str(stop.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in masters_of(training).items())


def test_two_in_a_row_and_a_good_one_do_not_stop():
    training = tiny_training(budget="9 updates", rows_per_update=4)
    planned = training._planned(0)
    for update in (0, 1, 3, 4):
        training.material.weights_r[planned[update]] = math.nan
    facts = []
    for fact in training.updates():
        facts.append(fact.skipped)
        if fact.update == 5:
            training.material.weights_r[:] = 1.0
    assert facts == [True, True, False, True, True, False, False, False, False]


def test_a_resumed_run_remembers_how_many_were_skipped_in_a_row():
    def fresh() -> Training:
        return tiny_training(None, tiny_rows(weights=[math.nan] * 24), budget="9 updates", rows_per_update=4)

    first = fresh()
    updates = first.updates()
    next(updates), next(updates)
    again = fresh()
    again.load_state(*first.state())
    with pytest.raises(NotFinite) as stop:
        run(again)
    assert len(stop.value.row_ids) == 12 and again.cursor.update == 3


# ---- budgets and rates


@pytest.mark.parametrize(("budget", "updates"), [
    ("2 epochs", 6), ("0.5 epochs", 2), ("1.1 epochs", 4), ("0.01 epochs", 1), ("5 updates", 5), ("1 updates", 1),
], ids=str)  # fmt: skip
def test_a_budget_in_epochs_or_updates_is_that_many(budget, updates):
    training = tiny_training(budget=budget)
    assert training.updates_expected == updates
    facts = run(training)
    assert [fact.update for fact in facts] == list(range(1, updates + 1)) and training.finished
    assert [fact.epoch for fact in facts] == [i // 3 for i in range(updates)]


def test_a_fraction_of_epochs_is_not_rounded_up_by_floating_point():
    training = tiny_training(None, tiny_rows(rows=100), budget="0.07 epochs", rows_per_update=1)
    assert 0.07 * 100 > 7
    assert training.updates_expected == 7 == len(run(training))


def test_each_row_is_trained_once_per_epoch_the_last_smaller_update_included():
    seen = Counter()
    training = tiny_training(budget="2 epochs", rows_per_update=7)
    original = training.material.batch
    object.__setattr__(
        training.material, "batch", lambda rows, **at: seen.update(rows.tolist()) or original(rows, **at)
    )
    facts = run(training)
    assert seen == Counter({row: 2 for row in range(24)})
    assert [fact.rows for fact in facts] == [7, 7, 7, 3] * 2
    assert sum(fact.tokens for fact in facts) == 2 * training.material.lengths_r.sum()


def test_a_budget_in_tokens_ends_with_the_update_that_reaches_it():
    training = tiny_training(budget="150 tokens", rows_per_update=4)
    facts = run(training)
    tokens = np.cumsum([fact.tokens for fact in facts])
    assert tokens[-1] >= 150 > tokens[-2]
    assert abs(training.updates_expected - len(facts)) <= 1


def test_a_budget_in_minutes_ends_by_the_clock(monkeypatch):
    clock = iter(np.arange(0, 1e6, 10.0))  # each look at it is 10 seconds later
    monkeypatch.setattr(engine.time, "perf_counter", lambda: float(next(clock)))
    training = tiny_training(budget="1 minutes")
    assert training.updates_expected is None
    assert len(run(training)) == 6 and training.progress == 1.0


def test_the_end_of_an_epoch_is_known_after_its_last_update():
    training = tiny_training(budget="2 epochs")
    assert [training.epoch_ended for _ in training.updates()] == [False, False, True] * 2
    assert training.updates_per_epoch == 3


@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("budget", ["1 updates", "0.01 epochs", "9 tokens"])
def test_the_only_update_of_a_short_budget_trains_at_the_full_rate(budget, decay):
    (fact,) = run(tiny_training(budget=budget, warmup=0.4, rate=1e-3, decay=decay))
    assert fact.rate == 1e-3


@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_the_rates_of_a_run_are_those_of_transformers(decay, warmup):
    facts = run(tiny_training(budget="4 epochs", decay=decay, warmup=warmup, rate=1e-3))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    make = {"linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup}[decay]
    schedule = make(optimizer, int(12 * warmup), 12)
    for fact in facts:
        assert fact.rate == pytest.approx(schedule.get_last_lr()[0], rel=1e-9, abs=1e-15)
        optimizer.step()
        schedule.step()


def test_training_learns_what_the_words_tell():
    facts = run(tiny_training(budget="25 epochs", rate=5e-3))
    assert facts[-1].loss < 0.05 < 0.9 < facts[0].loss


def test_facts_are_recorded_with_the_clock_apart():
    fact = next(tiny_training().updates())
    recorded = fact.recorded()
    assert recorded.pop("clock") == {"seconds": round(fact.seconds, 6)}
    again = next(tiny_training().updates()).recorded()
    again.pop("clock")
    assert recorded == again and recorded["event"] == "update" and recorded["passes"] == 1


def test_the_model_trains_and_is_put_back_to_training_by_nobody_else():
    training = tiny_training(tiny_model(dropout=0.2).eval())
    next(training.updates())
    assert training.model.training and training.model.trunk.training
