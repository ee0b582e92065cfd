"""What a recipe may say, as a page for people and a JSON Schema for editors. Knows schema and component tables only.

Both are made from the code that reads recipes, so they cannot say anything else than what is read.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic
from pydantic.fields import FieldInfo

from tunewright.recipe.read import AXES, KEYED
from tunewright.recipe.schema import Bar, Budget, Component, Data, Encode, Evaluate, Keep, Phase, Recipe, Section, Task
from tunewright.recipe.schema import Compute as ComputeSection
from tunewright.train.assemble import VOCABULARY

# section -> how its keys are written in full
SECTIONS: dict[str, type[Section]] = {
    "": Recipe,
    "task": Task,
    "data": Data,
    "encode": Encode,
    "phases.0": Phase,
    "evaluate": Evaluate,
    "gate.FIGURE": Bar,
    "keep": Keep,
    "compute": ComputeSection,
}
NEVER_DECIDED = frozenset(
    {"task.labels", "task.output", "task.prompts", "task.unseen_prompts", "task.system", "encode.chat_template"}
    | {"evaluate.writing"}
    | {"data.id", "data.group"}
    | {f"gate.FIGURE.{name}" for name in Bar.model_fields}
)  # keys that stay without a value where the recipe gives none
_INTRODUCTION = """\
# The recipe

Made from the schema by `make docs`; a test fails when this page is older than the schema.

A recipe is one YAML file. `name`, `task`, `base` and `data` are required. A key whose default is *decided* is filled
from facts (rows, lengths, base, machine); `tunewright check RECIPE` shows each decision with its reason, and a run
keeps them in `recipe.resolved.json`. An unknown key is an error that names the nearest one, the file and the line.

- `--set phases.0.trainable.rank=8` sets any key from the command line, also one that the file leaves out. The value is
  YAML. Items of lists count from 0.
- `${NAME}` inside a value reads the environment variable NAME. Its value is used and never written back.
- Words are words and numbers are numbers by YAML 1.2: `no` is a word, `5e-5` is a number. `true` and `false` mean
  nothing here.
- A budget is a number with a unit: `5 epochs`, `300 updates`, `2000000 tokens`, `10 minutes`.
- A component is a name (`lora`) or a mapping with its options (`{kind: lora, rank: 8}`). Where a name fits, a class of
  your own fits as `module:Class`: a dataclass with the same methods as those of its table.
- `encode.long` and `evaluate.writing` are components as well: `long: windows`, or `long: {kind: windows, overlap: 16}`.
- `adapt` is a list of such components: `adapt: [{kind: drop_layers, keep: every_second}, {kind: head, units: 128}]`.
- `tunewright schema` prints the JSON Schema of all this, for editors.
"""


def recipe_reference() -> str:
    """The page docs/recipe.md, Markdown."""
    return "\n".join([_INTRODUCTION, *_sections(), *_axes()]).rstrip("\n") + "\n"


def recipe_json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, with the options of every component."""
    schema = Recipe.model_json_schema()
    phase = schema["$defs"]["Phase"]["properties"]
    for axis in AXES:
        one = _component_schema(axis)
        described = {"description": phase[axis]["description"]}
        several = {"anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]}
        phase[axis] = described | (several if axis == "objective" else one)
    for key, axis in KEYED.items():
        section, _, name = key.partition(".")
        inside = schema["$defs"][section.capitalize()]["properties"]
        inside[name] = {"description": inside[name]["description"], **_component_schema(axis)}
    schema["properties"]["adapt"] = {
        "description": Recipe.model_fields["adapt"].description, "type": "array",
        "items": _component_schema("adaptation"), "default": [],
    }  # fmt: skip
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Tunewright recipe"}


# ------------------------------------------------------------------------------------------------- page


def _sections() -> Iterator[str]:
    for key, section in SECTIONS.items():
        yield f"## {key or 'Top level'}\n"
        yield _paragraph(section) + "\n"
        yield "| key | value | default | meaning |"
        yield "|---|---|---|---|"
        for name, field in section.model_fields.items():
            default = "none" if f"{key}.{name}".removeprefix(".") in NEVER_DECIDED else _default_of(field)
            yield _table_row(f"`{name}`", _written_type(field.annotation), default, _meaning_of(name, field))
        yield ""


def _axes() -> Iterator[str]:
    yield "# Components\n"
    fields = {axis: Phase.model_fields[axis] for axis in AXES} | {"adaptation": Recipe.model_fields["adapt"]}
    for key, axis in KEYED.items():
        section, _, name = key.partition(".")
        fields[axis] = SECTIONS[section].model_fields[name]
    for axis, field in fields.items():
        described = field.description or ""
        yield f"## {axis}\n"
        yield f"{described[:1].upper()}{described[1:]}.\n"
        for name, component in VOCABULARY.tables[axis].items():
            yield f"### {axis}: {name}\n"
            yield inspect.cleandoc(component.__doc__ or "") + "\n"
            yield from _options(component, none="none" if axis in ("adaptation", "writing") else "*decided*")


def _options(component: type, *, none: str) -> Iterator[str]:
    """A table of a component's options; `none` is what a default of None means."""
    hints = typing.get_type_hints(component)
    options = option_fields(component)
    if not options:
        yield "No options.\n"
        return
    yield "| option | value | default |"
    yield "|---|---|---|"
    for option in options:
        default = "required" if option.default is dataclasses.MISSING else _plain(option.default)
        default = none if option.default is None else default
        yield _table_row(f"`{option.name}`", _written_type(hints[option.name]), default)
    yield ""


def option_fields(component: type) -> list[dataclasses.Field[Any]]:
    """The fields of a component that a recipe may set."""
    return [field for field in dataclasses.fields(component) if field.init]


def _paragraph(documented: type) -> str:
    """The first paragraph of a class's docstring, as one line."""
    text = inspect.cleandoc(documented.__doc__ or "")
    return " ".join(text.split("\n\n")[0].split())


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Component):
        return f"`{default.kind}`"
    if isinstance(default, tuple) and default and isinstance(default[0], Component):
        return f"`{default[0].kind}`"
    if isinstance(default, (pydantic.BaseModel, tuple)):
        return "see below"
    return _plain(default or None) if isinstance(default, dict) else _plain(default)


