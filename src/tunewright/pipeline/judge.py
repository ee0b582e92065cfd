"""Judging a trained model on the frozen test rows: rungs, verdict, evidence, report, card. Trains nothing."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

import tunewright
from tunewright.evaluate import evidence as evidence_of
from tunewright.evaluate.card import write_card
from tunewright.evaluate.gate import Verdict, VerdictLine, judge
from tunewright.evaluate.metrics import UNMEASURED, calibration_bins, per_class, tabulate_confusion
from tunewright.evaluate.report import Curve, ReportFacts, Setting, write_report
from tunewright.evaluate.results import CHAMPION, Results, assess, pick_examples
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.plan import SPLITS, Plan, digest
from tunewright.pipeline.rungs import predict_champion, predict_rungs, predict_seen, predict_with
from tunewright.pipeline.supervision import describe_supervision
from tunewright.recipe.tasks import KINDS, watched_metric
from tunewright.serve.predictor import Predictor
from tunewright.store import files
from tunewright.store.registry import Registry
from tunewright.store.runs import Run, list_runs
from tunewright.values import Predictions

_PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Judged:
    """What `verdict.json` holds: the gate's lines and the figures of the model and its rungs."""

    passed: bool
    outcome: str
    lines: tuple[Mapping[str, Any], ...]
    metric: str
    rows: int
    figures: Mapping[str, Any]  # of the model: metric -> {value, interval}
    ladder: tuple[Mapping[str, Any], ...]  # rung, value, low, high, best first

    @classmethod
    def read(cls, run: Run) -> Judged:
        return cls(**run.read_json("verdict.json"))


def judge_run(plan: Plan, run: Run, features: BaseFeatures, registry: Registry, *, name: str, seconds: float) -> None:
    """Predict the test rows with the model from disk and with every rung, and write down what that shows.

    `name` is what the model is called in the report; `seconds` the time that the run took so far.
    """
    predictor = Predictor.load(run.folder / "model", name=name)
    model = predict_with(predictor, plan, "model")
    train = predict_seen(predictor, plan)
    rungs = predict_rungs(plan, features)
    champion, why = predict_champion(plan, registry)
    others = [*rungs, champion] if champion is not None else rungs
    _write_predictions(run.folder / "predictions.parquet", [model, *others], plan.recipe.task.kind)
    evaluate = plan.recipe.evaluate
    results = assess(
        model, others, kind=plan.recipe.task.kind, metric=str(evaluate.metric), labels=plan.prepared.labels,
        confidence=evaluate.confidence, resamples=evaluate.resamples, seed=plan.recipe.seed,
        absent=_absent(plan) | ({} if champion is not None else {CHAMPION: why}),
    )  # fmt: skip
    effect, parity = run.read_json("effect.json"), run.read_json("parity.json")
    verdict = _unless_disproved(judge(plan.recipe.gate, results), effect=effect, parity=parity)
    evidence = evidence_of.build_evidence(
        results=results, rows=_rows(plan), supervision=describe_supervision(plan), effect=effect,
        audits=_audits(plan, train, model, results), parity=parity, origin=_origin(plan, run),
    )  # fmt: skip
    facts = _report_facts(plan, run, results, verdict, model, rungs, name=name, seconds=seconds)
    run.write_json("evidence.json", evidence)
    write_report(run.folder, evidence=evidence, figures=facts)
    write_card(run.folder, evidence=evidence, figures=facts)
    run.write_json("verdict.json", _verdict(results, verdict, evidence))


def _unless_disproved(verdict: Verdict, *, effect: Mapping[str, Any], parity: Mapping[str, Any]) -> Verdict:
    """The verdict; but no figure passes a model that is not the one that was trained, or not trained as asked."""
    forms = [form for form, facts in parity.items() if isinstance(facts, Mapping) and facts.get("holds") is False]
    wrong = {
        "the saved model reads other tokens than the trained one": not parity["same_token_ids"],
        f"these forms of the model answer otherwise than the trained one: {', '.join(forms)}": bool(forms),
        "frozen parameters changed": not effect["frozen_identical"],
        "training changed nothing": effect["changed_tensors"] == 0,
    }
    lines = [VerdictLine("proof", "holds", UNMEASURED, None, "failed", why) for why, is_so in wrong.items() if is_so]
    return Verdict(False, "failed", (*verdict.lines, *lines)) if lines else verdict


