"""Attention among rows laid end to end against plain attention, row by row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.model import row_attention
from tunewright.model.row_attention import attend, attend_backward, longest, look

HEADS, WIDTH = 3, 4


def tensors(queries, keys, *, seed: int = 1, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = (sum(queries), sum(keys), sum(keys), sum(queries))
    return [torch.randn(n, HEADS * WIDTH, generator=generator).to(dtype) for n in tokens]


def bias_for(queries, keys, *, causal: bool = False) -> torch.Tensor:
    shape = HEADS, longest(queries), longest(keys)
    bias = torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return bias.masked_fill(torch.ones(shape[1:]).bool().triu_(1), -torch.inf) if causal else bias


def row_by_row(q, k, v, queries, keys, bias=None) -> torch.Tensor:
    outputs = []
    for q_t, k_t, v_t in zip(q.split(list(queries)), k.split(list(keys)), v.split(list(keys)), strict=True):
        q_t, k_t, v_t = (x.view(len(x), HEADS, WIDTH).transpose(0, 1) for x in (q_t, k_t, v_t))
        scores = q_t @ k_t.transpose(1, 2)
        scores = scores if bias is None else scores + bias[:, : scores.shape[1], : scores.shape[2]]
        outputs.append((scores.softmax(-1) @ v_t).transpose(0, 1).flatten(1))
    return torch.cat(outputs)


def expected(queries, keys, q, k, v, dout, bias=None) -> list[torch.Tensor | None]:
    given = [x.clone().requires_grad_() for x in (q, k, v)]
    bias = None if bias is None else bias.clone().requires_grad_()
    out = row_by_row(*given, queries, keys, bias)
    out.backward(dout)
    return [out.detach(), *(x.grad for x in given), None if bias is None else bias.grad]


def seen(queries, keys, q, k, v, dout, bias=None) -> list[torch.Tensor | None]:
    sight = look(queries, keys, HEADS)
    out, needed = attend(q, k, v, sight, bias, dropout=0.0, seed=0)
    dbias = None if bias is None else torch.zeros_like(bias)
    back = attend_backward(dout, needed, sight, dropout=0.0, keys=len(k), dbias_hqe=dbias)
    return [out, *back, dbias]


def assert_close(one, other) -> None:
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


LENGTHS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=7)


@settings(max_examples=40, deadline=None)
@given(pairs=LENGTHS, together=st.sampled_from([1, 2000, 1 << 20]))
def test_rows_that_see_other_rows_are_as_one_by_one(pairs, together):
    queries, keys = zip(*pairs, strict=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_attention, "_TOGETHER", together)
        given = tensors(queries, keys)
        assert_close(seen(queries, keys, *given), expected(queries, keys, *given))


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=7), causal=st.booleans())
def test_rows_that_see_themselves_by_a_bias_are_as_one_by_one(lengths, causal):
    given, bias = tensors(lengths, lengths), bias_for(lengths, lengths, causal=causal)
    assert_close(seen(lengths, lengths, *given, bias), expected(lengths, lengths, *given, bias))


def test_rows_of_one_shape_are_worked_on_together_while_they_fit(monkeypatch):
    lengths = (10, 33, 16, 3, 40)
    assert [len(q.rows) for q, _ in look(lengths, lengths, HEADS).groups] == [3, 2]
    monkeypatch.setattr(row_attention, "_TOGETHER", 2 * HEADS * 16 * 16)
    assert [len(q.rows) for q, _ in look(lengths, lengths, HEADS).groups] == [2, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_keeps_the_mean_and_its_gradient_is_that_of_what_was_kept(dtype):
    lengths = (16,)
    q, k, v, dout = tensors(lengths, lengths, dtype=dtype)
    sight = look(lengths, lengths, HEADS)
    outs = torch.stack([attend(q, k, v, sight, None, dropout=0.25, seed=seed)[0].double() for seed in range(2000)])
    plain = attend(q, k, v, sight, None, dropout=0.0, seed=0)[0].double()
    apart = (outs.mean(0) - plain).abs() / (outs.std(0) / 2000**0.5)
    assert float(apart.max()) < 5 and float(outs.std(0).min()) > 0
    out, needed = attend(q, k, v, sight, None, dropout=0.25, seed=9)
    stays = (needed[3].relu() > 0).to(dtype) / 0.75
    given = [x.clone().requires_grad_() for x in (q, k, v)]
    heads = [x.view(16, HEADS, WIDTH).transpose(0, 1) for x in given]
    peer = (((heads[0] @ heads[1].transpose(1, 2)).softmax(-1) * stays) @ heads[2]).transpose(0, 1).flatten(1)
    peer.backward(dout)
    tolerance = 1e-5 if dtype == torch.float32 else 5e-2
    torch.testing.assert_close(out, peer.detach(), atol=tolerance, rtol=tolerance)
    for a, b in zip(attend_backward(dout, needed, sight, dropout=0.25, keys=16), given, strict=True):
        torch.testing.assert_close(a, b.grad, atol=tolerance, rtol=tolerance)


def test_a_row_without_tokens_is_our_mistake():
    with pytest.raises(AssertionError, match="every row has queries and keys"):
        look((3, 2), (4, 0), HEADS)
