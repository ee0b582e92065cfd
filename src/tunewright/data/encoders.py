"""Encoders of every kind of task, as one. Knows encoders and rows; must not know recipes or models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunewright.data.apart import ApartEncoder
from tunewright.data.asking import ask_answer, ask_tags
from tunewright.data.blocks import BlockEncoder
from tunewright.data.encode import Encoder
from tunewright.data.turns import TurnEncoder
from tunewright.values import Encoded, Rows

AnyEncoder = Encoder | ApartEncoder | BlockEncoder | TurnEncoder


def load_encoder(written: Mapping[str, Any], tokenizer: Any) -> AnyEncoder:
    """The encoder that was saved beside a model's weights."""
    readers: dict[str, type[AnyEncoder]] = {"apart": ApartEncoder, "blocks": BlockEncoder, "turns": TurnEncoder}
    return readers.get(written.get("reads", ""), Encoder).from_json(written, tokenizer)


def measure_rows(encoder: AnyEncoder, rows: Rows) -> np.ndarray:
    """Tokens of each row uncut, int64 [r]."""
    if isinstance(encoder, TurnEncoder):
        assert rows.targets is not None
        return encoder.measure(rows.inputs, rows.targets)
    return encoder.measure(rows.inputs)


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
    return encoder.rows_of(encoded, split=split) if isinstance(encoder, BlockEncoder) else rows
