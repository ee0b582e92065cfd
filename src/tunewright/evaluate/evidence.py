"""The evidence of a run as one JSON document. Knows facts handed to it; must not measure or guess any itself.

Schema of `evidence.json`: a mapping with exactly the keys of `SECTIONS`. A section, and each item it must have, is
either a mapping of facts or `{"status": "UNMEASURED", "why": "..."}`:

    rows         in, train, validation, test, dropped, reasons {reason: rows}, adds_up
    supervision  whatever the pipeline counted of what was trained on (rows, tokens, rows cut, samples)
    effect       trainable, frozen, changed, frozen_identical, options [{option, expected, seen}]
    rungs        metric, rows, model and others {name: {figures {metric: {value, interval}}, seconds,
                 model_above {metric: {value, interval, p_value, verdict, rows_needed}}}}, absent {name: why}
    audits       one entry for each of `AUDITS`
    parity       one entry for each pair of forms of the model that was compared
    origin       hashes of data, base, recipe, environment and code; seed; how often these test rows have judged
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.evaluate import metrics
from tunewright.evaluate.metrics import UNMEASURED
from tunewright.evaluate.results import Results, Rung
from tunewright.recipe.tasks import better
from tunewright.values import Predictions

SECTIONS = ("rows", "supervision", "effect", "rungs", "audits", "parity", "origin")
AUDITS = ("overfitting", "forgetting", "calibration", "bias", "memorisation", "robustness", "groundedness")
NO_AUDIT = "no measurement of this risk is part of this version"


def unmeasured(why: str) -> dict[str, str]:
    """What stands where a fact should and was not measured."""
    return {"status": UNMEASURED, "why": why}


def is_unmeasured(fact: Any) -> bool:
    return fact == UNMEASURED or (isinstance(fact, Mapping) and fact.get("status") == UNMEASURED)


def build_evidence(
    *, results: Results | None, rows: Mapping[str, Any] | None = None, supervision: Mapping[str, Any] | None = None,
    effect: Mapping[str, Any] | None = None, audits: Mapping[str, Any] | None = None,
    parity: Mapping[str, Any] | None = None, origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document, ready for `json.dumps`; a section that is None or empty is UNMEASURED."""
    handed_in = {
        "rows": rows, "supervision": supervision, "effect": effect,
        "rungs": None if results is None else describe_rungs(results), "parity": parity, "origin": origin,
    }
    document = {
        name: plain(facts) if facts else unmeasured("the run recorded nothing under this heading")
        for name, facts in handed_in.items()
    }
    document["audits"] = {name: plain((audits or {}).get(name, unmeasured(NO_AUDIT))) for name in AUDITS}
    return {name: document[name] for name in SECTIONS}


def describe_rungs(results: Results) -> dict[str, Any]:
    """The section `rungs`."""
    return plain({
        "metric": results.metric, "rows": results.rows, "model": {results.model.name: _describe_rung(results.model)},
        "others": {rung.name: _describe_rung(rung) for rung in results.others}, "absent": results.absent,
    })


def audit_overfitting(train: Predictions | None, test: Predictions, *, kind: str, metric: str) -> dict[str, Any]:
    """How much better the model does on the rows it learned from; positive gaps mean it does."""
    if train is None:
        return unmeasured("the training rows were not predicted")
    seen, unseen = (
        metrics.value_of(metric, side.outputs, side.targets, kind, sizes=side.sizes) for side in (train, test)
    )
    if seen is None or unseen is None:
        return unmeasured(f"{metric} could not be measured on both splits")
    gap = (metrics.standing(metric, seen) - metrics.standing(metric, unseen)) * better(metric, kind)
    return {"metric": metric, "train": seen, "test": unseen, "gap": gap, "train_rows": len(train.row_ids)}


def audit_calibration(results: Results) -> dict[str, Any]:
    """The calibration error of the model with its interval."""
    figure = results.model.figures.get("calibration_error")
    if figure is None:
        return unmeasured("predictions without probabilities have no calibration")
    if figure.value is None:
        return unmeasured("no row to measure it on")
    return plain({"calibration_error": figure.value, "interval": figure.interval, "bins": metrics.CALIBRATION_BINS})


def plain(fact: Any) -> Any:
    """Facts as JSON holds them: dataclasses as mappings, arrays as lists, None and non-finite numbers as UNMEASURED."""
    if dataclasses.is_dataclass(fact) and not isinstance(fact, type):
        return {item.name: plain(getattr(fact, item.name)) for item in dataclasses.fields(fact)}
    if isinstance(fact, Mapping):
        return {str(key): plain(value) for key, value in fact.items()}
    if isinstance(fact, np.ndarray | np.generic):
        return plain(fact.tolist())
    if isinstance(fact, str | bool | int):
        return fact
    if isinstance(fact, Sequence | set | frozenset):
        return [plain(item) for item in (sorted(fact) if isinstance(fact, set | frozenset) else fact)]
    if fact is None or (isinstance(fact, float) and not math.isfinite(fact)):
        return UNMEASURED
    if isinstance(fact, Path):
        return str(fact)
    assert isinstance(fact, float), f"{type(fact).__name__} has no place in evidence"
    return fact


def _describe_rung(rung: Rung) -> dict[str, Any]:
    above = {
        metric: {**plain(difference), "rows_needed": difference.rows_needed}  # None here is an answer: none needed
        for metric, difference in rung.model_above.items()
    }
    facts: dict[str, Any] = {"figures": plain(rung.figures), "seconds": rung.seconds or UNMEASURED}
    return facts | ({"model_above": above} if above else {})
