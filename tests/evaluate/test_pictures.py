"""Pictures are well-formed, in place, and escape what people wrote."""

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.evaluate import pictures
from tunewright.evaluate.metrics import CalibrationBin, Confusion


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6))
def test_a_scale_holds_its_values_between_round_ends(values: list[float]) -> None:
    scale = pictures.round_scale(values)
    slack = 1e-6 * (scale.high - scale.low)
    assert scale.low <= min(values) + slack and scale.high >= max(values) - slack
    assert 2 <= len(scale.ticks) <= 8 and scale.percent(scale.low) == 0 and scale.percent(scale.high) == 100


def test_ticks_are_written_with_the_decimals_they_need() -> None:
    scale = pictures.round_scale([0.0, 1.0])
    assert [scale.text(tick) for tick in scale.ticks] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]


def test_a_rung_is_a_dot_in_the_middle_of_its_interval() -> None:
    track = ElementTree.fromstring(
        pictures.ladder_track(pictures.round_scale([0, 1]), 0.5, 0.4, 0.6, bar=0.8, ours=True))
    assert track.find("circle").get("cx") == "50.0%"
    span = next(line for line in track.iter("line") if "span" in line.get("class"))
    assert (span.get("x1"), span.get("x2")) == ("40.0%", "60.0%")
    assert next(line for line in track.iter("line") if line.get("class") == "bar").get("x1") == "80.0%"


@pytest.mark.parametrize("classes", [2, 16, 77])
def test_a_confusion_matrix_shows_each_filled_cell_and_escapes_labels(classes: int) -> None:
    labels = ("<b>&", *(f"label {i}" for i in range(classes - 1)))
    rows_cc = np.diag(np.arange(1, classes + 1))
    rows_cc[0, 1] = 3
    drawn = ElementTree.fromstring(pictures.confusion_matrix(Confusion(labels, rows_cc, ())))
    titles = [title.text for title in drawn.iter("title")]
    assert len(titles) == classes + 1 and "<b>& → label 0: 3 of 4" in titles
    names = [text.text for text in drawn.iter("text") if text.get("class") == "name"]
    assert names.count("<b>&") == (2 if classes <= 20 else 1)


def test_a_curve_goes_through_its_points_and_marks_what_was_kept() -> None:
    drawn = ElementTree.fromstring(
        pictures.curve([(0, 1.0), (50, 0.5), (100, 0.0)], title="loss", kept=50, last=100))
    assert drawn.find(".//polyline").get("points") == "0.000,0.000 50.000,50.000 100.000,100.000"
    assert [line.get("x1") for line in drawn.iter("line") if line.get("class") == "bar"] == ["50.0%"]


def test_shares_fill_the_bar_and_scores_their_part() -> None:
    bars = ElementTree.fromstring(pictures.share_bars([("train", 3), ("test", 1)]))
    assert [(r.get("class"), r.get("x"), r.get("width")) for r in bars] == [
        ("train", "0.0%", "75.0%"), ("test", "75.0%", "25.0%")]
    assert ElementTree.fromstring(pictures.score_bar(0.25))[1].get("width") == "25.0%"
    assert ElementTree.fromstring(pictures.score_bar(None))[1].get("width") == "0%"


def test_calibration_puts_sure_and_right_in_the_upper_corner() -> None:
    drawn = ElementTree.fromstring(pictures.calibration_picture([CalibrationBin(1.0, 1.0, 5)]))
    dot = drawn.find("circle")
    assert (dot.get("cx"), dot.get("cy")) == ("220.0", "0.0")
