"""Guesses about columns, and honest refusals."""

from __future__ import annotations

import pytest

from tunewright.data.read import Table
from tunewright.pipeline.columns import guess_task, look_at_columns
from tunewright.recipe.errors import DataRefusal

TEXT = "the printer in the office on floor two says it has no paper although there is some left in it"
WORDS = TEXT.split()


def table(**columns) -> Table:
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return Table(tuple(columns), rows, [f"t.jsonl:{i + 1}" for i in range(len(rows))], [])


def texts(count: int = 40) -> list[str]:
    return [" ".join(WORDS[i % 5 : i % 5 + 6]) + f" {i}" for i in range(count)]


def guess(**columns):
    return guess_task(look_at_columns(table(**columns)))


def test_a_label_column_is_classification():
    found = guess(text=texts(), label=["a", "b"] * 20)
    assert (found.kind, found.inputs, found.outputs) == ("classification", ("text",), ("label",))
    assert found.labels == {"a": 20, "b": 20}


def test_lists_separators_and_flags_are_multi_label():
    assert guess(text=texts(), tags=[["a"], ["a", "b"]] * 20).kind == "multi_label"
    found = guess(text=texts(), tags=["a|b", "a", "b", "b|c", "c"] * 8)
    assert (found.kind, found.separator, set(found.labels)) == ("multi_label", "|", {"a", "b", "c"})
    flags = guess(text=texts(), late=[0, 1] * 20, rude=["1", "0"] * 20)
    assert (flags.kind, flags.outputs) == ("multi_label", ("late", "rude"))


def test_commas_in_labels_that_do_not_recur_are_no_separator():
    assert guess(text=texts(), label=["delivery, late", "payment"] * 20).kind == "classification"


def test_numbers_are_regression_and_few_whole_numbers_are_labels():
    assert guess(text=texts(), score=[i / 7 for i in range(40)]).kind == "regression"
    assert guess(text=texts(), score=[str(i * 3) for i in range(40)]).kind == "regression"
    assert guess(text=texts(), stars=[1, 2, 3, 4, 5] * 8).kind == "classification"


def test_ids_groups_and_dates_are_neither_text_nor_answer():
    found = guess(
        ticket_id=[f"T{i}" for i in range(40)], customer_id=[f"C{i // 2}" for i in range(40)],
        created_at=[f"2026-01-{i % 28 + 1:02d}T08:00:00Z" for i in range(40)], text=texts(), intent=["a", "b"] * 20,
    )  # fmt: skip
    assert (found.id, found.group, found.outputs) == ("ticket_id", "customer_id", ("intent",))


def test_premise_and_hypothesis_belong_together():
    found = guess(premise=texts(), hypothesis=[f"so {text}" for text in texts()], label=["yes", "no"] * 20)
    assert found.inputs == ("premise", "hypothesis")


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"label": ["a", "b"] * 20}, "--input"),
        ({"text": texts()}, "--output"),
        ({"text": texts(), "colour": ["a", "b"] * 20, "shape": ["c", "d"] * 20}, "--output"),
        ({"first": texts(), "second": [f"and {t}" for t in texts()], "label": ["a", "b"] * 20}, "--input"),
    ],
)
def test_what_cannot_be_told_is_asked_for_with_the_columns_named(columns, part):
    with pytest.raises(DataRefusal) as refused:
        guess(**columns)
    assert part in refused.value.remedy and all(name in refused.value.what for name in columns)


def test_given_columns_are_taken_and_a_misspelled_one_is_refused():
    columns = look_at_columns(table(text=texts(), colour=["a", "b"] * 20, shape=["c", "d"] * 20))
    assert guess_task(columns, outputs=["shape"]).outputs == ("shape",)
    with pytest.raises(DataRefusal, match="Did you mean 'shape'"):
        guess_task(columns, outputs=["shap"])
