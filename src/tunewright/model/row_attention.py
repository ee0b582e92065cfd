"""Attention among rows laid end to end, by a bias and with dropout. Knows queries, keys, values; must not know layers.

The tokens of all rows are one matrix, and the queries of a row see the keys of the same row: of its own tokens, or of
another side (a target sees its source). Rows are padded by a few tokens, because matrix products of a shape that was
seen before are ready made, and worked on one after the other, those of one shape together while their probabilities
fit the cache. What is added to the scores says who sees whom (minus infinity where one does not) and how far apart
they are (Raffel et al. 2020, arXiv:1910.10683, section 2.1); scores are not scaled.

Shapes: n and m tokens of all rows, p tokens of rows as padded, c rows of a group, q queries and e keys of its rows,
h heads, w width of a head, d = h w, a = c h.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunewright.model.seeded_dropout import Dice, drop_marked_, mark_

_aten = torch.ops.aten
_STEP = 16  # tokens to a multiple of which a row is padded
_TOGETHER = 1 << 20  # probabilities of the rows of a group: 2 MB in bfloat16


@dataclass(frozen=True, slots=True)
class Side:
    """Rows of tokens: their lengths and padded lengths in the order in which they are worked on, where each starts, and
    the padded place of every token of the rows as they were given."""

    lengths: tuple[int, ...]
    padded: tuple[int, ...]
    starts: tuple[int, ...]
    place_of_n: Tensor

    @property
    def longest(self) -> int:
        """Tokens of the longest row, padded."""
        return max(self.padded)

    def spread(self, x_nd: Tensor) -> Tensor:
        """[p, d] with 0 in between."""
        return x_nd.new_zeros(self.starts[-1], x_nd.shape[1]).index_copy_(0, self.place_of_n, x_nd)

    def gathered(self, x_pd: Tensor) -> Tensor:
        """[n, d] again."""
        return x_pd.index_select(0, self.place_of_n)


@dataclass(frozen=True, slots=True)
class Group:
    """`count` rows next to each other of the same padded lengths: their places, and how many keys are no padding."""

    count: int
    queries: slice
    keys: slice
    seen: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """Who sees whom: two sides (or one twice), in groups."""

    queries: Side
    keys: Side
    groups: tuple[Group, ...]
    heads: int


def order_of(*lengths: Sequence[int]) -> list[int]:
    """An order of rows in which those of like padded lengths, on each side, stand together."""
    return sorted(range(len(lengths[0])), key=lambda row: [_padded(side[row]) for side in lengths])


def lay_rows(lengths: Sequence[int], order: Sequence[int]) -> Side:
    """The side of rows of `lengths` tokens, each at least 1, that are worked on in `order`."""
    ordered = [lengths[row] for row in order]
    starts = [0, *itertools.accumulate(_padded(length) for length in ordered)]
    start_of_row = dict(zip(order, starts[:-1], strict=True))
    places = [torch.arange(start_of_row[row], start_of_row[row] + length) for row, length in enumerate(lengths)]
    return Side(tuple(ordered), tuple(map(_padded, ordered)), tuple(starts), torch.cat(places))


def look(queries: Side, keys: Side, heads: int) -> Sight:
    """Rows of `queries`, each at the row of `keys` in the same place of the order."""
    groups: list[Group] = []
    rows = len(queries.padded)
    start = 0
    while start < rows:
        shape = queries.padded[start], keys.padded[start]
        most = max(1, _TOGETHER // (heads * math.prod(shape)))
        stop = start + 1
        while stop < min(rows, start + most) and (queries.padded[stop], keys.padded[stop]) == shape:
            stop += 1
        places = [slice(side.starts[start], side.starts[stop]) for side in (queries, keys)]
        groups.append(Group(stop - start, *places, seen=keys.lengths[start:stop]))
        start = stop
    return Sight(queries, keys, tuple(groups), heads)


def attend(
    q_nd: Tensor, k_md: Tensor, v_md: Tensor, sight: Sight, bias_hqe: Tensor | None, *, dropout: float, seed: int
) -> tuple[Tensor, list[Tensor]]:
    """Attended values [n, d], and what the gradient needs: of each group queries, keys and values [a, ., w] and
    probabilities [a, q, e], those that were dropped with a minus sign.

    `bias_hqe`, in the type of the queries, has at least the longest queries and keys.
    """
    q_pd, k_pd, v_pd = sight.queries.spread(q_nd), sight.keys.spread(k_md), sight.keys.spread(v_md)
    out_pd = torch.empty_like(q_pd)
    needed: list[Tensor] = []
    dice = Dice(seed)
    for group in sight.groups:
        q, k, v = (
            _by_head(x, place, group, sight)
            for x, place in ((q_pd, group.queries), (k_pd, group.keys), (v_pd, group.keys))
        )
        p_aqe = _probabilities(q, k, bias_hqe, group)
        if dropout:
            mark_(p_aqe, dropout, dice)
        _put(torch.bmm(p_aqe.relu() if dropout else p_aqe, v), out_pd, group.queries, group)
        needed += [q, k, v, p_aqe]
    out_nd = sight.queries.gathered(out_pd)
    return out_nd.mul_(1 / (1 - dropout)) if dropout else out_nd, needed


def attend_backward(
    dout_nd: Tensor, needed: Sequence[Tensor], sight: Sight, *, dropout: float, dbias_hqe: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries [n, d], keys and values [m, d], from that of the attended values.

    That of the bias is added to `dbias_hqe` where it is given.
    """
    dout_pd = sight.queries.spread(dout_nd * (1 / (1 - dropout)) if dropout else dout_nd)
    dq_pd = torch.empty_like(dout_pd)
    dk_pd, dv_pd = (dout_pd.new_empty(sight.keys.starts[-1], dout_pd.shape[1]) for _ in range(2))
    for i, group in enumerate(sight.groups):
        q, k, v, p_aqe = needed[4 * i : 4 * i + 4]
        dout = _by_head(dout_pd, group.queries, group, sight)
        dp_aqe = torch.bmm(dout, v.transpose(1, 2))
        _put(torch.bmm((p_aqe.relu() if dropout else p_aqe).transpose(1, 2), dout), dv_pd, group.keys, group)
        if dropout:
            drop_marked_(dp_aqe, p_aqe)
            p_aqe = p_aqe.abs()
        dscores = _aten._softmax_backward_data.out(dp_aqe, p_aqe, -1, p_aqe.dtype, grad_input=dp_aqe)
        if dbias_hqe is not None:
            by_row = dscores.view(group.count, sight.heads, *dscores.shape[1:])
            dbias_hqe[:, : by_row.shape[2], : by_row.shape[3]] += by_row.sum(0, dtype=dbias_hqe.dtype)
        _put(torch.bmm(dscores, k), dq_pd, group.queries, group)
        _put(torch.bmm(dscores.transpose(1, 2), q), dk_pd, group.keys, group)
    return sight.queries.gathered(dq_pd), sight.keys.gathered(dk_pd), sight.keys.gathered(dv_pd)


