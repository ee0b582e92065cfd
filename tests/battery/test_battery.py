"""Every check of the battery over every row of every axis table; a new row is covered without a new test."""

from __future__ import annotations

import pytest
from tests.battery import checks
from tests.battery.choices import AT_REST, AWAY, Choice


def name(given: object) -> str:
    return getattr(given, "__name__", str(given))


@pytest.mark.parametrize("choice", AT_REST, ids=name)
@pytest.mark.parametrize("check", checks.OF_CHOICES, ids=name)
def test_each_choice(check, choice):
    check(choice)


PAIRS = [(choice, kind) for choice in AT_REST for kind in choice.kinds]
PAIRS += [(choice, kind) for choice in AWAY if choice.axis in ("objective", "schedule") for kind in choice.kinds]


@pytest.mark.parametrize(("choice", "kind"), PAIRS, ids=name)
@pytest.mark.parametrize("check", checks.OF_CHOICES_AND_KINDS, ids=name)
def test_each_choice_on_each_kind_of_task(check, choice, kind):
    check(choice, kind)


@pytest.mark.parametrize("choice", AWAY, ids=name)
def test_each_option_is_alive(choice):
    checks.option_is_alive(choice)


@pytest.mark.parametrize("choice", [*AT_REST, *AWAY], ids=name)
def test_each_choice_survives_the_round_trip(choice):
    checks.options_survive_the_round_trip(choice)


@pytest.mark.parametrize("choice", [c for c in AWAY if c.axis == "trainable"], ids=name)
def test_each_trainable_selects_by_its_options(choice):
    checks.reaches_what_is_selected(choice)


@pytest.mark.parametrize("check", checks.OF_ALL, ids=name)
def test_the_engine(check):
    check()


def test_an_option_that_does_nothing_is_told_as_dead():
    with pytest.raises(AssertionError, match="changes nothing"):
        checks.option_is_alive(Choice("objective", "supervised", {"label_smoothing": 0.0}))
