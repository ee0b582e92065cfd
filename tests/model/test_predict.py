import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests import tiny_texts

from tunewright.model.predict import (
    batches_by_length,
    forward_rows,
    forward_tokens,
    judge_tokens,
    make_batch,
    pooled_rows,
    probabilities,
    row_of_asked,
)
from tunewright.values import Encoded

sequences = st.lists(st.lists(st.integers(1, 99), max_size=7), min_size=1, max_size=6)


def ragged(rows: list[list[list[int]]]) -> Encoded:
    flat = [sequence for row in rows for sequence in row]
    return Encoded(
        tokens_n=np.array([i for sequence in flat for i in sequence], dtype=np.int32),
        starts_s=np.cumsum([0, *map(len, flat)]),
        owner_s=np.repeat(np.arange(len(rows)), [len(row) for row in rows]),
        types_n=np.array([i % 2 for sequence in flat for i in sequence], dtype=np.int8),
        cut_r=np.zeros(len(rows), dtype=np.int64),
    )


@given(rows=st.lists(sequences, min_size=1, max_size=6), data=st.data())
def test_a_batch_holds_the_rows_asked_for_padded_on_the_right(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, unique=True))
    targets, weights = np.arange(len(rows)) * 10, np.arange(len(rows)) / 2
    batch = make_batch(ragged(rows), np.array(chosen), targets=targets, weights=weights, pad_id=777)
    expected = [(place, sequence) for place, row in enumerate(chosen) for sequence in rows[row]]
    width = max(1, max(len(sequence) for _, sequence in expected))
    assert batch.ids_st.tolist() == [sequence + [777] * (width - len(sequence)) for _, sequence in expected]
    assert batch.types_st.tolist() == [[i % 2 for i in s] + [0] * (width - len(s)) for _, s in expected]
    assert batch.lengths_s.tolist() == [len(sequence) for _, sequence in expected]
    assert batch.owner_s.tolist() == [place for place, _ in expected]
    assert batch.row_indices_b.tolist() == chosen
    assert batch.targets.tolist() == [10 * row for row in chosen]
    assert batch.weights_m.tolist() == [row / 2 for row in chosen] and batch.weights_m.dtype == torch.float32


@given(rows=st.lists(sequences, max_size=20), tokens=st.integers(1, 60))
def test_batches_hold_every_row_once_within_the_budget(rows, tokens):
    batches = batches_by_length(ragged(rows), tokens_per_batch=tokens)
    assert sorted(int(row) for batch in batches for row in batch) == list(range(len(rows)))
    for batch in batches:
        padded = sum(len(rows[r]) for r in batch) * max(len(sequence) for r in batch for sequence in rows[r])
        assert len(batch) == 1 or padded <= tokens


@pytest.mark.parametrize("tokens_per_batch", [1, 12, 4096])
def test_logits_come_in_row_order_whatever_the_batches(tiny_model, encode, tokens_per_batch):
    rng = np.random.default_rng(0)
    ids = [[2, *rng.integers(5, 100, rng.integers(1, 20)).tolist(), 3] for _ in range(30)]
    encoded = encode(ids, owner=sorted([*range(20), *range(10)]))
    model = tiny_model()
    alone = []
    with torch.no_grad():
        for row in range(20):
            alone.append(model(make_batch(encoded, np.array([row]), pad_id=0)).logits[0].numpy())
    np.testing.assert_allclose(forward_rows(model, encoded, tokens_per_batch=tokens_per_batch), alone, atol=2e-6)


# ---- where tokens are asked


@given(rows=st.lists(sequences, min_size=1, max_size=6), data=st.data())
def test_a_batch_asks_at_the_places_where_its_rows_do(rows, data):
    encoded = ragged(rows)
    answers = data.draw(st.lists(st.integers(-1, 5), min_size=len(encoded.tokens_n), max_size=len(encoded.tokens_n)))
    encoded = replace(encoded, answers_n=np.array(answers, dtype=np.int32))
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, unique=True))
    weights = np.arange(len(rows)) / 2
    batch = make_batch(encoded, np.array(chosen), weights=weights, pad_id=777)
    said = [answers[a:b] for a, b in zip(encoded.starts_s, encoded.starts_s[1:], strict=False)]
    taken = [(row, j) for row in chosen for j in np.flatnonzero(encoded.owner_s == row)]
    asked = [(s, place, row) for s, (row, j) in enumerate(taken) for place, one in enumerate(said[j]) if one >= 0]
    assert batch.at_m.tolist() == [s * batch.ids_st.shape[1] + place for s, place, _ in asked]
    assert batch.targets.tolist() == [said[taken[s][1]][place] for s, place, _ in asked]
    assert batch.weights_m.tolist() == [row / 2 for _, _, row in asked]
    assert row_of_asked(encoded).tolist() == [row for row, one in zip(
        np.repeat(encoded.owner_s, encoded.lengths_s), answers, strict=True) if one >= 0]  # fmt: skip


def asking(encoded, *, seed=0):
    """The rows with answers asked for at about half of their tokens."""
    draw = np.random.default_rng(seed)
    return replace(encoded, answers_n=draw.integers(-2, 3, len(encoded.tokens_n)).clip(-1).astype(np.int32))