def _plain(default: Any) -> str:
    return "*decided*" if default is None else f"`{default}`"


def _meaning_of(name: str, field: FieldInfo) -> str:
    section = next((key for key in SECTIONS if key.split(".")[0] == name), None)
    link = f"see [{section}](#{section.replace('.', '').lower()})" if section else ""
    return "; ".join(filter(None, (field.description, link)))


def _written_type(annotation: Any) -> str:
    """A type as a reader of YAML thinks of it."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _written_type(inner[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_written_type(each) for each in inner if each is not types.NoneType)
    if origin is typing.Literal:
        return ", ".join(f"`{each}`" for each in inner)
    if origin is tuple:
        return f"list of {_written_type(inner[0])}"
    if origin is dict or origin is Mapping:
        return f"{_written_type(inner[0])}: {_written_type(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Budget: "budget",
             Component: "component"}  # fmt: skip
    return names[annotation]


def _table_row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


# ----------------------------------------------------------------------------------------------- schema


def _component_schema(axis: str) -> dict[str, Any]:
    table = VOCABULARY.tables[axis]
    weight = {"weight": {"type": "number", "exclusiveMinimum": 0}} if axis == "objective" else {}
    mappings = [
        {
            "type": "object",
            "title": name,
            "description": _paragraph(component),
            "properties": {"kind": {"const": name}, **weight, **_option_schemas(component)},
            "required": ["kind", *_required_options(component)],
            "additionalProperties": False,
        }
        for name, component in table.items()
    ]
    if axis in KEYED.values():
        return {"anyOf": [{"enum": _alone(table)}, *mappings]}
    own = {"type": "object", "properties": {"kind": {"type": "string", "pattern": ":"}}, "required": ["kind"]}
    return {"anyOf": [{"enum": _alone(table)}, {"type": "string", "pattern": ":"}, *mappings, own]}


def _alone(table: Mapping[str, type]) -> list[str]:
    """The components that a name alone stands for."""
    return [name for name, component in table.items() if not _required_options(component)]


def _required_options(component: type) -> list[str]:
    return [option.name for option in option_fields(component) if option.default is dataclasses.MISSING]


def _option_schemas(component: type) -> dict[str, Any]:
    hints = typing.get_type_hints(component)
    schemas = {}
    for option in option_fields(component):
        plain = list(option.default) if isinstance(option.default, tuple) else option.default
        default = {} if option.default is dataclasses.MISSING else {"default": plain}
        schemas[option.name] = pydantic.TypeAdapter(hints[option.name]).json_schema() | default
    return schemas


def write_reference(folder: Path) -> None:
    """Write `recipe.md` and `recipe.schema.json` into `folder`."""
    (folder / "recipe.md").write_text(recipe_reference(), encoding="utf-8")
    schema = json.dumps(recipe_json_schema(), indent=2, ensure_ascii=False)
    (folder / "recipe.schema.json").write_text(schema + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_reference(Path(sys.argv[1]))