def _rows(plan: Plan) -> dict[str, Any]:
    """The ledger's counts, and whether they add up and agree with the rows that were really used."""
    counts = plan.prepared.ledger.counts()
    used = {split: len(plan.rows(split)) for split in SPLITS}
    adds_up = counts["rows"] == sum(used.values()) + counts["dropped"]
    return {
        "in": counts["rows"], **{fate: counts[fate] for fate in (*SPLITS, "dropped")},
        "reasons": counts["dropped_because"], "adds_up": adds_up and used == {split: counts[split] for split in SPLITS},
    }  # fmt: skip


def _verdict(results: Results, verdict: Verdict, evidence: Mapping[str, Any]) -> dict[str, Any]:
    measured = [rung for rung in (results.model, *results.others) if rung.figures[results.metric].value is not None]
    unmeasured = [rung for rung in (results.model, *results.others) if rung.figures[results.metric].value is None]
    measured.sort(key=lambda rung: -results.merit(results.metric, rung))
    ladder = [_step(rung, results.metric) for rung in (*measured, *unmeasured)]
    return {
        "passed": verdict.passed, "outcome": verdict.outcome, "metric": results.metric, "rows": results.rows,
        "lines": evidence_of.plain([dataclasses.asdict(line) for line in verdict.lines]),
        "figures": evidence["rungs"]["model"][results.model.name]["figures"], "ladder": ladder,
    }  # fmt: skip


def _step(rung: Any, metric: str) -> dict[str, Any]:
    figure = rung.figures[metric]
    span = figure.interval
    return evidence_of.plain(
        {"rung": rung.name, "value": figure.value, "low": span and span.low, "high": span and span.high,
         "seconds": rung.seconds}
    )  # fmt: skip


def _absent(plan: Plan) -> dict[str, str]:
    chosen = plan.recipe.evaluate.baselines or ()
    why = plan.reasons.get("evaluate.baselines", "the recipe leaves it out")
    return {name: why for name in KINDS[plan.recipe.task.kind].baselines if name not in chosen}


def _audits(plan: Plan, train: Predictions, test: Predictions, results: Results) -> dict[str, Any]:
    kind = plan.recipe.task.kind
    overfitting = evidence_of.audit_overfitting(train, test, kind=kind, metric=watched_metric(kind, results.metric))
    return {"overfitting": overfitting, "calibration": evidence_of.audit_calibration(results)}


def _origin(plan: Plan, run: Run) -> dict[str, Any]:
    return {
        "data": {file["path"]: file["sha256"] for file in plan.prepared.manifest["files"]},
        "split": plan.prepared.manifest["split_sha256"], "test_rows": hash_test_rows(plan),
        "recipes_judged_before": judged_before(hash_test_rows(plan), run),
        "base": dict(plan.base.hashes), "recipe": digest(plan.written()["recipe"]), "seed": plan.recipe.seed,
        "model": files.hash_folder(run.folder / "model"), "code": tunewright.__version__,
        "environment": {name: importlib.metadata.version(name) for name in _PACKAGES}
        | {"python": platform.python_version(), "machine": plan.machine.cpu, "threads": plan.recipe.compute.threads},
    }  # fmt: skip


def hash_test_rows(plan: Plan) -> str:
    """Names the test rows and their answers, whatever recipe they judge."""
    rows = plan.rows("test")
    assert rows.targets is not None
    return digest([list(rows.ids), rows.targets.tolist()])


def judged_before(test_rows: str, run: Run) -> int:
    """How many other runs these test rows have judged: each look makes a lucky result likelier."""
    count = 0
    for other in list_runs():
        if other.folder == run.folder or not (other.folder / "verdict.json").exists():
            continue
        count += other.read_json("data/manifest.json").get("test_rows_sha256") == test_rows
    return count


