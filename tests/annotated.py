"""Texts with spans of whole words, and encoders of several kinds that keep the characters of their tokens."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from tests import tiny_bases
from tests.tiny_generators import byte_tokenizer, piece_tokenizer, word_tokenizer

from tunewright.data.encode import Encoder
from tunewright.values import Span

LABELS = ("thing", "time")
TOKENIZERS = {
    "bert": lambda: tiny_bases.make_tokenizer("bert"), "bytes": byte_tokenizer, "pieces": piece_tokenizer,
    "words": word_tokenizer,
}  # fmt: skip
words = st.sampled_from(["my", "card", "refund", "now", "größe", "日本", "😀", "a-b", "  ", "late."])


@st.composite
def annotated(draw) -> tuple[str, tuple[Span, ...]]:
    """A text of words and spans of whole words of it, none overlapping."""
    parts = draw(st.lists(words, min_size=1, max_size=18))
    text, ends = " ".join(parts), np.cumsum([len(part) + 1 for part in parts]) - 1
    spans, word = [], 0
    while word < len(parts):
        length = draw(st.integers(0, 3))
        last = min(word + length, len(parts)) - 1
        start = int(ends[word]) - len(parts[word])
        if length and parts[word].strip() and parts[last].strip():
            spans.append(Span(start, int(ends[last]), draw(st.sampled_from(LABELS))))
        word += max(length, 1)
    return text, tuple(spans)


def located_encoder(kind: str, *, max_length: int, long="windows", overlap=0, question=False) -> Encoder:
    return Encoder(
        max_length=max_length, long=long, overlap=overlap, join="pair" if question else None,
        inputs=("question", "context") if question else ("text",), tokenizer=TOKENIZERS[kind](),
        located=int(question),
    )  # fmt: skip
