"""Encoders of every kind of task, as one. Knows encoders and rows; must not know recipes or models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunewright.data.apart import ApartEncoder
from tunewright.data.asking import ask_answer, ask_tags
from tunewright.data.blocks import BlockEncoder
from tunewright.data.encode import Encoder
from tunewright.data.masked import MaskedEncoder
from tunewright.data.turns import TurnEncoder
from tunewright.values import Encoded, Rows

AnyEncoder = Encoder | ApartEncoder | BlockEncoder | MaskedEncoder | TurnEncoder


def load_encoder(written: Mapping[str, Any], tokenizer: Any) -> AnyEncoder:
    """The encoder that was saved beside a model's weights."""
    readers: dict[str, type[AnyEncoder]] = {
        "apart": ApartEncoder, "blocks": BlockEncoder, "masked": MaskedEncoder, "turns": TurnEncoder,
    }  # fmt: skip
    return readers.get(written.get("reads", ""), Encoder).from_json(written, tokenizer)


def measure_rows(encoder: AnyEncoder, rows: Rows) -> np.ndarray:
    """Tokens of each row uncut, int64 [r]."""
    if isinstance(encoder, TurnEncoder):
        assert rows.targets is not None
        return encoder.measure(rows.inputs, rows.targets)
    return encoder.measure(rows.inputs)


def too_long(encoder: AnyEncoder, rows: Rows, *, judged: bool) -> dict[int, str]:
    """The rows, by number, that `encoder` cannot read whole, and of each how long it is.

    Of a model that writes text, `judged` rows are also too long where no room is left for an answer.
    """
    if isinstance(encoder, (BlockEncoder, MaskedEncoder)):
        return {}
    tokens_r = measure_rows(encoder, rows)
    decoder = isinstance(encoder, TurnEncoder) and encoder.start is None
    limit = encoder.max_length + decoder  # a decoder is only asked for the last token, and never reads it
    over = {int(row): f"{tokens_r[row]} tokens" for row in np.flatnonzero(tokens_r > limit)}
    if not (judged and isinstance(encoder, TurnEncoder) and decoder):
        return over
    prompts_r = encoder.measure_prompts(rows.inputs)
    room = encoder.max_length - encoder.room
    says = f"tokens before an answer of up to {encoder.room}"
    return {int(row): f"{prompts_r[row]} {says}" for row in np.flatnonzero(prompts_r > room)} | over


def encode_rows(encoder: AnyEncoder, rows: Rows, *, kind: str, labels: Sequence[str]) -> Encoded:
    """Rows as sequences; where tokens are asked for, with what they should say if the rows have answers."""
    if isinstance(encoder, TurnEncoder):
        assert rows.targets is not None
        return encoder.encode(rows.inputs, rows.targets)
    encoded = encoder.encode(rows.inputs)
    if kind == "token_classification":
        return ask_tags(encoded, rows.targets, labels)
    return ask_answer(encoded, rows.targets) if kind == "question_answering" else encoded


def rows_of_encoded(encoder: AnyEncoder, rows: Rows, encoded: Encoded, split: str) -> Rows:
    """What the rows of `encoded` are: the same rows, or, where texts are joined, blocks."""
    joined = isinstance(encoder, (BlockEncoder, MaskedEncoder))
    return encoder.rows_of(encoded, split=split) if joined else rows
