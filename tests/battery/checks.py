"""The battery: what must be true of every choice on every axis, and of the engine under them. Each check asserts."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import torch
import yaml
from tests.battery.choices import AT_REST, PLAIN, Choice, options_of, outcome, recipe_of, rows, training_of
from tests.tiny_training import gradients_of, masters_of, run, tiny_model, tiny_rows

from tunewright.model.predict import forward_rows, make_batch, pooled_rows
from tunewright.pipeline.fit import EarlyStop
from tunewright.recipe.schema import Component, Recipe
from tunewright.train import engine
from tunewright.train.assemble import VOCABULARY, plan_phase
from tunewright.train.engine import NotFinite, Training
from tunewright.train.material import Tokens
from tunewright.values import Batch, Context, Encoded

UPDATE = np.arange(24)
KNOWN_NEEDS = frozenset({"targets", "teacher", "whole_update"})  # what a piece may ask for


def norm_of(gradients: dict[str, torch.Tensor]) -> float:
    return float(torch.stack([g.double().norm() for g in gradients.values()]).norm())


def assert_same_gradients(seen: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """To 1e-6 of the length of the whole gradient."""
    assert seen.keys() == expected.keys()
    difference = norm_of({name: seen[name] - expected[name] for name in expected})
    assert difference <= 1e-6 * norm_of(expected), f"gradients differ by {difference / norm_of(expected):.1e}"


# ---- of every choice


def finite(choice: Choice, kind: str) -> None:
    """Loss, gradients and weights are numbers."""
    training = training_of(choice, kind=kind, dropout=0.1)
    facts = run(training)
    assert len(facts) == 3 and not any(fact.skipped for fact in facts)
    assert all(math.isfinite(fact.loss) and fact.loss > 0 and fact.gradient_norm > 0 for fact in facts)
    assert all(torch.isfinite(parameter).all() for parameter in training.model.parameters())


def reaches_what_is_selected(choice: Choice) -> None:
    """What the trainable selects changes, all of it, and everything else keeps its bits and has no gradient."""
    training = training_of(choice)
    selected = _selected_by_hand(choice.name if choice.axis == "trainable" else "everything", training, choice)
    before = {name: parameter.detach().clone() for name, parameter in training.model.named_parameters()}
    facts = run(training)
    assert facts[-1].gradient_norm > 0
    masters_of(training)
    after = dict(training.model.named_parameters())
    changed = {name for name in before if not torch.equal(after[name].detach(), before[name])}
    assert changed - selected == set(), f"frozen and changed: {sorted(changed - selected)[:3]}"
    assert selected - changed == set(), f"selected and unchanged: {sorted(selected - changed)[:3]}"
    assert set(training.masters.trained()) == selected
    assert {name for name in before if after[name].requires_grad} == selected


def _selected_by_hand(kind: str, training: Training, choice: Choice) -> set[str]:
    """Names by their look alone; a trainable without a rule here must say which names it means."""
    names = [name for name, _ in training.model.named_parameters()]
    layers = 3
    rules = {
        "everything": lambda name: True,
        "head": lambda name: False,
        "biases": lambda name: name.endswith(".bias"),
        "lora": lambda name: ".lora_A." in name or ".lora_B." in name,
        "last_layers": lambda name: any(
            f".layer.{i}." in name for i in range(layers - choice.options.get("layers", 2), layers)
        ),
    }
    assert kind in rules, f"say here which parameters the trainable {kind!r} selects on a tiny BERT"
    return {name for name in names if name.startswith("head.") or rules[kind](name)}


def rows_of_no_weight_contribute_nothing(choice: Choice, kind: str) -> None:
    """Gradient and loss are those of an update without these rows, whatever their words and answers."""
    weights = [0.0, 1.0, 2.0] * 8
    material = rows(kind=kind, weights=weights)
    training = training_of(choice, kind=kind, material=material)
    heavy = np.array([i for i in range(24) if weights[i]])
    seen = gradients_of(training, UPDATE)
    assert_same_gradients(seen, gradients_of(training, heavy))
    other = _scrambled(material, [i for i in range(24) if not weights[i]])
    scrambled = training_of(choice, kind=kind, material=other)
    scrambled.pieces = replace(scrambled.pieces, objectives=training.pieces.objectives)
    assert_same_gradients(gradients_of(scrambled, UPDATE), seen)
    plain = gradients_of(training_of(choice, kind=kind), UPDATE)
    assert norm_of({name: plain[name] - seen[name] for name in seen}) > 1e-3 * norm_of(plain), "weights are not read"


def _scrambled(material: Tokens, places: list[int]) -> Tokens:
    tokens, targets = material.encoded.tokens_n.copy(), material.targets.copy()
    for i in places:
        for j in material.encoded.sequences_of(np.array([i]))[0]:
            tokens[material.encoded.starts_s[j] + 1 : material.encoded.starts_s[j + 1] - 1] = 77
        targets[i] = targets[(i + 1) % len(targets)]
    return replace(material, encoded=replace(material.encoded, tokens_n=tokens), targets=targets)


def order_of_rows_does_not_matter(choice: Choice, kind: str) -> None:
    training = training_of(choice, kind=kind)
    expected = gradients_of(training, UPDATE)
    for seed in range(2):
        assert_same_gradients(gradients_of(training, np.random.default_rng(seed).permutation(24)), expected)


def number_of_passes_does_not_matter(choice: Choice, kind: str) -> None:
    """Weights included, so that a denominator per pass would show."""
    weights = [0.0, 1.0, 2.0, 0.5] * 6

    def once(accumulate: int) -> tuple[float, dict[str, torch.Tensor]]:
        training = training_of(
            choice, kind=kind, material=rows(kind=kind, weights=weights), accumulate=accumulate, rows_per_update=24
        )
        gradients = gradients_of(training, UPDATE)
        return next(training.updates()).loss, gradients

    loss, expected = once(1)
    for accumulate in (4, 8):
        seen_loss, seen = once(accumulate)
        assert abs(seen_loss - loss) <= 1e-6 * abs(loss), f"loss {seen_loss} in {accumulate} passes, {loss} in one"
        assert_same_gradients(seen, expected)


def option_is_alive(choice: Choice) -> None:
    """A model trained with the option away from rest says something else than one trained with it at rest."""
    budget = {"budget": "4 updates"}
    rest = outcome(training_of(Choice(choice.axis, choice.name), dropout=0.1, **budget))
    moved = outcome(training_of(choice, dropout=0.1, **budget))
    again = outcome(training_of(choice, dropout=0.1, **budget))
    assert np.array_equal(moved, again), "the same recipe gave two models"
    assert np.abs(moved - rest).max() > 1e-6, f"{dict(choice.options)} changes nothing"


def needs_and_provides_are_true(choice: Choice) -> None:
    """They name what exists; an objective that needs targets fails without them, one that does not works."""
    if choice.axis == "trainable":
        return
    cls = choice.cls
    assert isinstance(cls.needs, frozenset) and isinstance(cls.provides, frozenset)
    assert cls.needs | cls.provides <= KNOWN_NEEDS
    if choice.axis != "objective":
        return
    training = training_of(choice)
    (objective, _), *_ = training.pieces.objectives
    batch = training.material.batch(UPDATE)
    blind = dataclasses.replace(batch, targets=None)
    try:
        objective.values(Context(blind, training.model(batch), training.pieces.kind))
        read = False
    except (AssertionError, TypeError, AttributeError):
        read = True
    assert read is ("targets" in cls.needs), "needs says otherwise than the computation"


def rows_depend_on_their_company_where_it_is_said(choice: Choice, kind: str) -> None:
    """The value of a row beside others is its value beside fewer, unless the objective needs the whole update."""
    training = training_of(choice, kind=kind)

    def values(rows: np.ndarray) -> torch.Tensor:
        batch = training.material.batch(rows)
        with torch.no_grad():
            context = Context(batch, training.model.eval()(batch), kind)
            return torch.stack([objective.values(context) for objective, _ in training.pieces.objectives]).sum(0)

    together, apart = values(UPDATE), torch.cat([values(part) for part in np.array_split(UPDATE, 2)])
    coupled = any("whole_update" in objective.needs for objective, _ in training.pieces.objectives)
    assert torch.allclose(together, apart, atol=1e-5) is not coupled, "company is felt, or not, otherwise than said"


def options_survive_the_round_trip(choice: Choice) -> None:
    """Recipe → piece → recipe → piece, through YAML, gives equal pieces and an equal recipe."""
    recipe = recipe_of(choice)
    written = recipe.model_dump(mode="json")
    again = Recipe.model_validate(yaml.safe_load(yaml.safe_dump(written)))
    assert again == recipe
    chosen = getattr(again.phases[0], choice.axis)
    component = chosen[0] if isinstance(chosen, tuple) else chosen
    piece = VOCABULARY.build(choice.axis, component)
    options = {name: getattr(piece, name) for name in options_of(type(piece))}
    assert VOCABULARY.build(choice.axis, Component(kind=choice.name, options=options)) == piece
    for name, value in choice.options.items():
        assert getattr(piece, name) == value
    assert dataclasses.is_dataclass(piece) and type(piece).__dataclass_params__.frozen


def is_documented(choice: Choice) -> None:
    """A docstring of its own that says the idea or the source, and names every option."""
    text = choice.cls.__doc__ or ""
    assert not text.startswith(f"{choice.cls.__name__}("), "this is the docstring that dataclass makes"
    assert len(text.split()) >= 8 and text.strip()[0].isupper() and text.rstrip().endswith((".", ")."))
    for name in options_of(choice.cls):
        assert re.search(rf"\b{name}\b", text), f"the option {name} is not described"


def features_are_fixed_where_it_is_said(choice: Choice) -> None:
    """Pooled vectors before and after training of the head, or of what the trainable itself selects."""
    if not hasattr(choice.cls, "features_fixed"):
        return
    phase = {} if choice.axis == "trainable" else {"trainable": "head"}
    training = training_of(choice, **phase)
    before = pooled_rows(training.model, training.material.encoded)
    run(training)
    masters_of(training)
    after = pooled_rows(training.model, training.material.encoded)
    assert np.array_equal(before, after) is bool(choice.cls.features_fixed)
    if choice.axis == "trainable":
        assert plan_phase(recipe_of(choice), 0).features_fixed is bool(choice.cls.features_fixed)


# ---- of tables


def trainables_select_different_parameters() -> None:
    selected = []
    for choice in AT_REST:
        if choice.axis == "trainable":
            training = training_of(choice)
            selected.append(frozenset(training.masters.trained()))
    assert len(set(selected)) == len(selected) >= 2


def schedules_order_rows_differently() -> None:
    orders = []
    for choice in AT_REST:
        if choice.axis == "schedule":
            training = training_of(choice)
            orders.append(tuple(tuple(update.tolist()) for update in training._planned(0)))
            assert orders[-1] != tuple(tuple(update.tolist()) for update in training._planned(1)), "epochs repeat"
    assert len(set(orders)) == len(orders) >= 2


# ---- of the engine


def each_row_trains_once_an_epoch() -> None:
    for choice in AT_REST:
        if choice.axis == "schedule":
            training = training_of(choice, budget="2 epochs", rows_per_update=7)
            seen: Counter[int] = Counter()
            original = training.material.batch
            object.__setattr__(
                training.material, "batch",
                lambda given, s=seen, o=original, **at: s.update(given.tolist()) or o(given, **at),
            )
            facts = run(training)
            assert seen == Counter({row: 2 for row in range(24)}), "rows trained are not rows given"
            assert sum(fact.rows for fact in facts) == 48


def working_weights_are_the_rounded_masters() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        training = training_of(dtype=dtype)
        start = masters_of(training)
        for _ in training.updates():
            masters = masters_of(training)
            for name, parameter in training.model.named_parameters():
                assert torch.equal(parameter.detach(), masters[name].to(parameter.dtype)), f"{name} is not its master"
        assert any(not torch.equal(start[name], masters[name]) for name in start)


def updates_are_those_of_torch() -> None:
    """torch.optim.AdamW given the engine's gradients: 6 updates with decay, clipping and a falling rate, to 1e-6."""
    training = training_of(optimizer={"kind": "adamw", "rate": 5e-3, "weight_decay": 0.3, "clip": 0.5, "warmup": 0.25,
                                      "head_rate_factor": 2.0}, budget="6 updates")  # fmt: skip
    reference = tiny_model()
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in reference.named_parameters():
        spared = name.endswith(".bias") or "LayerNorm" in name
        groups.setdefault((2.0 if name.startswith("head.") else 1.0, 0.0 if spared else 0.3), []).append(parameter)
    made = [{"params": p, "weight_decay": decay, "factor": factor} for (factor, decay), p in groups.items()]
    optimizer = torch.optim.AdamW(made, lr=1.0)
    for update in range(6):
        share = update / 6
        rate = 5e-3 * (share / 0.25 if share < 0.25 else (1 - share) / 0.75)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        gradients = gradients_of(_at(training), training._planned(update // 3)[update % 3])
        for name, parameter in reference.named_parameters():
            parameter.grad = gradients[name]
        torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        optimizer.step()
        fact = _next(training)
        assert abs(fact.rate - rate) < 1e-12, f"rate {fact.rate}, not {rate}"
    seen = masters_of(training)
    for name, parameter in reference.named_parameters():
        worst = float((seen[name] - parameter.detach()).abs().max())
        assert worst < 1e-6, f"{name} is {worst:.1e} from torch's"


def _at(training: Training) -> Training:
    """A training like this one, in the state of this one, that may be played with."""
    tensors, values = training.state()
    other = training_of(optimizer={"kind": "adamw", "rate": 5e-3})
    other.load_state({name: tensor.clone() for name, tensor in tensors.items()}, copy.deepcopy(values))
    return other


def _next(training: Training) -> engine.UpdateFact:
    updates = training.updates()
    fact = next(updates)
    updates.close()
    return fact


def gradients_are_forgotten_between_updates() -> None:
    training = training_of(optimizer={"kind": "adamw", "rate": 0.0}, budget="3 updates")
    seen = [fact.gradient_norm for fact in training.updates()]
    fresh = training_of(optimizer={"kind": "adamw", "rate": 0.0})
    alone = [norm_of(gradients_of(fresh, fresh._planned(0)[i])) for i in range(3)]
    assert np.allclose(seen, alone, rtol=1e-5), f"norms {seen}, alone {alone}"


def dropout_differs_from_pass_to_pass() -> None:
    """The same rows, again and again without learning, give another loss each time, and the same when run again."""

    def losses() -> list[float]:
        still = {"kind": "adamw", "rate": 0.0}
        training = training_of(optimizer=still, dropout=0.3, rows_per_update=24, budget="5 epochs")
        return [fact.loss for fact in training.updates()]

    assert len(set(losses())) == 5 and losses() == losses()
    training = training_of(dropout=0.3)
    twins = replace_rows(training.material, [4] * 24)
    training.material = twins
    training.pieces = replace(training.pieces, accumulate=4)
    outputs: list[torch.Tensor] = []
    original = type(twins).outputs

    def watched(model, batch: Batch):
        outputs.append(original(twins, model, batch))
        return outputs[-1]

    object.__setattr__(twins, "outputs", watched)
    gradients_of(training, np.arange(8))
    firsts = {tuple(output.logits[0].tolist()) for output in outputs}
    assert len(firsts) == len(outputs) == 4, "passes share their dropout"


def replace_rows(material: Tokens, places: list[int]) -> Tokens:
    tokens_n, starts_s = material.encoded.tokens_n, material.encoded.starts_s
    sequences = [tokens_n[starts_s[i] : starts_s[i + 1]] for i in places]
    encoded = Encoded(np.concatenate(sequences), np.cumsum([0, *map(len, sequences)]), np.arange(len(places)), None,
                      np.zeros(len(places), dtype=np.int64))  # fmt: skip
    return Tokens(encoded, material.targets[places], material.weights_r[places], material.row_ids, material.pad_id)


def resume_is_exact() -> None:
    """State saved after any update, put into a new training, gives the same facts and the same weights."""

    def fresh() -> Training:
        return training_of(dropout=0.2, budget="2 epochs", accumulate=2, rows_per_update=7)

    whole, kept, facts = fresh(), [], []
    for fact in whole.updates():
        facts.append(replace(fact, seconds=0.0))
        tensors, values = whole.state()
        kept.append(({name: tensor.clone() for name, tensor in tensors.items()}, json.dumps(values)))
    expected = masters_of(whole)
    for at in (0, 3, 4, 6):
        again = fresh()
        again.load_state(kept[at][0], json.loads(kept[at][1]))
        rest = [replace(fact, seconds=0.0) for fact in again.updates()]
        assert rest == facts[at + 1 :], f"other facts after a resume at update {at + 1}"
        seen = masters_of(again)
        assert all(torch.equal(seen[name], expected[name]) for name in expected), "other weights after a resume"


def what_is_not_finite_is_kept_out() -> None:
    """A row of weight NaN: skipped, told, weights as before; three in a row end the training."""
    training = training_of(budget="6 updates")
    training.material.weights_r[training._planned(0)[0][3]] = math.nan
    before = masters_of(training)
    fact = _next(training)
    assert fact.skipped and not math.isfinite(fact.loss)
    assert all(torch.equal(tensor, before[name]) for name, tensor in masters_of(training).items())
    assert all(torch.isfinite(parameter).all() for parameter in training.model.parameters())
    assert not _next(training).skipped
    training.material.weights_r[:] = math.nan
    try:
        facts = run(training)
    except NotFinite as stop:
        assert len(stop.row_ids) == 24
    else:
        raise AssertionError(f"{len(facts)} updates that are not finite ended nothing")


def padding_is_not_read() -> None:
    """A row alone, and beside a much longer one, has the same vector and the same answer."""
    for family in ("bert", "gpt2", "t5"):
        model = tiny_model(family).eval()
        material = replace_rows(tiny_rows(), [0, 1, 2])
        lengths = material.encoded.lengths_s
        assert len(set(lengths.tolist())) > 1
        together = model(make_batch(material.encoded, np.arange(3), pad_id=0))
        for i in range(3):
            alone = model(make_batch(material.encoded, np.array([i]), pad_id=0))
            assert torch.allclose(alone.vectors_md[0], together.vectors_md[i], atol=1e-5), f"{family} reads its padding"
            assert torch.allclose(alone.logits[0], together.logits[i], atol=1e-5)


def training_learns() -> None:
    """Words that give the answer away are learned, by everything and by adapters alone."""
    for name in ("everything", "lora"):
        quick = {"kind": "adamw", "rate": 1e-2, "head_rate_factor": 3.0}
        training = training_of(Choice("trainable", name), optimizer=quick, budget="20 epochs")
        run(training)
        logits = forward_rows(training.model, training.material.encoded)
        assert (logits.argmax(1) == training.material.targets).mean() > 0.95, f"{name} learned nothing"


def the_best_weights_are_those_of_the_best_judgement() -> None:
    stop = EarlyStop()
    seen = [stop.see(value, loss, update, 1) for update, (value, loss) in enumerate(
        [(0.5, 1.0), (0.8, 0.9), (0.7, 0.3), (0.8, 0.8), (0.8, 0.85), (0.2, 0.1)], start=1
    )]  # fmt: skip
    assert seen == [True, True, False, True, False, False]
    assert (stop.best, stop.best_update, stop.since, stop.judged_at) == (0.8, 4, 2, 6)
    lower = EarlyStop()
    assert [lower.see(value, 1.0, i, -1) for i, value in enumerate([3.0, 2.0, 2.5])] == [True, True, False]


def kept_weights_come_back() -> None:
    """What was cloned after update 2 and loaded after update 4 answers as after update 2."""
    training = training_of(budget="4 updates", dtype=torch.bfloat16)
    encoded = training.material.encoded
    said, kept = [], {}
    for fact in training.updates():
        kept[fact.update] = masters_of(training)
        said.append(forward_rows(training.model, encoded))
    training.masters.load_trained(kept[2])
    assert np.array_equal(forward_rows(training.model, encoded), said[1])
    assert not np.array_equal(said[1], said[3])


def the_loss_told_is_the_loss_of_the_update() -> None:
    for kind in PLAIN.kinds:
        weights = np.linspace(0.1, 2, 24).tolist()
        material = rows(kind=kind, weights=weights)
        training = training_of(PLAIN, kind=kind, material=material, rows_per_update=24, accumulate=5)
        expected = _loss_by_hand(tiny_model(kind=kind), material.batch(UPDATE), kind)
        told = next(training.updates()).loss
        assert abs(told - expected) < 1e-5 * expected, f"told {told}, is {expected}"


def _loss_by_hand(model, batch: Batch, kind: str) -> float:
    logits = model.train()(batch).logits.detach().double()
    targets = batch.targets
    if kind == "classification":
        values = -torch.log_softmax(logits, 1)[torch.arange(len(targets)), targets]
    elif kind == "multi_label":
        p = logits.sigmoid()
        values = -(targets * p.log() + (1 - targets) * (1 - p).log()).mean(1)
    else:
        values = (logits - targets) ** 2
    return float((values * batch.weights_m).sum() / batch.weights_m.sum())


OF_CHOICES = (needs_and_provides_are_true, is_documented, reaches_what_is_selected, features_are_fixed_where_it_is_said)
OF_CHOICES_AND_KINDS = (
    finite, rows_of_no_weight_contribute_nothing, order_of_rows_does_not_matter, number_of_passes_does_not_matter,
    rows_depend_on_their_company_where_it_is_said,
)  # fmt: skip
OF_ALL = (
    trainables_select_different_parameters, schedules_order_rows_differently, each_row_trains_once_an_epoch,
    working_weights_are_the_rounded_masters, updates_are_those_of_torch, gradients_are_forgotten_between_updates,
    dropout_differs_from_pass_to_pass, resume_is_exact, what_is_not_finite_is_kept_out, padding_is_not_read,
    training_learns, the_best_weights_are_those_of_the_best_judgement, kept_weights_come_back,
    the_loss_told_is_the_loss_of_the_update,
)  # fmt: skip
