"""Blocks against the stream laid out by hand: every token is asked once, every byte is counted once."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_bases import make_tokenizer
from tests.tiny_generators import byte_tokenizer, piece_tokenizer, word_tokenizer

from tunewright.data import blocks
from tunewright.data.blocks import BlockEncoder
from tunewright.recipe.errors import DataRefusal

TOKENIZERS = {"bytes": byte_tokenizer, "pieces": piece_tokenizer, "words": word_tokenizer}
words = st.sampled_from(["my card", "refund", "\n", "größe", "日本", "😀", "{x}", "", "unheard"])
documents = st.lists(st.lists(words, max_size=8).map(" ".join), max_size=6)


def encoder(kind="bytes", *, max_length=8, inputs=("text",)) -> BlockEncoder:
    return BlockEncoder(max_length=max_length, inputs=inputs, tokenizer=TOKENIZERS[kind]())


def stream_of(tokenizer, texts) -> list[int]:
    """A closing token, then every text with one behind it."""
    end = tokenizer.eos_token_id
    return [end, *(i for text in texts for i in (*tokenizer(text, add_special_tokens=False)["input_ids"], end))]


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(texts=documents, max_length=st.integers(1, 30))
def test_every_token_of_the_stream_is_asked_for_once_by_the_one_before_it(kind, texts, max_length):
    ours = encoder(kind, max_length=max_length)
    encoded = ours.encode([(text,) for text in texts])
    stream = stream_of(ours.tokenizer, texts)
    assert encoded.tokens_n.tolist() == stream[:-1] and encoded.answers_n.tolist() == stream[1:]
    lengths = encoded.lengths_s.tolist()
    assert all(length == max_length for length in lengths[:-1]) and all(0 < n <= max_length for n in lengths)
    assert encoded.rows == len(lengths) == math.ceil((len(stream) - 1) / max_length)
    assert encoded.owner_s.tolist() == list(range(len(lengths)))
    assert not encoded.cut_r.any() and encoded.types_n is None
    assert ours.measure([(text,) for text in texts]).sum() == len(stream) - 1


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(texts=documents, max_length=st.integers(1, 30))
def test_the_bytes_of_all_blocks_are_those_of_all_texts(kind, texts, max_length):
    encoded = encoder(kind, max_length=max_length).encode([(text,) for text in texts])
    assert encoded.bytes_r.sum() == sum(len(text.encode()) for text in texts)
    assert (encoded.bytes_r >= 0).all() and len(encoded.bytes_r) == encoded.rows


@given(st.integers(0, 5000), st.integers(1, 300))
def test_a_total_is_spread_evenly_in_whole_numbers(total, places):
    spread = blocks.spread(total, places)
    assert len(spread) == places and spread.sum() == total and spread.max() - spread.min() <= 1


def test_where_a_text_lies_over_two_blocks_its_bytes_do_too():
    ours = encoder(max_length=10)
    encoded = ours.encode([("x" * 39,)])  # 39 tokens of a byte each, and the closing one
    assert encoded.bytes_r.tolist() == [9, 10, 10, 10]  # a byte less somewhere: 39 bytes for 40 tokens


def test_a_tokenizer_that_frames_its_texts_does_not_frame_them_here():
    tokenizer = make_tokenizer("roberta")  # [CLS] $A [SEP]
    tokenizer.eos_token = "[SEP]"
    ours = BlockEncoder(max_length=50, inputs=("text",), tokenizer=tokenizer)
    ids = ours.encode([("my card",), ("hello",)]).tokens_n.tolist()
    assert tokenizer.cls_token_id not in ids and ids.count(3) == 2
    assert ours.decode_sample(ours.encode([("my card",), ("hello",)]), row=0) == ["[SEP] my card [SEP] hello"]


def test_many_texts_are_tokenised_in_parts(monkeypatch):
    texts = [(f"text {i} " * (i % 5),) for i in range(11)]
    whole = encoder().encode(texts)
    monkeypatch.setattr(blocks, "_TEXTS_PER_CALL", 3)
    assert encoder().encode(texts).tokens_n.tolist() == whole.tokens_n.tolist()
    assert encoder().measure(texts).tolist() == [
        len(byte_tokenizer()(text)["input_ids"]) + 1 for (text,) in texts
    ]  # fmt: skip


def test_columns_are_lines_of_one_text_and_no_texts_are_no_blocks():
    assert encoder(inputs=("a", "b")).encode([("my", "card")]).tokens_n.tolist() == (
        encoder().encode([("my\ncard",)]).tokens_n.tolist()
    )
    nothing = encoder().encode([])
    assert nothing.rows == len(nothing.tokens_n) == len(nothing.bytes_r) == 0 and nothing.starts_s.tolist() == [0]
    assert encoder().measure([]).tolist() == []
    assert encoder().encode([("",)]).tokens_n.tolist() == [byte_tokenizer().eos_token_id]


def test_blocks_are_rows_with_a_name_a_text_and_no_answer():
    ours = encoder(max_length=6)
    encoded = ours.encode([("where is my card",), ("hello",)])
    rows = ours.rows_of(encoded, split="test")
    assert rows.ids == tuple(f"test-block-{i}" for i in range(encoded.rows)) and len(rows) == encoded.rows > 1
    assert "".join(text for (text,) in rows.inputs) == "</s>where is my card</s>hello"
    assert rows.targets.dtype == np.float32 and not rows.targets.any()


def test_an_encoder_survives_json():
    ours = encoder(max_length=9, inputs=("a", "b"))
    assert BlockEncoder.from_json(json.loads(json.dumps(ours.to_json())), ours.tokenizer) == ours


def test_a_tokenizer_without_an_end_is_refused():
    tokenizer = make_tokenizer("bert")
    assert tokenizer.eos_token_id is None
    with pytest.raises(DataRefusal, match="no end-of-sequence token"):
        BlockEncoder(max_length=8, inputs=("text",), tokenizer=tokenizer)
