"""The values that travel between rooms keep their rows and shapes together."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunewright.values import Batch, Encoded, Predictions, Rows

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
