"""From a YAML file and `--set` to a checked `Recipe` that knows the line of every key. Knows no torch.

The names and options of components come in as a `Vocabulary`; this file checks them and never looks inside.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pydantic

from tunewright.recipe.errors import RecipeRefusal, nearest
from tunewright.recipe.parse import below, parse_yaml
from tunewright.recipe.schema import Component, Phase, Recipe
from tunewright.recipe.tasks import KINDS

AXES = ("trainable", "objective", "schedule", "perturbation", "teacher", "optimizer")
KEYED = {"encode.long": "long", "evaluate.writing": "writing"}  # key that holds one component -> its table
_UNIONS = ("input", "output", "train", "validation", "test")  # keys whose value may be of one type or another
_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The component tables: axis -> name -> frozen dataclass whose fields are that component's options."""

    tables: Mapping[str, Mapping[str, type]]

    def find(self, axis: str, kind: str, *, where: str = "") -> Any:
        """The class behind a name of `axis`, or behind `module:Class`. Raises RecipeRefusal."""
        table, closed = self.tables[axis], axis in KEYED.values()
        if ":" in kind and not closed:
            return _fitting(_import_component(kind, where), axis, table, kind, where)
        if kind not in table:
            own = "" if closed else ", or name your own as module:Class"
            raise RecipeRefusal(
                f"There is no {axis} called {kind!r}.{nearest(kind, table)}",
                where=where,
                remedy=f"Choose one of {', '.join(sorted(table))}{own}.",
            )
        return table[kind]

    def build(self, axis: str, component: Component, *, where: str = "") -> Any:
        """The live component with its options checked and converted. Raises RecipeRefusal."""
        cls = self.find(axis, component.kind, where=where)
        fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
        types = typing.get_type_hints(cls)
        values = {}
        for name, value in component.options.items():
            if name not in fields:
                known = ", ".join(fields) or "none"
                raise RecipeRefusal(
                    f"{component.kind!r} has no option {name!r}.{nearest(name, fields)}",
                    where=where,
                    remedy=f"Its options are: {known}.",
                )
            try:
                values[name] = _converted(value, types[name])
            except ValueError as error:
                reason = error.errors()[0]["msg"] if isinstance(error, pydantic.ValidationError) else error
                raise RecipeRefusal(
                    f"Option {name!r} of {component.kind!r} cannot be {value!r}: {reason}.", where=where
                ) from None
        lacking = [f for f, field in fields.items() if f not in values and _is_required(field)]
        if lacking:
            raise RecipeRefusal(
                f"{component.kind!r} needs the option {lacking[0]!r}.", where=where,
                remedy=f"Write it as a mapping: {{kind: {component.kind}, {lacking[0]}: ...}}.",
            )  # fmt: skip
        try:
            return cls(**values)
        except (ValueError, TypeError) as error:
            raise RecipeRefusal(f"{component.kind!r} cannot be made so: {error}.", where=where) from None


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _converted(value: Any, wanted: Any) -> Any:
    """`value` as the type of an option; what pydantic would take too lightly is refused."""
    if isinstance(value, bool) and wanted is not bool:
        raise ValueError("it is no switch")
    converted = pydantic.TypeAdapter(wanted).validate_python(value)
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ValueError("it must be a finite number")
    return converted


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A checked recipe with what is needed to speak about it: its text, its folder and the line of every key.

    `templates` maps keys whose value came from the environment to what the file says, so that it is never written back.
    """

    recipe: Recipe
    path: Path
    text: str
    lines: Mapping[str, int]
    overrides: tuple[str, ...]
    templates: Mapping[str, str]

    @property
    def root(self) -> Path:
        return self.path.parent

    def where(self, key: str) -> str:
        """File and line of a key such as `phases.0.budget`, or of the nearest section that the file does have."""
        return _where(self.path, self.lines, self.overrides, key)

    def written(self) -> dict[str, Any]:
        """The recipe as plain values, secrets put back to their `${NAME}`."""
        written: dict[str, Any] = conceal(self.recipe.model_dump(mode="json"), self.templates)
        return written


def read(path: Path, vocabulary: Vocabulary, *, overrides: Sequence[str] = ()) -> RecipeFile:
    """Read and check a recipe.

    `overrides` are `key=value` texts; the value is YAML. Raises RecipeRefusal with the nearest key, the file and the
    line for anything that is not in the schema.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeRefusal(
            f"There is no recipe {str(path)!r}.", remedy="Write one with: tunewright init DATA."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeRefusal(f"The recipe cannot be read: {error}.", where=str(path)) from None
    values, lines = _parse(text, path)
    for override in overrides:
        _set(values, override)
    environment: dict[str, str] = {}  # template -> value
    try:
        return _checked(values, path, text, lines, tuple(overrides), vocabulary, environment)
    except RecipeRefusal as refusal:
        raise _without_secrets(refusal, environment) from None


def _checked(
    values: dict[str, Any], path: Path, text: str, lines: Mapping[str, int], overrides: tuple[str, ...],
    vocabulary: Vocabulary, environment: dict[str, str],
) -> RecipeFile:  # fmt: skip
    """The recipe of `values`; notes in `environment` what was read from there, also before a RecipeRefusal."""
    templates: dict[str, str] = {}
    values = _expand(values, "", templates, environment, lambda key: _where(path, lines, overrides, key))
    try:
        recipe = Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        _refuse(error, path, lines, overrides)
    found = RecipeFile(recipe, path, text, lines, overrides, _as_dumped(templates, recipe))
    for index, phase in enumerate(recipe.phases):
        check_components(phase, vocabulary, partial(_where_of_axis, found, index))
    for index, component in enumerate(recipe.adapt):
        check_component("adaptation", component, vocabulary, found.where(f"adapt.{index}"))
    for key, axis in KEYED.items():
        chosen = component_at(recipe, key)
        if chosen is not None:
            check_component(axis, chosen, vocabulary, found.where(key))
    return found


def component_at(recipe: Recipe, key: str) -> Component | None:
    """What a recipe has at a key of KEYED; None where it names nothing."""
    section, _, name = key.partition(".")
    component: Component | None = getattr(getattr(recipe, section), name)
    return component


def _where_of_axis(file: RecipeFile, phase: int, axis: str) -> str:
    return file.where(f"phases.{phase}.{axis}")


def check_components(phase: Phase, vocabulary: Vocabulary, where: Callable[[str], str]) -> None:
    """Build every component of a phase once, so that a wrong name or option is refused before anything is loaded."""
    for axis in AXES:
        chosen = getattr(phase, axis) or ()
        for component in chosen if isinstance(chosen, tuple) else (chosen,):
            check_component(axis, component, vocabulary, where(axis))


def check_component(axis: str, component: Component, vocabulary: Vocabulary, where: str) -> None:
    """Build one component, so that a wrong name or option is refused; and a weight where nothing is weighed."""
    vocabulary.build(axis, component, where=where)
    if axis != "objective" and component.weight != 1:
        article = "an" if axis[0] in "aeiou" else "a"
        raise RecipeRefusal(
            f"A weight makes no sense for {article} {axis}: there is nothing to weigh it against.",
            where=where,
            remedy="Weights belong to objectives.",
        )


def conceal(values: Any, templates: Mapping[str, str], key: str = "") -> Any:
    """`values` with every entry that came from the environment replaced by what the file says."""
    if key in templates and not isinstance(values, (dict, list, tuple)):
        return templates[key]
    if isinstance(values, dict):
        return {k: conceal(v, templates, below(key, k)) for k, v in values.items()}
    if isinstance(values, (list, tuple)):
        return [conceal(v, templates, below(key, i)) for i, v in enumerate(values)]
    return values


def _import_component(kind: str, where: str) -> type:
    module, _, name = kind.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeRefusal(
            f"The component {kind!r} cannot be imported: {error}.",
            where=where,
            remedy="It is module:Class, and the module must be importable from here (see PYTHONPATH).",
        ) from None
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise RecipeRefusal(f"{kind!r} is not a dataclass, so it has no options to read.", where=where)
    return found


def _fitting(cls: type, axis: str, table: Mapping[str, type], kind: str, where: str) -> type:
    """`cls`, if it offers what all components of its axis offer besides their options."""
    offered = [set(dir(known)) - {f.name for f in dataclasses.fields(known)} for known in table.values()]
    lacking = sorted(name for name in set.intersection(*offered) - set(dir(cls)) if not name.startswith("_"))
    if lacking:
        raise RecipeRefusal(
            f"{kind!r} is no {axis}: it lacks {', '.join(lacking)}.",
            where=where,
            remedy=f"Give it what {table[min(table)].__name__} has.",
        )
    return cls


def _parse(text: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    values, lines = parse_yaml(
        text, place=lambda mark: f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
    )
    if not isinstance(values, dict):
        raise RecipeRefusal(
            "The recipe is not a mapping of keys to values.",
            where=str(path),
            remedy="Start from a written one: tunewright init DATA.",
        )
    return values, lines


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise RecipeRefusal(f"--set {override!r} is not key=value.", remedy="As in: --set phases.0.budget='3 epochs'.")
    value, _ = parse_yaml(text, place=lambda mark: f"--set {override}")
    steps = key.strip().split(".")
    place: dict[str, Any] | list[Any] = values
    for step, following in zip(steps[:-1], steps[1:], strict=True):
        place = _enter(place, step, following, override, usual=_usual_component(step, values))
    _put(place, steps[-1], value, override)


def _usual_component(axis: str, values: Mapping[str, Any]) -> str:
    """What stands on `axis` of a phase that names nothing there, or "" for what is no axis."""
    if axis not in AXES:
        return ""
    default = Phase.model_fields[axis].default
    if default is not None:
        return str(default.kind)
    task = values.get("task")
    kind = KINDS.get(str(task.get("kind"))) if isinstance(task, Mapping) else None
    return kind.objective if kind is not None else "supervised"


def _enter(
    place: dict[str, Any] | list[Any], step: str, following: str, override: str, *, usual: str
) -> dict[str, Any] | list[Any]:
    """The mapping or list at `step`, made where there is none; a component written as a name becomes a mapping.

    `usual` names the component that stands at `step` where the recipe names none.
    """
    at: Any = step if isinstance(place, dict) else _index(place, step, override)
    inside = place.get(step) if isinstance(place, dict) else place[at]
    if usual and inside is None:
        inside = usual
    if isinstance(inside, str) and (step in (*AXES, *KEYED.values()) or isinstance(place, list)):
        inside = {"kind": inside}
    if step in AXES and following.isdecimal() and isinstance(inside, dict):
        inside = [inside]
    if inside is None:
        inside = [{}] if following.isdecimal() else {}
    if not isinstance(inside, (dict, list)):
        raise RecipeRefusal(f"{step!r} in --set {override!r} holds a single value and has no key {following!r} inside.")
    place[at] = inside
    return inside


def _put(place: dict[str, Any] | list[Any], step: str, value: Any, override: str) -> None:
    if isinstance(place, list):
        place[_index(place, step, override)] = value
    else:
        place[step] = value


def _index(place: list[Any], step: str, override: str) -> int:
    if not step.isdecimal() or int(step) >= len(place):
        raise RecipeRefusal(
            f"--set {override!r} asks for item {step!r} of a list of {len(place)}.", remedy="Items count from 0."
        )
    return int(step)


def _expand(
    values: Any, key: str, templates: dict[str, str], environment: dict[str, str], where: Callable[[str], str]
) -> Any:
    """Replace `${NAME}` by the environment's value, remembering in `templates` what the file says."""
    if isinstance(values, dict):
        return {k: _expand(v, below(key, k), templates, environment, where) for k, v in values.items()}
    if isinstance(values, list):
        return [_expand(v, below(key, i), templates, environment, where) for i, v in enumerate(values)]
    if not isinstance(values, str) or not _ENVIRONMENT.search(values):
        return values
    for name in _ENVIRONMENT.findall(values):
        if name not in os.environ:
            raise RecipeRefusal(
                f"The recipe reads the environment variable {name!r}, which is not set.",
                where=where(key),
                remedy=f"Set it, as in: export {name}=...",
            )
        environment[f"${{{name}}}"] = os.environ[name]
    templates[key] = values
    return _ENVIRONMENT.sub(lambda found: os.environ[found[1]], values)


def _as_dumped(templates: Mapping[str, str], recipe: Recipe) -> dict[str, str]:
    """`templates` also under the keys that a written recipe has: a component without options is written as its name,
    and a list of one objective as that objective.
    """
    found = dict(templates)
    for key, template in templates.items():
        steps = key.split(".")
        if steps[2:4] == ["objective", "0"] and len(recipe.objectives(int(steps[1]))) == 1:
            steps = steps[:3] + steps[4:]
        found[".".join(steps)] = template
        inside = len(steps) >= 4 and steps[0] == "phases" or steps[0] == "adapt" or ".".join(steps[:-1]) in KEYED
        if inside and steps[-1] == "kind":
            found[".".join(steps[:-1])] = template
    return found


def _without_secrets(refusal: RecipeRefusal, environment: Mapping[str, str]) -> RecipeRefusal:
    """The refusal with values from the environment shown as `${NAME}`; shorter than four letters they hide nothing."""
    parts = [refusal.what, refusal.where, refusal.remedy]
    for template, value in environment.items():
        if len(value) >= 4:
            parts = [part.replace(value, template).replace(repr(value)[1:-1], template) for part in parts]
    return RecipeRefusal(parts[0], where=parts[1], remedy=parts[2])


def _where(path: Path, lines: Mapping[str, int], overrides: Sequence[str], key: str) -> str:
    for override in reversed(overrides):
        changed = override.partition("=")[0].strip()
        if key == changed or changed.startswith(key + ".") or key.startswith(changed + "."):
            return f"--set {override}"
    steps = key.split(".")
    while steps and ".".join(steps) not in lines:
        steps.pop()
    line = lines.get(".".join(steps), 1)
    return f"{path}:{line}, key {key}" if key else f"{path}:{line}"


def _refuse(
    error: pydantic.ValidationError, path: Path, lines: Mapping[str, int], overrides: tuple[str, ...]
) -> NoReturn:
    first = error.errors()[0]
    location = _keys_of([str(step) for step in first["loc"]])
    key = ".".join(location)
    where = _where(path, lines, overrides, key)
    if first["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        raise RecipeRefusal(
            f"Unknown key {key!r}.{nearest(location[-1], known)}",
            where=where,
            remedy=f"Keys here are: {', '.join(known)}.",
        )
    if first["type"] == "missing":
        raise RecipeRefusal(f"The key {key!r} is missing.", where=where, remedy=_meaning(location))
    problem, given = first["msg"].removeprefix("Value error, "), first["input"]
    subject = f"The key {key!r} cannot be {given!r}"
    if isinstance(given, Mapping):
        subject = f"The section {key!r} does not fit together" if key else "The recipe does not fit together"
    raise RecipeRefusal(f"{subject}: {problem}.", where=where, remedy=_meaning(location))


def _keys_of(location: Sequence[str]) -> list[str]:
    """`location` without the steps that pydantic adds for the branches of a union."""
    keys: list[str] = []
    for step in location:
        if not (keys and keys[-1] in _UNIONS and step in ("str", "tuple[str, ...]", "constrained-float")):
            keys.append(step)
    return keys


def _section(location: Sequence[str]) -> type[pydantic.BaseModel] | None:
    """The schema class that holds the keys at `location`, or None inside free-form mappings."""
    section: type[pydantic.BaseModel] = Recipe
    for step in location:
        if step.isdigit():
            continue
        field = section.model_fields.get(step)
        if field is None:
            return section if step not in ("labels",) else None
        section = next(_models_in(field.annotation), section)
    return section


def _models_in(annotation: Any) -> typing.Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)


def _known_keys(location: Sequence[str]) -> list[str]:
    section = _section(location)
    return list(section.model_fields) if section else []


def _meaning(location: Sequence[str]) -> str:
    section = _section(location[:-1])
    field = section.model_fields.get(location[-1]) if section and location else None
    return f"{location[-1]} is {field.description}." if field is not None and field.description else ""
