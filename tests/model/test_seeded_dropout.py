"""What is dropped by a seed: as often as asked, the same again, for every type of number."""

from __future__ import annotations

import pytest
import torch

from tunewright.model.seeded_dropout import Dice, draw_seed, drop_, drop_marked_, dropped, mark_

TYPES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5])
def test_as_many_are_dropped_as_asked(p):
    share = float(dropped((400, 500), p, Dice(7)).bool().double().mean())
    assert abs(share - p) < 5 * (p * (1 - p) / 200_000) ** 0.5 + 2**-15


def test_neighbours_are_dropped_independently():
    mask = dropped((200_000,), 0.1, Dice(3)).bool().double()
    for lag in range(1, 9):
        both = float((mask[lag:] * mask[:-lag]).mean())
        assert abs(both - 0.01) < 5 * (0.01 / 200_000) ** 0.5


@TYPES
@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 11)])
def test_the_same_seed_drops_the_same_of_any_type(shape, dtype):
    x = torch.randn(shape, dtype=dtype)
    stays = dropped(shape, 0.4, Dice(11)) == 0
    seen = drop_(x.clone(), 0.4, 11)
    assert torch.equal(seen, x.where(stays, 0)) and torch.equal(seen, drop_(x.clone(), 0.4, 11))


def test_nothing_is_dropped_and_nothing_drawn_without_dropout():
    x = torch.randn(9)
    assert torch.equal(drop_(x.clone(), 0.0, 1), x)


@TYPES
def test_a_sign_says_what_is_dropped_and_the_number_is_still_there(dtype):
    p = torch.rand(4, 5, 6, dtype=dtype)
    p[0, 0, :3] = 0
    marked = mark_(p.clone(), 0.3, Dice(2))
    stays = dropped(p.shape, 0.3, Dice(2)) == 0
    assert torch.equal(marked.abs(), p) and torch.equal(marked.relu(), p.where(stays, 0))
    x = torch.randn(4, 5, 6, dtype=dtype)
    assert torch.equal(drop_marked_(x.clone(), marked), x.where(stays, 0))
    assert 0 < int(stays.sum()) < stays.numel()


def test_torchs_seed_decides():
    torch.manual_seed(4)
    first, second = draw_seed(), draw_seed()
    torch.manual_seed(4)
    assert [draw_seed(), draw_seed()] == [first, second] and first != second
