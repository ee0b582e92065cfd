"""What rows of columns say: numbers about pairs, passages, texts that answer, documents."""

from __future__ import annotations

import pytest

from tunewright.data.answers import read_document, read_likeness, read_passages, read_text_answer
from tunewright.data.cells import Asked, Said, Unusable
from tunewright.recipe.schema import Task
from tunewright.values import Turn


def asked(kind, *, input="text", output="answer", answers=True, **task):
    return Asked(Task(kind=kind, input=input, output=output, **task), answers)


PAIR = {"input": ["one", "two"], "output": "score"}
PASSAGES = {"input": ["query", "passage", "other"], "output": None}


def test_a_pair_has_a_number():
    values = {"one": "a", "two": "b", "score": "4.5"}
    assert read_likeness(values, asked("similarity", **PAIR)) == Said(("a", "b"), 4.5)
    assert read_likeness(values, asked("similarity", **PAIR, answers=False)).answer is None


def test_a_query_has_a_passage_and_perhaps_one_that_does_not_answer():
    values = {"query": "q", "passage": "p", "other": "n"}
    assert read_passages(values, asked("retrieval", **PASSAGES)) == Said(("q", "p", "n"), 1.0)
    two = asked("retrieval", input=["query", "passage"], output=None)
    assert read_passages(values, two).inputs == ("q", "p")


@pytest.mark.parametrize(
    ("read", "values", "wanted", "reason", "detail"),
    [
        (read_likeness, {"one": "a", "two": "", "score": 1}, asked("similarity", **PAIR), "no_input", "two is empty"),
        (read_likeness, {"one": "a", "two": "b", "score": "high"}, asked("similarity", **PAIR), "bad_answer",
         "score is 'high', not a finite number"),
        (read_likeness, {"one": "a", "two": "nan", "score": 1}, asked("similarity", **PAIR), "no_input",
         "two is 'nan', as tables write what is missing"),
        (read_passages, {"query": "q", "passage": "p"}, asked("retrieval", **PASSAGES), "no_input", "other is empty"),
        (read_passages, {"query": "q", "passage": "p", "other": "p "}, asked("retrieval", **PASSAGES), "bad_input",
         "passage and other are the same text; one answers, the other must not"),
        (read_text_answer, {"text": "x", "answer": None}, asked("summarisation"), "no_answer", "answer is empty"),
        (read_text_answer, {"text": "x", "answer": ["a"]}, asked("translation"), "bad_answer", "answer is a list"),
        (read_text_answer, {"text": "NaN", "answer": "a"}, asked("generation"), "no_input",
         "text is 'NaN', as tables write what is missing"),
        (read_document, {"text": "  "}, asked("pretraining", output=None), "no_input", "text is empty"),
    ],
)  # fmt: skip
def test_a_row_that_says_too_little_is_a_fault_with_a_reason(read, values, wanted, reason, detail):
    with pytest.raises(Unusable) as fault:
        read(values, wanted)
    assert (fault.value.reason, fault.value.detail) == (reason, detail)


def test_an_answer_is_what_the_assistant_says():
    values = {"instruction": "Add.", "input": "", "output": 12.0}
    said = read_text_answer(values, asked("generation", input=["instruction", "input"], output="output"))
    assert said == Said(("Add.", ""), Turn("12", "assistant"))


def test_fields_to_be_generated_are_written_as_json():
    said = read_text_answer({"text": "x", "answer": {"Größe": ["8 M"], "n": 1}}, asked("generation"))
    assert said.answer == Turn('{"Größe": ["8 M"], "n": 1}', "assistant")


def test_a_document_is_made_of_the_columns_that_have_something():
    wanted = asked("pretraining", input=["title", "intro", "body"], output=None)
    assert read_document({"title": "T", "intro": "", "body": "B\n"}, wanted) == Said(("T\n\nB\n",), 0.0)
