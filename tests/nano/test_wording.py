"""Choices, slots and the grammar that the generated text stands on."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nano.wording import Person, choose_alike, contract, ing, listed, say, table, third_singular, tidy, told_of, words

EVA, TOM = Person("Eva", "Eva", True, "Eva"), Person("Tom", "Tom", False, "Tom")


@given(st.integers())
def test_choices_nest_and_are_drawn_by_the_seed_alone(seed):
    phrase = "[one|two [three|four]|] and [five|six]"
    said = say(Random(seed), phrase)
    assert said == say(Random(seed), phrase)
    assert said.lower() in {f"{first}and {last}" for first in ("one ", "two three ", "two four ", "")
                            for last in ("five", "six")}  # fmt: skip


def test_choices_marked_alike_are_drawn_together():
    for seed in range(30):
        question, answer = choose_alike(Random(seed), ["[~who|when]?", "[~Tom|today]."])
        assert (question, answer) in {("who?", "Tom."), ("when?", "today.")}


def test_a_clause_is_said_by_a_person_and_told_of_them():
    slots = {"A": EVA, "B": TOM, "why": "I _have a cold and my neighbour lost your key", "do": "water my plants"}
    assert say(Random(0), "{why.I.Cap}.", slots) == "I have a cold and my neighbour lost your key."
    assert say(Random(0), "{A} asks {B} to {do.A}: {why.A}.", slots) == (
        "Eva asks Tom to water her plants: she has a cold and her neighbour lost Tom's key."
    )
    assert say(Random(0), "{do.A.ing} helps {A.her}; {A.she} and {A.hers} cat", slots) == (
        "Watering her plants helps her; she and her cat"
    )
    assert told_of("we _am not at home and they took me to our house myself", TOM) == (
        "they is not at home and they took him to their house himself"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [("a apple and a pear", "an apple and a pear"), ("it is a hour", "It is an hour"), ("a university", "a university"),
     ("Person A asks", "Person A asks"), ("he has a 8-room house", "He has an 8-room house"), ("a one", "a one"),
     ("so  it is . good", "So it is. Good"), ("write to a.b@c.org. bye", "Write to a.b@c.org. Bye")],
)  # fmt: skip
def test_articles_spaces_and_capitals(before, after):
    assert tidy(before) == after[0].upper() + after[1:]


def test_forms_of_verbs():
    assert [ing(verb) for verb in ("swim", "bake bread", "lie down", "see", "go")] == [
        "swimming", "baking bread", "lying down", "seeing", "going"]  # fmt: skip
    assert [third_singular(verb) for verb in ("have", "go", "try", "play", "watch", "read")] == [
        "has", "goes", "tries", "plays", "watches", "reads"]  # fmt: skip


def test_speech_is_shortened_but_not_at_the_end_of_a_sentence():
    shortened = {contract(Random(seed), "I am late and I do not know what it is. Yes, I am.") for seed in range(40)}
    assert "I'm late and I don't know what it is. Yes, I am." in shortened
    assert all(each.endswith("what it is. Yes, I am.") for each in shortened)


def test_lists_and_tables_are_read_from_text():
    assert words("one; two\n three; ") == ["one", "two three"]
    assert table("a | b\n[c|d] | e") == [("a", "b"), ("[c|d]", "e")]
    assert listed(["a"]) == "a" and listed(["a", "b", "c"], "or") == "a, b or c"
    with pytest.raises(AssertionError, match="columns differ"):
        table("a | b\nc")
