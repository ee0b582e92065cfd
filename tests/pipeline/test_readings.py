"""Each form that data comes in is read as its kind of task, and only where its rows can be read so."""

from __future__ import annotations

import pytest

from tunewright.data.read import Table
from tunewright.pipeline.forms import look_at_columns
from tunewright.pipeline.readings import find_plain_text, find_readings, is_readable
from tunewright.recipe.schema import Task

TEXT = "the printer in the office on floor two says it has no paper although there is some left in it and nobody knows"
WORDS = TEXT.split()
ROWS = range(40)


def prose(start, length=6):
    return [" ".join(WORDS[(i + start) % 9 : (i + start) % 9 + length]) + f" {i}" for i in ROWS]


def columns(**values):
    rows = [dict(zip(values, cells, strict=True)) for cells in zip(*values.values(), strict=True)]
    return look_at_columns(Table(tuple(values), rows, [f"t.jsonl:{i + 1}" for i in range(len(rows))], []))


def readings(**values):
    return [(reading.kind, reading.inputs, reading.outputs) for reading in find_readings(columns(**values))]


TURNS = [[{"role": "user", "content": f"hi {i}"}, {"role": "assistant", "content": "yes"}] for i in ROWS]
CONTEXT = [f"{text} in Zürich" for text in prose(0)]
KNOWN = [
    ({"tokens": [["Ada", "is"]] * 40, "tags": [["B-x", "O"]] * 40}, ("token_classification", ("tokens",), ("tags",))),
    ({"text": ["Ada is"] * 40, "tags": ["B-x O"] * 40}, ("token_classification", ("text",), ("tags",))),
    ({"text": ["Ada is"] * 40, "e": [[[0, 3, "x"]]] * 40}, ("token_classification", ("text",), ("e",))),
    ({"question": prose(1), "context": CONTEXT, "answers": [{"text": ["Zürich"], "answer_start": [len(text) - 6]}
                                                            for text in CONTEXT]},
     ("question_answering", ("question", "context"), ("answers",))),
    ({"context": CONTEXT, "question": prose(1), "answer": ["Zürich"] * 40},
     ("question_answering", ("question", "context"), ("answer",))),
    ({"messages": TURNS, "label": [True, False] * 20}, ("generation", ("messages",), ())),
    ({"instruction": prose(0), "input": ["", "of it"] * 20, "output": ["yes", "no"] * 20},
     ("generation", ("instruction", "input"), ("output",))),
    ({"prompt": prose(0), "response": prose(3)}, ("generation", ("prompt",), ("response",))),
    ({"prompt": prose(0), "completion": prose(3)}, ("generation", ("prompt",), ("completion",))),
    ({"question": prose(0), "answer": prose(3, 9)}, ("generation", ("question",), ("answer",))),
    ({"question": prose(0), "context": prose(1), "answer": prose(3, 9)},
     ("generation", ("question", "context"), ("answer",))),
    ({"sentence1": prose(0), "sentence2": prose(2), "score": [i / 8 for i in ROWS]},
     ("similarity", ("sentence1", "sentence2"), ("score",))),
    ({"query": prose(0), "passage": prose(2)}, ("retrieval", ("query", "passage"), ())),
    ({"query": prose(0), "passage": prose(2), "negative": prose(5)},
     ("retrieval", ("query", "passage", "negative"), ())),
    ({"anchor": prose(0), "positive": prose(2), "negative": prose(5)},
     ("retrieval", ("anchor", "positive", "negative"), ())),
    ({"id": [str(i) for i in ROWS], "dialogue": prose(0, 15), "summary": prose(2, 4)},
     ("summarisation", ("dialogue",), ("summary",))),
    ({"de": prose(0), "en": prose(2)}, ("translation", ("de",), ("en",))),
]  # fmt: skip


NAMES = [f"{wanted[0]}: {', '.join(values)}" for values, wanted in KNOWN]


@pytest.mark.parametrize(("values", "wanted"), KNOWN, ids=NAMES)
def test_every_form_that_data_comes_in_is_recognised(values, wanted):
    assert readings(**values) == [wanted]


@pytest.mark.parametrize(
    "values",
    [
        {"text": prose(0), "label": ["a", "b"] * 20},
        {"premise": prose(0), "hypothesis": prose(2), "label": ["yes", "no"] * 20},
        {"question": prose(0), "answer": ["yes", "no"] * 20},
        {"query": prose(0), "passage": prose(2), "label": [0, 1] * 20},
        {"chosen": prose(0), "rejected": prose(2)},
        {"id": prose(0), "name": prose(2)},
        {"text": prose(0), "tags": [["late", "rude"], ["late"]] * 20},
        {"text": prose(0), "spans": [[[0, 99, "x"]]] * 40},
        {"tokens": [["one", "two"]] * 40, "tags": [["B-x"]] * 40},
    ],
)
def test_labels_and_rows_that_cannot_be_read_so_are_none_of_them(values):
    assert readings(**values) == []


def test_a_masked_copy_of_a_text_is_not_what_spans_with_texts_are_parts_of():
    spans = [[{"start": 0, "end": 3, "label": "x", "text": "Ada"}]] * 40
    assert readings(full=["Ada is"] * 40, masked=["{x} is"] * 40, spans=spans) == [
        ("token_classification", ("full",), ("spans",))]


def test_two_texts_that_spans_fit_are_two_readings():
    spans = [[[0, 3, "x"]]] * 40
    assert len(readings(one=["Ada is"] * 40, two=["Eve is"] * 40, spans=spans)) == 2


def test_an_answer_that_stands_in_its_context_twice_is_written_and_not_found():
    twice = [f"Zürich {text} Zürich" for text in prose(0)]
    assert readings(question=prose(1), context=twice, answer=["Zürich"] * 40) == [
        ("generation", ("question", "context"), ("answer",))]


def test_plain_text_is_long_and_alone():
    assert find_plain_text(columns(text=prose(0, 6))) is None
    long = [" ".join([text] * 10) for text in prose(0)]
    assert find_plain_text(columns(text=long)).inputs == ("text",)
    assert find_plain_text(columns(text=long, other=prose(2))) is None


def test_a_few_broken_rows_do_not_hide_what_the_others_are():
    task = Task(kind="similarity", input=["a", "b"], output="score")
    scores = [1.0] * 38 + ["?"] * 2
    assert is_readable(task, columns(a=prose(0), b=prose(1), score=scores))
    assert not is_readable(task, columns(a=prose(0), b=prose(1), score=[1.0] * 30 + ["?"] * 10))
