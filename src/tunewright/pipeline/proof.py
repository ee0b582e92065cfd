"""Proof that a run did what it says: which parameters changed, whether options took effect, whether the saved model is
the trained one. Knows plans, models and the metrics log; decides nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tunewright.data.encoders import AnyEncoder, encode_rows
from tunewright.data.prepare import TOO_LONG
from tunewright.evaluate.evidence import unmeasured
from tunewright.model.adapters import has_lora, merge_lora
from tunewright.model.build import Model, skeleton_of, skeleton_of_head, writes_text
from tunewright.model.quantized import count_weights, packed_tensors
from tunewright.model.trainable import tensors_by_name
from tunewright.pipeline.architecture import outline
from tunewright.pipeline.fit import Fitted, rebuild
from tunewright.pipeline.plan import SPLITS, Plan
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS
from tunewright.serve.answering import logits_of
from tunewright.serve.predictor import Predictor, fastest_dtype, ready_to_serve
from tunewright.values import Encoded

_PARITY_ROWS, _PARITY_ROWS_OF_TOKENS = 256, 32
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}  # largest |Δlogit| allowed, as a share of the largest |logit|


def prove_effect(plan: Plan, fitted: Fitted, metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of what changed and what did not, and one observable for each option that differs from its default."""
    names = set(fitted.changed)
    untrained = rebuild(plan, {}, phases=len(plan.phases))
    start = tensors_by_name(untrained, names) | packed_tensors(untrained)
    end = tensors_by_name(fitted.model, names) | packed_tensors(fitted.model)
    trained = names & end.keys()
    moved = {name for name in end if not torch.equal(start[name], end[name])}
    return {
        "trainable": sum(end[name].numel() for name in trained),
        "frozen": count_weights(fitted.model) - sum(end[name].numel() for name in trained),
        "trained_tensors": len(trained),
        "changed_tensors": len(moved),
        "unchanged_though_trainable": sorted(trained - moved),
        "changed": trained <= moved,
        "frozen_identical": moved <= trained,
        "options": prove_options(plan, fitted, metrics),
    }


