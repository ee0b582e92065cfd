"""Values as files hold them become inputs and answers, or a named fault."""

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.clean import FAULTS, READERS, clean_rows, content_hash
from tunewright.data.read import Table
from tunewright.recipe.errors import DataRefusal
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS
from tunewright.values import Span, Turn


def recipe(kind="classification", *, input="text", output="label", data=None, **task):
    return Recipe(name="t", base="minilm", task={"kind": kind, "input": input, "output": output, **task},
                  data={"train": "a.jsonl", **(data or {})})  # fmt: skip


def clean(rows, made=None, **options):
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    table = Table(columns, rows, [f"a.jsonl:{i + 1}" for i in range(len(rows))], [])
    return clean_rows(table, made or recipe(), source="train", **{"answers": True, **options})


@pytest.mark.parametrize(
    ("value", "text"),
    [(" as is\n", " as is\n"), (12, "12"), (1.5, "1.5"), (True, "True"), (datetime.date(2026, 5, 1), "2026-05-01")],
)
def test_a_text_stays_as_it_is_and_a_number_is_written_out(value, text):
    assert clean([{"text": value, "label": "a"}]).rows[0].inputs == (text,)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": None, "label": "a"}, "no_input"), ({"text": " \n", "label": "a"}, "no_input"),
        ({"label": "a"}, "no_input"), ({"text": "x"}, "no_answer"),
        ({"text": math.nan, "label": "a"}, "no_input"), ({"text": ["x"], "label": "a"}, "bad_input"),
        ({"text": b"x", "label": "a"}, "bad_input"), ({"text": "x", "label": ""}, "no_answer"),
        ({"text": "x", "label": math.nan}, "no_answer"), ({"text": "x", "label": {"a": 1}}, "bad_answer"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_a_named_fault(row, reason):
    cleaned = clean([{"text": "fine", "label": "a"}, row])
    assert [(fault.reason, fault.place, fault.origin) for fault in cleaned.faults] == [(reason, 1, "a.jsonl:2")]
    assert len(cleaned.rows) == 1


def test_one_of_several_inputs_may_be_empty_but_not_all():
    made = recipe(input=["subject", "body"])
    cleaned = clean([{"subject": None, "body": "b", "label": "x"}, {"subject": "", "body": " ", "label": "x"}], made)
    assert [row.inputs for row in cleaned.rows] == [("", "b")]
    assert cleaned.faults[0].reason == "no_input"


@pytest.mark.parametrize(("value", "label"), [("a", "a"), (3, "3"), (3.0, "3"), (2.5, "2.5"), (True, "True")])
def test_labels_are_names(value, label):
    assert clean([{"text": "x", "label": value}]).rows[0].answer == label


@pytest.mark.parametrize(
    ("value", "labels"), [(["b", "a", "b"], ("b", "a")), ("a; b ;", ("a", "b")), (";", ()), ([], ()), ([1], ("1",))]
)
def test_several_labels_come_from_a_list_or_a_text(value, labels):
    assert clean([{"text": "x", "label": value}], recipe("multi_label", separator=";")).rows[0].answer == labels


@pytest.mark.parametrize(
    ("value", "reason"), [("", "no_answer"), (None, "no_answer"), ([None], "bad_answer"), ({}, "bad_answer")]
)
def test_no_labels_and_no_answer_are_not_the_same(value, reason):
    assert clean([{"text": "x", "label": value}], recipe("multi_label")).faults[0].reason == reason


def test_several_labels_come_from_columns_of_zero_and_one():
    made = recipe("multi_label", output=["late", "broken"])
    values = ((1, "0"), ("true", 1.0), (0, False), (2, 0), ("", 1))
    cleaned = clean([{"text": "x", "late": late, "broken": broken} for late, broken in values], made)
    assert [row.answer for row in cleaned.rows] == [("late",), ("late", "broken"), ()]
    assert [fault.reason for fault in cleaned.faults] == ["bad_answer", "no_answer"]


@pytest.mark.parametrize(("value", "number"), [("1.5", 1.5), (2, 2.0), ("1e3", 1000.0), ("-0.25", -0.25)])
def test_numbers_are_numbers(value, number):
    assert clean([{"text": "x", "label": value}], recipe("regression")).rows[0].answer == number


@pytest.mark.parametrize("value", ["nan", "inf", "1,5", "good", True, 10**400])
def test_what_is_not_a_finite_number_is_no_answer_of_a_regression(value):
    assert clean([{"text": "x", "label": value}], recipe("regression")).faults[0].reason == "bad_answer"


def test_ids_are_the_column_or_a_hash_of_the_content():
    rows = [{"key": key, "text": text, "label": "a"} for key, text in ((7.0, "x"), ("8", "x"), ("9", "y"))]
    assert [row.id for row in clean(rows, recipe(data={"id": "key"})).rows] == ["7", "8", "9"]
    first, second, third = (row.id for row in clean(rows).rows)
    assert second == f"{first}-2" and third not in (first, second) and len(first) == 16


def test_an_id_that_is_missing_is_a_fault_and_one_that_is_repeated_is_refused():
    made = recipe(data={"id": "key"})
    assert clean([{"key": None, "text": "x", "label": "a"}], made).faults[0].reason == "no_id"
    with pytest.raises(DataRefusal, match=r"'7' names two rows.*a.jsonl:1 and a.jsonl:2"):
        clean([{"key": 7, "text": "x", "label": "a"}, {"key": "7", "text": "y", "label": "a"}], made)


def test_a_missing_column_is_refused_with_those_that_are_present():
    with pytest.raises(DataRefusal, match=r"No column 'text'. Did you mean 'texts'\?.*texts, label"):
        clean([{"texts": "x", "label": "a"}])
    assert clean([{"text": "x"}], answers=False).rows[0].answer is None


def test_every_kind_of_task_has_a_reader():
    assert set(READERS) == set(KINDS)


def test_roles_and_places_are_part_of_what_a_row_says():
    said = [content_hash(("x",), Turn("a", role)) for role in ("assistant", "call")] + [content_hash(("x",), "a")]
    asked = [content_hash((Turn("x", role),), None) for role in ("user", "system")]
    spans = [content_hash(("x y",), (Span(0, end, "a"),)) for end in (1, 3)] + [content_hash(("x y",), ("a",))]
    assert len({*said, *asked, *spans}) == 8


def test_the_scheme_of_tags_is_that_of_the_whole_column_and_strays_are_remarked_upon():
    made = recipe("token_classification", input="tokens", output="tags")
    rows = [{"tokens": ["a", "b"], "tags": ["B-x", "E-x"]}, {"tokens": ["a", "b"], "tags": ["O", "I-x"]}]
    cleaned = clean(rows, made)
    assert [row.answer for row in cleaned.rows] == [(Span(0, 3, "x"),), (Span(2, 3, "x"),)]
    assert [row.remark for row in cleaned.rows] == ["", "1 tags of tags break BIOES"]


def test_a_conversation_needs_one_column_and_a_text_to_be_written_two():
    turns = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    (row,) = clean([{"said": turns}], recipe("generation", input="said", output=None)).rows
    assert (row.inputs, row.answer) == ((Turn("u", "user"),), Turn("a", "assistant"))
    (row,) = clean([{"text": "u", "label": "a"}], recipe("generation")).rows
    assert (row.inputs, row.answer) == (("u",), Turn("a", "assistant"))
    (fault,) = clean([{"said": "nonsense"}], recipe("generation", input="said", output=None)).faults
    assert (fault.reason, fault.detail, fault.origin) == (
        "bad_input", "said is no list of turns: 'nonsense'", "a.jsonl:1")


numbers = st.integers(-3, 30) | st.floats(allow_nan=True) | st.booleans() | st.none()
words = st.sampled_from(
    ["", "nan", "Ada King", "O", "B-x", "[", "['a']", "[1, 2]", "{'text': 'Ada'}", "user", "call", "0"]
)
keys = st.sampled_from(
    ["role", "from", "content", "value", "start", "end", "label", "text", "answer_start", "tool_calls", "function",
     "name", "arguments", "type"]
)  # fmt: skip
values = st.recursive(
    numbers | words, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
one, two = {"input": "a", "output": "b"}, {"input": ["a", "b"], "output": "tools"}
COLUMNS = dict.fromkeys(KINDS, one) | {
    "question_answering": two, "similarity": two, "retrieval": {**two, "output": None},
    "pretraining": {**one, "output": None},
}  # fmt: skip


@pytest.mark.parametrize(("kind", "columns"), [*COLUMNS.items(), ("generation", {**one, "output": None})])
@given(st.lists(st.fixed_dictionaries({name: values for name in ("a", "b", "tools", "is_impossible")}), min_size=1))
def test_any_values_give_a_row_or_a_fault_with_a_reason(kind, columns, rows):
    cleaned = clean(rows, recipe(kind, **columns))
    assert len(cleaned.rows) + len(cleaned.faults) == len(rows)
    assert all(fault.reason in FAULTS and fault.detail for fault in cleaned.faults)
    assert all(row.answer is not None and row.id for row in cleaned.rows)
