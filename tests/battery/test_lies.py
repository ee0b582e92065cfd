"""The battery notices every planted lie; a check that cannot fail proves nothing."""

from __future__ import annotations

import pytest
from tests.battery.lies import LIES


def test_there_are_enough_lies_and_each_sentence_is_told_once():
    assert len(LIES) >= 20
    assert len({lie.sentence for lie in LIES.values()}) == len(LIES)


@pytest.mark.parametrize("name", LIES)
def test_a_planted_lie_is_caught(name, monkeypatch):
    lie = LIES[name]
    lie.check()
    lie.plant(monkeypatch)
    with pytest.raises(AssertionError):
        lie.check()
