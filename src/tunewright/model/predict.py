"""From token ids to logits, many rows at once. Knows batches and models; must not know texts, labels or files."""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import Tensor

from tunewright.model.heads import TaskModel
from tunewright.model.packed import packed
from tunewright.model.text import TextModel
from tunewright.model.vocabulary import log_probabilities_at
from tunewright.values import Batch, Encoded, ranges

TOKENS_PER_BATCH = 1024  # activations of a small encoder stay in cache; larger batches were slower on CPU
_LEAST_TOKENS_PER_WORKER = 128  # a smaller batch costs more for its number of operations than for their size
_TOKENS_WORTH_PACKING = 4096  # packing a small encoder takes as long as 300 tokens


def make_batch(
    encoded: Encoded,
    rows: np.ndarray,
    *,
    targets: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    pad_id: int,
    task: str = "main",
) -> Batch:
    """The rows of the data set at `rows` (int [b]), in that order, padded on the right to the longest of them.

    `targets` and `weights` belong to the whole data set, [r, ...], and are read at `rows`; without weights all are 1.
    Where `encoded` says what is asked at each token, those are the targets, and a row's weight is that of its tokens.
    """
    rows = np.asarray(rows, dtype=np.int64)
    sequences_s, counts_b = encoded.sequences_of(rows)
    lengths_s = encoded.lengths_s[sequences_s]
    places_st = encoded.starts_s[sequences_s][:, None] + np.arange(max(int(lengths_s.max(initial=0)), 1))
    real_st = places_st < (encoded.starts_s[sequences_s] + lengths_s)[:, None]
    places_st = np.where(real_st, places_st, 0)
    weights_m = np.ones(len(rows), np.float32) if weights is None else weights[rows].astype(np.float32)
    owner_s = np.repeat(np.arange(len(rows)), counts_b)
    targets_m, at_m = None if targets is None else targets[rows], None
    if encoded.answers_n is not None:
        asked_st = np.where(real_st, encoded.answers_n[places_st] if len(encoded.answers_n) else -1, -1)
        at_m = np.flatnonzero(asked_st >= 0)
        targets_m, weights_m = asked_st.ravel()[at_m].astype(np.int64), weights_m[owner_s[at_m // asked_st.shape[1]]]
    return Batch(
        ids_st=_gathered(encoded.tokens_n, places_st, real_st, pad_id),
        lengths_s=torch.from_numpy(lengths_s.astype(np.int64)),
        types_st=None if encoded.types_n is None else _gathered(encoded.types_n, places_st, real_st, 0),
        owner_s=torch.from_numpy(owner_s),
        row_indices_b=torch.from_numpy(rows.copy()),
        targets=None if targets_m is None else torch.from_numpy(np.ascontiguousarray(targets_m)),
        weights_m=torch.from_numpy(weights_m),
        at_m=None if at_m is None else torch.from_numpy(at_m),
        task=task,
    )


def placed(batch: Batch, device: torch.device) -> Batch:
    """`batch` with its tensors on `device`."""
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    tensors = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
    return dataclasses.replace(batch, **tensors)


def _gathered(values_n: np.ndarray, places_st: np.ndarray, real_st: np.ndarray, padding: int) -> Tensor:
    if not len(values_n):
        return torch.full(places_st.shape, padding, dtype=torch.int64)
    return torch.from_numpy(np.where(real_st, values_n[places_st], padding).astype(np.int64))


def batches_by_length(encoded: Encoded, *, tokens_per_batch: int) -> list[np.ndarray]:
    """All rows in batches (int64 [b] each), longest first, so that no batch pads to more than `tokens_per_batch`.

    A row that is longer alone is a batch of its own. Rows of one length keep their order.
    """
    sequences_r = np.bincount(encoded.owner_s, minlength=encoded.rows)
    longest_r = np.zeros(encoded.rows, dtype=np.int64)
    np.maximum.at(longest_r, encoded.owner_s, encoded.lengths_s)
    order = np.argsort(-longest_r, kind="stable")
    ends = np.cumsum(sequences_r[order])
    batches, start = [], 0
    while start < len(order):
        room = max(tokens_per_batch // max(int(longest_r[order[start]]), 1), 1)
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + room, side="right")), start + 1)
        batches.append(order[start:stop])
        start = stop
    return batches


def forward_rows(
    model: TaskModel, encoded: Encoded, *, tokens_per_batch: int = TOKENS_PER_BATCH, dtype: torch.dtype | None = None
) -> np.ndarray:
    """The logits of each row in row order, float32 [r, c] (of numbers [r]); dropout off, no gradients.

    The trunk computes in `dtype` (default: the one it has), on a copy where that differs.
    """
    columns = () if model.shape.kind == "regression" else (model.shape.outputs,)
    return _each(lambda ready, batch: ready(batch).logits, columns, model, encoded, tokens_per_batch, dtype)


def pooled_rows(
    model: TaskModel, encoded: Encoded, *, tokens_per_batch: int = TOKENS_PER_BATCH, dtype: torch.dtype | None = None
) -> np.ndarray:
    """The pooled vector of each row in row order, float32 [r, d]; otherwise as `forward_rows`."""
    columns = (model.width,)
    return _each(lambda ready, batch: ready.pool(batch), columns, model, encoded, tokens_per_batch, dtype)