def prove_options(plan: Plan, fitted: Fitted, metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each option the recipe sets away from its default: what should be seen of it, and what was."""
    options = []
    for key, value in changed_options(plan.file.recipe):
        expected, seen = _observe(key, value, plan, fitted, metrics)
        if key in plan.file.templates:  # came from the environment and is never written
            value = expected = plan.file.templates[key]
        options.append({"option": key, "value": value, "expected": expected, "seen": seen})
    return options


def changed_options(recipe: Recipe) -> list[tuple[str, Any]]:
    """The keys below encode, phases, keep, compute, evaluate and seed that the recipe sets away from their default."""
    written = recipe.model_dump(mode="json", exclude={"name", "task", "base", "data", "gate"})
    default = Recipe.model_construct().model_dump(mode="json", exclude={"name", "task", "base", "data", "gate"})
    usual = KINDS[recipe.task.kind].objective
    written["phases"] = [phase | {"objective": phase["objective"] or usual} for phase in written["phases"]]
    default["phases"] = [default["phases"][0] | {"objective": usual}] * len(written["phases"])
    return list(_differences("", written, default))


def _differences(key: str, value: Any, default: Any) -> Any:
    if isinstance(value, dict) and isinstance(default, dict):
        for name in value:
            yield from _differences(f"{key}.{name}".lstrip("."), value[name], default.get(name))
    elif isinstance(value, list) and isinstance(default, list) and len(value) == len(default):
        for index, (item, other) in enumerate(zip(value, default, strict=True)):
            yield from _differences(f"{key}.{index}", item, other)
    elif isinstance(value, dict) and "kind" in value:
        for name, inner in value.items():
            if name != "kind" or inner != default:
                yield f"{key}.{name}", inner
    elif value != default:
        yield key, value


def _observe(
    key: str, value: Any, plan: Plan, fitted: Fitted, metrics: Sequence[Mapping[str, Any]]
) -> tuple[Any, Any]:
    """(expected, seen) for one option; both UNMEASURED where nothing recorded shows it."""
    steps = key.split(".")
    phase = int(steps[1]) if steps[0] == "phases" else 0
    updates = [fact for fact in metrics if fact["event"] == "update" and fact["phase"] == phase]
    for ending, observe in _OBSERVERS.items():
        if key.endswith(ending):
            return observe(value, plan, fitted, updates, phase)
    nothing = unmeasured("no observable of this option is recorded")
    return nothing, nothing


Observer = Callable[[Any, Plan, Fitted, Sequence[Mapping[str, Any]], int], tuple[Any, Any]]


def _saw_trainable(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    names = sorted({_sort_of(name) for name in fitted.trained[phase]})
    return f"{value} trains", f"{len(fitted.trained[phase])} tensors trained: {', '.join(names)}"


def _sort_of(name: str) -> str:
    if name.startswith("head."):
        return "head"
    return "adapter" if "lora_" in name else "bias" if name.endswith("bias") else "trunk"


def _saw_rank(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    ranks = {tensor.shape[0] for name, tensor in fitted.trained[phase].items() if "lora_A" in name}
    return f"adapters of rank {value}", f"ranks {sorted(ranks)}"


def _saw_layers(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    layers = {part for name in fitted.trained[phase] for part in name.split(".") if part.isdigit()}
    return f"{value} layers", f"layers {sorted(int(layer) for layer in layers)}"


def _saw_budget(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    facts = fitted.facts["phases"][phase]
    early = " (stopped early)" if facts["stopped_early"] else ""
    return value, f"{facts['updates']} updates, {facts['epochs']} epochs, {facts['tokens']} tokens{early}"


def _saw_rows(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    return f"{value} rows", f"at most {max((fact['rows'] for fact in updates), default=0)} rows in an update"


def _saw_passes(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    passes = max((fact["passes"] for fact in updates), default=0)
    return f"at least {value} passes", f"up to {passes} passes in an update"


def _saw_rate(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    return f"rate up to {float(value):g}", f"highest rate {max((fact['rate'] for fact in updates), default=0):g}"


def _saw_length(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    longest = max(int(plan.encoded[split].lengths_s.max(initial=0)) for split in SPLITS)
    return f"at most {value} tokens", f"longest sequence {longest} tokens"


def _saw_long(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    cut = sum(int((plan.encoded[split].cut_r > 0).sum()) for split in SPLITS)
    windowed = sum(plan.encoded[split].extra_windows for split in SPLITS)
    dropped = plan.prepared.ledger.counts()["dropped_because"].get(TOO_LONG, 0)
    return f"long texts: {value}", f"{cut} rows cut, {windowed} extra windows, {dropped} rows left out"


def _saw_device(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    return str(value), str(fitted.model.device)


def _saw_adapted(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    kind = plan.recipe.task.kind
    trunk = skeleton_of(plan.base, kind, plan.adaptations).trunk
    head = skeleton_of_head(plan.description, kind=kind, outputs=plan.outputs, adaptations=plan.adaptations)
    return outline(trunk, head), outline(fitted.model.trunk, getattr(fitted.model, "head", None))


def _saw_recomputed(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    counts = [phase["layers_recomputed"] for phase in fitted.facts["phases"]]
    return "every layer computed again", f"{', '.join(map(str, counts))} layers computed again"


def _saw_threads(value: Any, plan: Plan, fitted: Fitted, updates: Any, phase: int) -> tuple[Any, Any]:
    return f"{value} threads", f"{torch.get_num_threads()} threads"


_OBSERVERS: dict[str, Observer] = {
    "adapt": _saw_adapted,
    ".trainable": _saw_trainable,
    ".trainable.kind": _saw_trainable,
    ".trainable.rank": _saw_rank,
    ".trainable.layers": _saw_layers,
    ".budget": _saw_budget,
    ".rows_per_update": _saw_rows,
    ".accumulate": _saw_passes,
    ".optimizer.rate": _saw_rate,
    "encode.max_length": _saw_length,
    "encode.long": _saw_long,
    "encode.long.kind": _saw_long,
    "compute.device": _saw_device,
    "compute.threads": _saw_threads,
    "compute.gradient_checkpointing": _saw_recomputed,
}


@dataclass(frozen=True)
class Arithmetic:
    """The dtype in which a trained model is to be served, and the reason."""

    dtype: str
    why: str


def choose_arithmetic(plan: Plan, trained: Model) -> Arithmetic:
    """The fastest dtype of this machine in which the model answers as it was trained, on the rows of `prove_parity`."""
    fastest = fastest_dtype()
    if fastest == "float32":
        return Arithmetic("float32", "this machine computes in nothing faster")
    encoded = plan.encoded["test"].take(_parity_rows(plan))
    rounded = ready_to_serve(copy.deepcopy(trained), fastest)
    facts = _agreement(logits_of(trained, encoded), logits_of(rounded, encoded), plan.recipe.task.kind, dtype=fastest)
    apart = f"in {fastest} a logit moves by up to {facts['largest_difference']:.1%} of the largest"
    if facts["holds"]:
        return Arithmetic(fastest, f"{apart}, within the {facts['allowed']:.0%} allowed")
    flipped = f", and {facts['labels_flipped']} of {encoded.rows} labels change" if "labels_flipped" in facts else ""
    return Arithmetic("float32", f"{apart} ({facts['allowed']:.0%} are allowed){flipped}")


def _parity_rows(plan: Plan) -> np.ndarray:
    """The test rows that parity is proved on; of rows whose every token is compared, fewer."""
    most = _PARITY_ROWS if plan.encoded["test"].answers_n is None else _PARITY_ROWS_OF_TOKENS
    return np.arange(min(most, len(plan.rows("test"))))


def _encoded_again(plan: Plan, encoder: AnyEncoder, rows: np.ndarray) -> Encoded:
    """The same rows by another encoder: from all test rows, because where joined texts are cut depends on all."""
    return encode_rows(
        encoder, plan.prepared.test, kind=plan.recipe.task.kind, labels=plan.prepared.labels
    ).take(rows)


def prove_parity(plan: Plan, trained: Model, folder: Path, arithmetic: Arithmetic) -> dict[str, Any]:
    """The trained model in memory against every form in which it is kept, on up to 256 test rows."""
    rows = _parity_rows(plan)
    encoded = plan.encoded["test"].take(rows)
    reference = logits_of(trained, encoded)
    reloaded = Predictor.load(folder, dtype="float32")
    again = _encoded_again(plan, reloaded.encoder, rows)
    kind = plan.recipe.task.kind
    facts: dict[str, Any] = {
        "rows": len(rows),
        "same_token_ids": np.array_equal(again.tokens_n, encoded.tokens_n),
        "reloaded": _agreement(reference, logits_of(reloaded.model, again), kind, dtype="float32"),
    }
    del reloaded
    if has_lora(trained):
        merged = copy.deepcopy(trained)
        merge_lora(merged)
        facts["merged"] = _agreement(reference, logits_of(merged, encoded), kind, dtype="float32")
        del merged  # of packed weights the largest model of all
    served = Predictor.load(folder)
    agreement = _agreement(reference, logits_of(served.model, again), kind, dtype=served.dtype)
    facts["served"] = {"dtype": served.dtype, "because": arithmetic.why, **agreement}
    facts["exported"] = unmeasured("this version exports no other form than the folder itself")
    return facts


def _agreement(reference: np.ndarray, other: np.ndarray, kind: str, *, dtype: str) -> dict[str, Any]:
    """How far logits lie apart, and whether labels differ only where the margin is below that."""
    if writes_text(kind):
        return _agreement_of_texts(reference, other, dtype=dtype)
    gap = np.abs(reference - other)
    scale = float(np.abs(reference).max(initial=0)) or 1.0
    facts = {"largest_difference": float(gap.max(initial=0)) / scale, "allowed": TOLERANCE[dtype]}
    holds = facts["largest_difference"] <= TOLERANCE[dtype]
    if KINDS[kind].answers in ("numbers", "passages"):
        return facts | {"holds": holds}
    if kind == "multi_label":  # each label by itself: its logit is its distance from the other answer
        flipped, margin, reach = (reference >= 0) != (other >= 0), np.abs(reference), gap
    else:
        top = np.sort(reference, axis=1)
        flipped, margin = reference.argmax(1) != other.argmax(1), top[:, -1] - top[:, -2]
        reach = 2 * gap.max(axis=1)
    facts["labels_flipped"] = int(flipped.sum())
    return facts | {"holds": holds and bool((margin[flipped] <= reach[flipped]).all())}


def _agreement_of_texts(reference_m3: np.ndarray, other_m3: np.ndarray, *, dtype: str) -> dict[str, Any]:
    """How far log-probabilities of right tokens lie apart, and whether the likeliest token differs only where it is
    hardly likelier than the next.
    """
    gap_m = np.abs(reference_m3[:, 0] - other_m3[:, 0])
    scale = float(np.abs(reference_m3[:, 0]).max(initial=0)) or 1.0
    flipped_m = reference_m3[:, 1] != other_m3[:, 1]
    allowed = TOLERANCE[dtype] * scale
    return {
        "largest_difference": float(gap_m.max(initial=0)) / scale, "allowed": TOLERANCE[dtype],
        "tokens": len(gap_m), "tokens_flipped": int(flipped_m.sum()),
        "widest_margin_flipped": float(reference_m3[flipped_m, 2].max(initial=0)),
        "holds": bool(gap_m.max(initial=0) <= allowed and (reference_m3[flipped_m, 2] <= 2 * allowed).all()),
    }  # fmt: skip
