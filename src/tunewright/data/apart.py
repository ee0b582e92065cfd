"""Rows whose columns are texts of their own, each read by itself. Knows a tokenizer and rows; must not know vectors.

Shape legend: r rows, k texts of a row, p different passages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tunewright.data.encode import Encoder
from tunewright.values import Encoded


@dataclass(frozen=True)
class ApartEncoder:
    """How the texts of a row become sequences of their own, of at most `max_length` tokens; `long` as in `Encoder`.

    `inputs` names the columns. Rows may also have the first few of them: a pair is compared without the passage that
    does not answer.
    """

    max_length: int
    long: Literal["truncate", "windows", "refuse"]
    overlap: int
    inputs: tuple[str, ...]
    tokenizer: Any = field(compare=False, repr=False)
    _one: Encoder = field(init=False, compare=False, repr=False)  # of a single text

    def __post_init__(self) -> None:
        one = Encoder(max_length=self.max_length, long=self.long, overlap=self.overlap, join=None, inputs=("text",),
                      tokenizer=self.tokenizer)  # fmt: skip
        object.__setattr__(self, "_one", one)

    def encode(self, inputs: Sequence[tuple[str, ...]]) -> Encoded:
        """Token ids of all texts, row by row. Under `refuse`, raises DataRefusal if any is longer than max_length."""
        texts = self._texts_per_row(inputs)
        encoded = self._one.encode(_flat(inputs))
        return replace(encoded, cut_r=encoded.cut_r.reshape(len(inputs), texts).sum(axis=1), texts=texts)

    def measure(self, inputs: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Tokens of the longest text of each row uncut, special tokens included, int64 [r]."""
        lengths = self._one.measure(_flat(inputs))
        return lengths.reshape(len(inputs), self._texts_per_row(inputs)).max(axis=1)

    def decode_sample(self, encoded: Encoded, *, row: int) -> list[str]:
        """The sequences of one row as text, special tokens shown: what the model really reads."""
        sequences_s, _ = encoded.sequences_of(np.array([row]))
        return [
            self.tokenizer.decode(encoded.tokens_n[encoded.starts_s[j] : encoded.starts_s[j + 1]].tolist())
            for j in sequences_s
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything but the tokenizer, which is saved by its own means."""
        return {"reads": "apart", "max_length": self.max_length, "long": self.long, "overlap": self.overlap,
                "inputs": list(self.inputs)}  # fmt: skip

    @classmethod
    def from_json(cls, written: Mapping[str, Any], tokenizer: Any) -> ApartEncoder:
        """The encoder that `to_json` described, with its tokenizer."""
        return cls(max_length=written["max_length"], long=written["long"], overlap=written["overlap"],
                   inputs=tuple(written["inputs"]), tokenizer=tokenizer)  # fmt: skip

    def _texts_per_row(self, inputs: Sequence[tuple[str, ...]]) -> int:
        texts = len(inputs[0]) if inputs else len(self.inputs)
        assert all(len(row) == texts for row in inputs) and 2 <= texts <= len(self.inputs), "rows of unlike columns"
        return texts


def number_texts(inputs: Sequence[tuple[str, ...]]) -> np.ndarray:
    """A number for each text, int64 [r, k]; equal texts have equal numbers, whichever row and column they stand in."""
    number_of: dict[str, int] = {}
    numbers = [[number_of.setdefault(text, len(number_of)) for text in row] for row in inputs]
    return np.array(numbers, dtype=np.int64).reshape(len(inputs), len(inputs[0]) if inputs else 0)


@dataclass(frozen=True, slots=True)
class Passages:
    """The different passages of some rows, those that answer no query included.

    Passage j first stands in column `column_p[j]` (from 1) of row `row_p[j]`, and `own_r` says which is each row's own.
    """

    row_p: np.ndarray  # int64
    column_p: np.ndarray  # int64
    own_r: np.ndarray  # int64

    def texts(self, inputs: Sequence[tuple[str, ...]]) -> list[str]:
        return [inputs[row][column] for row, column in zip(self.row_p, self.column_p, strict=True)]


def gather_passages(inputs: Sequence[tuple[str, ...]]) -> Passages:
    """Every passage of rows of query, passage and perhaps others, once: what the queries are to be answered from."""
    numbers = number_texts([row[1:] for row in inputs])
    _, first_p, passage_n = np.unique(numbers, return_index=True, return_inverse=True)
    row_p, column_p = np.divmod(first_p, max(numbers.shape[1], 1))
    return Passages(row_p, column_p + 1, passage_n.reshape(numbers.shape)[:, :1].ravel())


def _flat(inputs: Sequence[tuple[str, ...]]) -> list[tuple[str]]:
    return [(text,) for row in inputs for text in row]
