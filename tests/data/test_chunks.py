"""Pieces of a long text: all of it, in order, each within bounds, and with what stands around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.chunks import find_long_text, pieces_of
from tunewright.data.prompts import Prompting
from tunewright.values import Turn

DIALOGUE = "\n".join(f"#Person{i % 2}#: line {i} says {'so ' * (i % 5)}much." for i in range(30))
words = st.lists(st.sampled_from(["a", "bc.", "d!", "efg", "\n", "h?"]), max_size=80).map(" ".join)


@given(words, st.integers(3, 12), st.integers(0, 2))
def test_no_word_is_lost_and_no_piece_is_too_long(text, most, overlap):
    pieces = pieces_of(text, lambda piece: len(piece.split()) <= most, overlap=overlap)
    assert all(len(piece.split()) <= most for piece in pieces)
    if not overlap:
        assert " ".join(pieces).split() == text.split()
    assert sorted({word for piece in pieces for word in piece.split()}) == sorted(set(text.split()))
    assert sum(len(piece.split()) for piece in pieces) <= 2 * len(text.split())


def test_pieces_of_a_dialogue_are_whole_turns_and_neighbours_share_some():
    pieces = pieces_of(DIALOGUE, lambda piece: len(piece) <= 200, overlap=1)
    turns = DIALOGUE.splitlines()
    assert len(pieces) > 3 and all(line in turns for piece in pieces for line in piece.splitlines())
    for before, after in zip(pieces, pieces[1:], strict=False):
        assert after.splitlines()[0] == before.splitlines()[-1]


def test_a_text_of_one_line_is_cut_between_sentences():
    text = 'He said "stop." Then nothing! Was it 3.5 metres? Yes.'
    assert pieces_of(text, lambda piece: len(piece) <= 30, overlap=0) == [
        'He said "stop." Then nothing!', "Was it 3.5 metres? Yes.",
    ]  # fmt: skip


@pytest.mark.parametrize("prompts", [("Summarise {text} in the style of {style}:\n",), ()])
def test_what_a_prompt_puts_around_a_text_is_kept_beside_every_piece(prompts):
    columns = ("text", "style")
    system = "be brief"
    turns = Prompting.read(prompts, columns=columns, system=system).turns((DIALOGUE, "Poe"), row_id="1")
    around = find_long_text(turns, prompts, columns, system=system)
    assert around.around(around.text) == turns and DIALOGUE in around.text
    if prompts:
        assert around.text == DIALOGUE
        assert around.around("x")[-1] == Turn("Summarise x in the style of Poe:\n", "user")
        assert around.around("x")[0] == Turn("be brief", "system")
