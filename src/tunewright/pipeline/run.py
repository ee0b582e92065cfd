"""The spine: one recipe from data to a judged, registered model. Knows the order of stages and what each leaves behind.

Stages are idempotent by content: the run's id hashes recipe, rows, base and code, so that running the same again does
only what is not done yet, and an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from tunewright.model.adaptations import Importance
from tunewright.model.weights import save_model
from tunewright.pipeline.adapting import from_tensors, to_tensors
from tunewright.pipeline.estimate import refuse_full_disk
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.fit import Fit, Fitted, Watcher, answer_in_units, rebuild, target_scale
from tunewright.pipeline.judge import Judged, hash_test_rows, judge_run
from tunewright.pipeline.plan import SPLITS, Plan, make_plan, read_recipe
from tunewright.pipeline.proof import Arithmetic, choose_arithmetic, prove_effect, prove_parity
from tunewright.recipe.tasks import KINDS
from tunewright.serve.predictor import Predictor
from tunewright.store import files
from tunewright.store.database import open_database
from tunewright.store.registry import Registry
from tunewright.store.runs import Run, open_run

MODEL, RECIPE = "model", "recipe.resolved.json"


class Quiet:
    """A watcher that shows nothing and never asks to stop."""

    def update(self, fact: Any, *, expected: int | None, phase: int) -> None: ...

    def judged(self, figures: Mapping[str, Any]) -> None: ...

    def note(self, text: str) -> None: ...

    def stage(self, name: str) -> None: ...

    def stop_requested(self) -> bool:
        return False


@dataclass(frozen=True)
class RunResult:
    """A finished run: where it lies, what the gate said, and the model."""

    name: str
    id: str
    folder: Path
    version: str  # name@number
    judged: Judged
    seconds: float

    @property
    def passed(self) -> bool:
        return self.judged.passed

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def model(self) -> Predictor:
        """The model as it will be served, loaded from disk."""
        name, _, number = self.version.partition("@")
        return Predictor.load(self.folder / MODEL, name=name, version=number)


def run(recipe: str | Path, *, overrides: Sequence[str] = (), watcher: Watcher | None = None) -> RunResult:
    """Take a recipe through all stages up to registration.

    `overrides` are `key=value` texts. Raises a Refusal for what the user gave and cannot be used, Interrupted after a
    SIGTERM (the next call resumes), NotFinite where training cannot go on.
    """
    watching = watcher or Quiet()
    started = time.monotonic()
    watching.stage("plan")
    plan = make_plan(read_recipe(Path(recipe), overrides))
    torch.set_num_threads(int(plan.recipe.compute.threads or 1))
    refuse_full_disk(plan)
    with open_run(plan.recipe.name, plan.id) as held, open_database() as database:
        registry = Registry(database)
        plan = replace(plan, importance=keep_importance(held, plan))
        _record_plan(held, plan)
        features = BaseFeatures(plan, lambda: rebuild(plan, {}, phases=0))
        if not held.is_done("train", plan.id):
            watching.stage("train")
            _train(plan, held, features, watching)
        if not held.is_done("judge", plan.id):
            watching.stage("judge")
            if plan.adaptations:  # what baselines are measured by is the base as it came
                features = BaseFeatures(plan.untouched, lambda: rebuild(plan.untouched, {}, phases=0))
            judge_run(plan, held, features, registry, name=plan.recipe.name, seconds=time.monotonic() - started)
            held.done("judge", plan.id)
        watching.stage("register")
        judged = Judged.read(held)
        version = registry.register(
            plan.recipe.name, folder=held.folder / MODEL, run=plan.id, metrics=judged.figures,
            gate_passed=judged.passed, verdict={"outcome": judged.outcome, "lines": list(judged.lines)},
            base=plan.base.name, task=plan.recipe.task.kind,
        )  # fmt: skip
        held.done("register", plan.id)
    return RunResult(
        plan.recipe.name, plan.id, held.folder, version.reference, judged, time.monotonic() - started
    )


def _record_plan(run: Run, plan: Plan) -> None:
    """Write down what was decided before the first update."""
    files.write_atomically(run.folder / "recipe.yaml", plan.file.text)
    run.write_json(RECIPE, plan.written())
    run.write_json("data/manifest.json", plan.prepared.manifest | {"test_rows_sha256": hash_test_rows(plan)})
    run.write_json("data/splits.json", {split: list(plan.rows(split).ids) for split in SPLITS})
    ledger = run.folder / "data" / "ledger.parquet"
    with files.refusing(ledger):
        plan.prepared.ledger.write(ledger)


def keep_importance(run: Run, plan: Plan) -> Mapping[int, Importance]:
    """How much units matter, as this run measured it when it began: a resumed one must take the same units away."""
    path = run.folder / "importance.safetensors"
    if plan.importance and not path.exists():
        files.write_atomically(path, save(to_tensors(plan.importance)))
    with files.refusing(path):
        return from_tensors(load_file(path)) if plan.importance else {}


def _train(plan: Plan, run: Run, features: BaseFeatures, watcher: Watcher) -> None:
    """Train, save the model whole, and record the proof that it is the trained one."""
    fitted = Fit(plan, run, features, watcher).train()
    metrics = list(run.metrics.facts())
    run.write_json("fit.json", fitted.facts)
    run.write_json("effect.json", prove_effect(plan, fitted, metrics))
    if KINDS[plan.recipe.task.kind].answers == "numbers":
        answer_in_units(fitted.model, target_scale(plan))
    arithmetic = choose_arithmetic(plan, fitted.model)
    if arithmetic.dtype != plan.recipe.compute.dtype:
        watcher.note(f"served in {arithmetic.dtype}: {arithmetic.why}")
    files.commit_folder(run.folder / MODEL, lambda folder: _save(plan, fitted, arithmetic, folder))
    run.write_json("parity.json", prove_parity(plan, fitted.model, run.folder / MODEL, arithmetic))
    run.done("train", plan.id)


def _save(plan: Plan, fitted: Fitted, arithmetic: Arithmetic, folder: Path) -> None:
    with files.refusing(folder):
        save_model(
            fitted.model, folder, encoder_json=plan.encoder.to_json(), labels=plan.prepared.labels, base=plan.base,
            description=plan.description, arithmetic=arithmetic.dtype, tokenizer=plan.encoder.tokenizer,
            writing_json=None if plan.writing is None else plan.writing.to_json(),
        )  # fmt: skip
        (folder / RECIPE).write_text(files.to_json(plan.written(), indent=1), encoding="utf-8")
