"""Plain text is cut at paragraphs, tagged columns at sentences, and nothing is lost between the cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.corpora import DOCUMENT_WORDS, cut_documents, cut_sentences, flatten_squad, is_squad, read_sentence

lines = st.lists(st.sampled_from(["", " ", "word", "word " * 900, "word " * 2100]), max_size=40)


@given(lines)
def test_documents_hold_every_word_once_and_in_order(text):
    cuts = list(cut_documents(text))
    kept = [line for start, end in cuts for line in text[start:end]]
    assert " ".join(kept).split() == " ".join(text).split()
    assert all(a[1] <= b[0] for a, b in zip(cuts, cuts[1:], strict=False))
    assert all(text[start].strip() and text[end - 1].strip() for start, end in cuts)


@given(lines)
def test_documents_are_about_as_long_as_they_are_meant_to_be(text):
    words = [len(" ".join(text[start:end]).split()) for start, end in cut_documents(text)]
    assert all(count >= DOCUMENT_WORDS for count in words[:-1])
    assert all(count < 2 * DOCUMENT_WORDS + 2100 for count in words)


def test_paragraphs_stay_whole_where_they_can():
    text = ["word " * 1500, "", "word " * 400, "word " * 400, "", "word"]
    assert list(cut_documents(text)) == [(0, 4), (5, 6)]
    assert list(cut_documents(["word " * 100] * 100)) == [(0, 40), (40, 80), (80, 100)]


def test_sentences_are_parted_by_blank_lines_and_marks_of_documents():
    text = ["-DOCSTART- O", "", "a O", "b O", " ", "", "c O", "-DOCSTART-", "d O"]
    assert list(cut_sentences(text)) == [(2, 4), (6, 7), (8, 9)]
    assert list(cut_sentences(["", ""])) == []


def test_a_hash_may_be_a_token():
    assert read_sentence(["# O", "1 B-x"]) == {"tokens": ["#", "1"], "tags": ["O", "B-x"]}
    assert read_sentence(["# id 3 domain=en", "1 _ _ B-x"]) == {"tokens": ["1"], "tags": ["B-x"]}
    with pytest.raises(ValueError, match="a sentence without tokens"):
        read_sentence(["# id 3 domain=en"])


def test_a_nest_is_recognised_by_its_paragraphs():
    assert is_squad({"data": [{"paragraphs": []}]})
    assert not is_squad({"data": []}) and not is_squad([{"paragraphs": []}])
    assert list(flatten_squad({"data": [{"paragraphs": []}]})) == []
