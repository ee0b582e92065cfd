"""The page and the JSON Schema say what the reader of recipes really accepts."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tunewright.pipeline.reference import (
    SECTIONS,
    option_fields,
    recipe_json_schema,
    recipe_reference,
    write_reference,
)
from tunewright.recipe.read import AXES
from tunewright.recipe.resolve import Facts, resolve
from tunewright.recipe.schema import Recipe
from tunewright.train.assemble import VOCABULARY

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_the_page_names_every_key_component_and_option_with_its_default():
    page = recipe_reference()
    for section in SECTIONS.values():
        for name in section.model_fields:
            assert f"| `{name}` |" in page
    for axis in AXES:
        for name, component in VOCABULARY.tables[axis].items():
            part = page.split(f"### {axis}: {name}\n")[1].split("\n##")[0]
            assert component.__doc__.split("\n")[0] in part
            for option in option_fields(component):
                row = next(line for line in part.splitlines() if line.startswith(f"| `{option.name}` |"))
                if option.default not in (None, dataclasses.MISSING):
                    assert row.endswith(f"| `{option.default}` |")


def test_every_table_of_the_page_has_as_many_cells_in_each_row():
    for table in recipe_reference().split("\n\n"):
        rows = [line.replace("\\|", "") for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_keys_shown_as_decided_are_exactly_those_that_resolve_fills():
    recipe = Recipe.model_validate({
        "name": "all-gaps", "task": {"kind": "classification", "input": ["a", "b"], "output": "c"}, "base": "minilm",
        "data": {"train": "t.csv"}, "encode": {"long": "windows"},
    })  # fmt: skip
    facts = Facts(
        rows={"train": 900, "validation": 100, "test": 200}, classes=3, described_labels=False, longest_text=900,
        typical_text=90, longest_input=256, longest_input_reason="it says so", family="encoder", pooling="mean",
        takes_pairs=True, width=384, cores=2, bfloat16=False, bfloat16_reason="no hardware for it", device="cpu",
    )  # fmt: skip
    filled = set(resolve(recipe, facts, VOCABULARY).reasons) | {"encode.long"}
    filled = {"gate" if key.startswith("gate.") else key for key in filled}
    filled -= {"phases.0.optimizer.rate", "encode.long.overlap"}
    page, decided = recipe_reference(), set()
    for key, section in SECTIONS.items():
        part = page.split(f"## {key or 'Top level'}\n")[1].split("\n##")[0]
        for name in section.model_fields:
            row = next(line for line in part.splitlines() if line.startswith(f"| `{name}` |"))
            if "*decided*" in row:
                decided.add(f"{key}.{name}".removeprefix("."))
    assert decided == filled


def test_the_schema_describes_the_options_of_every_component():
    phase = recipe_json_schema()["$defs"]["Phase"]["properties"]
    for axis in AXES:
        shapes = {shape["title"]: shape for shape in phase[axis]["anyOf"] if "title" in shape}
        assert set(shapes) == set(VOCABULARY.tables[axis])
        for name, component in VOCABULARY.tables[axis].items():
            options = set(shapes[name]["properties"]) - {"kind", "weight"}
            assert options == {field.name for field in option_fields(component)}
            assert ("weight" in shapes[name]["properties"]) == (axis == "objective")


def test_the_schema_is_json_and_requires_what_a_recipe_requires():
    schema = recipe_json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["required"]) == {name for name, field in Recipe.model_fields.items() if field.is_required()}
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_an_independent_validator_accepts_every_recipe_and_refuses_a_misspelled_one(path):
    validator = jsonschema.Draft202012Validator(recipe_json_schema())
    recipe = yaml.safe_load(path.read_text())
    assert list(validator.iter_errors(recipe)) == []
    assert list(validator.iter_errors(recipe | {"sead": 1}))
    assert list(validator.iter_errors(recipe | {"phases": [{"trainable": {"kind": "lora", "ranks": 8}}]}))
    assert list(validator.iter_errors(recipe | {"phases": [{"trainable": "lorra"}]}))


def test_the_files_are_written_as_a_command(tmp_path):
    subprocess.run([sys.executable, "-m", "tunewright.pipeline.reference", str(tmp_path)], check=True, timeout=120)
    assert (tmp_path / "recipe.md").read_text() == recipe_reference()
    assert json.loads((tmp_path / "recipe.schema.json").read_text()) == recipe_json_schema()
    write_reference(tmp_path)
    assert (tmp_path / "recipe.md").read_text() == recipe_reference()
