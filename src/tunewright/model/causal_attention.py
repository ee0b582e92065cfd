"""Causal attention over rows laid end to end. Knows queries, keys and values; must not know layers, weights or models.

The tokens of all rows are one matrix, and no row sees another. Rows are cut into blocks of tokens; the queries of the
i-th block of all rows that are so long are attended together, as one batch of matrix products with the keys up to the
end of that block. So short rows cost nothing where long ones still have tokens, and little of what causality forbids
is computed. Query heads that share a key head (Ainslie et al. 2023, arXiv:2305.13245) are stacked as one taller matrix,
so keys and values are never repeated. On a CPU this is faster than the library's kernel at every length, forward and
backward.

Shapes: n tokens of all rows, p the same with rows padded to whole blocks, s rows, c rows that have a block, b tokens of
a block, t tokens of the longest row in whole blocks, k key heads, g query heads to a key head, h width of a head,
a = c k, q = g b, e keys that a block sees.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_aten = torch.ops.aten
_BLOCK = 64  # tokens; smaller blocks compute less of the upper triangle, but in products too small to be fast
_MOST_BLOCKS = 16
_REMEMBERED = 512  # keys; probabilities over more of them are computed again instead of kept, being quadratic


@dataclass(frozen=True, slots=True)
class Packing:
    """Which tokens form rows, and how rows are cut into blocks.

    `counts[i]` rows have an i-th block of `block` tokens; padded tokens lie block by block, in each the rows from the
    one of most blocks on. `place_of_n` is the padded place of each token; None where all rows are whole blocks and
    equally many, and tokens stay where they are. `cos` and `sin` [t, h/2] turn positions.
    """

    counts: tuple[int, ...]
    block: int
    place_of_n: Tensor | None
    cos: Tensor
    sin: Tensor

    @property
    def tokens(self) -> int:
        """Tokens of the longest row, in whole blocks."""
        return self.block * len(self.counts)

    @property
    def padded(self) -> int:
        """Tokens of all rows, each in whole blocks."""
        return self.block * sum(self.counts)

    def keys_of(self, i: int) -> slice:
        """The positions of block i in its rows."""
        return slice(i * self.block, (i + 1) * self.block)

    def part(self, x_pd: Tensor, i: int) -> Tensor:
        """A view of block i of all rows that have it, [c, b, d]."""
        if self.place_of_n is None:
            return x_pd.view(self.counts[i], len(self.counts), self.block, -1)[:, i]
        start = self.block * sum(self.counts[:i])
        return x_pd[start : start + self.block * self.counts[i]].view(self.counts[i], self.block, -1)


@dataclass(frozen=True, slots=True)
class Heads:
    """Key heads, query heads to each, their width, and what scores are multiplied by."""

    keys: int
    per_key: int
    width: int
    scaling: float


@dataclass(frozen=True, slots=True)
class Attended:
    """What the gradient needs: of each block rotated queries [c, k, g, b, h] and probabilities [a, q, e] (None where
    they are to be computed again), and rotated keys and values [s, k, t, h]."""

    queries: tuple[Tensor, ...]
    probabilities: tuple[Tensor | None, ...]
    keys: Tensor
    values: Tensor

    def tensors(self) -> list[Tensor | None]:
        return [self.keys, self.values, *self.queries, *self.probabilities]

    @classmethod
    def of(cls, tensors: Sequence[Tensor | None]) -> Attended:
        keys, values, *rest = tensors
        assert keys is not None and values is not None
        blocks = len(rest) // 2
        queries = tuple(tensor for tensor in rest[:blocks] if tensor is not None)
        return cls(queries, tuple(rest[blocks:]), keys, values)


def pack_rows(lengths: Sequence[int], cos: Tensor, sin: Tensor) -> Packing:
    """The packing of rows of `lengths` tokens, in order, each at least 1; positions restart at every row.

    `cos` and `sin` [t, h/2], with t at least the longest row, are in the type of the vectors.
    """
    block = _block_of(max(lengths))
    blocks = [math.ceil(length / block) for length in lengths]
    counts = tuple(sum(of_row > i for of_row in blocks) for i in range(max(blocks)))
    starts = torch.tensor([0, *itertools.accumulate(count * block for count in counts)])
    places = []
    ranks = {row: rank for rank, row in enumerate(sorted(range(len(lengths)), key=lambda row: -blocks[row]))}
    for row, length in enumerate(lengths):
        positions = torch.arange(length)
        places.append(starts[positions // block] + ranks[row] * block + positions % block)
    whole = all(length == block * len(counts) for length in lengths)
    missing = max(0, block * len(counts) - len(cos))
    return Packing(
        counts=counts,
        block=block,
        place_of_n=None if whole else torch.cat(places).to(cos.device),
        cos=torch.nn.functional.pad(cos, (0, 0, 0, missing)),
        sin=torch.nn.functional.pad(sin, (0, 0, 0, missing)),
    )


def _block_of(longest: int) -> int:
    """Blocks cut the longest row evenly; of more than 16 tokens they are multiples of 4, at which products are fast."""
    blocks = min(_MOST_BLOCKS, math.ceil(longest / _BLOCK))
    block = math.ceil(longest / blocks)
    return block if block <= 16 else 4 * math.ceil(block / 4)


def attend(q_nd: Tensor, k_nd: Tensor, v_nd: Tensor, packing: Packing, heads: Heads) -> tuple[Tensor, Attended]:
    """Attended values [n, k g h] of queries, and of keys and values [n, k h], before rotation."""
    q_pd, k_pd, v_pd = (_padded(x, packing) for x in (q_nd, k_nd, v_nd))
    out_pd = torch.empty_like(q_pd)
    shape = (packing.counts[0], heads.keys, packing.tokens, heads.width)
    keys, values = k_nd.new_empty(shape), k_nd.new_empty(shape)
    queries, kept = [], []
    for i, count in enumerate(packing.counts):
        place = packing.keys_of(i)
        cos, sin = packing.cos[place], packing.sin[place]
        raw = _by_query(packing.part(q_pd, i), heads)
        query = q_pd.new_empty(raw.shape)
        _rotate(raw, query, cos * heads.scaling, sin * heads.scaling)
        _rotate(_by_key(packing.part(k_pd, i), heads), keys[:count, :, place], cos, sin)
        values[:count, :, place] = _by_key(packing.part(v_pd, i), heads)
        p_aqe = _probabilities(query, keys, i, packing)
        out = torch.bmm(p_aqe, _seen(values, i, packing))
        _by_query(packing.part(out_pd, i), heads).copy_(out.view(query.shape))
        queries.append(query)
        kept.append(p_aqe if place.stop <= _REMEMBERED else None)
    return _unpadded(out_pd, packing), Attended(tuple(queries), tuple(kept), keys, values)


def attend_backward(
    dout_nd: Tensor, attended: Attended, packing: Packing, heads: Heads
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries [n, k g h], keys and values [n, k h] before rotation, from that of the attended values.

    From the last block to the first: a block of keys is seen by its own queries and by those of later blocks.
    """
    dout_pd = _padded(dout_nd, packing)
    dq_pd = torch.empty_like(dout_pd)
    dk_pd, dv_pd = (dout_pd.new_empty(len(dout_pd), heads.keys * heads.width) for _ in range(2))
    keys, values = attended.keys, attended.values
    dkeys, dvalues = torch.zeros_like(keys), torch.zeros_like(values)
    for i, count in reversed(tuple(enumerate(packing.counts))):
        query, p_aqe = attended.queries[i], attended.probabilities[i]
        if p_aqe is None:
            p_aqe = _probabilities(query, keys, i, packing)
        dout_aqh = _by_query(packing.part(dout_pd, i), heads).reshape(len(p_aqe), -1, heads.width)
        dp_aqe = torch.bmm(dout_aqh, _seen(values, i, packing).transpose(1, 2))
        _seen(dvalues, i, packing).baddbmm_(p_aqe.transpose(1, 2), dout_aqh)
        dscores_aqe = _aten._softmax_backward_data.out(dp_aqe, p_aqe, -1, p_aqe.dtype, grad_input=dp_aqe)
        dquery = torch.bmm(dscores_aqe, _seen(keys, i, packing))
        _seen(dkeys, i, packing).baddbmm_(dscores_aqe.transpose(1, 2), query.view(dout_aqh.shape))
        place = packing.keys_of(i)
        cos, sin = packing.cos[place], -packing.sin[place]
        into = _by_query(packing.part(dq_pd, i), heads)
        _rotate(dquery.view(query.shape), into, cos * heads.scaling, sin * heads.scaling)
        _rotate(dkeys[:count, :, place], _by_key(packing.part(dk_pd, i), heads), cos, sin)
        _by_key(packing.part(dv_pd, i), heads).copy_(dvalues[:count, :, place])
    return _unpadded(dq_pd, packing), _unpadded(dk_pd, packing), _unpadded(dv_pd, packing)


