"""What a recipe may say: types and ranges, components and budgets, and sections whose keys fit together."""

from __future__ import annotations

import copy
import math

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.recipe.schema import Bar, Budget, Component, Data, Encode, Phase, Recipe, Task

SMALL = {
    "name": "small",
    "task": {"kind": "classification", "input": "text", "output": "intent"},
    "base": "minilm",
    "data": {"train": "tickets.jsonl"},
}


def recipe(**changes) -> Recipe:
    """The small recipe with keys such as `task__join` changed."""
    values = copy.deepcopy(SMALL)
    for key, value in changes.items():
        *steps, last = key.split("__")
        place = values
        for step in steps:
            place = place.setdefault(step, {})
        place[last] = value
    return Recipe.model_validate(values)


def test_three_sections_and_a_name_are_enough():
    made = recipe()
    assert made.task.inputs == ("text",) and made.task.outputs == ("intent",)
    assert made.phases == (Phase(),) and made.seed == 17 and made.gate == {}
    assert made.phases[0].trainable == Component(kind="everything")


@pytest.mark.parametrize("missing", ["name", "task", "base", "data"])
def test_each_of_them_is_needed(missing):
    with pytest.raises(pydantic.ValidationError, match="Field required"):
        Recipe.model_validate({key: value for key, value in SMALL.items() if key != missing})


