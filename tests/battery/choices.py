"""Every row of every axis table, and every option of it away from rest, as trainings on a tiny base."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tests.tiny_training import CLASSES, masters_of, run, tiny_description, tiny_model, tiny_rows

from tunewright.model.build import has_head
from tunewright.model.predict import forward_rows
from tunewright.model.trainable import select
from tunewright.recipe.read import AXES
from tunewright.recipe.schema import Recipe
from tunewright.train.assemble import VOCABULARY, assemble, plan_phase
from tunewright.train.engine import Training
from tunewright.train.material import Tokens
from tunewright.train.optimizers import AdamW, Masters

KINDS = ("classification", "multi_label", "regression", "similarity", "retrieval")
_PLAIN = {"schedule": "shuffled", "optimizer": {"kind": "adamw", "rate": 2e-3, "warmup": 0.0}}
_COLUMNS: dict[str, dict[str, Any]] = {
    "classification": {"input": "text", "output": "answer"},
    "similarity": {"input": ["text", "other"], "output": "answer"},
    "retrieval": {"input": ["text", "other"]},
}
# Values away from rest for options whose type does not tell one, or where another value would not be seen on 24 rows.
_AWAY: dict[tuple[str, str], Any] = {
    ("lora", "targets"): "attention",
    ("adamw", "rate"): 1e-3,
    ("adamw", "epsilon"): 1e-4,
    ("adamw", "clip"): 0.05,
    ("adamw", "warmup"): 0.5,
    ("length_grouped", "pool"): 1,
    ("contrastive", "temperature"): 0.1,  # half of the default would double what rounding does
    ("cosent", "temperature"): 0.1,
}


@dataclass(frozen=True)
class Choice:
    """One row of one table, with options."""

    axis: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return "-".join([self.axis, self.name, *self.options])

    @property
    def cls(self) -> type:
        return VOCABULARY.tables[self.axis][self.name]

    def build(self) -> Any:
        return plan_phase(recipe_of(self), 0).trainable if self.axis == "trainable" else self.cls(**self.options)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of task it fits, the simplest first."""
        if self.axis != "objective":
            return tuple(kind for kind in KINDS if has_head(kind) or self.name != "head")
        return tuple(kind for kind in KINDS if self.cls(**self.options).refusal(kind) is None)


def options_of(cls: type) -> dict[str, dataclasses.Field[Any]]:
    return {f.name: f for f in dataclasses.fields(cls) if f.init}


def away(name: str, option: dataclasses.Field[Any], cls: type) -> Any:
    """A value of an option that is not its default."""
    name = "adamw" if issubclass(cls, AdamW) else name
    if (name, option.name) in _AWAY:
        return _AWAY[name, option.name]
    hint = typing.get_type_hints(cls)[option.name]
    if typing.get_origin(hint) is typing.Literal:
        return next(value for value in typing.get_args(hint) if value != option.default)
    if isinstance(option.default, bool):
        return not option.default
    if isinstance(option.default, int):
        return option.default + 1
    if isinstance(option.default, float):
        return option.default / 2 if option.default else 0.2
    if option.default is None:
        return 3.0
    raise AssertionError(f"say in _AWAY what {name}.{option.name} is away from rest")


CHOICES = [Choice(axis, name) for axis in AXES for name in VOCABULARY.tables[axis]]
AT_REST = [choice for choice in CHOICES if choice.kinds]  # of plain text alone: tests/train/objectives/test_masked.py
AWAY = [
    Choice(choice.axis, choice.name, {option.name: away(choice.name, option, choice.cls)})
    for choice in AT_REST
    for option in options_of(choice.cls).values()
]
PLAIN = Choice("objective", "supervised")


def recipe_of(choice: Choice, *, kind: str | None = None, **phase: Any) -> Recipe:
    """Of a task of `kind`, by default the first that the choice fits."""
    kind = kind or choice.kinds[0]
    plain = {"budget": "3 updates", "rows_per_update": 8, **_PLAIN, **phase}
    base = plain.get(choice.axis, {})
    same = isinstance(base, dict) and (base.get("kind") == choice.name or choice.axis == "optimizer")
    options = {**base, **choice.options} if same else choice.options
    component = {"kind": choice.name, **{k: v for k, v in options.items() if k != "kind"}}
    return Recipe.model_validate({
        "name": "battery", "base": "minilm", "task": {"kind": kind, **_COLUMNS.get(kind, _COLUMNS["classification"])},
        "data": {"train": "rows.csv"}, "seed": 3, "phases": [{**plain, choice.axis: component}],
    })  # fmt: skip


def training_of(
    choice: Choice = PLAIN, *, kind: str | None = None, material: Tokens | None = None, dropout: float = 0.0,
    dtype: torch.dtype = torch.float32, family: str = "bert", **phase: Any,
) -> Training:  # fmt: skip
    """The training that a recipe with this choice asks for."""
    kind = kind or choice.kinds[0]
    recipe = recipe_of(choice, kind=kind, **phase)
    plan = plan_phase(recipe, 0)
    material = rows(kind=kind) if material is None else material
    model = tiny_model(family, kind=kind, dropout=dropout)
    plan.trainable.prepare(model, seed=3)
    pieces = assemble(
        recipe, 0, targets=material.targets, classes=CLASSES, description=tiny_description(family), cached=False
    )
    masters = Masters(model, select(model, plan.trainable.filter()), pieces.optimizer, dtype=dtype)
    return Training(model, material, pieces, masters=masters)


def rows(*, kind: str = "classification", weights: list[float] | None = None) -> Tokens:
    return tiny_rows(kind=kind, weights=weights)


def outcome(training: Training) -> np.ndarray:
    """What the trained model says of the rows it was trained on."""
    run(training)
    masters_of(training)
    return forward_rows(training.model, training.material.encoded)