def _report_facts(
    plan: Plan, run: Run, results: Results, verdict: Any, model: Predictions, rungs: Sequence[Predictions], *,
    name: str, seconds: float,
) -> ReportFacts:  # fmt: skip
    kind, labels = plan.recipe.task.kind, plan.prepared.labels
    best_rung = results.best_baseline(results.metric)
    baseline = next((p for p in rungs if best_rung is not None and p.rung == best_rung.name), None)
    texts = [" | ".join(inputs) for inputs in plan.rows("test").inputs]
    best, worst = pick_examples(model, baseline, kind=kind, texts=texts, labels=labels)
    fit = run.read_json("fit.json")
    metrics = list(run.metrics.facts())
    inputs = ", ".join(plan.recipe.task.inputs)
    outputs = ", ".join(plan.recipe.task.outputs) or KINDS[kind].says
    classes: dict[str, Any] = {}
    if kind == "classification":
        classes = {"confusion": tabulate_confusion(model, labels)}
    if labels:
        classes["classes"] = tuple(per_class(model, labels))
    if KINDS[kind].labelled:
        classes["calibration"] = tuple(calibration_bins(model.outputs, model.targets))
    return ReportFacts(
        name=plan.recipe.name, run=plan.id, model=name, base=plan.base.name, kind=kind,
        task=f"Reads {inputs} and answers {outputs}: {kind.replace('_', '-')}."
        + ("" if plan.writing is None else f" {plan.writing.says}"),
        verdict=verdict, results=results, seconds=seconds,
        finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        curves=tuple(_curves(metrics)), kept_update=_kept_update(fit), best=tuple(best), worst=tuple(worst),
        findings=tuple(dataclasses.asdict(finding) for finding in plan.prepared.findings),
        settings=tuple(settings(plan)), **classes,
    )  # fmt: skip


def _kept_update(fit: Mapping[str, Any]) -> int:
    earlier = sum(facts["updates"] for facts in fit["phases"][:-1])
    return int(earlier + fit["phases"][-1]["kept_update"])


def _curves(metrics: Sequence[Mapping[str, Any]]) -> Iterator[Curve]:
    """Loss of the updates (averaged over a fiftieth of them) and the validation figures, phases end to end."""
    offset, last, losses, judged, judged_losses = 0, 0, [], [], []
    phase = 0
    for fact in metrics:
        if fact.get("phase", 0) != phase:
            phase, offset = fact["phase"], last
        last = offset + fact["update"]
        if fact["event"] == "update" and isinstance(fact["loss"], float):
            losses.append((last, fact["loss"]))
        elif fact["event"] == "evaluation" and isinstance(fact["value"], float):
            judged.append((float(last), fact["value"]))
            judged_losses.append((float(last), fact["loss"]))
            metric = fact["metric"]
    if losses:
        window = max(1, len(losses) // 50)
        means = [np.mean(losses[i : i + window], axis=0) for i in range(0, len(losses), window)]
        yield Curve("training loss", tuple((float(x), float(y)) for x, y in means))
    if judged:
        yield Curve("validation loss", tuple(judged_losses))
        yield Curve(f"validation {metric}", tuple(judged))


def settings(plan: Plan) -> Iterator[Setting]:
    """Every resolved key with its value and why it has it."""
    written = plan.written()["recipe"]
    for key, value in _leaves("", written):
        given = any(key == line or key.startswith(line + ".") for line in plan.file.lines if line)
        reason = plan.reasons.get(key) or ("given in the recipe" if given else "default")
        yield Setting(key, "none" if value is None else str(value), reason)


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}".lstrip("."), inner)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, inner in enumerate(value):
            yield from _leaves(f"{key}.{index}", inner)
    else:
        yield key, value


def _write_predictions(path: Path, predictions: Sequence[Predictions], kind: str) -> None:
    """One line per rung and row: what the answer was and what the rung said."""
    columns: dict[str, list[Any]] = {name: [] for name in ("rung", "split", "row_id", "target", "output")}
    for said in predictions:
        columns["rung"] += [said.rung] * len(said.row_ids)
        columns["split"] += [said.split] * len(said.row_ids)
        columns["row_id"] += said.row_ids
        columns["target"] += _written(said.targets)
        columns["output"] += _written(said.outputs)
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.table(columns).replace_schema_metadata({"kind": kind})
    pyarrow.parquet.write_table(table, sink)
    files.write_atomically(path, sink.getvalue().to_pybytes())


def _written(values: np.ndarray) -> list[Any]:
    """A list of numbers for each row; of answers that are spans or texts, what they say as JSON."""
    if values.dtype != object:
        found: list[Any] = np.atleast_2d(values.T).T.astype(float).tolist()
        return found
    return [json.dumps(value, default=dataclasses.asdict, ensure_ascii=False) for value in values]
