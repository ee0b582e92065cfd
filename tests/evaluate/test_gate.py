"""The gate passes only what was measured and holds."""

from dataclasses import replace

import pytest

from tunewright.evaluate.gate import judge
from tunewright.evaluate.metrics import UNMEASURED
from tunewright.evaluate.results import Figure, assess
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.schema import Bar


@pytest.fixture
def found(results):
    return results(rows=600, classes=4)[2]


def test_a_gate_passes_when_every_bar_does(found) -> None:
    verdict = judge({"macro_f1": Bar(at_least=0.5, better_than="best_baseline"), "calibration_error": Bar(at_most=0.9)},
                    found)
    assert verdict.passed and verdict.outcome == "passed" and len(verdict.lines) == 3
    assert verdict.lines[1].bar == "better than best_baseline (probe)"
    assert verdict.lines[1].seen == found.rung("probe").model_above["macro_f1"].value


def test_one_failure_fails_the_gate_whatever_else_passes(found) -> None:
    verdict = judge({"accuracy": Bar(at_least=0.5), "macro_f1": Bar(at_least=0.9999)}, found)
    assert not verdict.passed and verdict.outcome == "failed"
    assert [line.outcome for line in verdict.lines] == ["passed", "failed"]


def test_too_few_rows_to_tell_is_no_pass_and_names_the_rows_needed(predictions) -> None:
    model = predictions("lora", rows=80, classes=2, skill=3.2, seed=0)
    rival = predictions("knn", rows=80, classes=2, skill=3, seed=1)
    found = assess(model, [rival], kind="classification", metric="macro_f1", resamples=300)
    verdict = judge({"macro_f1": Bar(better_than="knn")}, found)
    assert not verdict.passed and verdict.outcome == "cannot tell"
    needed = found.others[0].model_above["macro_f1"].rows_needed
    assert needed > 80 and f"about {needed:,} would" in verdict.lines[0].why


def test_a_worse_model_fails(results) -> None:
    model, others, _ = results(rows=400, classes=3)
    found = assess(others[0], [model.named("probe")], kind="classification", metric="macro_f1", resamples=200)
    assert judge({"macro_f1": Bar(better_than="probe")}, found).outcome == "failed"


@pytest.mark.parametrize(("name", "why"), [
    ("champion", "no version of this model is champion yet"), ("rag", "no such rung was measured")])
def test_a_rung_that_was_not_measured_fails_the_gate(found, name: str, why: str) -> None:
    (line,) = judge({"macro_f1": Bar(better_than=name)}, found).lines
    assert line.outcome == "failed" and line.seen == UNMEASURED and why in line.why


def test_a_figure_that_was_not_measured_fails_the_gate(found) -> None:
    figures = {**found.model.figures, "auroc": Figure(None, None)}
    blind = replace(found, model=replace(found.model, figures=figures))
    verdict = judge({"auroc": Bar(at_least=0.1)}, blind)
    assert verdict.outcome == "failed" and verdict.lines[0].seen == UNMEASURED


def test_a_bar_inside_the_interval_is_decided_by_the_figure_and_said_to_be(found) -> None:
    figure = found.model.figures["macro_f1"]
    (line,) = judge({"macro_f1": Bar(at_least=(figure.interval.low + figure.value) / 2)}, found).lines
    assert line.outcome == "passed" and "astride" in line.why


def test_a_gate_without_bars_cannot_tell(found) -> None:
    assert judge({}, found).outcome == "cannot tell" and not judge({}, found).passed


def test_an_unknown_figure_is_refused_with_the_nearest(found) -> None:
    with pytest.raises(RecipeRefusal, match="macro_f2.*Did you mean 'macro_f1'"):
        judge({"macro_f2": Bar(at_least=0.5)}, found)
