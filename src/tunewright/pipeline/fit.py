"""Training the phases of a plan: judging on validation rows, stopping early, saving, resuming. Calls the engine.

The model is at every moment base + seeds + changed tensors: what a phase trained is kept as named float32 tensors, and
a model is rebuilt from them, so that a resumed run and an uninterrupted one build the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunewright.data.apart import number_texts
from tunewright.data.masked import MaskedEncoder
from tunewright.evaluate.metrics import value_of
from tunewright.model.build import Model, build_model, writes_text
from tunewright.model.checkpointing import layers_recomputed, recompute_layers
from tunewright.model.heads import TaskModel, VectorModel
from tunewright.model.predict import probabilities
from tunewright.model.trainable import restore, select
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.plan import Plan
from tunewright.recipe.schema import Budget
from tunewright.recipe.tasks import KINDS, better, watched_metric
from tunewright.serve.answering import logits_of, mean_loss_of, mean_loss_of_passages, outputs_of, places_of
from tunewright.store import files
from tunewright.store.runs import Run
from tunewright.train.assemble import assemble
from tunewright.train.checkpoint import (
    Checkpoint,
    differences,
    drop_checkpoints,
    environment,
    load_newest_checkpoint,
    save_checkpoint,
)
from tunewright.train.engine import Training, UpdateFact
from tunewright.train.material import Features, MaskedTokens, Material, Tokens
from tunewright.train.optimizers import Masters


class Interrupted(Exception):
    """A SIGTERM was obeyed: the checkpoint is on disk. Exit code 143."""


class Watcher(Protocol):
    """Who is told how training goes, and asked whether it should stop."""

    def update(self, fact: UpdateFact, *, expected: int | None, phase: int) -> None: ...

    def judged(self, figures: Mapping[str, Any]) -> None: ...

    def note(self, text: str) -> None: ...

    def stage(self, name: str) -> None: ...

    def stop_requested(self) -> bool: ...


@dataclass(slots=True)
class EarlyStop:
    """The best judgement so far and how long ago it was."""

    best: float | None = None
    best_loss: float = math.inf
    best_update: int = 0
    since: int = 0
    judged_at: int = 0

    def see(self, value: float, loss: float, update: int, sign: int) -> bool:
        """Take note of a judgement; whether it is the best so far (a tie goes to the smaller loss)."""
        self.judged_at = update
        if self.best is None or (sign * value, -loss) > (sign * self.best, -self.best_loss):
            self.best, self.best_loss, self.best_update, self.since = value, loss, update, 0
            return True
        self.since += 1
        return False


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model in float32, with what was recorded about how it came to be."""

    model: Model
    trained: Sequence[Mapping[str, Tensor]]  # what each phase trained, as that phase left it
    facts: Mapping[str, Any]

    @property
    def changed(self) -> dict[str, Tensor]:
        """What all phases together trained, as the last one left it."""
        return _merged(self.trained)


@dataclass(slots=True)
class _PhaseRun:
    """The state of one phase while it trains."""

    index: int
    training: Training
    stop: EarlyStop = field(default_factory=EarlyStop)
    best: dict[str, Tensor] = field(default_factory=dict)
    judged_tokens: int = 0  # the cursor's, when the validation rows were last judged
    saved_at: float = field(default_factory=time.monotonic)
    saved_update: int = 0
    saved_tokens: int = 0


