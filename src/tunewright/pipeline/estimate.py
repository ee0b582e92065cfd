"""What a run will take of disk, memory and time, estimated before its first update. Knows plans; keeps no model.

Time is scaled from a few updates on real rows, made on a copy of the model that is thrown away. Memory is counted from
parameters, their masters and moments, and activations, and is at least what the trial took. Both are stated as a range,
because a machine is shared and early stopping cuts training short.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psutil
import torch

from tunewright.model.build import Model, writes_text
from tunewright.model.checkpointing import recompute_layers
from tunewright.model.trainable import select
from tunewright.pipeline.fit import answers_to_learn, rebuild
from tunewright.pipeline.plan import SPLITS, Plan
from tunewright.pipeline.saving import count_base
from tunewright.serve.answering import logits_of
from tunewright.store import files
from tunewright.train.assemble import assemble, tokens_per_pass
from tunewright.train.engine import Training
from tunewright.train.material import Features, Material, Tokens
from tunewright.train.optimizers import Masters

_WARM_UP, _TIMED, _TRIAL_SECONDS = 2, 6, 5.0
_SAMPLE_ROWS = 96
_PARITY_PASSES, _PARITY_ROWS = 4, 256
_FLOAT32_SLOWER = 3.0  # than bfloat16, where that is the arithmetic
_PROBE_SECONDS = 7e-8  # per row, unit of width and class: solving the probe along its path of penalties
_WRITING_SECONDS = 5.0  # intervals, report, hashes
_MASTER_BYTES = 4 + 4 + 4  # of a parameter that trains: master, gradient, the best so far
_CHECKPOINT_BYTES = 4 + 4  # of such a parameter: master, the best so far
_MOMENT_BYTES = {"adamw_8bit": 2}  # of both together; 8 of those in float32
_ACTIVATION_NUMBERS = 80  # per token, layer and unit of width; measured, with what the allocator holds back
_SPARE = 1.2


@dataclass(frozen=True, slots=True)
class Range:
    """Where a figure will lie, in bytes or seconds."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will need; `seconds_per_update` and `updates` hold one figure a phase (0 updates: not known)."""

    memory_bytes: Range
    seconds: Range
    seconds_per_update: tuple[float, ...]
    updates: tuple[int, ...]
    rows_per_second: float


@dataclass(frozen=True, slots=True)
class _Trial:
    """A phase, tried out. Seconds of its training at least (stopped as early as can be) and at most."""

    seconds_per_update: float
    updates: int
    at_least: float
    at_most: float
    judgements: float
    trained_parameters: int


def disk_bytes(plan: Plan) -> int:
    """Bytes that a run will write: the model, checkpoints, what each phase trained, cached vectors, predictions."""
    parameters = _parameters(plan)
    trained = max(_share_trained(plan, index) for index in range(len(plan.phases))) * parameters
    rows = sum(len(plan.rows(split)) for split in SPLITS)
    held = count_base(plan.base, plan.recipe.task.kind, plan.adaptations)
    model = 4 * (parameters - held.weights) + held.at(4)
    checkpoints = (plan.recipe.keep.checkpoints + 1) * (_CHECKPOINT_BYTES + _moment_bytes(plan)) * trained
    return int(_SPARE * (model + checkpoints + 4 * trained * len(plan.phases) + 4 * rows * plan.description.width))


def _moment_bytes(plan: Plan) -> int:
    return max(_MOMENT_BYTES.get(phase.optimizer.kind, 8) for phase in plan.recipe.phases)


def free_bytes() -> int:
    """Bytes free where runs are kept."""
    folder = files.home()
    while not folder.exists():
        folder = folder.parent
    return files.disk.free_bytes(folder)


def refuse_full_disk(plan: Plan) -> None:
    """Raises StoreRefusal where a run of `plan` would not fit on the disk."""
    files.require_space(files.home(), disk_bytes(plan))


