"""Each kind of task gets its encoder, and each encoder what its kind asks for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests import chats, tiny_bases

from tunewright.data.blocks import BlockEncoder
from tunewright.data.chat_template import find_template
from tunewright.data.encode import Encoder
from tunewright.data.encoders import encode_rows, load_encoder, measure_rows, rows_of_encoded
from tunewright.data.turns import TurnEncoder
from tunewright.values import Rows, Span, Turn

TOKENIZER = tiny_bases.make_tokenizer("bert")
CHATTING = chats.tokenizer_of("bytes", "chatml")
PLAIN = Encoder(max_length=24, long="truncate", overlap=0, join=None, inputs=("text",), tokenizer=TOKENIZER)
TAGGED = Encoder(max_length=24, long="windows", overlap=4, join=None, inputs=("text",), tokenizer=TOKENIZER, located=0)
ASKED = Encoder(max_length=24, long="windows", overlap=4, join="pair", inputs=("q", "c"), tokenizer=TOKENIZER,
                located=1)  # fmt: skip
BLOCKS = BlockEncoder(max_length=5, inputs=("text",), tokenizer=CHATTING)
TURNS = TurnEncoder(max_length=64, long="refuse", template=find_template(None, CHATTING), start=None, inputs=("text",),
                    prompts=(), system="", room=8, tokenizer=CHATTING)  # fmt: skip


def rows_of(*inputs, targets=None) -> Rows:
    held = None
    if targets is not None:
        held = np.empty(len(inputs), dtype=object)
        held[:] = targets
    names = tuple(f"r{i}" for i in range(len(inputs)))
    return Rows(ids=names, origins=names, inputs=tuple(inputs), targets=held)


@pytest.mark.parametrize("encoder", [PLAIN, TAGGED, ASKED, BLOCKS, TURNS], ids=lambda encoder: type(encoder).__name__)
def test_a_saved_encoder_is_loaded_as_what_it_was(encoder):
    again = load_encoder(json.loads(json.dumps(encoder.to_json())), encoder.tokenizer)
    assert type(again) is type(encoder) and again == encoder


def test_an_encoder_of_an_earlier_version_is_loaded():
    written = {"max_length": 24, "long": "truncate", "overlap": 0, "join": None, "inputs": ["text"]}
    assert load_encoder(written, TOKENIZER) == PLAIN


def test_tags_are_asked_for_with_answers_and_without():
    rows = rows_of(("my card",), ("hello",), targets=[(Span(3, 7, "thing"),), ()])
    known = encode_rows(TAGGED, rows, kind="token_classification", labels=("thing",))
    asked = encode_rows(TAGGED, rows_of(*rows.inputs), kind="token_classification", labels=("thing",))
    assert known.answers_n.tolist() == [-1, 0, 1, -1, -1, 0, -1]
    assert asked.answers_n.tolist() == [-1, 0, 0, -1, -1, 0, -1]
    assert known.tokens_n.tolist() == asked.tokens_n.tolist()


def test_ends_of_answers_are_asked_for_with_answers_and_without():
    rows = rows_of(("where", "my card"), ("how", "hello"), targets=[(Span(3, 7, "card"),), ()])
    known = encode_rows(ASKED, rows, kind="question_answering", labels=())
    first, second = np.split(known.answers_n, known.starts_s[1:-1])
    assert first[first >= 0].tolist() == [0, 0, 3] and second[second >= 0].tolist() == [3, 0]
    asked = encode_rows(ASKED, rows_of(*rows.inputs), kind="question_answering", labels=())
    assert ((asked.answers_n >= 0) == (known.answers_n >= 0)).all()


def test_kinds_that_answer_for_rows_ask_at_no_token():
    assert encode_rows(PLAIN, rows_of(("my card",)), kind="classification", labels=("a", "b")).answers_n is None


def test_turns_need_their_answers_and_are_measured_with_them():
    rows = rows_of((Turn("where", "user"),), targets=[Turn("here", "assistant")])
    encoded = encode_rows(TURNS, rows, kind="generation", labels=())
    assert measure_rows(TURNS, rows).tolist() == [encoded.lengths_r()[0] + 1]
    assert measure_rows(PLAIN, rows_of(("my card",))).tolist() == [4]
    assert measure_rows(BLOCKS, rows_of(("my card",))).tolist() == [len(CHATTING("my card")["input_ids"]) + 1]


def test_only_joined_texts_become_other_rows():
    rows = rows_of(("where is my card",), ("hello",))
    encoded = encode_rows(BLOCKS, rows, kind="pretraining", labels=())
    blocks = rows_of_encoded(BLOCKS, rows, encoded, "test")
    assert len(blocks) == encoded.rows > 2 and blocks.ids[0] == "test-block-0"
    assert rows_of_encoded(PLAIN, rows, PLAIN.encode(rows.inputs), "test") is rows
