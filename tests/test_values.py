"""The values that travel between rooms keep their rows and shapes together."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunewright.values import Batch, Encoded, Predictions, Rows, Span, Turn, ranges

ROWS = Rows(ids=("a", "b", "c"), origins=("t:1", "t:2", "t:3"), inputs=(("x",), ("y",), ("z",)),
            targets=np.array([2, 0, 1]))  # fmt: skip


@given(st.lists(st.integers(0, 2), max_size=6))
def test_rows_taken_keep_id_origin_input_and_target_together(indices):
    taken = ROWS.take(np.array(indices, dtype=np.int64))
    assert len(taken) == len(indices)
    for place, i in enumerate(indices):
        assert (taken.ids[place], taken.origins[place], taken.inputs[place], taken.targets[place]) == (
            ROWS.ids[i], ROWS.origins[i], ROWS.inputs[i], ROWS.targets[i],
        )  # fmt: skip


def test_rows_without_answers_stay_without():
    rows = Rows(ids=("a",), origins=("t:1",), inputs=(("x",),), targets=None)
    assert rows.take(np.array([0])).targets is None


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=5))
def test_lengths_of_rows_are_those_of_their_sequences(rows):
    """`rows` holds, for each row, the lengths of its sequences."""
    lengths = [length for row in rows for length in row]
    encoded = Encoded(
        tokens_n=np.zeros(sum(lengths), dtype=np.int32), starts_s=np.concatenate([[0], np.cumsum(lengths)]),
        owner_s=np.repeat(np.arange(len(rows)), [len(row) for row in rows]), types_n=None,
        cut_r=np.zeros(len(rows), dtype=np.int64),
    )  # fmt: skip
    assert encoded.rows == len(rows)
    assert encoded.lengths_s.tolist() == lengths
    assert encoded.lengths_r().tolist() == [sum(row) for row in rows]


ragged = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=5)


def encoded_of(rows: list[list[int]]) -> Encoded:
    """`rows` holds, for each row, the lengths of its sequences; every value says where it stands."""
    lengths = [length for row in rows for length in row]
    n = np.arange(sum(lengths))
    return Encoded(
        tokens_n=n.astype(np.int32), starts_s=np.concatenate([[0], np.cumsum(lengths)]),
        owner_s=np.repeat(np.arange(len(rows)), [len(row) for row in rows]), types_n=(n % 2).astype(np.int8),
        cut_r=np.arange(len(rows)) + 100, answers_n=(n - 1).astype(np.int32),
        offsets_n2=np.stack([n, n + 1], axis=1).astype(np.int32), bytes_r=np.arange(len(rows)) + 1000,
    )  # fmt: skip


@given(ragged, st.data())
def test_rows_taken_of_an_encoding_keep_all_that_belongs_to_their_tokens(rows, data):
    encoded = encoded_of(rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6))
    taken = encoded.take(np.array(chosen, dtype=np.int64))
    sequences = np.split(np.arange(len(encoded.tokens_n)), encoded.starts_s[1:-1])
    of_row = [np.flatnonzero(encoded.owner_s == row) for row in chosen]
    expected = [(place, sequences[j]) for place, found in enumerate(of_row) for j in found]
    tokens = [int(token) for _, sequence in expected for token in sequence]
    assert taken.rows == len(chosen) and taken.owner_s.tolist() == [place for place, _ in expected]
    assert taken.lengths_s.tolist() == [len(sequence) for _, sequence in expected]
    assert taken.tokens_n.tolist() == tokens and taken.answers_n.tolist() == [token - 1 for token in tokens]
    assert taken.types_n.tolist() == [token % 2 for token in tokens]
    assert taken.offsets_n2.tolist() == [[token, token + 1] for token in tokens]
    assert taken.cut_r.tolist() == [row + 100 for row in chosen]
    assert taken.bytes_r.tolist() == [row + 1000 for row in chosen]
    found, counts = encoded.sequences_of(np.array(chosen, dtype=np.int64))
    assert counts.tolist() == [len(rows[row]) for row in chosen]
    assert [encoded.owner_s[j] for j in found] == [row for row in chosen for _ in rows[row]]


def test_what_an_encoding_has_not_its_rows_have_not():
    plain = Encoded(tokens_n=np.zeros(3, np.int32), starts_s=np.array([0, 1, 3]), owner_s=np.arange(2), types_n=None,
                    cut_r=np.zeros(2, np.int64))  # fmt: skip
    taken = plain.take(np.array([1]))
    assert (taken.types_n, taken.answers_n, taken.offsets_n2, taken.bytes_r) == (None,) * 4


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))))
def test_ranges_are_pythons(pairs):
    first, counts = np.array([p[0] for p in pairs], dtype=int), np.array([p[1] for p in pairs], dtype=int)
    assert ranges(first, counts).tolist() == [i for f, c in pairs for i in range(f, f + c)]


def test_a_turn_is_its_text_and_its_role():
    turn = Turn("hello", "user")
    assert turn == Turn("hello", "user") and turn != Turn("hello", "assistant") and turn != "hello"
    assert {turn: 1}[Turn("hello", "user")] == 1
    assert len({turn, Turn("hello", "assistant"), Turn("hello", "user")}) == 2
    assert isinstance(turn, str) and f"{turn}!" == "hello!" and turn.upper() == "HELLO"
    with pytest.raises(AssertionError, match="no role 'bot'"):
        Turn("hello", "bot")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda turn: pickle.loads(pickle.dumps(turn))])
def test_a_turn_that_is_copied_keeps_its_role(again):
    assert again(Turn("hello", "tool")) == Turn("hello", "tool")


def test_spans_are_equal_and_ordered_by_their_place_and_label_whatever_their_probability():
    assert Span(1, 2, "a", 0.5) == Span(1, 2, "a") and Span(1, 2, "a") != Span(1, 2, "b")
    assert sorted([Span(3, 4, "a"), Span(1, 9, "b", 0.1), Span(1, 9, "a", 0.9)]) == [
        Span(1, 9, "a"), Span(1, 9, "b"), Span(3, 4, "a"),
    ]  # fmt: skip


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_a_batch_masks_exactly_its_real_tokens(lengths):
    batch = Batch(
        ids_st=torch.zeros(len(lengths), max(lengths), dtype=torch.int64), lengths_s=torch.tensor(lengths),
        types_st=None, owner_s=torch.arange(len(lengths)), row_indices_b=torch.arange(len(lengths)), targets=None,
        weights_m=torch.ones(len(lengths)),
    )  # fmt: skip
    assert batch.rows == len(lengths) and batch.tokens == sum(lengths)
    assert batch.mask_st.sum(dim=1).tolist() == lengths
    for row, length in zip(batch.mask_st.tolist(), lengths, strict=True):
        assert row == [True] * length + [False] * (max(lengths) - length)


def test_predictions_can_be_named_anew_and_nothing_else_changes():
    before = Predictions("full", "test", ("a",), np.ones((1, 2), dtype=np.float32), np.array([1]), seconds=0.5)
    after = before.named("champion")
    assert after.rung == "champion" and before.rung == "full"
    assert after.outputs is before.outputs and after.row_ids == before.row_ids and after.seconds == 0.5


@pytest.mark.parametrize("value", [ROWS])
def test_values_cannot_be_changed(value):
    with pytest.raises(AttributeError):
        value.ids = ()


def test_values_are_imported_without_torch():
    code = "import sys, tunewright.values; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
