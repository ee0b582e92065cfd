"""Spans and answers as people write them, and what is said of offsets that are wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.annotations import find_scheme, read_answers, read_spans
from tunewright.data.cells import Asked, Said, Unusable
from tunewright.recipe.schema import Task
from tunewright.values import Span

TEXT = "Ada King lives in Zürich"
SPANS = (Span(0, 8, "per"), Span(18, 24, "loc"))
TAGS = ["B-per", "I-per", "O", "O", "B-loc"]
CONTEXT = "Zürich lies on the Limmat. The Limmat leaves the lake there."


def spans(text, marks, *, scheme="BIO", labels=None, answers=True):
    task = Task(kind="token_classification", input="text", output="marks", labels=labels)
    return read_spans({"text": text, "marks": marks}, Asked(task, answers, scheme))


def answer(given, *, context=CONTEXT, question="Which river?", answers=True, **more):
    task = Task(kind="question_answering", input=["question", "context"], output="answers")
    values = {"question": question, "context": context, "answers": given, **more}
    return read_answers(values, Asked(task, answers))


def fault_of(read, *arguments, **options):
    with pytest.raises(Unusable) as fault:
        read(*arguments, **options)
    return fault.value.reason, fault.value.detail


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        (TEXT.split(), TAGS),
        (TEXT, TAGS),
        (TEXT, " ".join(TAGS)),
        (json.dumps(TEXT.split()), json.dumps(TAGS)),
        (str(TEXT.split()), str(TAGS)),
        (TEXT, [{"start": 18, "end": 24, "label": "loc"}, {"start": 0, "end": 8, "label": "per"}]),
        (TEXT, [[0, 8, "per"], ["18", 24.0, "loc"]]),
        (TEXT, json.dumps([[0, 8, "per"], [18, 24, "loc"]])),
        (TEXT, [{"entity_type": "per", "entity_value": "Ada King", "start_position": 0, "end_position": 8},
                {"type": "loc", "text": "Zürich", "begin": 18, "stop": 24}]),
    ],
)  # fmt: skip
def test_the_same_spans_are_written_in_many_ways(text, marks):
    assert spans(text, marks) == Said((TEXT,), SPANS)


def test_words_of_a_text_keep_their_own_places():
    said = spans("  Ada\tKing\n\nin  Zürich ", "B-per I-per O B-loc")
    assert said.inputs == ("  Ada\tKing\n\nin  Zürich ",)
    assert [said.inputs[0][span.start : span.end] for span in said.answer] == ["Ada\tKing", "Zürich"]


def test_numbers_are_tags_of_the_labels_that_the_recipe_names():
    labels = {"per": "", "loc": ""}
    assert spans(TEXT.split(), [1, 2, 0, 0, 3], labels=labels).answer == SPANS
    assert fault_of(spans, TEXT.split(), [1, 2, 0, 0, 9], labels=labels) == (
        "bad_answer", "tag 5 of marks is '9', a tag of no scheme; name the labels in their order with task.labels")


def test_tags_that_break_their_scheme_are_remarked_upon():
    assert spans(TEXT.split(), ["I-per", "I-per", "O", "O", "I-loc"]).remark == "2 tags of marks break BIO"


def test_a_text_of_no_spans_says_so_with_an_empty_list():
    assert spans(TEXT, [], scheme="") == Said((TEXT,), ())
    assert spans(TEXT, None, answers=False) == Said((TEXT,))
    assert spans("[1]", "O").inputs == ("[1]",)


@pytest.mark.parametrize(
    ("text", "marks", "reason", "detail"),
    [
        (TEXT.split(), TAGS[:4], "bad_answer", "4 tags in marks for 5 tokens"),
        (TEXT, TAGS[:4], "bad_answer", "4 tags in marks for 5 words"),
        (TEXT.split(), [], "bad_answer", "0 tags in marks for 5 tokens"),
        (TEXT.split(), ["per", "O", "O", "O", "O"], "bad_answer", "tag 1 of marks is 'per', a tag of no scheme"),
        (["Ada", "", "x"], ["O"] * 3, "bad_input", "token 2 of text is empty"),
        (["Ada", {}, "x"], ["O"] * 3, "bad_input", "token 2 of text is an object, not a text"),
        ([], [], "no_input", "text is empty"),
        ("nan", ["O"], "no_input", "text is 'nan', as tables write what is missing"),
        (TEXT, None, "no_answer", "marks is empty; for no spans write []"),
        (TEXT, {"a": 1}, "bad_answer", "marks has for a '1', which is no text"),
        (TEXT, {"a": "Ad"}, "bad_answer", "'Ad', which marks calls a, stands nowhere in the text, not once"),
        ("Ada Ada", {"a": "Ada"}, "bad_answer", "'Ada', which marks calls a, stands 2 times in the text, not once"),
        (TEXT, {"a": "Ada King", "b": ["King"]}, "bad_answer", "the spans 0 to 8 (a) and 4 to 8 (b) overlap"),
        (TEXT.split(), [[0, 3, "per"]], "bad_answer",
         "marks counts characters, and text is a list of tokens; give the text itself, or a tag for each token"),
        (TEXT, [[0, 3]], "bad_answer", "marks has '[0, 3]', not [start, end, label]"),
        (TEXT, [[0, 3, "x"], "O"], "bad_answer", "marks has 'O' among spans"),
        (TEXT, [[0, 3, None]], "bad_answer",
         "marks has a span without a label: \"{'start': 0, 'end': 3, 'label': None}\""),
        (TEXT, [[0, "3.5", "x"]], "bad_answer",
         "marks has no start and end that are whole numbers: \"{'start': 0, 'end': '3.5', 'label': 'x'}\""),
        (TEXT, [[0, 3, "x"], [2, 5, "y"]], "bad_answer", "the spans 0 to 3 (x) and 2 to 5 (y) overlap"),
        (TEXT, [[3, 3, "x"]], "bad_answer", "marks has an empty span, 3 to 3"),
        (TEXT, [[18, 25, "x"]], "bad_answer", "marks has a span 18 to 25 outside the text of 24 characters"),
        (TEXT, [[-1, 2, "x"]], "bad_answer", "marks has a span -1 to 2 outside the text of 24 characters"),
    ],
)  # fmt: skip
def test_spans_that_cannot_be_used_are_faults_with_a_reason(text, marks, reason, detail):
    assert fault_of(spans, text, marks) == (reason, detail)


def test_texts_by_their_labels_are_found_where_they_stand():
    assert spans(TEXT, {"loc": ["Zürich"], "per": "Ada King "}).answer == SPANS
    assert spans(TEXT, '{"per": ["Ada King"], "loc": ["Zürich"]}').answer == SPANS
    assert spans("no 1, 10 or 11", {"number": ["1"]}).answer == (Span(3, 4, "number"),)
    assert spans(TEXT, {}).answer == ()


@pytest.mark.parametrize(
    ("start", "end", "found", "cause"),
    [
        (4, 7, "'Kin'", "the end is exclusive, so it is 8"),
        (5, 9, "'ing '", "it stands at 4"),
        (9, 12, "'liv'", "it stands at 4"),
    ],
)
def test_offsets_that_miss_their_text_say_what_stands_there(start, end, found, cause):
    marks = [{"start": start, "end": end, "label": "per", "text": "King"}]
    assert fault_of(spans, TEXT, marks)[1] == f"marks: at {start} to {end} stands {found}, not 'King'; {cause}"


@pytest.mark.parametrize(
    ("unit", "start", "end"), [("bytes", 14, 18), ("UTF-16 units", 11, 15)]
)
def test_offsets_in_another_unit_are_recognised(unit, start, end):
    marks = [{"start": start, "end": end, "label": "per", "text": "King"}]
    assert fault_of(spans, "🐎 Zürich, King", marks)[1].endswith(f"the offsets count {unit}, and characters are meant")


def test_a_text_that_is_not_there_is_said_to_be_nowhere():
    marks = [{"start": 0, "end": 4, "label": "per", "text": "Lear"}]
    assert fault_of(spans, TEXT, marks)[1].endswith("stands 'Ada ', not 'Lear'; it stands nowhere in the text")


def test_the_scheme_is_judged_by_the_whole_column():
    task = Task(kind="token_classification", input="text", output="marks")
    rows = [{"marks": marks} for marks in (["O"], None, "I-x B-x", {"a": 1}, ["wrong"])]
    assert find_scheme(rows, task) == "IOB1"
    assert find_scheme([{"marks": [[0, 1, "x"]]}, {"marks": []}], task) == ""


@given(st.data())
def test_spans_of_any_text_survive_being_written(data):
    text = data.draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
    text = text if text.strip() and text.strip().lower() != "nan" else "x" + text + "y"
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    wanted = tuple(Span(a, b, data.draw(st.sampled_from("xy"))) for a, b in zip(cuts[::2], cuts[1::2], strict=False))
    marks = [{"start": s.start, "end": s.end, "label": s.label, "text": text[s.start : s.end]} for s in wanted]
    for written in (marks, json.dumps(marks), [[s.start, s.end, s.label] for s in reversed(wanted)]):
        assert spans(text, written, scheme="") == Said((text,), wanted)


@pytest.mark.parametrize(
    "given",
    [
        {"text": ["Limmat"], "answer_start": [19]}, {"text": "Limmat", "start": 19}, [{"text": "Limmat", "start": 19}],
        [{"answer_start": 19, "text": "Limmat"}] * 2, {"start": 19, "end": 25},
        '{"text": ["Limmat"], "answer_start": [19]}', "{'text': ['Limmat'], 'answer_start': [19]}",
    ],
)  # fmt: skip
def test_an_answer_is_written_in_many_ways(given):
    assert answer(given) == Said(("Which river?", CONTEXT), (Span(19, 25, "Limmat"),))


def test_an_answer_without_its_place_is_found_where_it_stands_once():
    assert answer("Zürich").answer == (Span(0, 6, "Zürich"),)
    assert answer(["the Limmat", "lake"]).answer == (Span(15, 25, "the Limmat"), Span(49, 53, "lake"))
    assert answer("[4]", context="Born in 1912 [4].").answer == (Span(13, 16, "[4]"),)
    assert fault_of(answer, "Limmat") == (
        "bad_answer", "'Limmat' occurs in the context more than once; say where it starts")
    assert fault_of(answer, "Rhine") == ("bad_answer", "'Rhine' does not occur in the context")


def test_a_question_without_an_answer_says_so():
    assert answer([]).answer == answer({"text": [], "answer_start": []}).answer == ()
    assert answer(None, is_impossible=True).answer == answer("", is_impossible="true").answer == ()
    assert answer(None, answers=False).answer is None


@pytest.mark.parametrize(
    ("given", "more", "detail"),
    [
        (None, {}, "answers is empty; where the context has no answer write []"),
        (None, {"is_impossible": False}, "answers is empty; where the context has no answer write []"),
        ([], {"is_impossible": False}, "is_impossible is false, and there is no answer in answers"),
        ("Zürich", {"is_impossible": 1}, "is_impossible is true, and there is an answer in answers"),
        ({"text": ["a", "b"], "answer_start": [1]}, {}, "answers has 2 texts and not as many starts"),
        ({"text": [""], "answer_start": [0]}, {}, "answers has an answer without text; where there is none write []"),
        ({"text": ["Limmat"], "answer_start": [20]}, {},
         "answers: at 20 to 26 stands 'immat.', not 'Limmat'; the offsets count bytes, and characters are meant"),
        ({"text": ["Limmat"], "answer_start": ["x"]}, {},
         "answers has no start and end that are whole numbers: \"{'text': 'Limmat', 'start': 'x'}\""),
        ([3], {}, "'3' does not occur in the context"),
    ],
)  # fmt: skip
def test_answers_that_are_not_in_the_context_are_faults(given, more, detail):
    assert fault_of(answer, given, **more)[1] == detail


def test_a_context_that_is_missing_is_no_context():
    assert fault_of(answer, [], context="nan") == ("no_input", "context is 'nan', as tables write what is missing")
    assert fault_of(answer, [], question="") == ("no_input", "question is empty")
