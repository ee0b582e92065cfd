"""Plain texts become blocks of equal length for a model that continues them. Knows a tokenizer; must not know a model.

Texts are laid end to end, each closed by the end-of-sequence token (once, where it says so itself), and the stream is
cut into blocks. Every token but the stream's first is asked for exactly once, the first of a block by the last of the
block before it. What a block sees of the text before its own is noise that training gets used to, as in GPT-3 (Brown et
al. 2020, appendix B).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunewright.recipe.errors import DataRefusal
from tunewright.values import Encoded, Rows

_TEXTS_PER_CALL = 256  # bounds the Python lists that a tokenizer returns; texts may be whole books


@dataclass(frozen=True)
class BlockEncoder:
    """How texts become blocks of `max_length` tokens; the rows of what it encodes are blocks, not texts."""

    max_length: int
    inputs: tuple[str, ...]
    tokenizer: Any = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.tokenizer.eos_token_id is None:
            raise DataRefusal(
                "The tokenizer has no end-of-sequence token, so the end of a text cannot be told.", where="base",
                remedy="Use a base that has one, or set it in the tokenizer's settings.",
            )  # fmt: skip

    def encode(self, inputs: Sequence[tuple[str, ...]]) -> Encoded:
        """The blocks of all texts, in order; several columns of a row are lines of one text."""
        ids_n, bytes_n = self._stream(["\n".join(row) for row in inputs])
        asked = len(ids_n) - 1
        starts_s = np.append(np.arange(0, asked, self.max_length), asked)
        blocks = len(starts_s) - 1
        return Encoded(
            tokens_n=ids_n[:-1], starts_s=starts_s, owner_s=np.arange(blocks), types_n=None,
            cut_r=np.zeros(blocks, dtype=np.int64), answers_n=ids_n[1:].copy(),
            bytes_r=np.add.reduceat(bytes_n[1:], starts_s[:-1]) if blocks else np.zeros(0, np.int64),
        )  # fmt: skip

    def measure(self, inputs: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Tokens of each text, the closing one included, int64 [r]."""
        return np.array([len(one) for one in self._lists_of_ids(["\n".join(row) for row in inputs])], dtype=np.int64)

    def decode_sample(self, encoded: Encoded, *, row: int) -> list[str]:
        """One block as text."""
        return [self.tokenizer.decode(encoded.tokens_n[encoded.starts_s[row] : encoded.starts_s[row + 1]].tolist())]

    def rows_of(self, encoded: Encoded, *, split: str) -> Rows:
        """The blocks as rows, named by their place; targets are 0, because the text is its own answer."""
        return named_blocks([self.decode_sample(encoded, row=i)[0] for i in range(encoded.rows)], split)

    def to_json(self) -> dict[str, Any]:
        """Everything but the tokenizer, which is saved by its own means."""
        return {"reads": "blocks", "max_length": self.max_length, "inputs": list(self.inputs)}

    @classmethod
    def from_json(cls, written: Mapping[str, Any], tokenizer: Any) -> BlockEncoder:
        """The encoder that `to_json` described, with its tokenizer."""
        return cls(max_length=written["max_length"], inputs=tuple(written["inputs"]), tokenizer=tokenizer)

    def _stream(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts end to end, a closing token before the first, and the bytes that each id stands for."""
        end = int(self.tokenizer.eos_token_id)
        ids, sizes = [np.array([end], dtype=np.int32)], [np.zeros(1, dtype=np.int64)]
        for text, one in zip(texts, self._lists_of_ids(texts), strict=True):
            ids.append(np.array(one, dtype=np.int32))
            sizes.append(spread(len(text.encode("utf-8", "surrogatepass")), len(one)))
        return np.concatenate(ids), np.concatenate(sizes)

    def _lists_of_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return lists_of_ids(self.tokenizer, texts, end=int(self.tokenizer.eos_token_id))


def lists_of_ids(tokenizer: Any, texts: Sequence[str], *, end: int | None) -> list[list[int]]:
    """The ids of each text, closed by `end` once."""
    found: list[list[int]] = []
    for start in range(0, len(texts), _TEXTS_PER_CALL):
        found += tokenizer(
            list(texts[start : start + _TEXTS_PER_CALL]), add_special_tokens=False, return_attention_mask=False,
            return_token_type_ids=False, truncation=False, padding=False, verbose=False,
        )["input_ids"]  # fmt: skip
    return [one if end is None or (one and one[-1] == end) else [*one, end] for one in found]


def named_blocks(texts: Sequence[str], split: str) -> Rows:
    """Blocks as rows, named by their place; targets are 0, because the text is its own answer."""
    return Rows(
        ids=tuple(f"{split}-block-{i}" for i in range(len(texts))), origins=("joined texts",) * len(texts),
        inputs=tuple((text,) for text in texts), targets=np.zeros(len(texts), dtype=np.float32),
    )  # fmt: skip


def spread(total: int, places: int) -> np.ndarray:
    """`total` spread over `places` as evenly as whole numbers allow: bytes count in sums over blocks only."""
    ends = np.arange(1, places + 1) * total // places
    return np.diff(ends, prepend=0)
