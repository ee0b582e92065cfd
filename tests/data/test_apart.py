"""Each text of a row is encoded as it would be alone, and texts that are equal are known to be."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import tiny_bases

from tunewright.data.apart import ApartEncoder, gather_passages, number_texts
from tunewright.data.encode import Encoder
from tunewright.data.encoders import load_encoder
from tunewright.recipe.errors import DataRefusal

TOKENIZER = tiny_bases.make_tokenizer("bert")
WORDS = st.lists(st.sampled_from(["card", "late", "money", "where", "refund"]), max_size=12).map(" ".join)
COLUMNS = ("query", "passage", "other")


def encoder(*, long="truncate", max_length=8, overlap=0, columns=COLUMNS):
    return ApartEncoder(max_length, long, overlap, columns, TOKENIZER)


@given(
    rows=st.integers(2, 3).flatmap(lambda texts: st.lists(st.tuples(*[WORDS] * texts), min_size=1, max_size=6)),
    long=st.sampled_from(["truncate", "windows"]),
)
def test_each_text_is_encoded_as_it_would_be_alone(rows, long):
    one = Encoder(max_length=8, long=long, overlap=2, join=None, inputs=("text",), tokenizer=TOKENIZER)
    encoded, texts = encoder(long=long, overlap=2).encode(rows), len(rows[0])
    assert (encoded.rows, encoded.texts) == (len(rows), texts)
    for row, inputs in enumerate(rows):
        for place, text in enumerate(inputs):
            alone = one.encode([(text,)])
            sequences = np.flatnonzero(encoded.owner_s == row * texts + place)
            spans = [encoded.tokens_n[encoded.starts_s[j] : encoded.starts_s[j + 1]] for j in sequences]
            assert np.concatenate(spans).tolist() == alone.tokens_n.tolist()
    cut = [sum(int(one.encode([(text,)]).cut_r[0]) for text in row) for row in rows]
    assert encoded.cut_r.tolist() == cut
    assert encoded.lengths_r().sum() == len(encoded.tokens_n)
    assert encoded.extra_windows == len(encoded.owner_s) - len(rows) * texts


@given(rows=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6), data=st.data())
def test_rows_that_are_taken_keep_their_texts(rows, data):
    encoded = encoder(long="windows", overlap=2).encode(rows)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6)), dtype=np.int64)
    taken, again = encoded.take(chosen), encoder(long="windows", overlap=2).encode([rows[i] for i in chosen])
    assert taken.tokens_n.tolist() == again.tokens_n.tolist()
    assert taken.starts_s.tolist() == again.starts_s.tolist()
    assert taken.owner_s.tolist() == again.owner_s.tolist()
    assert taken.texts == again.texts or not len(chosen)


def test_a_row_is_measured_by_its_longest_text():
    assert encoder().measure([("card", "late money where", "late")]).tolist() == [5]


def test_a_text_that_is_too_long_is_refused_not_the_row():
    refusing = encoder(long="refuse")
    assert refusing.encode([("card late money where",) * 3]).lengths_r().tolist() == [18]
    with pytest.raises(DataRefusal, match="1 of 6 texts are longer than 8 tokens"):
        refusing.encode([("card",) * 3, ("card", "late " * 7, "card")])


def test_what_a_text_needs_is_refused_when_the_encoder_is_made():
    with pytest.raises(DataRefusal, match="special ones take 2"):
        encoder(max_length=2)


def test_the_texts_of_a_row_are_shown_one_by_one():
    encoded = encoder().encode([("card", "late"), ("money", "where refund")])
    assert encoder().decode_sample(encoded, row=1) == ["[CLS] money [SEP]", "[CLS] where refund [SEP]"]


def test_a_saved_encoder_is_loaded_as_what_it_was():
    made = encoder(long="windows", overlap=2)
    again = load_encoder(json.loads(json.dumps(made.to_json())), TOKENIZER)
    assert again == made and isinstance(again, ApartEncoder)


def test_no_rows_are_encoded_to_nothing():
    encoded = encoder().encode([])
    assert (encoded.rows, encoded.texts, len(encoded.tokens_n)) == (0, 3, 0)
    assert number_texts([]).shape == (0, 0)


def test_equal_texts_have_equal_numbers_wherever_they_stand():
    rows = [("a", "b", "c"), ("a", "c", "d"), ("b", "e", "a")]
    assert number_texts(rows).tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 0]]


@given(st.integers(2, 3).flatmap(
    lambda texts: st.lists(st.tuples(*[st.sampled_from("abcdef")] * texts), min_size=1, max_size=9)
))  # fmt: skip
def test_each_passage_is_gathered_once_and_each_row_knows_its_own(rows):
    passages = gather_passages(rows)
    texts = passages.texts(rows)
    assert sorted(texts) == sorted({text for row in rows for text in row[1:]})
    assert [texts[own] for own in passages.own_r] == [row[1] for row in rows]
