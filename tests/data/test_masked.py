"""Which words are hidden: how many, how they are shown, and that it is a function of seed, epoch and block alone."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny_bases import WORDS, make_tokenizer

from tunewright.data.encoders import load_encoder
from tunewright.data.masked import MaskedEncoder
from tunewright.recipe.errors import DataRefusal

TOKENIZER = make_tokenizer("bert")
TEXTS = [(f"{WORDS} {i % 7}",) for i in range(40)]


def encoder(**options):
    given = {"max_length": 22, "share": 0.15, "whole_words": False, "seed": 5} | options
    return MaskedEncoder(inputs=("text",), tokenizer=TOKENIZER, **given)


def test_blocks_hold_every_token_of_every_text_once_between_the_special_ones():
    made = encoder()
    encoded = made.encode(TEXTS)
    whole = made.whole(encoded)
    blocks = [whole[a:b] for a, b in zip(encoded.starts_s[:-1], encoded.starts_s[1:], strict=True)]
    assert all(block[0] == TOKENIZER.cls_token_id and block[-1] == TOKENIZER.sep_token_id for block in blocks)
    assert max(map(len, blocks)) == 22
    stream = [token for block in blocks for token in block[1:-1].tolist()]
    lists = [TOKENIZER(text, add_special_tokens=False)["input_ids"] for (text,) in TEXTS]
    expected = [token for ids in lists for token in [*ids, TOKENIZER.sep_token_id]]
    assert stream == expected and made.measure(TEXTS).sum() == len(expected)
    assert len(made.words(encoded)) == len(expected) - len(TEXTS)


@pytest.mark.parametrize("share", [0.15, 0.4])
@pytest.mark.parametrize("whole_words", [False, True])
def test_the_share_that_is_hidden_is_the_share_that_was_asked_and_special_tokens_are_not(share, whole_words):
    made = encoder(share=share, whole_words=whole_words)
    encoded = made.encode(TEXTS)
    asked = encoded.answers_n >= 0
    assert asked.sum() / len(made.words(encoded)) == pytest.approx(share, abs=0.06)
    assert not set(encoded.answers_n[asked].tolist()) & {TOKENIZER.cls_token_id, TOKENIZER.sep_token_id}
    assert (np.add.reduceat(asked, encoded.starts_s[:-1]) >= 1).all()
    shown = encoded.tokens_n[asked]
    assert (shown == TOKENIZER.mask_token_id).mean() == pytest.approx(0.8, abs=0.08)
    assert 0.02 < (shown == encoded.answers_n[asked]).mean() < 0.2
    assert (encoded.tokens_n[~asked] == made.whole(encoded)[~asked]).all() and encoded.bytes_r.min() >= 1


def test_a_word_is_hidden_whole_or_not_at_all():
    made = encoder(whole_words=True, max_length=30)
    encoded = made.encode([("mynow thank arrivedxy hello cardyet zzz declinedmoney",)] * 30)
    tokens, asked = TOKENIZER.convert_ids_to_tokens(made.whole(encoded).tolist()), encoded.answers_n >= 0
    inside = set(range(len(tokens))) - set((encoded.starts_s + 1).tolist())
    joined = [place for place in sorted(inside) if tokens[place].startswith("##")]
    assert len(joined) > 20 and all(asked[place] == asked[place - 1] for place in joined)


def test_what_is_hidden_depends_on_seed_epoch_and_block_alone():
    made = encoder()
    encoded = made.encode(TEXTS)
    rows = np.array([3, 1])
    some, again = (made.hidden(encoded.take(rows), rows, epoch=2) for _ in range(2))
    every = made.hidden(encoded, np.arange(encoded.rows), epoch=2).take(rows)
    assert (some.tokens_n == again.tokens_n).all() and (some.answers_n == every.answers_n).all()
    assert (made.whole(some) == made.whole(encoded.take(rows))).all()
    others = [made.hidden(encoded, np.arange(encoded.rows), epoch=3), encoder(seed=6).encode(TEXTS)]
    assert all((other.answers_n != encoded.answers_n).any() for other in others)
    assert (encoder().encode(TEXTS).tokens_n == encoded.tokens_n).all()


def test_it_is_the_same_after_it_was_saved_and_shows_what_is_asked():
    made = encoder(whole_words=True)
    assert load_encoder(made.to_json(), TOKENIZER) == made
    encoded = made.encode(TEXTS)
    pieces = made.pieces(encoded, row=0)
    assert any(asked for _, asked in pieces) and "[MASK]" not in "".join(text for text, _ in pieces)
    rows = made.rows_of(encoded, split="test")
    assert len(rows) == encoded.rows and rows.ids[0] == "test-block-0" and "[CLS]" in rows.inputs[0][0]


def test_a_tokenizer_that_cannot_hide_words_is_refused():
    with pytest.raises(DataRefusal, match="no token that hides"):
        MaskedEncoder(20, ("text",), 0.15, False, 0, make_tokenizer("llama"))
    with pytest.raises(DataRefusal, match="special ones take"):
        encoder(max_length=2)
