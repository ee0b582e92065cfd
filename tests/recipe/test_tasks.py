"""The kinds of task: what each is judged by."""

from __future__ import annotations

import typing

import pytest

from tunewright.recipe.tasks import KINDS, TaskKind, better


def test_the_table_holds_exactly_the_kinds_that_a_recipe_may_name():
    assert set(KINDS) == set(typing.get_args(TaskKind))
    assert all(name == kind.name for name, kind in KINDS.items())


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_figure_that_decides_is_among_those_reported(kind):
    assert kind.metric in kind.metrics
    assert kind.lower_is_better <= set(kind.metrics)
    assert len(set(kind.metrics)) == len(kind.metrics)


def test_errors_should_fall_and_scores_should_rise():
    assert better("rmse", "regression") == better("mae", "regression") == -1
    assert better("spearman", "regression") == better("macro_f1", "classification") == 1
    assert better("calibration_error", "multi_label") == -1


def test_texts_are_compared_where_the_answer_is_how_alike_they_are():
    assert {name for name, kind in KINDS.items() if kind.compares} == {"similarity", "retrieval"}
    assert {name: kind.objective for name, kind in KINDS.items() if kind.objective != "supervised"} == {
        "retrieval": "contrastive"}  # fmt: skip


def test_only_answers_that_are_labels_of_rows_are_labelled():
    assert {name for name, kind in KINDS.items() if kind.labelled} == {"classification", "multi_label"}