def test_a_recipe_cannot_be_changed():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        recipe().seed = 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "Not A Name"}, "pattern"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": True}, "true and false mean nothing"),
        ({"phases": []}, "at least 1 item"),
        ({"task__kind": "clasification"}, "'classification'"),
        ({"task__input": []}, "must each name a column"),
        ({"task__input": ["text", ""]}, "must each name a column"),
        ({"task__input": "intent"}, "the column intent stands twice"),
        ({"task__input": ["text", "text"]}, "the column text stands twice"),
        ({"task__output": ["a", "b"]}, "only multi_label has several output columns"),
        ({"task__labels": {"a": "x"}}, "labels must name at least two"),
        ({"task__join": "pair"}, "join needs several input columns"),
        ({"task__input": ["a", "b", "c"], "task__join": "pair"}, "exactly two input columns"),
        ({"task__kind": "similarity", "task__input": ["a", "b"], "task__join": "pair"}, "read their columns as one"),
        ({"phases": [{"objective": []}]}, "name at least one"),
        ({"task__separator": ";"}, "only a multi_label with one output column"),
        ({"task__kind": "regression", "task__labels": {"a": "", "b": ""}}, "a regression has no labels"),
        ({"data__train": []}, "train must name a file"),
        ({"data__test": ""}, "files or a share of train"),
        ({"data__test": []}, "files or a share of train"),
        ({"data__validation": ["a.jsonl", ""]}, "files or a share of train"),
        ({"data__test": 0.5}, "less than 0.5"),
        ({"data__validation": 0}, "greater than 0"),
        ({"base": {"encoder": "minilm"}}, "an encoder and a decoder with"),
        ({"data__malformed": math.nan}, "finite"),
        ({"encode__max_length": 3}, "greater than or equal to 4"),
        ({"encode__long": ["windows"]}, "give a name, or a mapping"),
        ({"phases": [{"rows_per_update": 4, "accumulate": 8}]}, "accumulate cannot be more"),
        ({"phases": [{"evaluate_every": "2 minutes"}]}, "epochs, updates or tokens"),
        ({"evaluate__baselines": ["zero_shot"]}, "zero_shot needs a classification"),
        ({"evaluate__resamples": 10}, "greater than or equal to 200"),
        ({"gate": {"accuracy": {}}}, "a bar needs at_least, at_most or better_than"),
        ({"gate": {"accuracy": {"at_least": math.inf}}}, "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, says):
    with pytest.raises(pydantic.ValidationError) as caught:
        recipe(**changes)
    assert says in caught.value.errors()[0]["msg"]


def test_what_fits_together_is_accepted():
    assert recipe(task__input=["a", "b"], task__join="pair").task.join == "pair"
    assert recipe(task__kind="multi_label", task__output=["x", "y"]).task.outputs == ("x", "y")
    assert recipe(task__kind="multi_label", task__separator=";").task.separator == ";"
    assert Encode(long="drop").long == Component(kind="drop")
    assert Encode(long={"kind": "windows", "overlap": 31}).model_dump()["long"] == {"kind": "windows", "overlap": 31}
    data = Data(train=("a.csv", "b.csv"), test="t.csv", validation=0.1)
    assert (data.has_file("train"), data.has_file("test"), data.has_file("validation")) == (True, True, False)
    assert (data.share_of("validation"), data.share_of("test")) == (0.1, None)
    assert recipe(base={"encoder": "a", "decoder": "b"}).base == {"encoder": "a", "decoder": "b"}
    described = recipe(task__labels={"a": "one", "b": "two"}, evaluate__baselines=["zero_shot"])
    assert described.evaluate.baselines == ("zero_shot",)
    assert Bar(at_most=0.1).at_most == 0.1
    assert Task(kind="regression", input="text", output="price").labels is None


@pytest.mark.parametrize(
    ("written", "kind", "options", "weight"),
    [
        ("lora", "lora", {}, 1.0),
        ({"kind": "lora", "rank": 8}, "lora", {"rank": 8}, 1.0),
        ({"kind": "supervised", "weight": 2}, "supervised", {}, 2.0),
        ("my_module:MyLoss", "my_module:MyLoss", {}, 1.0),
    ],
)
def test_a_component_is_a_name_or_a_mapping_and_is_written_as_it_was_read(written, kind, options, weight):
    component = Component.parse(written)
    assert (component.kind, dict(component.options), component.weight) == (kind, options, weight)
    assert component.written() == written
    assert Component.parse(component) is component


@pytest.mark.parametrize("written", [5, None, [], {}, {"rank": 8}, {"kind": 3}])
def test_what_is_no_component_says_how_one_is_written(written):
    with pytest.raises(ValueError, match="give a name, or a mapping with the key 'kind'"):
        Component.parse(written)


@pytest.mark.parametrize("weight", ["2", True, None, math.nan, math.inf])
def test_a_weight_is_a_finite_number(weight):
    with pytest.raises(ValueError, match="its weight must be a number"):
        Component.parse({"kind": "supervised", "weight": weight})


def test_objectives_are_one_or_a_list():
    one = Phase.model_validate({"objective": "supervised"})
    assert one.model_dump()["objective"] == "supervised"
    two = Phase.model_validate({"objective": ["supervised", {"kind": "supervised", "weight": 0.5}]})
    assert two.model_dump()["objective"] == ["supervised", {"kind": "supervised", "weight": 0.5}]
    assert Phase.model_validate(two.model_dump()) == two


@pytest.mark.parametrize(
    ("written", "amount", "unit"),
    [("5 epochs", 5, "epochs"), ("1 epoch", 1, "epochs"), ("0.5 epochs", 0.5, "epochs"),
     (" 300updates ", 300, "updates"), ("2000000 tokens", 2e6, "tokens"), ("10 Minutes", 10, "minutes")],
)  # fmt: skip
def test_a_budget_is_a_number_with_a_unit(written, amount, unit):
    assert Budget.parse(written) == Budget(amount=amount, unit=unit)


@pytest.mark.parametrize(
    "written", ["5", 5, "epochs", "-1 epochs", "5 hours", "5 epochs 3", "", None, "1e3 tokens", "0 epochs"]
)
def test_anything_else_is_not(written):
    with pytest.raises(ValueError, match="write a number and a unit|must be above 0"):
        Budget.parse(written)


@given(st.integers(1, 10**15) | st.floats(0.001, 1e9), st.sampled_from(["epochs", "updates", "tokens", "minutes"]))
def test_a_budget_is_read_back_as_it_is_written(amount, unit):
    budget = Budget(amount=amount, unit=unit)
    assert Budget.parse(str(budget)) == budget


def test_a_written_recipe_reads_back_as_itself():
    made = recipe(
        task__labels={"a": "one", "b": ""}, gate={"macro_f1": {"at_least": 0.8, "better_than": "champion"}},
        phases=[{"trainable": "head", "budget": "3000000 tokens"}, {"objective": ["supervised", "supervised"]}],
        keep={"every": "50 updates"},
    )  # fmt: skip
    assert Recipe.model_validate(made.model_dump(mode="json")) == made
