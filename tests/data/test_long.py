"""The choices for long texts: their options, and the rows that each encoder finds too long."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny_bases import make_tokenizer

from tunewright.data.apart import ApartEncoder
from tunewright.data.chat_template import find_template
from tunewright.data.encode import Encoder
from tunewright.data.encoders import encode_rows, too_long
from tunewright.data.long import LONG, Windows
from tunewright.data.turns import TurnEncoder
from tunewright.recipe.errors import DataRefusal
from tunewright.values import Rows, Turn

WORDS = ("my card has not arrived yet and i want to know where it is please tell me",)[0].split(" ")
ROWS = 7


def rows_of(inputs, targets):
    names = tuple(f"r{i}" for i in range(len(inputs)))
    return Rows(names, names, tuple(inputs), targets)


def answers(count):
    array = np.empty(count, dtype=object)
    array[:] = [Turn("where it is", "assistant")] * count
    return array


def turn_encoder(tmp_path, *, room, start=None):
    tokenizer = make_tokenizer("llama" if start is None else "t5")
    template = find_template("plain", tokenizer, root=tmp_path) if start is None else None
    return TurnEncoder(12, "refuse", template, start, ("text",), (), "", room, tokenizer)


def test_windows_share_a_number_of_tokens():
    assert Windows(3).overlap == 3 and Windows().overlap is None and set(LONG) >= {"refuse", "truncate", "drop"}
    with pytest.raises(ValueError, match="at least 0"):
        Windows(-1)


@pytest.mark.parametrize("kind", ["one", "apart", "decoder", "halves"])
def test_rows_that_are_too_long_are_those_that_would_be_refused(kind, tmp_path):
    texts = [" ".join(WORDS[: 2 + 2 * i]) for i in range(ROWS)]
    inputs, targets, task = [(text,) for text in texts], np.zeros(ROWS, dtype=np.float32), "regression"
    if kind == "one":
        encoder = Encoder(12, "refuse", 0, None, ("text",), make_tokenizer("bert"))
    elif kind == "apart":
        encoder = ApartEncoder(12, "refuse", 0, ("a", "b"), make_tokenizer("bert"))
        inputs = [("my card", text) for text in texts]
    else:
        encoder = turn_encoder(tmp_path, room=0, start=None if kind == "decoder" else 0)
        inputs, targets, task = [(Turn(text, "user"),) for text in texts], answers(ROWS), "generation"
    over = too_long(encoder, rows_of(inputs, targets), judged=False)
    assert 0 < len(over) < ROWS and all(said.endswith(" tokens") for said in over.values())
    for row in range(ROWS):
        alone = rows_of(inputs[row : row + 1], targets[row : row + 1])
        if row in over:
            with pytest.raises(DataRefusal):
                encode_rows(encoder, alone, kind=task, labels=())
        else:
            assert encode_rows(encoder, alone, kind=task, labels=()).rows == 1


def test_a_row_that_judges_is_too_long_where_nothing_could_be_written(tmp_path):
    encoder = turn_encoder(tmp_path, room=6)
    texts = [" ".join(WORDS[:count]) for count in (3, 6, 7)]
    rows = rows_of([(Turn(text, "user"),) for text in texts], answers(3))
    over = too_long(encoder, rows, judged=True)
    assert set(over) - set(too_long(encoder, rows, judged=False)) and 0 not in over
    for row, prompt in enumerate(rows.inputs):
        if row in over:
            with pytest.raises(DataRefusal, match="kept for an answer"):
                encoder.before_answers([prompt])
        else:
            assert encoder.before_answers([prompt])
