"""Causal attention over rows laid end to end. Knows queries, keys and values; must not know layers, weights or models.

The tokens of all rows are one matrix, and no row sees another: rows of like length are attended together, as a batch
of matrix products of their own. The queries of a row are cut into blocks, and a block is multiplied by the keys up to
its end only, so that little of what causality forbids is computed. Query heads that share a key head (Ainslie et al.
2023, arXiv:2305.13245) are stacked as one taller matrix, so keys and values are never repeated. On a CPU this is faster
than the library's kernel at every length, forward and backward.

Shapes: n tokens of all rows, s rows of a group, t tokens of its rows (padded to the longest), b tokens of a block,
j blocks (t = j b), k key heads, g query heads to a key head, h width of a head, a = s k, e keys that a block sees.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_aten = torch.ops.aten
_BLOCK = 64  # tokens; smaller blocks compute less of the upper triangle, but in products too small to be fast
_MOST_BLOCKS = 16
_REMEMBERED = 512  # tokens; probabilities of longer rows are computed again instead of kept, being quadratic


@dataclass(frozen=True, slots=True)
class Group:
    """Rows attended together: `rows` rows of `blocks * block` tokens, from `start` of the padded tokens."""

    start: int
    rows: int
    blocks: int
    block: int

    @property
    def tokens(self) -> int:
        return self.blocks * self.block

    @property
    def place(self) -> slice:
        return slice(self.start, self.start + self.rows * self.tokens)


@dataclass(frozen=True, slots=True)
class Packing:
    """Which tokens form rows, and how rows form groups.

    `token_of_p` is the token that stands at each padded place (padding: the row's first), `place_of_n` the padded place
    of each token; both are None where rows already lie as their groups do. `cos` and `sin` [t, h/2] turn positions.
    """

    groups: tuple[Group, ...]
    tokens: int
    padded: int
    token_of_p: Tensor | None
    place_of_n: Tensor | None
    cos: Tensor
    sin: Tensor


@dataclass(frozen=True, slots=True)
class Heads:
    """Key heads, query heads to each, their width, and what scores are multiplied by."""

    keys: int
    per_key: int
    width: int
    scaling: float


def pack_rows(lengths: Sequence[int], cos: Tensor, sin: Tensor) -> Packing:
    """The packing of rows of `lengths` tokens, in order, each at least 1; positions restart at every row.

    `cos` and `sin` [t, h/2], with t at least the longest row, are in the type of the vectors.
    """
    starts = [0, *itertools.accumulate(lengths)]
    members: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        members.setdefault(math.ceil(length / _BLOCK), []).append(row)
    groups: list[Group] = []
    tokens, places = [], torch.empty(starts[-1], dtype=torch.int64)
    padded = 0
    for wanted, rows in sorted(members.items()):
        longest = max(lengths[row] for row in rows)
        group = _group_of(longest, len(rows), blocks=min(wanted, _MOST_BLOCKS), start=padded)
        groups.append(group)
        for row in rows:
            tokens.append(torch.arange(starts[row], starts[row] + group.tokens).where(
                torch.arange(group.tokens) < lengths[row], torch.tensor(starts[row])
            ))  # fmt: skip
            places[starts[row] : starts[row + 1]] = torch.arange(padded, padded + lengths[row])
            padded += group.tokens
    in_place = padded == starts[-1] and torch.equal(places, torch.arange(padded))
    most = max((group.tokens for group in groups), default=0)
    cos, sin = (torch.nn.functional.pad(x, (0, 0, 0, max(0, most - len(x)))) for x in (cos, sin))
    return Packing(
        groups=tuple(groups),
        tokens=starts[-1],
        padded=padded,
        token_of_p=None if in_place else torch.cat(tokens).to(cos.device),
        place_of_n=None if in_place else places.to(cos.device),
        cos=cos,
        sin=sin,
    )


def _group_of(longest: int, rows: int, *, blocks: int, start: int) -> Group:
    """Blocks as even as may be; of more than 16 tokens they are multiples of 4, which products are fastest at."""
    block = math.ceil(longest / blocks)
    return Group(start, rows, blocks, block if block <= 16 else 4 * math.ceil(block / 4))


def attend(
    q_nd: Tensor, k_nd: Tensor, v_nd: Tensor, packing: Packing, heads: Heads
) -> tuple[Tensor, list[Tensor | None]]:
    """Attended values [n, k g h] of queries, keys [n, k h] and values before rotation, and what the gradient needs.

    What the gradient needs is, group by group: queries, keys, values by head, and the probabilities of each block (one
    None for rows whose probabilities are to be computed again).
    """
    q_pd, k_pd, v_pd = (_padded(x, packing) for x in (q_nd, k_nd, v_nd))
    out_pd = torch.empty_like(q_pd)
    needed: list[Tensor | None] = []
    for group in packing.groups:
        q, k, v = _by_head(q_pd, k_pd, v_pd, group, packing, heads)
        out = _query_blocks(out_pd, group, heads)
        kept: list[Tensor | None] = []
        for i in range(group.blocks):
            p_ate = _probabilities(q, k, i, group, heads)
            seen = v.flatten(0, 1)[:, : (i + 1) * group.block]
            out[:, :, i].copy_(torch.bmm(p_ate, seen).view(out[:, :, i].shape))
            kept.append(p_ate)
        needed += [q, k, v, *(kept if group.tokens <= _REMEMBERED else [None])]
    return _unpadded(out_pd, packing), needed


def attend_backward(
    dout_nd: Tensor, needed: Sequence[Tensor | None], packing: Packing, heads: Heads
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries [n, k g h], keys and values [n, k h] before rotation, from that of the attended values."""
    dout_pd = _padded_by_zeros(dout_nd, packing)
    dq_pd = torch.empty_like(dout_pd)
    dk_pd, dv_pd = (dout_pd.new_empty(packing.padded, heads.keys * heads.width) for _ in range(2))
    rest = iter(needed)
    for group in packing.groups:
        q, k, v = (_present(next(rest)) for _ in range(3))
        probabilities = _remembered(rest, q, k, group, heads)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        dout = _query_blocks(dout_pd, group, heads)
        for i, p_ate in probabilities:
            _block_backward(dout[:, :, i], p_ate, (q[:, :, i], k, v), (dq[:, :, i], dk, dv), last=i + 1 == group.blocks)
        cos, sin = _turns(packing, group, heads.scaling)
        _rotate(dq, _query_blocks(dq_pd, group, heads), cos, -sin)
        cos, sin = packing.cos[: group.tokens], packing.sin[: group.tokens]
        _rotate(dk, _keys(dk_pd, group, heads), cos, -sin)
        _keys(dv_pd, group, heads).copy_(dv)
    dq_nd, dk_nd, dv_nd = (_unpadded(x, packing) for x in (dq_pd, dk_pd, dv_pd))
    return dq_nd, dk_nd, dv_nd


def _block_backward(
    dout: Tensor, p_ate: Tensor, given: tuple[Tensor, Tensor, Tensor], into: tuple[Tensor, Tensor, Tensor], *,
    last: bool,
) -> None:  # fmt: skip
    """Gradients of one block of queries: written to `dq`, and added to those of the keys and values that it saw.

    The last block sees all keys and comes first, so it is written instead of added.
    """
    q, k, v = given
    dq, dk, dv = into
    e = p_ate.shape[-1]
    shape = (len(p_ate), -1, q.shape[-1])
    q_ath, dq_ath, dout_ath = q.view(shape), dq.view(shape), dout.reshape(shape)
    k_aeh, v_aeh, dk_aeh, dv_aeh = (x.flatten(0, 1)[:, :e] for x in (k, v, dk, dv))
    dp_ate = torch.bmm(dout_ath, v_aeh.transpose(1, 2))
    if last:
        torch.bmm(p_ate.transpose(1, 2), dout_ath, out=dv_aeh)
    else:
        dv_aeh.baddbmm_(p_ate.transpose(1, 2), dout_ath)
    dscores_ate = _aten._softmax_backward_data.out(dp_ate, p_ate, -1, p_ate.dtype, grad_input=dp_ate)
    torch.bmm(dscores_ate, k_aeh, out=dq_ath)
    if last:
        torch.bmm(dscores_ate.transpose(1, 2), q_ath, out=dk_aeh)
    else:
        dk_aeh.baddbmm_(dscores_ate.transpose(1, 2), q_ath)


def _remembered(
    rest: Iterator[Tensor | None], q: Tensor, k: Tensor, group: Group, heads: Heads
) -> Iterator[tuple[int, Tensor]]:
    """Each block's number and probabilities, the last block first."""
    first = next(rest)
    kept = [first, *(next(rest) for _ in range(group.blocks - 1))] if first is not None else None
    for i in reversed(range(group.blocks)):
        yield i, _present(kept[i]) if kept is not None else _probabilities(q, k, i, group, heads)


def _probabilities(q: Tensor, k: Tensor, i: int, group: Group, heads: Heads) -> Tensor:
    """Attention probabilities [a, g b, e] of the queries of block i."""
    e, b = (i + 1) * group.block, group.block
    k_aeh = k.flatten(0, 1)[:, :e]
    p_ate = torch.bmm(q[:, :, i].view(len(k_aeh), -1, k.shape[-1]), k_aeh.transpose(1, 2))
    p_ate.view(len(p_ate), heads.per_key, b, e)[..., i * b :].add_(_later(b, like=p_ate))
    return _aten._softmax.out(p_ate, -1, False, out=p_ate)


def _later(b: int, *, like: Tensor) -> Tensor:
    """−inf where a key comes later than the query, else 0; [b, b]."""
    return torch.full((b, b), -torch.inf, dtype=like.dtype, device=like.device).triu_(1)


def _by_head(
    q_pd: Tensor, k_pd: Tensor, v_pd: Tensor, group: Group, packing: Packing, heads: Heads
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated and scaled queries [s, k, j, g, b, h], rotated keys and values [s, k, t, h], each contiguous."""
    s, t, h = group.rows, group.tokens, heads.width
    q = q_pd.new_empty(s, heads.keys, group.blocks, heads.per_key, group.block, h)
    k, v = q_pd.new_empty(s, heads.keys, t, h), q_pd.new_empty(s, heads.keys, t, h)
    cos, sin = _turns(packing, group, heads.scaling)
    _rotate(_query_blocks(q_pd, group, heads), q, cos, sin)
    _rotate(_keys(k_pd, group, heads), k, packing.cos[:t], packing.sin[:t])
    return q, k, v.copy_(_keys(v_pd, group, heads))


def _query_blocks(x_pd: Tensor, group: Group, heads: Heads) -> Tensor:
    """A view of the group's part of `x_pd` as [s, k, j, g, b, h]."""
    shape = (group.rows, group.blocks, group.block, heads.keys, heads.per_key, heads.width)
    return x_pd[group.place].view(shape).permute(0, 3, 1, 4, 2, 5)


def _keys(x_pd: Tensor, group: Group, heads: Heads) -> Tensor:
    """A view of the group's part of `x_pd` as [s, k, t, h]."""
    return x_pd[group.place].view(group.rows, group.tokens, heads.keys, heads.width).transpose(1, 2)


def _turns(packing: Packing, group: Group, scaling: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines for queries by block [j, 1, b, h/2], with the scaling of scores in them."""
    shape = (group.blocks, 1, group.block, -1)
    return packing.cos[: group.tokens].mul(scaling).view(shape), packing.sin[: group.tokens].mul(scaling).view(shape)


def _rotate(x: Tensor, out: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Rotary position embedding (Su et al. 2021, arXiv:2104.09864) of pairs half a head apart; −`sin` turns back."""
    first, second = x.chunk(2, -1)
    out_first, out_second = out.chunk(2, -1)
    torch.mul(first, cos, out=out_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out_second).addcmul_(first, sin)


def _padded(x_nd: Tensor, packing: Packing) -> Tensor:
    return x_nd if packing.token_of_p is None else x_nd.index_select(0, packing.token_of_p)


def _padded_by_zeros(x_nd: Tensor, packing: Packing) -> Tensor:
    if packing.place_of_n is None:
        return x_nd
    return x_nd.new_zeros(packing.padded, x_nd.shape[1]).index_copy_(0, packing.place_of_n, x_nd)


def _unpadded(x_pd: Tensor, packing: Packing) -> Tensor:
    return x_pd if packing.place_of_n is None else x_pd.index_select(0, packing.place_of_n)


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
