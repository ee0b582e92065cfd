"""Tables as they are printed: complete, within the width, and on a common scale."""

from __future__ import annotations

import pytest

from tunewright import display
from tunewright.pipeline.check import CheckReport, Line
from tunewright.serve.predictor import (
    AnswerPrediction,
    LabelPrediction,
    LabelsPrediction,
    SpanFound,
    SpansPrediction,
    TextPrediction,
    ValuePrediction,
)


def step(rung: str, value, low=None, high=None) -> dict:
    return {"rung": rung, "value": value, "low": low, "high": high, "seconds": 1.0}


def test_intervals_are_drawn_on_one_scale_and_what_lies_off_it_is_an_arrow():
    steps = [step("model", 0.9, 0.8, 1.0), step("probe", 0.8, 0.7, 0.9), step("majority", 0.1, 0.0, 0.1)]
    low, high = display._scale(steps)
    pictures = [display._picture(each, low, high) for each in steps]
    assert (low, high) == (0.7, 1.0)
    assert pictures[0].index("●") > pictures[1].index("●") and pictures[2] == "‹"
    assert pictures[0].rstrip().endswith("─") and pictures[1].startswith("─")


def test_a_figure_that_is_unmeasured_has_no_picture():
    assert display._picture(step("knn", "UNMEASURED"), 0.0, 1.0) == ""
    assert display._figure(None) == "UNMEASURED"


def test_rungs_without_spread_still_have_a_scale():
    assert display._scale([step("model", 1.0, 1.0, 1.0)]) == (0.0, 1.0)


@pytest.mark.parametrize("state", ["ok", "look", "refused", "skipped"])
def test_each_line_of_a_check_has_its_number_mark_and_details(state, capsys):
    line = Line(1, "rows", state, "90 in = 63 train", ("key: value — because",))
    display.show_check(CheckReport("r.yaml", (line,), {}, None))
    out = capsys.readouterr().out
    assert f"1 {display._MARKS[state][0]} rows 90 in = 63 train" in out and "key: value — because" in out
    assert ("tunewright run r.yaml" in out) == (state != "refused")


def test_predictions_of_every_kind_are_said_in_words(capsys):
    display.show_predictions(
        ["a", "b", "c"],
        [LabelPrediction("x", {"x": 0.75, "y": 0.25}), LabelsPrediction((), {"x": 0.1}), ValuePrediction(3.14159)],
    )
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["x", "75.0%", "a"], ["none", "b"], ["3.142", "c"]]  # fmt: skip


def test_spans_are_said_with_what_they_are_and_alone_with_where_they_lie(capsys):
    found = SpansPrediction((SpanFound(0, 4, "PER", "Anna", 0.875), SpanFound(8, 12, "LOC", "Köln", 0.5)))
    display.show_predictions(["Anna in Köln", "hm"], [found, SpansPrediction(())])
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == ["PER: Anna; LOC: Köln", "none"]
    display.show_predictions(["Anna in Köln"], [found])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["PER", "Anna", "87.5%", "0–4"], ["LOC", "Köln", "50.0%", "8–12"]]  # fmt: skip


def test_an_answer_is_said_with_how_sure_it_is_and_none_as_none(capsys):
    display.show_predictions(["who?", "why?"], [AnswerPrediction("Anna", 0, 4, 0.75), AnswerPrediction(None)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["Anna", "75.0%", "who?"], ["no", "answer", "why?"]]  # fmt: skip


def test_what_was_written_stands_as_it_is_however_long_and_under_its_own_text(capsys):
    long = "word " * 60 + "end\n[bold]second line"
    display.show_predictions(["a"], [TextPrediction(long)])
    assert capsys.readouterr().out == long + "\n"
    display.show_predictions(["a", "b"], [TextPrediction("x"), TextPrediction("y")])
    assert capsys.readouterr().out == "a\nx\n\nb\ny\n"
