"""Texts of tokens that come one at a time against the decoder's own, and where stop strings cut them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_generators import byte_tokenizer, piece_tokenizer, word_tokenizer

from tunewright.model.answers import Growth, Words, certain, first_stop, text_of

TEXTS = st.text(alphabet="ab cdn't.,!größenaïve日本語😀привет \n", max_size=40)
TOKENIZERS = {"bytes": byte_tokenizer, "pieces": piece_tokenizer, "words": word_tokenizer}


def grown(tokenizer, ids, **options) -> Growth:
    growth = Growth(tokenizer, ends={3}, stops=options.pop("stops", ()), longest=10_000, told=True)
    for token in ids:
        if growth.finish is None:
            growth.add(token, -0.5)
    return growth


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(deadline=None)
@given(text=TEXTS)
def test_the_text_of_tokens_one_at_a_time_is_that_of_all_at_once(kind, text):
    tokenizer = TOKENIZERS[kind]()
    words = Words(tokenizer)
    ids = tokenizer.encode(text, add_special_tokens=False)
    told = ""
    for token in ids:
        words.add(token)
        assert words.settled.startswith(told)
        told = words.settled
    assert words.whole == tokenizer.decode(ids, skip_special_tokens=True) == text_of(tokenizer, ids)


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 419), max_size=30))
def test_any_tokens_of_a_byte_level_vocabulary_have_the_text_that_its_decoder_gives_them(ids):
    tokenizer = byte_tokenizer()
    assert text_of(tokenizer, ids) == tokenizer.decode(ids, skip_special_tokens=True)
    words = Words(tokenizer)
    for token in ids:
        words.add(token)
    assert words.whole == text_of(tokenizer, ids)


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 600), max_size=20))
def test_bytes_that_are_no_character_have_one_text_however_they_are_read(ids):
    tokenizer = piece_tokenizer()
    words = Words(tokenizer)
    for token in ids:
        words.add(token)
    assert words.whole == text_of(tokenizer, ids)


def test_half_a_character_is_not_told():
    tokenizer = byte_tokenizer()
    ids = [token for byte in "é!".encode() for token in [tokenizer.convert_tokens_to_ids(_shown(byte))]]
    words = Words(tokenizer)
    seen = []
    for token in ids:
        words.add(token)
        seen.append(words.settled)
    assert seen == ["", "é", "é!"]


def _shown(byte: int) -> str:
    return {0xC3: "Ã", 0xA9: "©", 0x21: "!"}[byte]


@settings(deadline=None)
@given(text=st.text(alphabet="abc", max_size=12), stops=st.lists(st.text(alphabet="abc", min_size=1, max_size=4)))
def test_what_is_certain_no_stop_string_can_still_reach(text, stops):
    sure = certain(text, stops)
    for stop in stops:
        for length in range(1, len(stop)):
            if text.endswith(stop[:length]):
                assert sure <= len(text) - length
    tail = text[sure:]
    assert not tail or any(stop.startswith(tail) and len(stop) > len(tail) for stop in stops)


@pytest.mark.parametrize(
    ("text", "stops", "place"),
    [("one two", ("two",), 4), ("one two", ("two", "ne"), 1), ("one", ("two",), None), ("one", (), None)],
)
def test_the_first_stop_string_counts(text, stops, place):
    assert first_stop(text, stops) == place


def test_a_stop_string_that_several_tokens_write_is_found_as_soon_as_it_is_whole():
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode("please tell me now", add_special_tokens=False)
    growth = grown(tokenizer, ids, stops=("ase tel",))
    assert growth.finish == "stop" and growth.text == "ple" == growth.generated.text
    assert len(growth.ids) < len(ids) and tokenizer.decode(growth.ids).startswith("please tel")


def test_the_end_token_is_counted_and_not_told():
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode("hello", add_special_tokens=False)
    growth = grown(tokenizer, [*ids, 3])
    generated = growth.generated
    assert generated.ids == (*ids, 3) and generated.text == "hello" and generated.finish == "stop"
    assert generated.log_probability == -0.5 * len(generated.ids)


def test_a_copy_goes_its_own_way():
    tokenizer = byte_tokenizer()
    one = grown(tokenizer, tokenizer.encode("my card", add_special_tokens=False), stops=("zzz",))
    other = one.copied()
    for growth, text in ((one, " fee"), (other, " pin")):
        for token in tokenizer.encode(text, add_special_tokens=False):
            growth.add(token, 0.0)
        growth.cancel()
    assert (one.text, other.text) == ("my card fee", "my card pin")
    assert one.finish == other.finish == "cancelled"
