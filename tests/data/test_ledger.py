"""Every row has one fate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.ledger import FATES, Entry, Ledger


def entry(row: int, fate: str = "train", **other: str) -> Entry:
    return Entry(**{"row": row, "origin": f"a:{row}", "id": f"id{row}", "fate": fate, "reason": "drawn", **other})


def test_counts_name_every_fate_and_every_reason():
    ledger = Ledger(4, (entry(0), entry(1, "test"), entry(2, "dropped", reason="duplicate", detail="a:0"), entry(3)))
    ledger.check()
    assert ledger.counts() == {
        "rows": 4, "train": 2, "validation": 0, "test": 1, "dropped": 1, "dropped_because": {"duplicate": 1}
    }  # fmt: skip


@pytest.mark.parametrize(
    "ledger",
    [
        Ledger(3, (entry(0), entry(1))), Ledger(2, (entry(0), entry(0))), Ledger(1, (entry(0, "lost"),)),
        Ledger(1, (entry(0, reason=""),)), Ledger(2, (entry(0), entry(1, id="id0"))),
    ],
    ids=["a row without entry", "a row twice", "no such fate", "no reason", "an id twice in a split"],
)  # fmt: skip
def test_a_ledger_that_does_not_add_up_is_caught(ledger):
    with pytest.raises(AssertionError):
        ledger.check()


@given(st.lists(st.tuples(st.sampled_from(FATES), st.text(st.characters(exclude_categories=["Cs"]), max_size=9))))
def test_a_ledger_comes_back_from_disk_as_it_was(tmp_path_factory, rows):
    ledger = Ledger(len(rows), tuple(entry(i, fate, detail=detail) for i, (fate, detail) in enumerate(rows)))
    path = tmp_path_factory.mktemp("ledger") / "ledger.parquet"
    ledger.write(path)
    assert Ledger.read(path) == ledger
