"""Evidence has every key, with numbers or UNMEASURED."""

import json

import numpy as np
import pytest

from tunewright.evaluate import evidence
from tunewright.evaluate.metrics import UNMEASURED


def test_every_section_and_audit_is_there_even_when_nothing_was_recorded() -> None:
    document = evidence.build_evidence(results=None)
    assert tuple(document) == evidence.SECTIONS and tuple(document["audits"]) == evidence.AUDITS
    facts = [document[name] for name in evidence.SECTIONS if name != "audits"] + list(document["audits"].values())
    assert all(fact["status"] == UNMEASURED and fact["why"] for fact in facts)


def test_evidence_is_strict_json_and_carries_the_numbers(report) -> None:
    facts, document = report(classes=3, rows=150)
    back = json.loads(json.dumps(document, allow_nan=False))
    assert back == document
    probe = back["rungs"]["others"]["probe"]["model_above"]["macro_f1"]
    assert probe["value"] == facts.results.rung("probe").model_above["macro_f1"].value
    assert back["rungs"]["absent"]["champion"] and back["audits"]["bias"]["status"] == UNMEASURED


def test_facts_without_a_number_become_unmeasured_at_any_depth() -> None:
    numbers = {"c": float("inf"), "d": np.array([True])}
    found = evidence.plain({"a": [np.float32("nan"), np.int64(3), None], "b": numbers})
    assert found == {"a": [UNMEASURED, 3, UNMEASURED], "b": {"c": UNMEASURED, "d": [True]}}


@pytest.mark.parametrize(("kind", "metric"), [
    ("classification", "macro_f1"), ("regression", "rmse"), ("token_classification", "span_f1"),
    ("pretraining", "perplexity"), ("generation", "perplexity")])
def test_overfitting_is_positive_where_training_rows_go_better(kind, metric, predictions) -> None:
    test = predictions("a", rows=200, classes=3, skill=1.5, kind=kind)
    train = predictions("a", rows=300, classes=3, skill=6, kind=kind, seed=3, split="train")
    audit = evidence.audit_overfitting(train, test, kind=kind, metric=metric)
    assert audit["gap"] > 0 and audit["gap"] == pytest.approx(abs(audit["train"] - audit["test"]))
    assert evidence.is_unmeasured(evidence.audit_overfitting(None, test, kind=kind, metric=metric))


def test_calibration_is_measured_where_there_are_probabilities(results) -> None:
    found = results(rows=150, classes=3)[2]
    assert evidence.audit_calibration(found)["calibration_error"] == found.model.figures["calibration_error"].value
    numbers = results(rows=150, classes=3, kind="regression", metric="rmse")[2]
    assert evidence.is_unmeasured(evidence.audit_calibration(numbers))


def test_a_length_ratio_overfits_where_it_strays_from_one_on_unseen_rows(predictions) -> None:
    train = predictions("a", rows=30, classes=3, skill=9, kind="summarisation", split="train")
    test = predictions("a", rows=30, classes=3, skill=1, kind="summarisation")
    audit = evidence.audit_overfitting(train, test, kind="summarisation", metric="length_ratio")
    assert audit["gap"] == pytest.approx(abs(1 - audit["test"]) - abs(1 - audit["train"])) and audit["gap"] > 0
