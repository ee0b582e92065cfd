"""What tokens write, against what their decoder makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_generators import byte_tokenizer, piece_tokenizer, word_tokenizer
from tokenizers import AddedToken

from tunewright.model.token_bytes import TokenBytes

TOKENIZERS = {
    "bytes": byte_tokenizer, "pieces with bytes": piece_tokenizer,
    "pieces": lambda: piece_tokenizer(falls_back=False), "words": word_tokenizer,
}  # fmt: skip


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(deadline=None)
@given(picks=st.lists(st.integers(0, 10_000), min_size=1, max_size=12))
def test_the_bytes_of_tokens_are_those_of_their_text(kind, picks):
    tokenizer = TOKENIZERS[kind]()
    written = written_by(kind)
    first = [token for token, text in enumerate(written.first) if text is not None]
    later = [token for token, text in enumerate(written.later) if text is not None]
    ids = [first[picks[0] % len(first)], *(later[pick % len(later)] for pick in picks[1:])]
    told = b"".join([written.first[ids[0]], *(written.later[token] for token in ids[1:])])
    try:
        expected = told.decode()
    except UnicodeDecodeError:
        return  # what a decoder makes of broken characters is its own affair
    assert tokenizer.decode(ids) == expected


_WRITTEN: dict[str, TokenBytes] = {}


def written_by(kind: str) -> TokenBytes:
    return _WRITTEN.setdefault(kind, TokenBytes(TOKENIZERS[kind]()))


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_special_tokens_write_nothing(kind):
    written = written_by(kind)
    assert written.first[:4] == written.later[:4] == [None] * 4
    assert sum(text is not None for text in written.later) > 60


def test_only_a_vocabulary_of_all_bytes_uses_parts_of_characters():
    assert b"\xc3" in written_by("bytes").texts and b"\xc3" in written_by("pieces with bytes").texts
    for kind in ("pieces", "words"):
        for text in written_by(kind).later:
            assert text is None or text.decode()


def test_a_word_has_a_space_before_it_except_at_the_beginning():
    tokenizer, written = word_tokenizer(), written_by("words")
    token = tokenizer.convert_tokens_to_ids("card")
    assert (written.first[token], written.later[token]) == (b"card", b" card")
    part = next(i for i, name in enumerate(tokenizer.convert_ids_to_tokens(range(len(tokenizer)))) if name[:2] == "##")
    assert written.later[part] == tokenizer.convert_ids_to_tokens(part)[2:].encode()


def test_added_tokens_write_themselves():
    tokenizer = byte_tokenizer(421)
    tokenizer.add_tokens([AddedToken("größer als", special=False)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    written = TokenBytes(tokenizer)
    assert written.later[tokenizer.convert_tokens_to_ids("größer als")] == "größer als".encode()
    assert written.later[tokenizer.convert_tokens_to_ids("<|turn|>")] is None


def test_what_cannot_be_written_is_named():
    assert written_by("bytes").unwritable("aß{日\n") == []
    assert written_by("words").unwritable("A€") == ["A", "€"]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_tables_hold_the_bytes(kind):
    written = written_by(kind)
    for texts, (bytes_vl, lengths_v) in ((written.first, written.first_table), (written.later, written.later_table)):
        for text, row, length in zip(texts, bytes_vl, lengths_v, strict=True):
            assert bytes(row[:length]) == (text or b"")