@pytest.mark.parametrize("tokens_per_batch", [1, 16, 4096])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_the_logits_of_tokens_are_the_heads_of_the_librarys_vectors(tiny_model, encode, family, tokens_per_batch):
    model = tiny_model(family, kind="token_classification", outputs=5)
    rows = [[2, 9, 10, 3], [2, 3], [2, 20, 21, 22, 23, 24, 3], [2, 11, 3], [30, 31, 32]]
    encoded = asking(encode(rows, owner=[0, 0, 1, 2, 2]))
    expected = []
    with torch.no_grad():
        for ids, asked in zip(rows, np.split(encoded.answers_n, encoded.starts_s[1:-1]), strict=True):
            vectors = model.trunk(input_ids=torch.tensor([ids])).last_hidden_state[0]
            expected.append(model.head(vectors)[torch.from_numpy(asked >= 0)])
    seen = forward_tokens(model, encoded, tokens_per_batch=tokens_per_batch)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, torch.cat(expected), atol=2e-6)


@pytest.mark.parametrize("tokens_per_batch", [1, 30, 4096])
@pytest.mark.parametrize("name", tiny_texts.ALL)
def test_tokens_are_judged_as_by_the_library(name, tokens_per_batch):
    model, encoded = tiny_texts.tiny_text_model(name).double(), tiny_texts.tiny_text_rows(name).encoded
    judged = judge_tokens(model, encoded, tokens_per_batch=tokens_per_batch)
    with torch.no_grad():
        pairs = tiny_texts.library_logits(model.trunk, encoded)
    logits, targets = torch.cat([one for one, _ in pairs]), torch.cat([one for _, one in pairs])
    first, second = logits.topk(2).values.unbind(1)
    said = logits.log_softmax(1)[torch.arange(len(targets)), targets]
    np.testing.assert_allclose(judged[:, 0], said, rtol=1e-5, atol=2e-6)
    assert judged[:, 1].tolist() == logits.argmax(1).tolist()
    np.testing.assert_allclose(judged[:, 2], first - second, rtol=1e-5, atol=2e-6)


def test_of_no_rows_nothing_is_judged(tiny_model):
    nothing = tiny_texts.tiny_text_rows("llama").encoded.take(np.zeros(0, dtype=np.int64))
    assert judge_tokens(tiny_texts.tiny_text_model("llama"), nothing).shape == (0, 3)
    assert forward_tokens(tiny_model(kind="token_classification", outputs=5), nothing).shape == (0, 5)


def test_pooled_rows_are_what_the_head_reads(tiny_model, encode):
    model, encoded = tiny_model(outputs=4), encode([[2, 9, 3], [2, 3], [2, 9, 10, 3]])
    pooled = pooled_rows(model, encoded)
    assert pooled.shape == (3, 32) and pooled.dtype == np.float32
    with torch.no_grad():
        logits = model.answer(torch.from_numpy(pooled)).logits
    np.testing.assert_allclose(logits, forward_rows(model, encoded), atol=1e-6)


def test_prediction_leaves_the_model_as_it_was(tiny_model, encode):
    model, encoded = tiny_model().train(), encode([[2, 9, 3]])
    first = forward_rows(model, encoded)
    np.testing.assert_array_equal(forward_rows(model, encoded), first)  # no dropout
    forward_rows(model, encoded, dtype=torch.bfloat16)
    assert model.training and model.trunk.training and model.trunk.dtype == torch.float32


def test_bfloat16_is_near_and_not_equal(tiny_model, encode):
    model, encoded = tiny_model(), encode([[2, 9, 3], [2, 20, 21, 3]])
    exact, rounded = forward_rows(model, encoded), forward_rows(model, encoded, dtype=torch.bfloat16)
    assert 0 < np.abs(exact - rounded).max() <= 3e-2 * np.abs(exact).max()


def test_no_rows_give_no_logits(tiny_model):
    empty = Encoded(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int64), None, np.zeros(0, np.int64))
    assert forward_rows(tiny_model(), empty).shape == (0, 3)
    assert forward_rows(tiny_model(kind="regression", outputs=1), empty).shape == (0,)


def test_probabilities_are_softmax_sigmoid_or_the_values():
    logits = np.array([[1.0, -2.0, 300.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    shares = np.exp(logits.astype(float) - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities(logits, "classification"), shares, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(probabilities(logits, "multi_label"), 1 / (1 + np.exp(-logits.astype(float))), rtol=1e-6)
    np.testing.assert_array_equal(probabilities(logits[:, 0], "regression"), logits[:, 0])


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_threads_that_each_answer_a_batch_give_what_one_gives(tiny_model, encode, three_threads, family):
    model = tiny_model(family)
    encoded = encode([[2, *(9 + (i * j) % 40 for j in range(i % 30)), 3] for i in range(240)])
    torch.set_num_threads(1)
    alone = forward_rows(model, encoded, tokens_per_batch=64)
    torch.set_num_threads(3)
    np.testing.assert_allclose(forward_rows(model, encoded, tokens_per_batch=64), alone, atol=1e-6)
    assert any(thread.name.startswith("tunewright-predict") for thread in threading.enumerate())


def test_threads_started_later_compute_with_as_many_threads_as_before(tiny_model, encode, three_threads):
    forward_rows(tiny_model("bert"), encode([[2, 9, 3]] * 200), tokens_per_batch=64)
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 3 == torch.get_num_threads()


def test_what_goes_wrong_in_a_thread_reaches_the_caller(tiny_model, encode, monkeypatch, three_threads):
    model = tiny_model("bert").train()
    monkeypatch.setattr(type(model), "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        forward_rows(model, encode([[2, 9, 3]] * 200), tokens_per_batch=64)
    assert model.training
