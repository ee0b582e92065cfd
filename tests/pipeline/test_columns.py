"""Guesses about columns, and honest refusals."""

from __future__ import annotations

import pytest

from tunewright.data.read import Table, read_table
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


@pytest.mark.parametrize(
    ("columns", "ways"),
    [
        ({"instruction": texts(), "response": [f"Well, {t}" for t in texts()], "intent": ["a", "b"] * 20},
         ["generation (instruction → response)", "(→ intent)"]),
        ({"dialogue": [f"{t} {t} {t}" for t in texts()], "summary": texts(), "topic": ["a", "b"] * 20},
         ["summarisation (dialogue → summary)", "(→ topic)"]),
        ({"one": ["Ada is"] * 40, "two": ["Eve is"] * 40, "spans": [[[0, 3, "x"]]] * 40},
         ["token_classification (one → spans)", "token_classification (two → spans)"]),
    ],
)  # fmt: skip
def test_columns_that_can_be_read_in_several_ways_are_asked_about(columns, ways):
    with pytest.raises(DataRefusal, match="several ways") as refused:
        guess(**columns)
    assert all(way in refused.value.what for way in ways) and "--kind" in refused.value.remedy


def test_what_is_asked_for_settles_which_way_to_read():
    columns = look_at_columns(table(
        instruction=texts(), response=[f"Well, {t}" for t in texts()], intent=["a", "b"] * 20))
    assert guess_task(columns, kind="generation").outputs == ("response",)
    assert guess_task(columns, outputs=["response"]).kind == "generation"
    found = guess_task(columns, kind="classification", inputs=["instruction"], outputs=["intent"])
    assert (found.kind, found.labels) == ("classification", {"a": 20, "b": 20})
    found = guess_task(columns, kind="retrieval", inputs=["instruction", "response"])
    assert (found.kind, found.outputs, found.why_inputs) == ("retrieval", (), "as asked")
    assert guess_task(columns, kind="generation", inputs=["response"], outputs=["intent"]).inputs == ("response",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "clasification"}, "no kind of task 'clasification'. Did you mean 'classification'"),
        ({"kind": "similarity", "inputs": ["text"], "outputs": ["label"]}, "a similarity reads two columns of text"),
        ({"kind": "question_answering"}, "do not tell what a question_answering would read"),
        ({"kind": "summarisation", "inputs": ["text"]}, "do not tell what a summarisation would read"),
        ({"kind": "token_classification", "inputs": ["text"], "outputs": ["label"]},
         "cannot be read as token_classification"),
        ({"kind": "generation", "inputs": ["text"]}, "cannot be read as generation"),
    ],
)  # fmt: skip
def test_a_task_that_the_columns_cannot_be_is_refused(options, says):
    with pytest.raises(DataRefusal, match=says) as refused:
        guess_task(look_at_columns(table(text=texts(), label=["a", "b"] * 20)), **options)
    assert refused.value.remedy


def test_long_texts_alone_are_to_be_learnt_from_and_short_ones_are_asked_about():
    long = [" ".join([text] * 8) for text in texts()]
    assert guess(text=long).kind == "pretraining"
    assert guess_task(look_at_columns(table(text=texts())), kind="pretraining", inputs=["text"]).inputs == ("text",)
    assert guess_task(look_at_columns(table(text=long, label=["a", "b"] * 20)), kind="pretraining").outputs == ()
    with pytest.raises(DataRefusal) as refused:
        guess(text=texts())
    assert "--kind pretraining" in refused.value.remedy


def test_texts_that_are_named_as_the_answer_are_written():
    many = [f"{WORDS[i % 7]} number {i} of all" for i in range(300)]
    columns = look_at_columns(table(text=[f"{t} here" for t in many], note=many, label=["a", "b"] * 150))
    assert guess_task(columns, inputs=["text"], outputs=["note"]).kind == "generation"


@pytest.mark.parametrize(
    ("name", "file", "wanted"),
    [
        ("wnut17", "test.jsonl", ("token_classification", ("tokens",), ("ner_tags",))),
        ("crossner_ai", "train.jsonl", ("token_classification", ("tokens",), ("ner_tags",))),
        ("presidio_pii", "generated_large.jsonl", ("token_classification", ("full_text",), ("spans",))),
        ("xquad_en", "test_en.jsonl", ("question_answering", ("question", "context"), ("answers",))),
        ("dialogsum", "dev.jsonl", ("summarisation", ("dialogue",), ("summary",))),
        ("multi30k_en_de", "validation.jsonl", ("translation", ("en",), ("de",))),
        ("medquad", "all.jsonl", ("generation", ("question",), ("answer",))),
        ("gsm8k", "test.jsonl", ("generation", ("question",), ("answer",))),
        ("glaive_toolcall_300", "train.jsonl", ("generation", ("conversations",), ())),
        ("tiny_shakespeare", "input.txt", ("pretraining", ("text",), ())),
        ("rt_polarity", "all.jsonl", ("classification", ("text",), ("label",))),
    ],
)  # fmt: skip
def test_public_data_is_recognised(public_data, name, file, wanted):
    found = guess_task(look_at_columns(read_table([public_data(name) / file])))
    assert (found.kind, found.inputs, found.outputs) == wanted


@pytest.mark.parametrize(
    ("name", "file"),
    [("bitext_customer_support", "train_v2.jsonl"), ("hh_rlhf_harmless_test", "test.jsonl"),
     ("self_instruct", "seed_tasks.jsonl")],
)  # fmt: skip
def test_public_data_that_can_be_several_things_is_asked_about(public_data, name, file):
    with pytest.raises(DataRefusal) as refused:
        guess_task(look_at_columns(read_table([public_data(name) / file])))
    assert "--" in refused.value.remedy