def estimate(plan: Plan) -> Estimate:
    """Memory and time of a run of `plan`, from a few trial updates whose outcome is thrown away."""
    resident = reached = psutil.Process().memory_info().rss
    with _threads(int(plan.recipe.compute.threads or 1)):
        trials, rows_per_second = [], 0.0
        for index in range(len(plan.phases)):
            trial, rows_per_second = _try_phase(plan, index)
            trials.append(trial)
            reached = max(reached, _peak_bytes())
    fixed = _fixed_seconds(plan, rows_per_second)
    judging = len(plan.rows("validation")) / rows_per_second
    least, most = (sum(getattr(t, side) for t in trials) + fixed for side in ("at_least", "at_most"))
    expected = (least + most) / 2 + judging * sum(t.judgements for t in trials) / 2
    return Estimate(
        memory_bytes=_memory(plan, resident, reached, max(t.trained_parameters for t in trials)),
        seconds=Range(0.4 * least, expected, 2 * (most + judging * sum(t.judgements for t in trials))),
        seconds_per_update=tuple(t.seconds_per_update for t in trials),
        updates=tuple(t.updates for t in trials), rows_per_second=rows_per_second,
    )  # fmt: skip


def _parameters(plan: Plan) -> int:
    """Of the trunk and its head; a model that writes text is its base, whole."""
    if writes_text(plan.recipe.task.kind):
        return plan.description.parameters
    return plan.description.trunk_parameters + plan.description.width * plan.outputs


