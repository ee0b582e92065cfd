"""Predictions of invented rungs, and the facts of an invented run, for the tests of the room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.evaluate.inventions import LABELS as SPAN_LABELS
from tests.evaluate.inventions import invent

from tunewright.evaluate.evidence import audit_calibration, audit_overfitting, build_evidence, unmeasured
from tunewright.evaluate.gate import judge
from tunewright.evaluate.metrics import calibration_bins, per_class, tabulate_confusion
from tunewright.evaluate.report import Curve, ReportFacts, Setting
from tunewright.evaluate.results import Results, assess, pick_examples
from tunewright.recipe.schema import Bar
from tunewright.recipe.tasks import KINDS
from tunewright.values import Predictions

TEXTS = (
    "Hi, I was charged twice for order 88213 last Tuesday and nobody answers the phone. Please refund one of the two, "
    "my card ends in 4021. Thanks, Ines",
    "password reset mail never arrives, checked spam, tried three times already",
    "Where is my parcel? The tracking page has said 'label created' for nine days now and I leave on Friday. If it can "
    "not come before then I would rather cancel the whole order and have the money back on the card I paid with.",
    "Can I move my plan from monthly to yearly in the middle of the billing period, and do I lose the days I paid for?",
    "the app closes by itself when i open the camera <b>every time</b> & it is annoying",
)
INTENTS = (
    "account_access", "billing_question", "bug_report", "cancel_order", "change_address", "change_plan", "complaint",
    "damaged_item", "delivery_status", "feature_request", "invoice_copy", "loyalty_points", "password_reset",
    "refund_request", "return_item", "voucher_problem",
)

SKILLS = {
    "token_classification": {"no_spans": 0.01, "dictionary": 2.2},
    "question_answering": {"no_answer": 0.2, "likest_sentence": 0.6},
    "retrieval": {"bm25": 1.8, "cosine": 3.1},
    "generation": {"copy": 0.1, "most_common": 0.2, "nearest": 1.1},
    "summarisation": {"lead_3": 0.3, "longest_turn": 0.2, "nearest": 1.1},
    "translation": {"copy": 0.1, "most_common": 0.05, "nearest": 1.1},
    "pretraining": {"unigram": 0.4},
}


def invent_predictions(
    rung: str, *, rows: int, classes: int, skill: float, seed: int = 11, kind: str = "classification",
    split: str = "test",
) -> Predictions:
    """A rung of a given skill on rows whose answers do not depend on the rung; class sizes are uneven."""
    answers, own = np.random.default_rng(1), np.random.default_rng(seed)
    ids = tuple(f"{split}-{i:05d}" for i in range(rows))
    if kind in SKILLS:
        return invent(rung, rows=rows, skill=skill, seed=seed, kind=kind, split=split)[0]
    if KINDS[kind].answers == "numbers":
        targets = answers.normal(size=rows).astype(np.float32)
        outputs = (targets + own.normal(size=rows) / skill).astype(np.float32)
    elif kind == "multi_label":
        targets = (answers.random((rows, classes)) < 0.2).astype(np.float32)
        logits = (targets - 0.5) * skill + own.normal(size=targets.shape)
        outputs = (1 / (1 + np.exp(-logits))).astype(np.float32)
    else:
        size = np.linspace(1, 2, classes)
        targets = answers.choice(classes, size=rows, p=size / size.sum())
        logits = own.normal(size=(rows, classes)) * 1.4
        logits[np.arange(rows), targets] += skill
        logits[np.arange(rows), (targets + 1) % classes] += skill / 2.2
        outputs = np.exp(logits - logits.max(axis=1, keepdims=True))
        outputs = (outputs / outputs.sum(axis=1, keepdims=True)).astype(np.float32)
    return Predictions(rung, split, ids, outputs, targets, seconds=0.4 + own.random())


def invent_results(
    *, rows: int, classes: int, kind: str = "classification", metric: str = "macro_f1", resamples: int = 400
) -> tuple[Predictions, list[Predictions], Results]:
    model = invent_predictions("lora", rows=rows, classes=classes, skill=6.4, kind=kind)
    skills = SKILLS.get(kind, {"majority": 0.1, "zero_shot": 3.0, "knn": 4.4, "probe": 5.3})
    others = [
        invent_predictions(name, rows=rows, classes=classes, skill=skill, seed=seed, kind=kind)
        for seed, (name, skill) in enumerate(skills.items(), start=2)
    ]
    absent = {"champion": "no version of this model is champion yet"}
    return model, others, assess(model, others, kind=kind, metric=metric, resamples=resamples, absent=absent)


def invent_report(
    *, classes: int = 16, rows: int = 640, kind: str = "classification", metric: str = "macro_f1",
    bar: Bar | None = None,
) -> tuple[ReportFacts, dict]:
    """The facts and the evidence of a run with everything in it that a report can show."""
    labels = (INTENTS if classes == 16 else ("negative", "positive") if classes == 2 else
              tuple(f"{INTENTS[i % 16]}_{i // 16}" for i in range(classes)))
    model, others, results = invent_results(rows=rows, classes=classes, kind=kind, metric=metric)
    texts = [TEXTS[i % len(TEXTS)] for i in range(rows)]
    labelled = KINDS[kind].labelled
    if kind in SKILLS:
        labels, texts = SPAN_LABELS, invent("", rows=rows, skill=1, seed=0, kind=kind)[1]
    best, worst = pick_examples(model, others[-1], kind=kind, texts=texts, labels=labels)
    verdict = judge({metric: bar or Bar(at_least=0.85, better_than="best_baseline")}, results)
    learned = invent_predictions("lora", rows=rows, classes=classes, skill=7.5, seed=9, kind=kind, split="train")
    updates = np.arange(0, 420, 3)
    facts = ReportFacts(
        name="ticket-intents", run="7f3a91c2d4", model="ticket-intents@3", base="minilm", kind=kind,
        task=f"Reads a text and answers: {KINDS[kind].says}.", verdict=verdict, results=results,
        finished_at="2026-01-14T09:31:07Z", seconds=94.2,
        classes=tuple(per_class(model, labels)) if labelled or kind == "token_classification" else (),
        confusion=tabulate_confusion(model, labels) if kind == "classification" else None,
        calibration=tuple(calibration_bins(model.outputs, model.targets)) if labelled else (),
        curves=(
            Curve("training loss", tuple((float(u), float(2.6 * np.exp(-u / 90) + 0.18 + 0.06 * np.sin(u / 7)))
                                         for u in updates)),
            Curve("validation macro_f1", tuple((float(u), float(0.93 - 0.8 * np.exp(-u / 70))) for u in updates[::12])),
        ),
        kept_update=348, best=tuple(best), worst=tuple(worst),
        findings=(
            {"check": "leakage", "severity": "ok", "count": 0, "examples": (), "says": "No test row occurs in train."},
            {"check": "conflicts", "severity": "warn", "count": 6, "examples": ("a.jsonl:88", "a.jsonl:1210"),
             "says": "6 rows have equal inputs and different answers."},
            {"check": "balance", "severity": "note", "count": 1, "examples": (),
             "says": "The rarest label, account_access, has half the rows of the commonest."},
        ),
        settings=(
            Setting("phases.0.optimizer.rate", "0.0005", "LoRA on a base of 22.7 M parameters"),
            Setting("phases.0.budget", "8 epochs", "1,142 training rows; early stopping ends it sooner"),
            Setting("encode.max_length", "128", "99.4 % of rows are not longer; the base allows 256"),
            Setting("compute.dtype", "bfloat16", "the processor multiplies it in hardware"),
            Setting("seed", "17", "the default"),
        ),
    )
    evidence = build_evidence(
        results=results,
        rows={"in": 1628, "train": 1142, "validation": 158, "test": 318, "dropped": 10, "adds_up": True,
              "reasons": {"exact_duplicate": 7, "leaks_into_test": 2, "missing_answer": 1}},
        supervision={"rows_trained_on": 1142, "tokens_trained_on": 48210, "rows_cut": 7, "tokens_cut": 412},
        effect={"parameters": 22_713_216, "trainable": 313_360, "all_trainable_changed": True,
                "frozen_bit_identical": True,
                "options": [{"option": "trainable.rank", "expected": 16, "seen": 16},
                            {"option": "objective.smoothing", "expected": 0.05, "seen": unmeasured("no observable")}]},
        audits={"calibration": audit_calibration(results),
                "overfitting": audit_overfitting(learned, model, kind=kind, metric=metric)},
        parity={"in_memory_and_reloaded": {"token_ids_equal": True, "largest_logit_gap": 0.0, "labels_flipped": 0},
                "served": unmeasured("the model is not served yet")},
        origin={"data_sha256": "9b1c" * 16, "base_sha256": "53aa5117" * 8, "recipe_sha256": "0fe2" * 16, "seed": 17,
                "python": "3.11.9", "torch": "2.13.0", "recipes_judged_on_these_rows_before": 2},
    )
    return facts, evidence


@pytest.fixture
def predictions() -> Callable[..., Predictions]:
    return invent_predictions


@pytest.fixture
def results() -> Callable[..., tuple[Predictions, list[Predictions], Results]]:
    return invent_results


@pytest.fixture
def report() -> Callable[..., tuple[ReportFacts, dict]]:
    return invent_report