class Fit:
    """Trains all phases of `plan` inside `run`, resuming where an earlier process stopped."""

    def __init__(self, plan: Plan, run: Run, features: BaseFeatures, watcher: Watcher):
        self.plan, self.run, self.features, self.watcher = plan, run, features, watcher
        self.checkpoints = run.folder / "checkpoints"
        self.dtype = getattr(torch, str(plan.recipe.compute.dtype))
        self.environment = environment(torch.get_num_threads(), str(plan.recipe.compute.dtype))
        self.notes: list[str] = []

    def train(self) -> Fitted:
        """Train what is not trained yet. Raises Interrupted after a SIGTERM, NotFinite, StoreRefusal."""
        trained: list[dict[str, Tensor]] = []
        facts: list[Mapping[str, Any]] = []
        for index in range(len(self.plan.phases)):
            kept = self.run.folder / "phases" / f"{index}"
            files.settle_folder(kept)
            if not kept.is_dir() or files.verify_folder(kept):
                self._train_phase(index, _merged(trained), kept)
            tensors = load_file(kept / "changed.safetensors")
            trained.append({name: tensor.clone() for name, tensor in tensors.items()})
            facts.append(self.run.read_json(f"phases/{index}/facts.json"))
        drop_checkpoints(self.checkpoints)
        model = rebuild(self.plan, _merged(trained), phases=len(self.plan.phases))
        return Fitted(model, trained, {"phases": facts, "notes": [n for f in facts for n in f["notes"]]})

    def _train_phase(self, index: int, changed: Mapping[str, Tensor], kept: Path) -> None:
        state = self._begin(index, changed)
        started = time.monotonic()
        for fact in state.training.updates():
            self.run.metrics.append(fact.recorded() | {"phase": index})
            self.watcher.update(fact, expected=state.training.updates_expected, phase=index)
            stopping = self._judge_if_due(state) and self._patience_spent(state)
            if self.watcher.stop_requested() and not (stopping or state.training.finished):
                self._save(state)
                raise Interrupted
            if stopping:
                break
            if self._save_is_due(state):
                self._save(state)
        if state.stop.judged_at != state.training.cursor.update:
            self._judge(state)
        self._keep(state, kept, seconds=time.monotonic() - started)

    def _begin(self, index: int, changed: Mapping[str, Tensor]) -> _PhaseRun:
        """A phase at its start, or where the newest valid checkpoint left it."""
        plan, phase = self.plan, self.plan.phases[index]
        model = rebuild(plan, changed, phases=index + 1)
        names = select(model, phase.trainable.filter())
        cached = plan.caches(index)
        if plan.recipe.compute.gradient_checkpointing == "layers":
            recompute_layers(model)
        pieces = assemble(
            plan.recipe, index, targets=plan.rows("train").targets, classes=len(plan.prepared.labels),
            description=plan.description, cached=cached,
        )  # fmt: skip
        masters = Masters(model, names, pieces.optimizer, dtype=self.dtype)
        state = _PhaseRun(index, Training(model, self._material("train", cached), pieces, masters=masters))
        checkpoint, passed_over = load_newest_checkpoint(self.checkpoints)
        for sentence in passed_over:
            self._note(sentence)
        if checkpoint is not None and checkpoint.phase == index:
            self._resume(state, checkpoint)
        else:
            drop_checkpoints(self.checkpoints)  # of another phase: an earlier one is kept whole, a later one is void
            self.run.metrics.truncate(self._length_at_start(index))
        return state

    def _length_at_start(self, index: int) -> int:
        """Bytes of the metrics log when phase `index` began."""
        if index == 0:
            return 0
        return int(self.run.read_json(f"phases/{index - 1}/facts.json")["metrics_bytes"])

    def _resume(self, state: _PhaseRun, checkpoint: Checkpoint) -> None:
        values = checkpoint.values
        state.training.load_state(checkpoint.tensors, values["engine"])
        state.stop = EarlyStop(**values["early_stop"])
        if state.stop.best is not None:  # JSON holds what is not finite as text
            state.stop.best, state.stop.best_loss = float(state.stop.best), float(state.stop.best_loss)
        state.best, state.judged_tokens = dict(checkpoint.best), values["judged_tokens"]
        state.saved_update, state.saved_tokens = checkpoint.update, state.training.cursor.tokens
        self.notes = list(values["notes"])
        self.run.metrics.truncate(values["metrics_bytes"])
        changes = differences(values["environment"], self.environment)
        exact = f"resumed, not bit-exact: {', '.join(changes)}" if changes else "resumed, bit-exact"
        if self.plan.recipe.phases[state.index].budget.unit == "minutes":
            exact = "resumed; a budget in minutes depends on the clock, so it is not bit-exact"
        self._note(f"{exact} (phase {state.index}, update {checkpoint.update})")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.watcher.note(text)

    def _material(self, split: str, cached: bool) -> Material:
        rows, encoded, targets = self.plan.rows(split), self.plan.encoded[split], answers_to_learn(self.plan, split)
        weights_r = np.ones(len(rows), dtype=np.float32)
        if cached:
            assert targets is not None
            return Features(self.features.split(split), targets, weights_r, rows.ids, encoded.lengths_r())
        if isinstance(self.plan.encoder, MaskedEncoder):
            return MaskedTokens(encoded, None, weights_r, rows.ids, self._pad_id, self.plan.encoder)
        return Tokens(encoded, targets, weights_r, rows.ids, pad_id=self._pad_id)

    @property
    def _pad_id(self) -> int:
        return int(self.plan.encoder.tokenizer.pad_token_id or 0)

    def _judge_if_due(self, state: _PhaseRun) -> bool:
        every = self.plan.recipe.phases[state.index].evaluate_every
        assert every is not None
        due = _crossed(every, state.training, update=state.stop.judged_at, tokens=state.judged_tokens)
        if due:
            self._judge(state)
        return due

    def _save_is_due(self, state: _PhaseRun) -> bool:
        every = self.plan.recipe.keep.every
        assert every is not None
        if every.unit == "minutes":
            return time.monotonic() - state.saved_at >= every.amount * 60
        return _crossed(every, state.training, update=state.saved_update, tokens=state.saved_tokens)

    def _judge(self, state: _PhaseRun) -> None:
        """Measure the validation rows and remember the weights if they are the best so far."""
        recipe, training = self.plan.recipe, state.training
        training.masters.settle()
        kind = recipe.task.kind
        metric = watched_metric(kind, str(recipe.evaluate.metric))
        value, loss = self._measured(training, metric)
        sign = better(metric, kind)
        best = state.stop.see(-sign * math.inf if value is None else value, loss, training.cursor.update, sign)
        state.judged_tokens = training.cursor.tokens
        if best:
            state.best = {name: tensor.clone() for name, tensor in training.masters.trained().items()}
        figures = {"update": training.cursor.update, "metric": metric, "value": value, "loss": loss, "best": best}
        self.run.metrics.append({"event": "evaluation", "phase": state.index, **figures})
        self.watcher.judged(figures)

    def _measured(self, training: Training, metric: str) -> tuple[float | None, float]:
        """The figure and the mean loss of the validation rows."""
        kind, encoded, targets = self.plan.recipe.task.kind, self.plan.encoded["validation"], self._targets()
        if isinstance(training.material, Features):
            with torch.inference_mode():
                training.model.eval()
                logits = training.model.answer(torch.from_numpy(self.features.split("validation"))).logits.numpy()
                training.model.train()
        else:
            logits = logits_of(training.model, encoded)
        if KINDS[kind].answers == "passages":
            inputs = self.plan.rows("validation").inputs
            return value_of(metric, places_of(logits, inputs), targets, kind), mean_loss_of_passages(logits, inputs)
        if encoded.answers_n is None:
            outputs = self._outputs(logits)
            return value_of(metric, outputs, targets, kind), mean_loss(outputs, targets, kind)
        loss = mean_loss_of(logits, encoded, kind)
        if writes_text(kind):
            return math.exp(min(loss, 700.0)), loss
        outputs = outputs_of(
            logits, encoded, kind, labels=self.plan.prepared.labels, inputs=self.plan.rows("validation").inputs
        )
        return value_of(metric, outputs, targets, kind), loss

    def _targets(self) -> np.ndarray:
        targets = self.plan.rows("validation").targets
        assert targets is not None
        return targets

    def _outputs(self, logits: np.ndarray) -> np.ndarray:
        if KINDS[self.plan.recipe.task.kind].answers == "numbers":
            zero, unit = target_scale(self.plan)
            return (logits * unit + zero).astype(np.float32)
        return probabilities(logits, self.plan.recipe.task.kind)

    def _patience_spent(self, state: _PhaseRun) -> bool:
        patience = self.plan.recipe.phases[state.index].patience
        return bool(patience) and state.stop.since >= patience

    def _save(self, state: _PhaseRun) -> None:
        tensors, engine = state.training.state()
        self.run.metrics.sync()
        checkpoint = Checkpoint(
            phase=state.index, update=state.training.cursor.update, tensors=tensors, best=state.best,
            values={
                "engine": engine, "early_stop": {n: getattr(state.stop, n) for n in EarlyStop.__slots__},
                "judged_tokens": state.judged_tokens, "metrics_bytes": self.run.metrics.length,
                "environment": self.environment, "notes": self.notes,
            },
        )  # fmt: skip
        save_checkpoint(self.checkpoints, checkpoint, keep=self.plan.recipe.keep.checkpoints)
        cursor = state.training.cursor
        state.saved_at, state.saved_update, state.saved_tokens = time.monotonic(), cursor.update, cursor.tokens

    def _keep(self, state: _PhaseRun, kept: Path, *, seconds: float) -> None:
        """Make the best weights of a finished phase its outcome."""
        self.run.metrics.sync()
        cursor, stop = state.training.cursor, state.stop
        facts = {
            "updates": cursor.update, "epochs": cursor.epoch + 1, "tokens": cursor.tokens, "seconds": round(seconds, 3),
            "update_seconds": round(cursor.seconds, 3), "kept_update": stop.best_update, "kept_value": stop.best,
            "stopped_early": not state.training.finished, "metrics_bytes": self.run.metrics.length,
            "trained_parameters": sum(t.numel() for t in state.best.values()), "notes": self.notes,
            "cached_features": isinstance(state.training.material, Features),
            "layers_recomputed": layers_recomputed(state.training.model),
        }  # fmt: skip

        def write(folder: Path) -> None:
            with files.refusing(folder):
                save_file(dict(state.best), folder / "changed.safetensors")
            files.disk.write(folder / "facts.json", files.to_json(facts).encode())

        files.commit_folder(kept, write)
        self.notes = []


