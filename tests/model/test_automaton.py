"""Languages over bytes against python's regular expressions."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.model.automaton import Automaton, Paths


def ab_star_c() -> Automaton:
    """(ab|a)*c"""
    paths = Paths()
    start, end = paths.place(), paths.place()
    paths.shortcut(paths.text(start, "ab"), start)
    paths.shortcut(paths.text(start, "a"), start)
    paths.one_of(start, b"c", end)
    return Automaton(paths, start=start, end=end)


def several() -> Automaton:
    """a(b[bc]){0,2}|ä"""
    paths = Paths()
    start, end = paths.place(), paths.place()
    at = paths.text(start, "a")
    for _ in range(2):
        paths.shortcut(at, end)
        at = paths.one_of(paths.one_of(at, b"b"), b"bc")
    paths.shortcut(at, end)
    paths.shortcut(paths.text(start, "ä"), end)
    return Automaton(paths, start=start, end=end)


TOKENS = [b"a", b"b", b"ab", b"bc", b"c", b"", b"\xc3", b"abb"]
LANGUAGES = {"(ab|a)*c": ab_star_c, "a(b[bc]){0,2}|ä": several}


@pytest.mark.parametrize("pattern", LANGUAGES)
def test_the_language_is_that_of_the_expression(pattern):
    automaton = LANGUAGES[pattern]()
    for size in range(6):
        for letters in itertools.product("abcä", repeat=size):
            text = "".join(letters)
            state = automaton.after(0, text.encode())
            assert (state is not None and automaton.is_complete(state)) == bool(re.fullmatch(pattern, text)), text


@pytest.mark.parametrize("pattern", LANGUAGES)
@settings(deadline=None)
@given(before=st.text("abcä", max_size=3).map(str.encode), texts=st.lists(st.sampled_from(TOKENS), max_size=9))
def test_all_tokens_at_once_are_each_of_them(pattern, before, texts):
    automaton = LANGUAGES[pattern]()
    state = automaton.after(0, before)
    if state is None or not texts:
        return
    lengths_v = np.array([len(text) for text in texts])
    bytes_vl = np.array([list(text.ljust(3, b"\0")) for text in texts], dtype=np.uint8)
    seen = automaton.may_follow(state, bytes_vl, lengths_v)
    assert seen.tolist() == [bool(text) and automaton.after(state, text) is not None for text in texts]


def test_states_are_worked_out_when_they_are_asked_for():
    paths = Paths()
    start = at = paths.place()
    for _ in range(10_000):
        at = paths.one_of(at, b"ab")
    automaton = Automaton(paths, start=start, end=at)
    automaton.after(0, b"abab")
    assert len(automaton._places) == 5
    assert automaton.after(0, b"x") is None
    state = automaton.after(0, b"ab" * 5000)
    assert state is not None and automaton.is_complete(state)
