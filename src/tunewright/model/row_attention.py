"""Attention among rows laid end to end, by a bias and with dropout. Knows queries, keys, values; must not know layers.

The tokens of all rows are one matrix, and the queries of a row see the keys of the same row: of its own tokens, or of
another side (a target sees its source). Rows are padded by a few tokens, because matrix products of a shape that was
seen before are ready made, and worked on one after the other, those of one shape together while their probabilities
fit the cache. What is added to the scores says who sees whom (minus infinity where one does not) and how far apart
they are (Raffel et al. 2020, arXiv:1910.10683, section 2.1); scores are not scaled.

Shapes: n and m tokens of all rows, c rows of a group, q queries and e keys of each, padded, h heads, w width of a head,
d = h w, a = c h.
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
class Places:
    """Where rows of a group stand among all tokens, and to how many tokens each is padded."""

    rows: tuple[slice, ...]
    padded: int

    def by_head(self, x_nd: Tensor, heads: int) -> Tensor:
        """The rows' vectors, [a, padded, w], with 0 where they are padded."""
        x_chtw = x_nd.new_empty(len(self.rows), heads, self.padded, x_nd.shape[1] // heads)
        for into, row in zip(x_chtw, self.rows, strict=True):
            length = row.stop - row.start
            into[:, :length] = x_nd[row].view(length, heads, -1).transpose(0, 1)
            into[:, length:] = 0
        return x_chtw.flatten(0, 1)

    def put(self, x_atw: Tensor, into_nd: Tensor) -> None:
        """Writes what stands where no row is padded back to its place."""
        x_chtw = x_atw.view(len(self.rows), -1, *x_atw.shape[1:])
        for x_htw, row in zip(x_chtw, self.rows, strict=True):
            length = row.stop - row.start
            into_nd[row].view(length, len(x_htw), -1).copy_(x_htw[:, :length].transpose(0, 1))


@dataclass(frozen=True, slots=True)
class Sight:
    """Who sees whom: groups of rows of one shape, of each its queries and its keys."""

    groups: tuple[tuple[Places, Places], ...]
    heads: int


def look(queries: Sequence[int], keys: Sequence[int], heads: int) -> Sight:
    """Rows of `queries` tokens, end to end, each of which sees the row of `keys` in the same place; all at least 1."""
    assert len(queries) == len(keys) and min(*queries, *keys) > 0, "every row has queries and keys"
    places = list(zip(_places(queries), _places(keys), strict=True))
    by_shape: dict[tuple[int, int], list[tuple[slice, slice]]] = {}
    for place in places:
        by_shape.setdefault((_padded(place[0]), _padded(place[1])), []).append(place)
    groups = []
    for (q, e), rows in by_shape.items():
        together = max(1, _TOGETHER // (heads * q * e))
        for start in range(0, len(rows), together):
            of_queries, of_keys = zip(*rows[start : start + together], strict=True)
            groups.append((Places(of_queries, q), Places(of_keys, e)))
    return Sight(tuple(groups), heads)


def attend(
    q_nd: Tensor, k_md: Tensor, v_md: Tensor, sight: Sight, bias_hqe: Tensor | None, *, dropout: float, seed: int
) -> tuple[Tensor, list[Tensor]]:
    """Attended values [n, d], and what the gradient needs: of each group queries, keys and values [a, ., w] and
    probabilities [a, q, e], those that were dropped with a minus sign.

    `bias_hqe`, in the type of the queries, has at least the longest queries and keys, padded (see `longest`).
    """
    out_nd = torch.empty_like(q_nd)
    needed: list[Tensor] = []
    dice = Dice(seed)
    for of_queries, of_keys in sight.groups:
        q = of_queries.by_head(q_nd, sight.heads)
        k, v = (of_keys.by_head(x, sight.heads) for x in (k_md, v_md))
        p_aqe = _probabilities(q, k, bias_hqe, of_keys)
        if dropout:
            mark_(p_aqe, dropout, dice)
        of_queries.put(torch.bmm(p_aqe.relu() if dropout else p_aqe, v), out_nd)
        needed += [q, k, v, p_aqe]
    return out_nd.mul_(1 / (1 - dropout)) if dropout else out_nd, needed


def attend_backward(
    dout_nd: Tensor, needed: Sequence[Tensor], sight: Sight, *, dropout: float, keys: int,
    dbias_hqe: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of queries [n, d] and of the `keys` keys and values [m, d], from that of the attended values.

    That of the bias is added to `dbias_hqe` where it is given.
    """
    dout_nd = dout_nd * (1 / (1 - dropout)) if dropout else dout_nd
    dq_nd = torch.empty_like(dout_nd)
    dk_md, dv_md = (dout_nd.new_empty(keys, dout_nd.shape[1]) for _ in range(2))
    for i, (of_queries, of_keys) in enumerate(sight.groups):
        q, k, v, p_aqe = needed[4 * i : 4 * i + 4]
        dout = of_queries.by_head(dout_nd, sight.heads)
        dp_aqe = torch.bmm(dout, v.transpose(1, 2))
        of_keys.put(torch.bmm((p_aqe.relu() if dropout else p_aqe).transpose(1, 2), dout), dv_md)
        if dropout:
            drop_marked_(dp_aqe, p_aqe)
            p_aqe = p_aqe.abs()
        dscores = _aten._softmax_backward_data.out(dp_aqe, p_aqe, -1, p_aqe.dtype, grad_input=dp_aqe)
        if dbias_hqe is not None:
            by_row = dscores.view(-1, sight.heads, *dscores.shape[1:])
            dbias_hqe[:, : by_row.shape[2], : by_row.shape[3]] += by_row.sum(0, dtype=dbias_hqe.dtype)
        of_queries.put(torch.bmm(dscores, k), dq_nd)
        of_keys.put(torch.bmm(dscores.transpose(1, 2), q), dk_md)
    return dq_nd, dk_md, dv_md


def longest(lengths: Sequence[int]) -> int:
    """Tokens of the longest row, padded."""
    return _padded(slice(0, max(lengths)))


def _probabilities(q: Tensor, k: Tensor, bias_hqe: Tensor | None, keys: Places) -> Tensor:
    """Attention probabilities [a, q, e]; keys that pad a row have none."""
    if bias_hqe is None:
        p_aqe = torch.bmm(q, k.transpose(1, 2))
    else:
        bias = bias_hqe[:, : q.shape[1], : k.shape[1]]
        bias = bias if len(keys.rows) == 1 else bias.repeat(len(keys.rows), 1, 1)
        p_aqe = torch.baddbmm(bias, q, k.transpose(1, 2))
    for of_row, row in zip(p_aqe.view(len(keys.rows), -1, *p_aqe.shape[1:]), keys.rows, strict=True):
        of_row[..., row.stop - row.start :] = -torch.inf
    return _aten._softmax.out(p_aqe, -1, False, out=p_aqe)


def _places(lengths: Sequence[int]) -> list[slice]:
    return [slice(stop - length, stop) for length, stop in zip(lengths, itertools.accumulate(lengths), strict=True)]


def _padded(row: slice) -> int:
    return _STEP * math.ceil((row.stop - row.start) / _STEP)
