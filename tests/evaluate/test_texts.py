"""Figures of texts: against rouge_score on English, in scripts that its tokenizer does not know, and JSON by hand."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from tunewright.evaluate.texts import count_fields, count_words, field_scores, overlap_f1, ratio, word_scores, words

ENGLISH = st.lists(st.sampled_from(["the", "cat,", "sat", "on", "a Mat.", "don't", "3", "X9", "dog's-ear", "no!"]),
                   max_size=12)  # fmt: skip


def scores(said: list[str], true: list[str]) -> dict[str, float]:
    return {name: float(value) for name, value in word_scores(count_words(said, true).sum(axis=0)).items()}


def json_f1(said: list[str], true: list[str]) -> float:
    return float(field_scores(count_fields(said, true).sum(axis=0))["json_f1"])


@pytest.mark.parametrize(("text", "parts"), [
    ("Don't STOP: naïve Straße_2!", ["don", "t", "stop", "naïve", "strasse", "2"]),
    ("Ёлка и чай", ["ёлка", "и", "чай"]), ("我们去LA玩3天", ["我", "们", "去", "la", "玩", "3", "天"]),
    ("हिन्दी भाषा", ["हिन्दी", "भाषा"]), ("ひらがなカタ", list("ひらがなカタ")), ("한국어 문장", ["한국어", "문장"]),
    ("ｆｕｌｌ　ｗｉｄｔｈ", ["full", "width"]), ("… !?", [])])  # fmt: skip
def test_words_of_any_script(text, parts):
    assert words(text) == tuple(parts)


@given(ENGLISH, ENGLISH)
def test_rouge_is_that_of_the_package_on_english(said, true):
    said, true = " ".join(said), " ".join(true)
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(true, said)
    ours = count_words([said], [true])[0]
    assert ours[3:6] == pytest.approx([theirs[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")])


@pytest.mark.parametrize("text", ["Мама мыла раму утром", "今天天气很好", "வணக்கம் உலகம் நல்ல நாள்", "สวัสดีชาวโลก"])
def test_rouge_of_identical_texts_is_one_in_scripts_that_the_package_does_not_know(text):
    assert RougeScorer(["rouge1"]).score(text, text)["rouge1"].fmeasure == 0
    assert [scores([text], [text])[name] for name in ("rouge_1", "rouge_2", "rouge_l", "token_f1")] == [1] * 4
    halves = text[: len(text) // 2]
    assert 0 < scores([halves], [text])["rouge_1"] < 1


def test_rouge_by_hand_in_russian():
    seen = scores(["Кошка сидит на окне"], ["кошка на большом окне"])
    assert seen["rouge_1"] == 3 / 4 and seen["rouge_2"] == 0 and seen["rouge_l"] == 3 / 4 and seen["token_f1"] == 3 / 4


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_overlap_is_that_of_the_bags_written_out(said, true):
    hits = sum(min(said.count(word), true.count(word)) for word in set(said))
    if not said or not true:
        expected = float(said == true)
    else:
        precision, recall = hits / len(said), hits / len(true)
        expected = 2 * precision * recall / (precision + recall) if hits else 0.0
    assert overlap_f1(said, true) == pytest.approx(expected)


def test_figures_of_several_texts_are_means_and_the_length_ratio_is_of_sums():
    said, true = [" Yes. ", "a b c d", ""], ["Yes.", "a b", "x y"]
    seen = scores(said, true)
    assert seen["exact_match"] == 1 / 3 and seen["length_ratio"] == 5 / 5
    assert seen["token_f1"] == pytest.approx((1 + 2 * (2 / 4) * 1 / 1.5 + 0) / 3)


def test_texts_without_words_have_no_length_to_compare():
    seen = word_scores(count_words(["!"], ["?"]).sum(axis=0))
    assert np.isnan(seen["length_ratio"]) and seen["exact_match"] == 0
    assert np.isnan(ratio(np.zeros(2), np.zeros(2))).all()


def test_fields_are_counted_by_path_type_and_value():
    true = json.dumps({"id": 7, "paid": True, "who": {"name": "Ines"}, "tags": ["a", "b"]})
    assert count_fields([true], [true]).tolist() == [[5, 5, 5]]
    said = json.dumps({"id": 7.0, "paid": 1, "who": {"name": "ines"}, "tags": ["b", "a"], "more": None})
    assert count_fields([said], [true]).tolist() == [[1, 6, 5]]  # only the id: 1 is not true, and places in lists count
    assert json_f1([said], [true]) == 2 * 1 / (6 + 5)


@pytest.mark.parametrize("said", ["", "no JSON", '{"a": 1', '{"a": NaN}', '```json\n{"a": 1}\n```', "[" * 100_000])
def test_an_answer_that_is_not_json_has_no_fields(said):
    assert count_fields([said], ['{"a": 1}']).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("true", ["plain words", "[1, 2]", "3", '"text"', "{broken"])
def test_rows_whose_answer_is_no_object_add_nothing(true):
    assert count_fields(['{"a": 1}'], [true]).tolist() == [[0, 0, 0]]
    assert np.isnan(json_f1(['{"a": 1}'], [true]))


def test_an_empty_object_is_a_field_and_so_can_be_right():
    assert json_f1(["{}"], ["{}"]) == 1 and json_f1(['{"a": []}'], ['{"a": []}']) == 1 and json_f1(["{}"], ["{ }"]) == 1


VALUES = st.recursive(st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "b"]),
                      lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner))
OBJECTS = st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3)


@given(OBJECTS, OBJECTS)
def test_field_counts_are_those_of_leaves_written_out(said, true):
    def leaves(value, path=""):
        if isinstance(value, list) and value:
            return [leaf for i, inner in enumerate(value) for leaf in leaves(inner, f"{path}[{i}]")]
        if isinstance(value, dict) and value:
            return [leaf for key, inner in value.items() for leaf in leaves(inner, f"{path}.{key}")]
        return [(path, json.dumps(value))]

    ours, theirs = Counter(leaves(said)), Counter(leaves(true))
    expected = [(ours & theirs).total(), ours.total(), theirs.total()]
    assert count_fields([json.dumps(said)], [json.dumps(true)]).tolist() == [expected]