def forward_tokens(
    model: TaskModel, encoded: Encoded, *, tokens_per_batch: int = TOKENS_PER_BATCH, dtype: torch.dtype | None = None
) -> np.ndarray:
    """The logits of each token at which `encoded` asks, in order, float32 [m, c]; otherwise as `forward_rows`."""
    assert encoded.answers_n is not None
    outputs_nc = _each(
        lambda ready, batch: ready(batch).logits, (model.shape.outputs,), model, encoded, tokens_per_batch, dtype
    )
    return outputs_nc[encoded.answers_n >= 0]


def judge_tokens(
    model: TextModel, encoded: Encoded, *, tokens_per_batch: int = TOKENS_PER_BATCH, dtype: torch.dtype | None = None
) -> np.ndarray:
    """What a text model thinks of each token that is asked for, in order, float32 [m, 3].

    Log-probability of the right token, the likeliest token, and how far its logit is above the next one.
    """
    assert encoded.answers_n is not None

    def judged(ready: TextModel, batch: Batch) -> Tensor:
        seen = ready(batch)
        judged_m = log_probabilities_at(seen.vectors_md, seen.vocabulary_vd, batch.targets)
        return torch.stack([column.float() for column in judged_m], dim=1)

    return _each(judged, (3,), model, encoded, tokens_per_batch, dtype)[encoded.answers_n >= 0]


def row_of_asked(encoded: Encoded) -> np.ndarray:
    """The row of each token that is asked for, int64 [m]."""
    assert encoded.answers_n is not None
    return np.repeat(encoded.owner_s, encoded.lengths_s)[encoded.answers_n >= 0]


def probabilities(logits: np.ndarray, kind: str) -> np.ndarray:
    """What logits say, float32: classes that sum to 1, labels each in 0..1, or for regression the values themselves."""
    if kind == "regression":
        return logits.astype(np.float32)
    squash = expit if kind == "multi_label" else functools.partial(softmax, axis=-1)
    return squash(logits.astype(np.float64)).astype(np.float32)


def _each(
    compute: Callable[[Any, Batch], Tensor],
    columns: tuple[int, ...],
    model: TaskModel | TextModel,
    encoded: Encoded,
    tokens_per_batch: int,
    dtype: torch.dtype | None,
) -> np.ndarray:
    """What `compute` says of each row, float32 [r, *columns], or, where tokens are asked, of each token: [n, ...]."""
    ready = _in_dtype(model, dtype)
    was_training = ready.training
    device = model.device
    asks = encoded.answers_n is not None
    outputs = np.empty((len(encoded.tokens_n) if asks else encoded.rows, *columns), dtype=np.float32)

    def answer(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = placed(make_batch(encoded, rows, pad_id=model.pad_id), device)
            return compute(ready, batch).float().cpu().numpy()

    if was_training:  # visiting every module takes longer than some batches
        ready.eval()
    try:
        packing = packed(ready.trunk) if len(encoded.tokens_n) >= _TOKENS_WORTH_PACKING else nullcontext()
        workers = torch.get_num_threads() if device.type == "cpu" else 1
        if workers > 1:
            share = max(_LEAST_TOKENS_PER_WORKER, -(-len(encoded.tokens_n) // workers))
            tokens_per_batch = min(tokens_per_batch, share)
        batches = batches_by_length(encoded, tokens_per_batch=tokens_per_batch)
        with packing:
            if workers == 1 or len(batches) == 1:
                answers = map(answer, batches)
            else:
                answers = _pool(workers, os.getpid()).map(answer, batches)
            for rows, answered in zip(batches, answers, strict=True):
                outputs[_asked_tokens(encoded, rows) if asks else rows] = answered
    finally:
        if was_training:
            ready.train()
    return outputs


def _asked_tokens(encoded: Encoded, rows: np.ndarray) -> np.ndarray:
    """Places among all tokens of those that are asked for in `rows`, in the order of a batch of these rows."""
    sequences_s, _ = encoded.sequences_of(rows)
    places = ranges(encoded.starts_s[sequences_s], encoded.lengths_s[sequences_s])
    return places[encoded.answers_n[places] >= 0]


@functools.cache
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Threads that each answer a batch alone: faster than all of them on one batch, and none waits for another.

    `process` is the caller's number, because the threads of a process do not live on in its fork.
    """
    pool = ThreadPoolExecutor(workers, "tunewright-predict", initializer=compute_alone)
    everyone = threading.Barrier(workers)
    list(pool.map(lambda _: everyone.wait(), range(workers)))  # all have started and set their own number, ...
    torch.set_num_threads(workers)  # ... which torch also takes as that of threads to come
    return pool


def compute_alone() -> None:
    """Let torch compute with one thread for the thread that calls this."""
    torch.get_num_threads()  # the first operation of a thread sets its number to the process's: let that be now
    torch.set_num_threads(1)


def _in_dtype(model: TaskModel | TextModel, dtype: torch.dtype | None) -> TaskModel | TextModel:
    """`model` itself where its trunk computes in `dtype`, else a copy that does."""
    if dtype is None or model.trunk.dtype == dtype:
        return model
    copied = copy.deepcopy(model)
    copied.trunk.to(dtype)
    return copied
