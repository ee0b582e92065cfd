"""Dropout by a seed: which numbers are dropped can be drawn again. Knows one tensor; must not know layers or models.

Torch draws a number an element, one after the other: 7 ns each, in a layer with dropout a fifth of its time. Here 16
random bits an element come from SFC64 (Doty-Humphrey, PractRand), and all that follows is done on the bits of the
numbers. A mask that the backward pass needs is drawn again from its seed, or marked in the sign of probabilities, which
have none of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Dice = np.random.SFC64
_INTEGER = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def draw_seed() -> int:
    """A seed from torch's own generator, so that `torch.manual_seed` and resumed runs decide it."""
    return int(torch.randint(2**62, ()))


def dropped(shape: Sequence[int], p: float, dice: Dice) -> Tensor:
    """int16: all bits set where an element is dropped, with probability round(32768 p) / 32768; none where it stays."""
    elements = math.prod(shape)
    words = torch.from_numpy(dice.random_raw((elements + 3) // 4).view(np.int64))
    bits = words.view(torch.int16)[:elements].view(tuple(shape))
    return bits.bitwise_and_(0x7FFF).sub_(round(p * 32768)).bitwise_right_shift_(15)


def drop_(x: Tensor, p: float, seed: int) -> Tensor:
    """`x` with 0 where the mask of `seed` drops, in place and not scaled: what remains is 1 / (1 - p) times too small.

    The same seed drops the same elements again: of a gradient, those of its value.
    """
    return _clear_(x, dropped(x.shape, p, Dice(seed)).bitwise_not_()) if p else x


def mark_(p_aqe: Tensor, p: float, dice: Dice) -> Tensor:
    """Numbers >= 0 with a minus sign where they are dropped, in place."""
    lowest = torch.iinfo(_integer(p_aqe)).min
    signs = dropped(p_aqe.shape, p, dice).to(_integer(p_aqe)).bitwise_and_(lowest)
    p_aqe.view(signs.dtype).bitwise_or_(signs)
    return p_aqe


def drop_marked_(x: Tensor, marked: Tensor) -> Tensor:
    """`x` with 0 where `marked` has a minus sign, in place."""
    return _clear_(x, marked.view(_integer(x)).bitwise_right_shift(8 * x.element_size() - 1).bitwise_not_())


def _clear_(x: Tensor, mask: Tensor) -> Tensor:
    x.view(_integer(x)).bitwise_and_(mask.to(_integer(x)))
    return x


def _integer(x: Tensor) -> torch.dtype:
    return _INTEGER[x.element_size()]
