"""From a phase of a recipe to pieces, and what is refused by name on the way."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.tiny_training import tiny_description

from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.schema import Recipe
from tunewright.train import assemble as room
from tunewright.train.assemble import VOCABULARY, assemble, plan_phase, tokens_per_pass
from tunewright.train.objectives import OBJECTIVES
from tunewright.train.objectives.contrastive import Contrastive
from tunewright.train.objectives.supervised import Supervised
from tunewright.train.schedules import SCHEDULES, Shuffled

LABELLED = {"input": "text", "output": "label"}
COLUMNS = {
    "similarity": {"input": ["one", "other"], "output": "score"}, "retrieval": {"input": ["query", "passage"]}
}  # fmt: skip


def recipe(*, kind: str = "classification", **phase) -> Recipe:
    phase = {"budget": "3 updates", "rows_per_update": 4, **phase}
    return Recipe.model_validate({
        "name": "a", "base": "minilm", "task": {"kind": kind, **COLUMNS.get(kind, LABELLED)},
        "data": {"train": "x.csv"}, "phases": [phase], "seed": 5,
    })  # fmt: skip


def pieces(given: Recipe, *, cached: bool = False):
    return assemble(
        given, 0, targets=np.array([0, 0, 0, 1]), classes=2, description=tiny_description(), cached=cached
    )


def test_a_phase_becomes_the_pieces_it_names():
    given = recipe(
        objective=[
            {"kind": "supervised", "weight": 2.0, "label_smoothing": 0.1, "class_weights": "balanced"}, "supervised"
        ],
        schedule="shuffled", optimizer={"kind": "adamw", "rate": 1e-3, "clip": 2}, accumulate=3, budget="2 epochs",
    )  # fmt: skip
    made = pieces(given)
    assert [(o.label_smoothing, weight) for o, weight in made.objectives] == [(0.1, 2.0), (0.0, 1.0)]
    torch.testing.assert_close(made.objectives[0][0].weight_c, torch.tensor([2 / 3, 2.0]))
    assert made.objectives[1][0].weight_c is None
    assert made.schedule == Shuffled() and made.optimizer.clip == 2.0 and isinstance(made.optimizer.clip, float)
    assert (made.kind, made.rows_per_update, made.accumulate) == ("classification", 4, 3)
    assert (made.budget.amount, made.budget.unit, made.seed) == (2.0, "epochs", 5)


def test_each_phase_has_a_seed_of_its_own():
    given = recipe()
    twice = given.model_copy(update={"phases": given.phases * 2})
    seeds = [
        assemble(twice, i, targets=np.array([0, 1]), classes=2, description=tiny_description(), cached=False).seed
        for i in (0, 1)
    ]
    assert len(set(seeds)) == 2


@pytest.mark.parametrize(("phase", "says"), [
    ({"trainable": "lra"}, "There is no trainable called 'lra'. Did you mean 'lora'"),
    ({"objective": "superwised"}, "There is no objective called 'superwised'. Did you mean 'supervised'"),
    ({"schedule": "shuffeled"}, "Did you mean 'shuffled'"),
    ({"perturbation": "fgm"}, "There is no perturbation called 'fgm'"),
    ({"teacher": "ema"}, "There is no teacher called 'ema'"),
    ({"optimizer": "sgd"}, "There is no optimizer called 'sgd'"),
    ({"trainable": {"kind": "lora", "rnk": 4}}, "'lora' has no option 'rnk'. Did you mean 'rank'"),
    ({"objective": {"kind": "supervised", "label_smoothing": 2}}, "label_smoothing must be at least 0 and below 1"),
    ({"objective": {"kind": "supervised", "class_weights": "some"}}, "Option 'class_weights' of 'supervised'"),
    ({"objective": {"kind": "supervised", "weight_c": 1}}, "has no option 'weight_c'"),
    ({"schedule": {"kind": "length_grouped", "pool": 0}}, "pool counts updates"),
    ({"optimizer": {"kind": "adamw", "warmup": 1.5}}, "warmup is a share"),
    ({"objective": [{"kind": "supervised", "weight": 0}]}, "The weight of the objective 'supervised' must be above 0"),
], ids=str)  # fmt: skip
def test_what_does_not_exist_or_makes_no_sense_is_refused_by_name(phase, says):
    with pytest.raises(RecipeRefusal) as refusal:
        plan_phase(recipe(**phase), 0)
    assert says in str(refusal.value) and "phases.0" in refusal.value.where


@pytest.mark.parametrize(("kind", "options"), [
    ("regression", {"label_smoothing": 0.1}), ("regression", {"class_weights": "balanced"}),
    ("multi_label", {"class_weights": "balanced"}), ("similarity", {"label_smoothing": 0.1}),
], ids=str)  # fmt: skip
def test_an_objective_that_does_not_fit_the_task_is_refused_with_the_reason(kind, options):
    with pytest.raises(RecipeRefusal, match=f"'supervised' does not fit a {kind}: .*{list(options)[0]}"):
        plan_phase(recipe(kind=kind, objective={"kind": "supervised", **options}), 0)


@pytest.mark.parametrize(("kind", "objective", "says"), [
    ("retrieval", "supervised", "contrastive learns from both"),
    ("retrieval", "cosent", "orders pairs by a number"),
    ("similarity", "contrastive", "which passage belongs to a query"),
    ("classification", "contrastive", "which passage belongs to a query"),
])  # fmt: skip
def test_what_is_compared_by_has_objectives_of_its_own(kind, objective, says):
    with pytest.raises(RecipeRefusal, match=f"'{objective}' does not fit a {kind}: .*{says}"):
        plan_phase(recipe(kind=kind, objective=objective), 0)


@pytest.mark.parametrize(("kind", "objective"), [("retrieval", "contrastive"), ("similarity", "cosent")])
def test_rows_that_learn_from_each_other_need_each_other(kind, objective):
    with pytest.raises(RecipeRefusal, match="learns from rows beside each other, and an update has one") as refusal:
        plan_phase(recipe(kind=kind, objective=objective, rows_per_update=1), 0)
    assert refusal.value.where == "phases.0.rows_per_update"
    plan_phase(recipe(kind=kind, objective=objective, rows_per_update=2), 0)


def test_a_phase_that_names_no_objective_has_the_usual_one():
    assert [type(objective) for objective, _ in pieces(recipe(kind="retrieval")).objectives] == [Contrastive]
    assert [type(objective) for objective, _ in pieces(recipe(kind="similarity")).objectives] == [Supervised]


@dataclass(frozen=True)
class Distilled(Supervised):
    needs: ClassVar[frozenset[str]] = frozenset({"targets", "teacher_logits"})


@dataclass(frozen=True)
class Teaching(room.Nothing):
    provides: ClassVar[frozenset[str]] = frozenset({"teacher_logits"})
    features_fixed: ClassVar[bool] = False


def test_an_objective_whose_needs_nothing_provides_is_refused_and_with_a_provider_is_not(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "distilled", Distilled)
    monkeypatch.setitem(room.TEACHERS, "teaching", Teaching)
    with pytest.raises(RecipeRefusal, match="'distilled' needs teacher_logits, which nothing in this phase provides"):
        plan_phase(recipe(objective="distilled"), 0)
    plan_phase(recipe(objective="distilled", teacher="teaching"), 0)


def test_vectors_are_cached_only_where_every_axis_leaves_them_fixed(monkeypatch):
    monkeypatch.setitem(room.TEACHERS, "teaching", Teaching)
    assert plan_phase(recipe(trainable="head"), 0).features_fixed
    assert not plan_phase(recipe(trainable="head", teacher="teaching"), 0).features_fixed
    assert not plan_phase(recipe(trainable="biases"), 0).features_fixed


def test_the_vocabulary_holds_every_axis_of_a_phase_and_all_other_components():
    assert set(VOCABULARY.tables) == {"trainable", "objective", "schedule", "perturbation", "teacher", "optimizer",
                                      "adaptation", "long", "writing"}  # fmt: skip
    assert VOCABULARY.tables["schedule"] is SCHEDULES and VOCABULARY.tables["objective"] is OBJECTIVES


def test_a_pass_over_cached_vectors_holds_all_rows_of_an_update_unless_it_is_divided():
    assert pieces(recipe(), cached=True).tokens_per_pass == sys.maxsize
    assert pieces(recipe(), cached=False).tokens_per_pass == tokens_per_pass(tiny_description())


def test_a_wider_base_gets_fewer_tokens_a_pass_within_bounds():
    small = tiny_description()
    wide = type(small)(**{name: getattr(small, name) for name in small.__slots__} | {"width": 4096, "layers": 48})
    middle = type(small)(**{name: getattr(small, name) for name in small.__slots__} | {"width": 384, "layers": 6})
    assert 0 < tokens_per_pass(wide) < tokens_per_pass(middle) < tokens_per_pass(small) <= 16_384
    writer = type(wide)(**{name: getattr(wide, name) for name in wide.__slots__} | {"family": "decoder"})
    assert tokens_per_pass(wide) == 1024 and tokens_per_pass(writer) == 2048
