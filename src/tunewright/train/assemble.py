"""From a phase of a recipe to live pieces. The only reader of `phases`; refuses what does not fit before any load."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tunewright.data.long import LONG
from tunewright.model.adaptations import ADAPTATIONS
from tunewright.model.describe import Description
from tunewright.model.trainable import TRAINABLE, Trainable
from tunewright.model.writing import WRITING
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.read import Vocabulary
from tunewright.recipe.schema import Phase, Recipe
from tunewright.train.engine import Pieces
from tunewright.train.objectives import OBJECTIVES
from tunewright.train.optimizers import OPTIMIZERS
from tunewright.train.schedules import SCHEDULES


@dataclass(frozen=True)
class Nothing:
    """No perturbation, or no teacher: inputs, weights and targets stay as they are."""

    needs: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()
    features_fixed: ClassVar[bool] = True


OFFERED = frozenset({"targets", "whole_update"})  # what every phase has: answers, and an update's rows side by side
PERTURBATIONS: dict[str, type] = {"none": Nothing}
TEACHERS: dict[str, type] = {"none": Nothing}

VOCABULARY = Vocabulary(
    {
        "trainable": TRAINABLE,
        "objective": OBJECTIVES,
        "schedule": SCHEDULES,
        "perturbation": PERTURBATIONS,
        "teacher": TEACHERS,
        "optimizer": OPTIMIZERS,
        "adaptation": ADAPTATIONS,
        "long": LONG,
        "writing": WRITING,
    }
)


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """A phase whose components are built and fit together; `pieces` completes it with facts of the data."""

    phase: Phase
    trainable: Trainable
    features_fixed: bool  # whether a frozen trunk may be run once and its vectors cached


def plan_phase(recipe: Recipe, index: int) -> PhasePlan:
    """Build the components of phase `index` and check that they fit each other and the task.

    Raises RecipeRefusal naming the piece that lacks something, or the option that makes no sense here.
    """
    phase, where = recipe.phases[index], f"phases.{index}"
    built = {
        axis: VOCABULARY.build(axis, getattr(phase, axis), where=f"{where}.{axis}")
        for axis in ("schedule", "perturbation", "teacher", "optimizer", "trainable")
    }
    chosen = recipe.objectives(index)
    objectives = [VOCABULARY.build("objective", o, where=f"{where}.objective") for o in chosen]
    offered = OFFERED.union(*(piece.provides for name, piece in built.items() if name != "trainable"))
    for component, objective in zip(chosen, objectives, strict=True):
        lacking = objective.needs - offered
        if lacking:
            raise RecipeRefusal(
                f"The objective {component.kind!r} needs {', '.join(sorted(lacking))}, "
                "which nothing in this phase provides.",
                where=f"{where}.objective",
            )
        refusal = objective.refusal(recipe.task.kind)
        if refusal is not None:
            raise RecipeRefusal(
                f"The objective {component.kind!r} does not fit a {recipe.task.kind}: {refusal}.",
                where=f"{where}.objective",
            )
        if "whole_update" in objective.needs and phase.rows_per_update == 1:
            raise RecipeRefusal(
                f"The objective {component.kind!r} learns from rows beside each other, and an update has one.",
                where=f"{where}.rows_per_update",
                remedy="Give at least 2; more of them teach more.",
            )
        if component.weight <= 0:
            raise RecipeRefusal(f"The weight of the objective {component.kind!r} must be above 0.", where=where)
    fixed = all(built[axis].features_fixed for axis in ("trainable", "schedule", "perturbation", "teacher"))
    fixed = fixed and all(VOCABULARY.find("adaptation", change.kind).features_fixed for change in recipe.adapt)
    return PhasePlan(phase, built["trainable"], fixed)


def assemble(
    recipe: Recipe, index: int, *, targets: np.ndarray, classes: int, description: Description, cached: bool
) -> Pieces:
    """The engine's pieces for phase `index` of a resolved recipe; `targets` are the training answers."""
    phase, where, kind = recipe.phases[index], f"phases.{index}", recipe.task.kind
    objectives = [
        (VOCABULARY.build("objective", o, where=f"{where}.objective").fitted(targets, kind=kind, classes=classes),
         o.weight)
        for o in recipe.objectives(index)
    ]  # fmt: skip
    assert phase.budget is not None and phase.rows_per_update is not None, "assemble reads resolved recipes"
    return Pieces(
        kind=kind,
        objectives=objectives,
        schedule=VOCABULARY.build("schedule", phase.schedule),
        optimizer=VOCABULARY.build("optimizer", phase.optimizer),
        budget=phase.budget,
        rows_per_update=phase.rows_per_update,
        accumulate=phase.accumulate,
        tokens_per_pass=sys.maxsize if cached else tokens_per_pass(description),
        seed=recipe.seed + 1000 * index,
    )


def tokens_per_pass(description: Description) -> int:
    """Padded tokens of one forward and backward pass: as many as keep activations near 192 MiB, and enough to be fast.

    A layer keeps about 40 numbers of 2 bytes per token and unit of width. A small encoder computes in cache, and larger
    passes are slower; decoders lay rows end to end, and with fewer tokens the products of a layer do not pay for
    themselves (a decoder of 134 M parameters: 1,024 tokens 1.91 rows a second, 2,048 1.99, 4,096 2.04).
    """
    least = 1024 if description.family == "encoder" else 2048
    bytes_per_token = 80 * description.width * max(1, description.layers)
    return int(min(16_384, max(least, (192 << 20) // bytes_per_token)))
