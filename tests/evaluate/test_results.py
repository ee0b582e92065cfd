"""What was measured of a model beside its rungs."""

import numpy as np
import pytest

from tunewright.evaluate import metrics, statistics
from tunewright.evaluate.results import assess, pick_examples, row_losses


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
