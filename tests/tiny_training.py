"""Small trainings on tiny bases: rows whose words give the answer away, models without chance, plain pieces."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.tiny_bases import make_tiny_base
from torch import nn

from tunewright.model.bases import Base, find_base
from tunewright.model.build import build_model
from tunewright.model.describe import Description, describe
from tunewright.model.heads import TaskModel, VectorModel
from tunewright.model.trainable import TRAINABLE, Trainable, select
from tunewright.recipe.schema import Budget
from tunewright.recipe.tasks import KINDS
from tunewright.train.engine import Pieces, Training, UpdateFact
from tunewright.train.material import Material, Tokens
from tunewright.train.objectives.supervised import Supervised
from tunewright.train.optimizers import AdamW, Masters
from tunewright.train.schedules import Shuffled
from tunewright.values import Encoded

CLASSES = 3
_OUTPUTS = {"regression": 1, "similarity": 0, "retrieval": 0}


@functools.cache
def _template(family: str, kind: str, dropout: float) -> TaskModel | VectorModel:
    with _tiny_base(family) as base:
        description = describe(base)
        model = build_model(
            base, description, kind=kind, outputs=_OUTPUTS.get(kind, CLASSES), pooling=description.pooling, seed=5,
            dropout=dropout,
        )  # fmt: skip
    set_dropout(model, dropout)
    return model


@functools.cache
def tiny_description(family: str = "bert") -> Description:
    with _tiny_base(family) as base:
        return describe(base)


@contextmanager
def _tiny_base(family: str) -> Iterator[Base]:
    with tempfile.TemporaryDirectory() as folder:
        yield find_base(str(make_tiny_base(Path(folder), family)), root=Path("."))


def tiny_model(
    family: str = "bert", *, kind: str = "classification", dropout: float = 0.0
) -> TaskModel | VectorModel:
    """A new model on a tiny base, the same weights each time, with one dropout everywhere."""
    return copy.deepcopy(_template(family, kind, dropout))


def set_dropout(model: nn.Module, p: float) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = p
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = p
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = p


def tiny_rows(
    *, rows: int = 24, kind: str = "classification", seed: int = 0, weights: Sequence[float] | None = None
) -> Tokens:
    """Rows of 3 to 12 tokens; words 10, 11 and 12 stand for the classes and tell the answer.

    Of similarity and retrieval as `tiny_pairs`.
    """
    if KINDS[kind].compares:
        return tiny_pairs(rows=rows, kind=kind, seed=seed, weights=weights)
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, CLASSES, rows)
    classes[:CLASSES] = np.arange(CLASSES)
    sequences = [[2, 10 + int(c), *generator.integers(20, 200, generator.integers(0, 10)).tolist(), 3] for c in classes]
    targets = {
        "classification": classes.astype(np.int64),
        "multi_label": np.tril(np.ones((CLASSES, CLASSES), dtype=np.float32))[classes],
        "regression": (classes - 1).astype(np.float32),
    }[kind]
    return _tokens(sequences, targets, weights)


def tiny_pairs(
    *, rows: int = 24, kind: str = "retrieval", seed: int = 0, weights: Sequence[float] | None = None
) -> Tokens:
    """Rows of two texts of 3 to 12 tokens, whose second word tells whether they belong together.

    Graded 0, 0.5 and 1 by how near these words are; or queries and passages that share a word of their own, where rows
    0 and 1 have one query with two passages, and rows 2 and 3 two queries with one passage.
    """
    generator = np.random.default_rng(seed)
    firsts, seconds = np.arange(rows), np.arange(rows)
    if kind == "similarity":
        firsts, seconds = generator.integers(0, CLASSES, (2, rows))
    first_texts, second_texts = ([_text(word, generator) for word in words.tolist()] for words in (firsts, seconds))
    numbers = np.arange(2 * rows).reshape(2, rows).T
    if kind == "retrieval":
        first_texts[1], numbers[1, 0] = first_texts[0], numbers[0, 0]
        second_texts[3], numbers[3, 1] = second_texts[2], numbers[2, 1]
    targets = (1 - np.abs(firsts - seconds) / 2).astype(np.float32) if kind == "similarity" else numbers
    return _tokens([text for pair in zip(first_texts, second_texts, strict=True) for text in pair], targets, weights)


def _text(word: int, generator: np.random.Generator) -> list[int]:
    return [2, 10 + word, *generator.integers(60, 200, generator.integers(0, 10)).tolist(), 3]


def _tokens(texts: Sequence[Sequence[int]], targets: np.ndarray, weights: Sequence[float] | None) -> Tokens:
    rows = len(targets)
    encoded = Encoded(
        tokens_n=np.array([i for text in texts for i in text], dtype=np.int32),
        starts_s=np.cumsum([0, *map(len, texts)]),
        owner_s=np.arange(len(texts)),
        types_n=None,
        cut_r=np.zeros(rows, dtype=np.int64),
        texts=len(texts) // rows,
    )
    weights_r = np.ones(rows, dtype=np.float32) if weights is None else np.array(weights, dtype=np.float32)
    return Tokens(encoded, targets, weights_r, tuple(f"row-{i}" for i in range(rows)), pad_id=0)


def tiny_pieces(**changes: Any) -> Pieces:
    """Pieces of a short, plain training; `changes` replace fields, `rate` and other options go to the optimiser."""
    fields = set(Pieces.__slots__)
    options = {"rate": 1e-3, "warmup": 0.0, "decay": "constant"}
    options |= {name: value for name, value in changes.items() if name not in fields}
    plain = Pieces(
        kind="classification",
        objectives=[(Supervised(), 1.0)],
        schedule=Shuffled(),
        optimizer=AdamW(**options),
        budget=Budget.parse("3 updates"),
        rows_per_update=8,
        accumulate=1,
        tokens_per_pass=2048,
        seed=11,
    )
    return replace(plain, **{name: value for name, value in changes.items() if name in fields})


def tiny_training(
    model: TaskModel | VectorModel | None = None,
    material: Material | None = None,
    *,
    trainable: Trainable | None = None,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> Training:
    """A training that has not begun. `budget` may be text."""
    if isinstance(changes.get("budget"), str):
        changes["budget"] = Budget.parse(changes["budget"])
    pieces = tiny_pieces(**changes)
    model = tiny_model(kind=pieces.kind) if model is None else model
    trainable = TRAINABLE["everything"]() if trainable is None else trainable
    trainable.prepare(model, seed=3)
    masters = Masters(model, select(model, trainable.filter()), pieces.optimizer, dtype=dtype)
    return Training(model, tiny_rows(kind=pieces.kind) if material is None else material, pieces, masters=masters)


def trained(training: Training) -> dict[str, torch.Tensor]:
    """Train to the end; copies of the masters."""
    run(training)
    return masters_of(training)


def run(training: Training) -> list[UpdateFact]:
    return list(training.updates())


def masters_of(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in training.masters.trained().items()}


def gradients_of(training: Training, rows: np.ndarray) -> dict[str, torch.Tensor]:
    """The summed gradients that an update over `rows` would step with."""
    masters = training.masters
    training.model.train()
    batches = [training.material.batch(part) for part in training._passes(rows)]
    for batch in batches:
        masters.touch(batch.ids_st)
    training._backward(batches)
    found = summed_gradients(masters)
    masters.forget_gradients()
    return found


def summed_gradients(masters: Masters) -> dict[str, torch.Tensor]:
    """The gradients that wait for a step, by parameter, those of embedding rows as a whole table."""
    places = masters.places.items()
    found = {name: masters.gradient[at : at + shape.numel()].view(shape).clone() for name, (at, shape) in places}
    if masters.rows is not None:
        dense = torch.zeros_like(masters.rows.table)
        dense[masters.rows.token_of] = masters.rows.active(masters.rows.gradient)
        found[masters.rows.name] = dense
    return found


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """The largest |a - b| of any element, relative to the largest |b| of its tensor where that is above 1."""
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).abs().max() / max(1.0, float(b[n].abs().max()))) for n in a)
