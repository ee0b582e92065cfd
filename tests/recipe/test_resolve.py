"""Gaps are filled from facts, each with its reason; what the recipe says is left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.recipe.read import AXES, Vocabulary
from tunewright.recipe.resolve import Facts, resolve
from tunewright.recipe.schema import Bar, Budget, Component, Recipe

FACTS = Facts(
    rows={"train": 1200, "validation": 170, "test": 340}, classes=16, described_labels=True, longest_text=212,
    typical_text=90, longest_input=256, longest_input_reason="its settings say 256", family="encoder", pooling="mean",
    takes_pairs=True, width=384, cores=2, bfloat16=True, bfloat16_reason="the hardware has it", device="cpu",
)  # fmt: skip


@dataclass(frozen=True)
class Whole:
    features_fixed: ClassVar[bool] = False

    @classmethod
    def suggested_rate(cls, width: int) -> float:
        return 1 / width


@dataclass(frozen=True)
class Cheap(Whole):
    features_fixed: ClassVar[bool] = True


@dataclass(frozen=True)
class Rated:
    rate: float | None = None
    clip: float = 1.0


@dataclass(frozen=True)
class Plain:
    pass


_TABLES = dict.fromkeys(AXES, {"none": Plain, "supervised": Plain, "length_grouped": Plain})
VOCABULARY = Vocabulary(_TABLES | {"trainable": {"everything": Whole, "head": Cheap},
                                   "optimizer": {"adamw": Rated, "plain": Plain}})  # fmt: skip


def resolved(facts=FACTS, **changes):
    task = {"kind": "classification", "input": "text", "output": "intent"} | changes.pop("task", {})
    values = {"name": "r", "task": task, "base": "minilm", "data": {"train": "t.csv"}} | changes
    return resolve(Recipe.model_validate(values), facts, VOCABULARY)


def gaps(values, key=""):
    """The keys of a written recipe whose value is None."""
    if isinstance(values, dict):
        return [gap for name, value in values.items() for gap in gaps(value, f"{key}.{name}".lstrip("."))]
    if isinstance(values, list):
        return [gap for i, value in enumerate(values) for gap in gaps(value, f"{key}.{i}")]
    return [key] if values is None else []


def test_what_training_reads_has_no_gaps_left_and_every_filling_a_reason():
    task = {"kind": "classification", "input": "text", "output": "intent"}
    before = Recipe.model_validate({"name": "r", "task": task, "base": "minilm", "data": {"train": "t.csv"}})
    found = resolve(before, FACTS, VOCABULARY)
    after = found.recipe.model_dump(mode="json")
    assert set(gaps(after)) == {"task.labels", "task.join", "task.prompts", "task.unseen_prompts", "task.system",
                                "data.id", "data.group",
                                "encode.chat_template", "evaluate.writing",
                                "gate.macro_f1.at_least", "gate.macro_f1.at_most"}  # fmt: skip
    filled = set(gaps(before.model_dump(mode="json"))) - set(gaps(after))
    assert filled | {"gate.macro_f1.better_than", "phases.0.optimizer.rate"} == set(found.reasons)
    assert all(found.reasons.values())


@given(st.integers(1, 10**7), st.integers(1, 2000), st.sampled_from([128, 256, 8192]), st.booleans(), st.booleans())
def test_equal_facts_give_an_equal_recipe_and_resolving_again_changes_nothing(rows, longest, limit, pairs, bfloat16):
    facts = replace(FACTS, rows={"train": rows, "validation": 9, "test": 9}, longest_text=longest,
                    longest_input=limit, takes_pairs=pairs, bfloat16=bfloat16)  # fmt: skip
    first = resolved(facts)
    assert resolved(facts) == first
    again = resolve(first.recipe, facts, VOCABULARY)
    assert again.recipe == first.recipe and again.reasons == {}


def test_what_the_recipe_says_is_left_alone():
    said = {
        "phases": [{"budget": "7 updates", "rows_per_update": 5, "patience": 0, "evaluate_every": "2 updates",
                    "objective": "supervised", "optimizer": {"kind": "adamw", "rate": 0.5, "clip": 2.0}}],
        "encode": {"max_length": 32, "long": "truncate", "pooling": "cls"},
        "evaluate": {"metric": "accuracy", "baselines": ["knn"]},
        "compute": {"dtype": "float32", "threads": 1, "device": "cuda:1"},
        "gate": {"accuracy": {"at_least": 0.5}}, "keep": {"every": "3 updates"},
        "data": {"train": "t.csv", "test": "x.csv", "validation": "v.csv"},
    }  # fmt: skip
    found = resolved(**said)
    assert found.reasons == {}
    assert found.recipe.phases[0].optimizer == Component(kind="adamw", options={"rate": 0.5, "clip": 2.0})
    assert (found.recipe.data.test, found.recipe.data.validation) == ("x.csv", "v.csv")


def test_what_is_minimised_comes_from_the_kind_of_task():
    found = resolved(task={"kind": "retrieval", "input": ["query", "passage"], "output": None})
    assert found.recipe.phases[0].objective == (Component(kind="contrastive"),)
    assert found.reasons["phases.0.objective"] == "the usual one of retrieval"
    assert found.recipe.task.join is None and "task.join" not in found.reasons, "texts that are compared are not joined"
    graded = resolved(task={"kind": "similarity", "input": ["one", "other"], "output": "score"})
    assert graded.recipe.phases[0].objective == (Component(kind="supervised"),) and graded.recipe.task.join is None
    assert resolved().recipe.phases[0].objective == (Component(kind="supervised"),)


def test_the_rate_comes_from_what_trains_and_the_width():
    found = resolved(phases=[{"trainable": "head", "optimizer": {"kind": "adamw", "clip": 2}}])
    assert found.recipe.phases[0].optimizer.options == {"rate": 1 / 384, "clip": 2}
    assert "head" in found.reasons["phases.0.optimizer.rate"]
    assert resolved(phases=[{"optimizer": "plain"}]).recipe.phases[0].optimizer == Component(kind="plain")


@pytest.mark.parametrize(("rows", "epochs"), [(100, 20), (1200, 12), (10_000, 6), (200_000, 3)])
def test_more_rows_need_fewer_passes(rows, epochs):
    facts = replace(FACTS, rows={"train": rows, "validation": 1, "test": 1})
    assert resolved(facts).recipe.phases[0].budget == Budget(amount=epochs, unit="epochs")


def test_a_frozen_trunk_makes_epochs_cheap():
    assert resolved(phases=[{"trainable": "head"}]).recipe.phases[0].budget == Budget(amount=60, unit="epochs")


def test_parts_of_an_update_are_never_more_than_its_rows():
    phase = resolved(phases=[{"accumulate": 64}]).recipe.phases[0]
    assert phase.rows_per_update == 64


def test_long_texts_are_never_cut_unasked():
    found = resolved(replace(FACTS, longest_text=700))
    assert found.recipe.encode.long == Component(kind="refuse") and found.recipe.encode.max_length == 256
    assert "on request" in found.reasons["encode.long"]
    assert "212 tokens" in resolved().reasons["encode.long"]
    assert "on request" in resolved(encode={"max_length": 64}).reasons["encode.long"]


def test_windows_overlap_by_a_quarter():
    found = resolved(encode={"long": "windows", "max_length": 64})
    assert found.recipe.encode.long == Component(kind="windows", options={"overlap": 16})
    assert "quarter" in found.reasons["encode.long.overlap"]
    said = resolved(encode={"long": {"kind": "windows", "overlap": 3}, "max_length": 64})
    assert said.recipe.encode.long.options == {"overlap": 3} and "encode.long.overlap" not in said.reasons


@pytest.mark.parametrize(
    ("inputs", "pairs", "join"),
    [("a", True, None), (["a", "b"], True, "pair"), (["a", "b"], False, "lines"), (["a", "b", "c"], True, "lines")],
)
def test_several_columns_are_a_pair_where_the_base_takes_one(inputs, pairs, join):
    found = resolved(replace(FACTS, takes_pairs=pairs), task={"input": inputs})
    assert found.recipe.task.join == join
    assert ("task.join" in found.reasons) == (join is not None)


@pytest.mark.parametrize(
    ("task", "described", "zero_shot"),
    [({}, True, True), ({}, False, False), ({"kind": "multi_label"}, True, False),
     ({"kind": "regression"}, False, False)],
)  # fmt: skip
def test_zero_shot_is_measured_where_labels_are_described(task, described, zero_shot):
    found = resolved(replace(FACTS, described_labels=described), task=task)
    assert ("zero_shot" in found.recipe.evaluate.baselines) == zero_shot
    assert found.recipe.evaluate.baselines[0] == "majority" and found.recipe.evaluate.baselines[-1] == "probe"


@pytest.mark.parametrize(
    ("kind", "metric"), [("classification", "macro_f1"), ("multi_label", "micro_f1"), ("regression", "rmse")]
)
def test_without_a_gate_the_model_must_beat_every_baseline_on_the_usual_figure(kind, metric):
    assert resolved(task={"kind": kind}).recipe.gate == {metric: Bar(better_than="best_baseline")}


def test_the_machine_decides_type_threads_and_device():
    compute = resolved(replace(FACTS, bfloat16=False, bfloat16_reason="no", cores=7, device="cuda")).recipe.compute
    assert (compute.dtype, compute.threads, compute.device) == ("float32", 7, "cuda")
