"""Every row once per epoch, whatever the lengths, and the same order for the same seed and epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.train.schedules import SCHEDULES, LengthGrouped, Shuffled

lengths = st.lists(st.integers(0, 600), min_size=1, max_size=300).map(lambda x: np.array(x, dtype=np.int64))
schedules = st.one_of(st.just(Shuffled()), st.builds(LengthGrouped, pool=st.integers(1, 60)))
seeds = st.integers(0, 2**32)


@given(schedules, lengths, st.integers(1, 400), seeds, st.integers(0, 1000))
def test_each_row_comes_exactly_once_per_epoch(schedule, lengths_r, rows_per_update, seed, epoch):
    updates = schedule.updates(lengths_r, rows_per_update=rows_per_update, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(updates).tolist()) == list(range(len(lengths_r)))
    sizes = [len(update) for update in updates]
    assert len(updates) == -(-len(lengths_r) // rows_per_update)
    assert all(size == rows_per_update for size in sorted(sizes)[1:]) and min(sizes) >= 1


@given(schedules, lengths, st.integers(1, 40), seeds, st.integers(0, 1000))
def test_the_order_is_a_pure_function_of_seed_and_epoch(schedule, lengths_r, rows_per_update, seed, epoch):
    def order() -> list[list[int]]:
        np.random.seed(np.random.randint(1 << 30))  # the global generator plays no part
        found = schedule.updates(lengths_r, rows_per_update=rows_per_update, seed=seed, epoch=epoch)
        return [update.tolist() for update in found]

    assert order() == order()


@pytest.mark.parametrize("name", SCHEDULES)
def test_another_epoch_and_another_seed_are_another_order(name):
    def order(seed: int, epoch: int) -> list[int]:
        lengths_r = np.random.default_rng(1).integers(3, 60, 200)
        updates = SCHEDULES[name]().updates(lengths_r, rows_per_update=8, seed=seed, epoch=epoch)
        return np.concatenate(updates).tolist()

    orders = [order(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert all(orders[i] != orders[j] for i in range(9) for j in range(i))


def padded(updates: list[np.ndarray], lengths_r: np.ndarray) -> int:
    """Tokens of padding when every update is padded to its longest row."""
    return sum(len(update) * int(lengths_r[update].max()) - int(lengths_r[update].sum()) for update in updates)


@given(st.integers(0, 10_000), st.sampled_from([4, 16, 32]))
def test_grouping_by_length_pads_less_than_shuffling(seed, rows_per_update):
    lengths_r = np.random.default_rng(seed).lognormal(2.5, 0.7, 400).astype(np.int64) + 3
    options = {"rows_per_update": rows_per_update, "seed": seed, "epoch": 0}
    grouped, shuffled = (padded(s.updates(lengths_r, **options), lengths_r) for s in (LengthGrouped(), Shuffled()))
    assert grouped < 0.4 * shuffled
    assert grouped <= padded(LengthGrouped(pool=2).updates(lengths_r, **options), lengths_r)


def test_a_pool_of_one_update_only_sorts_inside_updates():
    lengths_r = np.random.default_rng(2).integers(3, 60, 64)
    options = {"rows_per_update": 8, "seed": 4, "epoch": 1}
    grouped = {frozenset(u.tolist()) for u in LengthGrouped(pool=1).updates(lengths_r, **options)}
    assert grouped == {frozenset(u.tolist()) for u in Shuffled().updates(lengths_r, **options)}


def test_grouped_updates_come_in_no_order_of_length():
    lengths_r = np.arange(3, 403)
    updates = LengthGrouped().updates(lengths_r, rows_per_update=8, seed=4, epoch=0)
    means = np.array([lengths_r[update].mean() for update in updates])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def test_rows_of_one_length_are_mixed_by_grouping_too():
    updates = LengthGrouped().updates(np.full(64, 9), rows_per_update=8, seed=4, epoch=0)
    assert np.concatenate(updates).tolist() != list(range(64))


@pytest.mark.parametrize("pool", [0, -3])
def test_a_pool_without_updates_is_refused(pool):
    with pytest.raises(ValueError, match="pool counts updates and must be at least 1"):
        LengthGrouped(pool=pool)