def _crossed(every: Budget, training: Training, *, update: int, tokens: int) -> bool:
    """Whether training passed a multiple of `every` since it stood at `update` and `tokens`."""
    if every.unit == "tokens":
        return training.cursor.tokens // every.amount > tokens // every.amount
    interval = every.amount * (training.updates_per_epoch if every.unit == "epochs" else 1)
    interval = max(1.0, round(interval, 6))  # 0.07 epochs of 100 updates are 7, not 7.000000000000001
    return training.cursor.update // interval > update // interval


def _merged(trained: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """All tensors that phases trained; where several trained one, the last of them decides."""
    merged: dict[str, Tensor] = {}
    for phase in trained:
        for name, tensor in phase.items():
            merged.pop(name, None)  # rows and the table they lie in go by two names, so order decides
            merged[name] = tensor
    return merged


def rebuild(plan: Plan, changed: Mapping[str, Tensor], *, phases: int) -> Model:
    """The float32 model with everything that the first `phases` phases add, and `changed` tensors in place."""
    recipe = plan.recipe
    model = build_model(
        plan.base, plan.description, kind=recipe.task.kind, outputs=plan.outputs, pooling=recipe.encode.pooling,
        dtype=torch.float32, seed=recipe.seed, adaptations=plan.adaptations, importance=plan.importance,
    )  # fmt: skip
    for index in range(phases):
        plan.phases[index].trainable.prepare(model, seed=recipe.seed + index)
    restore(model, changed)
    return model


def answers_to_learn(plan: Plan, split: str) -> np.ndarray | None:
    """The answers of a split as objectives read them, one a row; None where they lie beside the tokens.

    Numbers are laid out by `target_scale`; of passages the texts of all columns are numbered.
    """
    rows, answers = plan.rows(split), KINDS[plan.recipe.task.kind].answers
    if plan.encoded[split].answers_n is not None:
        return None
    if answers == "passages":
        return number_texts(rows.inputs)
    assert rows.targets is not None
    zero, unit = target_scale(plan) if answers == "numbers" else (0.0, 1.0)
    return ((rows.targets - zero) / unit).astype(np.float32) if answers == "numbers" else rows.targets


def target_scale(plan: Plan) -> tuple[float, float]:
    """Which number a model is to learn as 0, and how much more it is to learn as 1.

    Of a regression mean and spread of the training answers; where cosines are compared the least and the range.
    """
    targets = plan.rows("train").targets
    assert targets is not None
    if KINDS[plan.recipe.task.kind].compares:
        return float(targets.min()), float(np.ptp(targets)) or 1.0
    return float(targets.mean()), float(targets.std()) or 1.0


def answer_in_units(model: Model, scale: tuple[float, float]) -> None:
    """Put `target_scale` into the model, so that what it learned as 0 and 1 it says in the user's units."""
    zero, unit = scale
    if isinstance(model, VectorModel):
        model.shape = replace(model.shape, zero=zero, unit=unit)
        return
    assert isinstance(model, TaskModel)
    with torch.no_grad():
        model.head.weight.mul_(unit)
        model.head.bias.mul_(unit).add_(zero)


def mean_loss(outputs: np.ndarray, targets: np.ndarray | None, kind: str) -> float:
    """Mean negative log-likelihood of probabilities, or mean squared error."""
    assert targets is not None
    if KINDS[kind].answers == "numbers":
        return float(np.square(outputs.astype(np.float64) - targets).mean())
    clipped = np.clip(outputs.astype(np.float64), 1e-12, 1 - 1e-12)
    if kind == "classification":
        return float(-np.log(clipped[np.arange(len(targets)), targets]).mean())
    return float(-(targets * np.log(clipped) + (1 - targets) * np.log(1 - clipped)).mean())