def _probabilities(query: Tensor, keys: Tensor, i: int, packing: Packing) -> Tensor:
    """Attention probabilities [a, q, e] of the queries of block i."""
    seen_aeh = _seen(keys, i, packing)
    p_aqe = torch.bmm(query.view(len(seen_aeh), -1, query.shape[-1]), seen_aeh.transpose(1, 2))
    later_bb = torch.full((packing.block, packing.block), -torch.inf, dtype=p_aqe.dtype, device=p_aqe.device).triu_(1)
    p_aqe.view(len(p_aqe), -1, packing.block, p_aqe.shape[-1])[..., packing.keys_of(i)].add_(later_bb)
    return _aten._softmax.out(p_aqe, -1, False, out=p_aqe)


def _seen(x_skth: Tensor, i: int, packing: Packing) -> Tensor:
    """A view of the keys or values that the queries of block i see, [a, e, h]."""
    return x_skth.flatten(0, 1)[: packing.counts[i] * x_skth.shape[1], : packing.keys_of(i).stop]


def _by_query(x_cbd: Tensor, heads: Heads) -> Tensor:
    """A view as [c, k, g, b, h]."""
    return x_cbd.unflatten(2, (heads.keys, heads.per_key, heads.width)).permute(0, 2, 3, 1, 4)


def _by_key(x_cbd: Tensor, heads: Heads) -> Tensor:
    """A view as [c, k, b, h]."""
    return x_cbd.unflatten(2, (heads.keys, heads.width)).transpose(1, 2)


def _rotate(x: Tensor, out: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Rotary position embedding (Su et al. 2021, arXiv:2104.09864) of pairs half a head apart; −`sin` turns back."""
    first, second = x.chunk(2, -1)
    out_first, out_second = out.chunk(2, -1)
    torch.mul(first, cos, out=out_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out_second).addcmul_(first, sin)


def _padded(x_nd: Tensor, packing: Packing) -> Tensor:
    if packing.place_of_n is None:
        return x_nd
    return x_nd.new_zeros(packing.padded, x_nd.shape[1]).index_copy_(0, packing.place_of_n, x_nd)


def _unpadded(x_pd: Tensor, packing: Packing) -> Tensor:
    return x_pd if packing.place_of_n is None else x_pd.index_select(0, packing.place_of_n)
