"""JSON Schema, as the paths that its values can be written on. Knows schemas; must not know tokens.

Understood: `type` (one or several of object, array, string, integer, number, boolean, null), `enum`, `const`, `anyOf`;
of objects `properties`, `required`, `additionalProperties` (none are written in any case); of arrays `items`,
`minItems`, `maxItems`; of strings `minLength`, `maxLength`. Titles, descriptions, defaults and examples change nothing.

Properties are written in the order of the schema; those that are not required may be left out. Whole numbers have at
most 15 digits, which every reader of JSON keeps exactly; others at most 15 before and 15 after the point and 2 in the
exponent. Strings hold any character, escaped or not, except that escapes never write halves of surrogate pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tunewright.model.automaton import Paths
from tunewright.recipe.errors import RecipeRefusal, nearest

_MOST_PLACES = 100_000
_NOTES = frozenset({"title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated"})
_ALTERNATIVES = frozenset({"type", "enum", "const", "anyOf"})
_KEYWORDS = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength"}),
    "integer": frozenset(), "number": frozenset(), "boolean": frozenset(), "null": frozenset(),
}  # fmt: skip
_DIGITS, _HEX = b"0123456789", b"0123456789abcdefABCDEF"
_STRING_NEEDS = '"\\0123456789'  # what an escape that was begun can always go on with


def write_schema(schema: Any, paths: Paths) -> tuple[int, int, list[str]]:
    """Writes the values of `schema` into `paths`; returns where they begin and end, and what must be writable.

    That is characters, but a space with what stands behind it, since many vocabularies have it only so. One space may
    stand before the whole. Raises RecipeRefusal, with the keyword and where it stands, for what is not understood.
    """
    writer = _Writer(paths)
    begin, after_space = paths.place(), paths.place()
    paths.shortcut(begin, after_space)
    paths.one_of(begin, b" ", after_space)
    end = writer.value(schema, after_space, "schema")
    return begin, end, sorted(writer.needed)


class _Writer:
    def __init__(self, paths: Paths):
        self.paths = paths
        self.needed: set[str] = set()
        self._where = ""

    def value(self, schema: Any, start: int, where: str) -> int:
        """Where a value of `schema` that begins at `start` ends."""
        if not isinstance(schema, dict):
            raise _refusal("A schema must be an object with a type", where, 'write {"type": ...}.')
        self._where = where
        asked = {key: value for key, value in schema.items() if key not in _NOTES}
        if "anyOf" in asked:
            self._refuse_others(asked, {"anyOf"}, where)
            choices = _list_at(asked, "anyOf", where)
            places = [f"{where}.anyOf[{number}]" for number in range(len(choices))]
            pairs = zip(choices, places, strict=True)
            return self._either(
                start, [lambda at, one=one, there=there: self.value(one, at, there) for one, there in pairs]
            )
        types = _types(asked, where)
        if "enum" in asked or "const" in asked:
            self._refuse_others(asked, {"enum", "const", "type"}, where)
            return self._literals(asked, types, start, where)
        known = frozenset().union(*(_KEYWORDS[one] for one in types)) | {"type"}
        self._refuse_others(asked, known, where)
        if not types:
            raise _refusal("The schema does not say what its value is", where, "give it a type, an enum or anyOf.")
        return self._either(
            start, [lambda at, one=one: getattr(self, f"_{one}")(asked, at, where) for one in types]
        )  # fmt: skip

    def _refuse_others(self, asked: dict, known: set[str] | frozenset[str], where: str) -> None:
        for key in asked:
            if key not in known:
                all_known = _ALTERNATIVES.union(*_KEYWORDS.values())
                hint = "" if key in all_known else nearest(key, all_known)
                what = f"The keyword {key!r} is not understood here"
                raise _refusal(what, f"{where}.{key}", f"leave it out, and check what it says afterwards.{hint}")

    def _either(self, start: int, alternatives: list[Callable[[int], int]]) -> int:
        end = self.paths.place()
        for write in alternatives:
            begin = self.paths.place()
            self.paths.shortcut(start, begin)
            self.paths.shortcut(write(begin), end)
        return end

    def _text(self, start: int, text: str) -> int:
        self.needed |= {char + after if char == " " else char for char, after in zip(text, text[1:] + " ", strict=True)}
        return self.paths.text(start, text)

    def _mark(self, start: int, mark: str) -> int:
        """Where a comma or colon leads, with a space or without."""
        after = self._text(start, mark)
        end = self.paths.place()
        self.paths.shortcut(after, end)
        return self.paths.one_of(after, b" ", end)

    def _literals(self, asked: dict, types: list[str], start: int, where: str) -> int:
        values = _list_at(asked, "enum", where) if "enum" in asked else [asked["const"]]
        if "enum" in asked and "const" in asked:
            raise _refusal("enum and const both say what the value is", where, "leave one of them out.")
        fitting = [value for value in values if not types or any(_is(value, one) for one in types)]
        if not fitting:
            raise _refusal("No value of the enum has the type that is asked for", where, "correct one of them.")
        texts = [json.dumps(value, ensure_ascii=False) for value in fitting]
        return self._either(start, [lambda at, text=text: self._text(at, text) for text in texts])

    def _object(self, asked: dict, start: int, where: str) -> int:
        properties, required = asked.get("properties"), asked.get("required", [])
        if not isinstance(properties, dict):
            raise _refusal("The object does not say which properties it has", where, "list them under properties.")
        for name in required:
            if name not in properties:
                hint = nearest(str(name), properties)
                raise _refusal(
                    f"{name!r} is required and not among the properties", f"{where}.required", f"describe it.{hint}"
                )  # fmt: skip
        if not isinstance(asked.get("additionalProperties", False), bool):
            there = f"{where}.additionalProperties"
            raise _refusal("Properties without a name cannot be written", there, "leave it out.")
        none_yet, some = self._text(start, "{"), self.paths.place()
        for name, schema in properties.items():
            begin, after_none, after_some = self.paths.place(), self.paths.place(), self.paths.place()
            self.paths.shortcut(none_yet, begin)
            self.paths.shortcut(self._mark(some, ","), begin)
            named = self._mark(self._text(begin, json.dumps(name, ensure_ascii=False)), ":")
            self.paths.shortcut(self.value(schema, named, f"{where}.{name}"), after_some)
            if name not in required:
                self.paths.shortcut(none_yet, after_none)
                self.paths.shortcut(some, after_some)
            none_yet, some = after_none, after_some
        end = self._text(none_yet, "}")
        return self.paths.one_of(some, b"}", end)

    def _array(self, asked: dict, start: int, where: str) -> int:
        if "items" not in asked:
            raise _refusal("The array does not say what its items are", where, "describe them under items.")
        least, most = _bounds(asked, "minItems", "maxItems", where)

        def item(at: int, count: int) -> int:
            return self.value(asked["items"], self._mark(at, ",") if count else at, f"{where}.items")

        return self._text(self._repeat(self._text(start, "["), item, least, most, first_differs=True), "]")

    def _string(self, asked: dict, start: int, where: str) -> int:
        least, most = _bounds(asked, "minLength", "maxLength", where)
        self.needed |= set(_STRING_NEEDS)
        end = self._repeat(self._text(start, '"'), lambda at, _: self._character(at), least, most)
        return self._text(end, '"')

    def _repeat(
        self, start: int, one: Callable[[int, int], int], least: int, most: int | None, *, first_differs: bool = False
    ) -> int:
        """Where `least` to `most` (None: any number) of `one` end; `one` is told how many stand before."""
        end, at = self.paths.place(), start
        fixed = max(least, 1 if first_differs else 0) if most is None else most
        for count in range(fixed):
            if len(self.paths) > _MOST_PLACES:
                raise _refusal(
                    "The schema allows too much to keep track of", self._where, "lower maxLength or maxItems."
                )  # fmt: skip
            if count >= least:
                self.paths.shortcut(at, end)
            at = one(at, count)
        self.paths.shortcut(at, end)
        if most is None:
            again = self.paths.place()
            self.paths.shortcut(at, again)
            self.paths.shortcut(one(again, fixed), again)
            self.paths.shortcut(again, end)
        return end

    def _integer(self, _: dict, start: int, __: str) -> int:
        self.needed |= set(_DIGITS.decode())
        signed, end = self.paths.place(), self.paths.place()
        self.paths.shortcut(start, signed)
        self.paths.one_of(start, b"-", signed)
        self.paths.one_of(signed, b"0", end)
        first = self.paths.one_of(signed, b"123456789")
        self.paths.shortcut(self._digits(first, 0, 14), end)
        return end

    def _number(self, asked: dict, start: int, where: str) -> int:
        whole, end = self._integer(asked, start, where), self.paths.place()
        pointed = self._digits(self.paths.one_of(whole, b"."), 1, 15)
        raised, signed = self.paths.place(), self.paths.place()
        for before in (whole, pointed):
            self.paths.shortcut(before, end)
            self.paths.one_of(before, b"eE", raised)
        self.paths.shortcut(raised, signed)
        self.paths.one_of(raised, b"+-", signed)
        self.paths.shortcut(self._digits(signed, 1, 2), end)
        return end

    def _digits(self, start: int, least: int, most: int) -> int:
        return self._repeat(start, lambda at, _: self.paths.one_of(at, _DIGITS), least, most)

    def _boolean(self, _: dict, start: int, __: str) -> int:
        return self._either(start, [lambda at: self._text(at, "true"), lambda at: self._text(at, "false")])

    def _null(self, _: dict, start: int, __: str) -> int:
        return self._text(start, "null")

    def _character(self, start: int) -> int:
        """One character of a string: as it is in UTF-8 (RFC 3629, section 4), or escaped."""
        step, end = self.paths.one_of, self.paths.place()
        step(start, set(range(0x20, 0x80)) - set(b'"\\'), end)
        last = self.paths.place()
        step(last, range(0x80, 0xC0), end)
        middle, third = self.paths.place(), self.paths.place()
        step(middle, range(0x80, 0xC0), last)
        step(third, range(0x80, 0xC0), middle)
        step(start, range(0xC2, 0xE0), last)
        step(step(start, (0xE0,)), range(0xA0, 0xC0), last)
        step(start, (*range(0xE1, 0xED), 0xEE, 0xEF), middle)
        step(step(start, (0xED,)), range(0x80, 0xA0), last)
        step(step(start, (0xF0,)), range(0x90, 0xC0), middle)
        step(start, range(0xF1, 0xF4), third)
        step(step(start, (0xF4,)), range(0x80, 0x90), middle)
        escaped = step(start, b"\\")
        step(escaped, b'"\\/bfnrt', end)
        code, two_left = step(escaped, b"u"), self.paths.place()
        step(step(code, set(_HEX) - set(b"dD")), _HEX, two_left)
        step(step(code, b"dD"), b"01234567", two_left)
        step(step(two_left, _HEX), _HEX, end)
        return end


def _refusal(what: str, where: str, remedy: str) -> RecipeRefusal:
    return RecipeRefusal(f"{what}.", where=where, remedy=remedy)


def _types(asked: dict, where: str) -> list[str]:
    stated = asked.get("type", [])
    types = stated if isinstance(stated, list) else [stated]
    for one in types:
        if not isinstance(one, str) or one not in _KEYWORDS:
            hint = nearest(str(one), _KEYWORDS)
            raise _refusal(f"There is no type {one!r}", f"{where}.type", f"use one of {', '.join(_KEYWORDS)}.{hint}")
    return types


def _list_at(asked: dict, key: str, where: str) -> list:
    values = asked[key]
    if not isinstance(values, list) or not values:
        raise _refusal(f"{key} must be a list with at least one entry", f"{where}.{key}", "give it one.")
    return values


def _bounds(asked: dict, least_key: str, most_key: str, where: str) -> tuple[int, int | None]:
    least, most = asked.get(least_key, 0), asked.get(most_key)
    for key, value in ((least_key, least), (most_key, most)):
        if value is not None and (type(value) is not int or value < 0):
            raise _refusal(f"{key} is {value!r}", f"{where}.{key}", "give a whole number from 0.")
    if most is not None and most < least:
        raise _refusal(f"{most_key} is below {least_key}", where, "exchange them.")
    return least, most


def _is(value: Any, type_name: str) -> bool:
    if type_name in ("integer", "number"):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return not isinstance(value, bool) and (whole or (type_name == "number" and isinstance(value, float)))
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, kinds[type_name])