def _probabilities(q: Tensor, k: Tensor, bias_hqe: Tensor | None, group: Group) -> Tensor:
    """Attention probabilities [a, q, e]; keys that pad a row have none."""
    if bias_hqe is None:
        p_aqe = torch.bmm(q, k.transpose(1, 2))
    else:
        bias = bias_hqe[:, : q.shape[1], : k.shape[1]]
        bias = bias if group.count == 1 else bias.repeat(group.count, 1, 1)
        p_aqe = torch.baddbmm(bias, q, k.transpose(1, 2))
    by_row = p_aqe.view(group.count, -1, *p_aqe.shape[1:])
    for row, keys in enumerate(group.seen):
        if keys < k.shape[1]:
            by_row[row, ..., keys:] = -torch.inf
    return _aten._softmax.out(p_aqe, -1, False, out=p_aqe)


def _by_head(x_pd: Tensor, place: slice, group: Group, sight: Sight) -> Tensor:
    """The group's part of a side, [a, ., w], in memory of its own."""
    part = x_pd[place].view(group.count, -1, sight.heads, x_pd.shape[1] // sight.heads)
    return part.transpose(1, 2).contiguous().view(-1, part.shape[1], part.shape[3])


def _put(x_abw: Tensor, into_pd: Tensor, place: slice, group: Group) -> None:
    """Writes a group's part back to its place."""
    heads = len(x_abw) // group.count
    into = into_pd[place].view(group.count, -1, heads, x_abw.shape[2])
    into.copy_(x_abw.view(group.count, heads, -1, x_abw.shape[2]).transpose(1, 2))


def _padded(length: int) -> int:
    return _STEP * math.ceil(length / _STEP)
