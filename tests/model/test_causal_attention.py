"""Attention over rows laid end to end against torch's, row by row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tunewright.model import causal_attention
from tunewright.model.causal_attention import Heads, attend, attend_backward, pack_rows


def turns(tokens: int, width: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    angles = torch.arange(tokens)[:, None] * 10 ** -torch.linspace(0, 3, width // 2)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def tensors(lengths, heads: Heads, *, seed: int = 1, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    wide, narrow = heads.keys * heads.per_key * heads.width, heads.keys * heads.width
    return [torch.randn(sum(lengths), w, generator=generator).to(dtype) for w in (wide, narrow, narrow, wide)]


def rotated(x_thw: torch.Tensor) -> torch.Tensor:
    cos, sin = (x.repeat(1, 2)[:, None] for x in turns(len(x_thw), x_thw.shape[-1]))
    first, second = x_thw.chunk(2, -1)
    return x_thw * cos + torch.cat([-second, first], -1) * sin


def row_by_row(q, k, v, lengths, heads: Heads) -> torch.Tensor:
    outputs = []
    for q_t, k_t, v_t in zip(*(x.split(list(lengths)) for x in (q, k, v)), strict=True):
        q_t, k_t, v_t = (x.view(len(x), -1, heads.width) for x in (q_t, k_t, v_t))
        q_h, k_h, v_h = (x.transpose(0, 1) for x in (rotated(q_t), rotated(k_t), v_t))
        out = functional.scaled_dot_product_attention(
            q_h, k_h, v_h, is_causal=True, scale=heads.scaling, enable_gqa=True
        )
        outputs.append(out.transpose(0, 1).flatten(1))
    return torch.cat(outputs)


def expected(lengths, heads, q, k, v, dout) -> list[torch.Tensor]:
    q, k, v = (x.clone().requires_grad_() for x in (q, k, v))
    out = row_by_row(q, k, v, lengths, heads)
    out.backward(dout)
    return [out.detach(), q.grad, k.grad, v.grad]


def seen(lengths, heads, q, k, v, dout) -> list[torch.Tensor]:
    packing = pack_rows(lengths, *turns(max(lengths), heads.width, q.dtype))
    out, needed = attend(q, k, v, packing, heads)
    return [out, *attend_backward(dout, needed, packing, heads)]


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=6),
    keys=st.integers(1, 3), per_key=st.integers(1, 3), width=st.sampled_from([2, 8, 16]), seed=st.integers(0, 9),
)  # fmt: skip
def test_values_and_gradients_are_those_of_each_row_alone(lengths, keys, per_key, width, seed):
    heads = Heads(keys, per_key, width, scaling=width**-0.5)
    given_ = tensors(lengths, heads, seed=seed)
    for one, other in zip(seen(lengths, heads, *given_), expected(lengths, heads, *given_), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("lengths", [(1100, 3), (600, 600)], ids=str)
def test_long_rows_whose_probabilities_are_computed_twice(lengths):
    heads = Heads(1, 2, 8, scaling=0.3)
    given_ = tensors(lengths, heads)
    for one, other in zip(seen(lengths, heads, *given_), expected(lengths, heads, *given_), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_probabilities_kept_and_computed_again_are_equal_to_the_bit(monkeypatch):
    heads, lengths = Heads(2, 2, 8, scaling=0.3), (130, 40, 130)
    given_ = tensors(lengths, heads)
    kept = seen(lengths, heads, *given_)
    monkeypatch.setattr(causal_attention, "_REMEMBERED", 0)
    assert all(torch.equal(one, other) for one, other in zip(seen(lengths, heads, *given_), kept, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_changing_one_row_leaves_the_others_as_they_are_to_the_bit(dtype):
    heads, lengths, changed = Heads(2, 2, 8, scaling=0.3), (70, 66, 128, 5, 68), 2
    given_ = tensors(lengths, heads, dtype=dtype)
    other = [x.clone() for x in given_]
    start = sum(lengths[:changed])
    part = slice(start, start + lengths[changed])
    for x in other:
        x[part] = torch.randn_like(x[part]) * 30
    untouched = torch.ones(sum(lengths), dtype=torch.bool)
    untouched[part] = False
    for one, two in zip(seen(lengths, heads, *given_), seen(lengths, heads, *other), strict=True):
        assert torch.equal(one[untouched], two[untouched])
        assert not torch.equal(one[part], two[part])


def test_rows_are_padded_to_whole_blocks_and_short_ones_have_few():
    packing = pack_rows([250, 10, 251, 256, 65, 40], *turns(256, 4))
    assert (packing.counts, packing.block) == ((6, 4, 3, 3), 64)
    assert packing.padded == (6 + 4 + 3 + 3) * 64


@pytest.mark.parametrize(("longest", "block", "blocks"), [(5, 5, 1), (63, 64, 1), (66, 36, 2), (4096, 256, 16)])
def test_blocks_cut_the_longest_row_evenly(longest, block, blocks):
    packing = pack_rows([longest, 1], *turns(longest, 2))
    assert (packing.block, len(packing.counts)) == (block, blocks)


def test_rows_of_equally_many_whole_blocks_are_not_moved():
    assert pack_rows([128, 128], *turns(128, 4)).place_of_n is None
    assert pack_rows([128, 127], *turns(128, 4)).place_of_n is not None


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_every_token_has_a_place_of_its_own(lengths):
    packing = pack_rows(lengths, *turns(max(lengths), 2))
    if packing.place_of_n is not None:
        assert len(set(packing.place_of_n.tolist())) == sum(lengths)
        assert packing.place_of_n.max() < packing.padded
    assert len(packing.cos) == len(packing.sin) == packing.tokens >= max(lengths)