def _peak_bytes() -> int:
    """The most resident memory that this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _share_trained(plan: Plan, index: int) -> float:
    """The share of parameters that a phase may change, as a bound: a small one where the trunk stays as it is."""
    return {"head": 0.02, "biases": 0.05, "lora": 0.1}.get(plan.recipe.phases[index].trainable.kind, 1.0)


def _try_phase(plan: Plan, index: int) -> tuple[_Trial, float]:
    """A few updates of a phase, timed, and the rows a second that the model answers."""
    model = rebuild(plan, {}, phases=index + 1)
    cached = plan.caches(index)
    names = select(model, plan.phases[index].trainable.filter())
    targets = plan.rows("train").targets
    assert targets is not None
    pieces = assemble(
        plan.recipe, index, targets=targets, classes=len(plan.prepared.labels), description=plan.description,
        cached=cached,
    )  # fmt: skip
    if plan.recipe.compute.gradient_checkpointing == "layers":
        recompute_layers(model)
    masters = Masters(model, names, pieces.optimizer, dtype=getattr(torch, str(plan.recipe.compute.dtype)))
    parameters = dict(model.named_parameters())
    trained = sum(parameters[name].numel() for name in names)
    training = Training(model, _material(plan, cached=cached), pieces, masters=masters)
    seconds = _time_updates(training)
    total = training.updates_expected
    phase = plan.recipe.phases[index]
    at_most = total * seconds if total is not None else phase.budget.amount * 60  # type: ignore[union-attr]
    between = _updates_between_judgements(plan, index, training)
    at_least = min(at_most, (phase.patience + 1) * between * seconds) if phase.patience else at_most
    judgements = at_most / max(between * seconds, 1e-9)
    return _Trial(seconds, total or 0, at_least, at_most, judgements, trained), _rows_per_second(plan, model)


def _material(plan: Plan, *, cached: bool) -> Material:
    rows, answers = plan.rows("train"), answers_to_learn(plan, "train")
    weights_r = np.ones(len(rows), dtype=np.float32)
    if cached:
        assert answers is not None
        pooled_rd = np.random.default_rng(0).standard_normal((len(rows), plan.description.width), dtype=np.float32)
        return Features(pooled_rd, answers, weights_r, rows.ids, plan.encoded["train"].lengths_r())
    pad_id = int(plan.encoder.tokenizer.pad_token_id or 0)
    return Tokens(plan.encoded["train"], answers, weights_r, rows.ids, pad_id=pad_id)


def _time_updates(training: Training) -> float:
    """Seconds of an update of average size: the median of a few after a warm-up, each scaled by its tokens."""
    started, seconds_per_token = time.monotonic(), []
    for fact in training.updates():
        if fact.update > _WARM_UP or training.finished:
            seconds_per_token.append(fact.seconds / max(1, fact.tokens))
        if seconds_per_token and (fact.update >= _WARM_UP + _TIMED or time.monotonic() - started > _TRIAL_SECONDS):
            break
    return float(np.median(seconds_per_token) * training.material.lengths_r.sum() / training.updates_per_epoch)


def _updates_between_judgements(plan: Plan, index: int, training: Training) -> float:
    every = plan.recipe.phases[index].evaluate_every
    assert every is not None
    per_epoch = training.updates_per_epoch
    tokens = max(1, int(training.material.lengths_r.sum()))
    return max(1.0, {"updates": every.amount, "epochs": every.amount * per_epoch,
                     "tokens": every.amount / tokens * per_epoch}.get(every.unit, per_epoch))  # fmt: skip


def _rows_per_second(plan: Plan, model: Model) -> float:
    """Rows that the model answers in a second, from a sample of the training rows."""
    rows = plan.rows("train")
    chosen = np.random.default_rng(0).permutation(len(rows))[:_SAMPLE_ROWS]
    encoded = plan.encoded["train"].take(chosen)
    logits_of(model, encoded)
    started = time.perf_counter()
    logits_of(model, encoded)
    return len(chosen) / (time.perf_counter() - started)


def _fixed_seconds(plan: Plan, rows_per_second: float) -> float:
    """Seconds of everything but training: vectors of the base, baselines, predictions, parity, report."""
    train, test = len(plan.rows("train")), len(plan.rows("test"))
    every = train + test + len(plan.rows("validation"))
    parity = min(_PARITY_ROWS, test) * _PARITY_PASSES
    slower = _FLOAT32_SLOWER if plan.recipe.compute.dtype == "bfloat16" else 1.0
    answered = every + train + test + parity * slower
    probe = train * plan.description.width * plan.outputs * _PROBE_SECONDS if _has_probe(plan) else 0.0
    return float(answered / rows_per_second + probe + _WRITING_SECONDS)


def _has_probe(plan: Plan) -> bool:
    return "probe" in (plan.recipe.evaluate.baselines or ())


def _memory(plan: Plan, resident: int, reached: int, trained: int) -> Range:
    """Peak of a run's resident memory: what the process holds now, and what training and proof will add.

    `reached` is what it held after the trial, with which the count is not allowed to disagree downwards.
    """
    parameters = _parameters(plan)
    width, layers = plan.description.width, max(1, plan.description.layers)
    working = 2 if plan.recipe.compute.dtype == "bfloat16" else 4
    longest = int(plan.encoded["train"].lengths_s.max(initial=1))
    tokens = max(longest, tokens_per_pass(plan.description))
    kept = layers * _ACTIVATION_NUMBERS
    if plan.recipe.compute.gradient_checkpointing == "layers":
        kept = layers + _ACTIVATION_NUMBERS  # the input of each, and one layer as it is computed again
    activations = tokens * width * kept * working
    held = count_base(plan.base, plan.recipe.task.kind, plan.adaptations)
    beside = parameters - held.weights
    training = held.at(4 + working) + beside * (4 + working) + activations
    training += trained * (_MASTER_BYTES + _moment_bytes(plan) + working)
    # the trained model, the reloaded one, and a merged or converted one; packed weights are unpacked in one of them
    proof = 3 * (held.at(4) + 4 * beside) + 4 * (held.weights - held.plain)
    added = max(training, proof, reached - resident)
    return Range(resident + 0.5 * added, resident + added, resident + 2 * added + 0.1 * resident)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """With as many threads as the run will have."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
