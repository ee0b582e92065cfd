"""What was measured of a model beside its rungs."""

import numpy as np
import pytest
from tests.evaluate.inventions import invent, objects

from tunewright.evaluate import metrics, statistics
from tunewright.evaluate.results import assess, pick_examples, row_losses
from tunewright.evaluate.tallies import FAMILIES
from tunewright.values import Predictions, Span


def test_results_hold_each_rungs_figures_and_the_models_lead(results) -> None:
    model, others, found = results(rows=200, classes=3)
    assert found.model.figures["macro_f1"].value == metrics.measure(model, "classification")["macro_f1"]
    assert [rung.name for rung in found.others] == [other.rung for other in others]
    assert found.rung("knn").model_above["accuracy"] == statistics.compare(
        "accuracy", model, others[2], "classification", resamples=400, seed=17)
    assert found.rung("champion") is None


@pytest.mark.parametrize(("kind", "metric"), [("classification", "macro_f1"), ("regression", "rmse")])
def test_the_best_baseline_is_best_in_the_figures_own_sense_and_never_the_champion(kind, metric, predictions) -> None:
    model, good, bad = (predictions(n, rows=150, classes=3, skill=s, seed=i, kind=kind)
                        for i, (n, s) in enumerate((("lora", 4), ("probe", 3), ("knn", 1))))
    champion = predictions("champion", rows=150, classes=3, skill=9, seed=7, kind=kind)
    found = assess(model, [bad, champion, good], kind=kind, metric=metric, resamples=200)
    assert found.best_baseline(metric).name == "probe"


def test_the_best_examples_beat_the_baseline_and_the_worst_are_wrong(predictions) -> None:
    model = predictions("lora", rows=120, classes=3, skill=3, seed=0)
    other = predictions("knn", rows=120, classes=3, skill=2, seed=1)
    texts = [f"text {i}" for i in range(120)]
    best, worst = pick_examples(model, other, kind="classification", texts=texts, labels="xyz", count=4)
    assert all(example.said == example.answer for example in best)
    assert all(example.said != example.answer for example in worst)
    assert [example.loss for example in worst] == sorted((example.loss for example in worst), reverse=True)
    row = int(worst[0].row_id.rsplit("-", 1)[1])
    assert worst[0].text == texts[row] and worst[0].baseline_said == "xyz"[other.outputs[row].argmax()]
    gains = row_losses(other, "classification") - row_losses(model, "classification")
    right = model.outputs.argmax(axis=1) == model.targets
    assert int(best[0].row_id.rsplit("-", 1)[1]) == np.flatnonzero(right)[gains[right].argmax()]


@pytest.mark.parametrize("kind", ["multi_label", "regression"])
def test_examples_of_the_other_kinds_say_labels_or_numbers(kind, predictions) -> None:
    model = predictions("a", rows=60, classes=3, skill=1, kind=kind)
    best, worst = pick_examples(model, None, kind=kind, texts=["t"] * 60, labels="xyz")
    assert best and worst and best[0].loss < worst[0].loss and best[0].baseline == ""
    if kind == "regression":
        assert worst[0].confidence is None and float(worst[0].answer) != float(worst[0].said)
    else:
        assert set(worst[0].answer.split(", ")) <= {"x", "y", "z", "none"}


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_examples_of_kinds_measured_by_sums(kind, predictions) -> None:
    model, other = (predictions(name, rows=80, classes=4, skill=skill, seed=skill, kind=kind)
                    for name, skill in (("lora", 3), ("rule", 1)))
    texts = invent("", rows=80, skill=1, seed=0, kind=kind)[1]
    best, worst = pick_examples(model, other, kind=kind, texts=texts, labels=())
    losses = row_losses(model, kind)
    assert len(best) == len(worst) == 5 and np.isfinite(losses).all() and (losses >= 0).all()
    assert [example.loss for example in worst] == sorted(losses, reverse=True)[:5]
    assert max(example.loss for example in best) <= min(example.loss for example in worst)
    for example in (*best, *worst):
        row = int(example.row_id.rsplit("-", 1)[1])
        assert example.text == texts[row] and example.confidence is None and example.baseline == "rule"
        assert example.said and example.baseline_said and example.answer
        assert "".join(piece.text for piece in example.marks) == (texts[row] if kind == "token_classification" else "")


def test_losses_are_mistakes_of_spans_nats_of_tokens_and_the_rest_of_the_figure(predictions) -> None:
    a, b, c = Span(0, 1, "x"), Span(2, 3, "x"), Span(2, 4, "x")
    spans = Predictions("m", "t", ("1", "2", "3"), objects([(a,), (a, c), ()]), objects([(a,), (a, b), ()]))
    assert row_losses(spans, "token_classification").tolist() == [0, 2, 0]
    text = Predictions("m", "t", ("1",), np.array([6.0]), np.zeros(1), sizes=np.array([[0, 4.0, 9]]))
    assert row_losses(text, "pretraining") == pytest.approx([1.5])
    ranks = Predictions("m", "t", ("1", "2"), np.array([1, 4]), np.ones(2))
    assert row_losses(ranks, "retrieval").tolist() == [0, 0.75]


def test_rows_without_a_figure_are_no_examples() -> None:
    sizes = np.array([[0, 4.0, 9], [0, 0, 0], [0, 4, 9]])
    some = Predictions("m", "t", ("a", "b", "c"), np.array([6.0, 0, 8]), np.zeros(3), sizes=sizes)
    best, worst = pick_examples(some, None, kind="pretraining", texts=["t"] * 3, labels=())
    assert [example.row_id for example in best] == ["a"] and [example.row_id for example in worst] == ["c"]
    blind = Predictions("m", "t", ("a",), np.array([6.0]), np.zeros(1))
    assert pick_examples(blind, None, kind="pretraining", texts=["t"], labels=()) == ([], [])


def test_where_most_rows_are_wholly_wrong_they_are_the_worst() -> None:
    targets = objects([(Span(0, 1, text),) for text in "abcde"])
    some = Predictions("m", "t", tuple("12345"), objects([Span(0, 1, "a")] * 5), targets)
    best, worst = pick_examples(some, None, kind="question_answering", texts=["t"] * 5, labels=(), count=9)
    assert [example.row_id for example in best] == ["1"] and len(worst) == 4


def test_of_length_ratios_the_best_is_nearest_to_one(predictions) -> None:
    model = predictions("lora", rows=40, classes=3, skill=3, kind="summarisation")
    long, near = (
        Predictions(name, "test", model.row_ids, objects([form.format(text) for text in model.targets]), model.targets)
        for name, form in (("copy", "{0} {0}"), ("near", "{0} so")))
    found = assess(model, [long, near], kind="summarisation", metric="length_ratio", resamples=100)
    assert found.best_baseline("length_ratio").name == "near" and found.best_baseline("perplexity") is None
    assert found.merit("length_ratio", found.rung("copy")) == pytest.approx(-1)
