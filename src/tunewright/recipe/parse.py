"""From YAML text to plain values and the line of every key, by YAML 1.2's core rules. Knows no recipe and no file.

PyYAML follows YAML 1.1, where `no` is false, `1:30` is 90, `010` is 8 and `5e-5` is a word. Here the first two are
words and the last two are numbers. Keys are always words, as written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from tunewright.recipe.errors import RecipeRefusal

Place = Callable[[yaml.Mark | None], str]  # how a message names a spot of the text

_CORE = "tag:yaml.org,2002:"
_LARGEST = 100_000  # values; aliases can make a small text larger than any machine


class _Loader(yaml.SafeLoader):
    """Finds types of unquoted words by the core schema (YAML 1.2.2, section 10.3.2)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _type, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
):
    _Loader.add_implicit_resolver(_CORE + _type, re.compile(rf"(?:{_pattern})\Z"), _first)


@dataclass(slots=True)
class _Reading:
    """Values made so far, and the line of every key such as `phases.0.budget`."""

    place: Place
    lines: dict[str, int] = field(default_factory=dict)
    made: int = 0

    def value(self, node: yaml.Node, key: str) -> Any:
        self.lines.setdefault(key, node.start_mark.line + 1)
        self.made += 1
        if self.made > _LARGEST:
            raise RecipeRefusal(f"There are more than {_LARGEST} values.", where=self.place(node.start_mark))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.MappingNode) and node.tag == _CORE + "map":
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == _CORE + "seq":
            return [self.value(item, below(key, i)) for i, item in enumerate(node.value)]
        raise self._unknown_tag(node)

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                raise RecipeRefusal("A key must be a single word.", where=self.place(name_node.start_mark))
            name = self._text(name_node)
            inner = below(key, name)
            if name in values:
                raise RecipeRefusal(
                    f"The key {inner!r} stands twice.",
                    where=self.place(name_node.start_mark),
                    remedy=f"Keep one; the first is in line {self.lines[inner]}.",
                )
            self.lines[inner] = name_node.start_mark.line + 1
            values[name] = self.value(value_node, inner)
        return values

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text, kind = self._text(node), node.tag.removeprefix(_CORE)
        try:
            match kind:
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
                case "float":
                    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        except (ValueError, KeyError):
            raise RecipeRefusal(f"{text[:40]!r} is not a {kind}.", where=self.place(node.start_mark)) from None
        raise self._unknown_tag(node)

    def _text(self, node: yaml.ScalarNode) -> str:
        """The characters of a scalar; two halves of one, as JSON escapes them, are joined."""
        try:
            return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            where = self.place(node.start_mark)
            raise RecipeRefusal("An escape such as \\ud83d stands for half a character.", where=where) from None

    def _unknown_tag(self, node: yaml.Node) -> RecipeRefusal:
        tag, where = node.tag.replace(_CORE, "!!"), self.place(node.start_mark)
        return RecipeRefusal(f"The YAML tag {tag!r} has no meaning here.", where=where, remedy="Leave it out.")


def below(key: str, step: str | int) -> str:
    """The name of what stands at `step` inside `key`: `phases.0` and `budget` give `phases.0.budget`."""
    return f"{key}.{step}" if key else str(step)


def parse_yaml(text: str, *, place: Place) -> tuple[Any, dict[str, int]]:
    """The values of a YAML text (None if it is empty) and the line of every key.

    Raises RecipeRefusal for what is not YAML, a key that stands twice, tags, and texts too deep or too large.
    """
    reading = _Reading(place)
    try:
        node = yaml.compose(text, Loader=_Loader)
        return (None if node is None else reading.value(node, "")), reading.lines
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        where = place(getattr(error, "problem_mark", None))
        raise RecipeRefusal(f"This is not valid YAML: {problem}.", where=where) from None
    except RecursionError:
        raise RecipeRefusal("The YAML is nested too deeply, or refers to itself.", where=place(None)) from None
