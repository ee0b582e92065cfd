"""What each token writes, byte by byte. Knows tokenizers; must not know models or grammars.

Shapes: v tokens, l bytes of the longest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from transformers import PreTrainedTokenizerBase

_LONGEST_TOKEN_BYTES = 64  # a longer token is never needed: shorter ones write the same
_BROKEN = "\ufffd"
_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
_BEYOND_ASCII = frozenset(range(0x80, 0xC0)) | frozenset(range(0xC2, 0xF5))  # bytes that UTF-8 uses there


class TokenBytes:
    """The bytes that each token adds to a text, at its beginning (`first`) and later on (`later`); None where it may
    not be used, as special tokens may not.

    The two differ where a decoder writes a space before a word, except before the first (SentencePiece, WordPiece).
    Where not every byte can be written alone, tokens that are no whole characters are not used, because nothing would
    promise that the character can be completed.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.name = type(tokenizer).__name__
        names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        added = {token: one.content for token, one in tokenizer.added_tokens_decoder.items() if not one.special}
        special = set(tokenizer.all_special_ids) | {
            token for token, one in tokenizer.added_tokens_decoder.items() if one.special
        }  # fmt: skip
        written = _byte_level if "ByteLevel" in _decoders(tokenizer) else _by_decoding
        first, later = written(tokenizer, names, added)
        self.first = [None if token in special else text or None for token, text in enumerate(first)]
        self.later = [None if token in special else text or None for token, text in enumerate(later)]
        self.texts = frozenset(text for text in self.later if text is not None)
        if not self._has_all_bytes:
            self.first, self.later = ([_if_whole(text) for text in one] for one in (self.first, self.later))

    @property
    def _has_all_bytes(self) -> bool:
        return all(bytes([byte]) in self.texts for byte in _BEYOND_ASCII)

    def unwritable(self, needed: Iterable[str]) -> list[str]:
        """Those of the texts that neither a token nor the tokens of their bytes can write behind any other text."""
        return [
            text
            for text in needed
            if text.encode() not in self.texts and not all(bytes([byte]) in self.texts for byte in text.encode())
        ]

    @cached_property
    def first_table(self) -> tuple[np.ndarray, np.ndarray]:
        """`first` as an array: bytes uint8 [v, l], and how many they are, int64 [v]: 0 where it may not be used."""
        return _table(self.first)

    @cached_property
    def later_table(self) -> tuple[np.ndarray, np.ndarray]:
        """`later` as an array, like `first_table`."""
        return self.first_table if self.first == self.later else _table(self.later)


def _decoders(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The kinds of step that turn the tokenizer's tokens into a text."""
    decoder = tokenizer.backend_tokenizer.decoder
    state = {} if decoder is None else json.loads(decoder.__getstate__())
    return {step["type"] for step in (state, *state.get("decoders", [])) if "type" in step}


def _byte_level(_: PreTrainedTokenizerBase, names: list[str], added: dict[int, str]) -> tuple[list[bytes], list[bytes]]:
    """Of tokens whose characters stand for bytes, as GPT-2 writes them."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    byte_of = {chr(byte): byte for byte in shown} | {chr(256 + place): byte for place, byte in enumerate(hidden)}
    texts = []
    for token, name in enumerate(names):
        if token in added:
            texts.append(added[token].encode())
        else:
            known = name is not None and all(char in byte_of for char in name)
            texts.append(bytes(byte_of[char] for char in name) if known else b"")
    return texts, texts


def _by_decoding(
    tokenizer: PreTrainedTokenizerBase, names: list[str], _: dict[int, str]
) -> tuple[list[bytes], list[bytes]]:
    """Of tokens of any other kind: what the decoder writes for a token alone, and behind one whose text is known."""

    def decoded(*ids: int) -> str:
        return tokenizer.decode(list(ids), skip_special_tokens=True)

    alone = [decoded(token) for token in range(len(names))]
    anchor = next((token for token, text in enumerate(alone) if text.isascii() and text.isalnum()), None)
    falls_back = "ByteFallback" in _decoders(tokenizer)
    first, later = [], []
    for token, name in enumerate(names):
        fallback = _FALLBACK.fullmatch(name or "") if falls_back else None
        if fallback:
            byte = bytes([int(fallback[1], 16)])
            both = (byte if _BROKEN in alone[token] else alone[token].encode(), byte)
        else:
            behind = "" if anchor is None else decoded(anchor, token)
            goes_on = anchor is not None and behind.startswith(alone[anchor])
            both = (alone[token].encode(), behind[len(alone[anchor]) :].encode() if goes_on else b"")
        first.append(both[0])
        later.append(both[1])
    return first, later


def _if_whole(text: bytes | None) -> bytes | None:
    try:
        return text if text is None or text.decode() else None
    except UnicodeDecodeError:
        return None


def _table(texts: list[bytes | None]) -> tuple[np.ndarray, np.ndarray]:
    used = [text if text is not None and len(text) <= _LONGEST_TOKEN_BYTES else b"" for text in texts]
    lengths_v = np.array([len(text) for text in used], dtype=np.int64)
    bytes_vl = np.zeros((len(used), max(int(lengths_v.max(initial=0)), 1)), dtype=np.uint8)
    for token, text in enumerate(used):
        bytes_vl[token, : len(text)] = np.frombuffer(text, dtype=np.uint8)
    return bytes_vl, lengths_v
