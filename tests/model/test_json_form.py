"""Which texts a schema lets be written, against json and jsonschema, and which schemas are refused."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.model.automaton import Automaton, Paths
from tunewright.model.json_form import write_schema
from tunewright.recipe.errors import RecipeRefusal


def automaton_of(schema: dict) -> Automaton:
    paths = Paths()
    start, end, _ = write_schema(schema, paths)
    return Automaton(paths, start=start, end=end)


def says(schema: dict, text: str | bytes) -> bool:
    automaton = automaton_of(schema)
    state = automaton.after(0, text if isinstance(text, bytes) else text.encode())
    return state is not None and automaton.is_complete(state)


PERSON = {
    "type": "object", "title": "Person",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5}, "age": {"type": ["integer", "null"]},
        "tags": {"type": "array", "items": {"enum": ["a", "bé"]}, "minItems": 1, "maxItems": 3},
        "at": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
    },
    "required": ["name", "tags"], "additionalProperties": False,
}  # fmt: skip
GOOD = [
    '{"name": "a", "tags": ["a"]}', '{"name":"a","tags":["a","bé","a"]}', ' {"name": "Ä😀\\n\\u00e9日", "tags": ["a"]}',
    '{"name": "a", "age": null, "tags": ["a"]}', '{"name": "a", "age": -12, "tags": ["a"], "at": {"x": -0.5e+7}}',
    '{"name": "\\"\\\\", "tags": ["bé"], "at": {"x": 0}}',
]  # fmt: skip
BAD = [
    "", "{}", '{"name": "", "tags": ["a"]}', '{"name": "abcdef", "tags": ["a"]}', '{"name": "a", "tags": []}',
    '{"name": "a", "tags": ["a", "a", "a", "a"]}', '{"name": "a", "tags": ["c"]}', '{"tags": ["a"], "name": "a"}',
    '{"name": "a", "age": 1.5, "tags": ["a"]}', '{"name": "a", "age": 012, "tags": ["a"]}',
    '{"name": "a", "tags": ["a"],}', '{"name": "a\n", "tags": ["a"]}', '{"name": "\\x", "tags": ["a"]}',
    '{"name": "\\ud83d", "tags": ["a"]}', '{"name": "a", "tags": ["a"], "at": {}}',
    '{"name": "a", "tags": ["a"], "at": {"x": 1.}}', '{"name": "a",  "tags": ["a"]}',
    '{"name": "a", "tags": ["a"]} ', '{"name": "a", "tags": ["a"], "more": 1}',
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_may_be_written_is_valid(text):
    jsonschema.validate(json.loads(text), PERSON)
    assert says(PERSON, text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_not_valid_or_not_in_this_form_may_not_be_written(text):
    assert not says(PERSON, text)


@settings(deadline=None)
@given(text=st.text(max_size=6))
def test_any_text_may_be_written_as_a_string(text):
    written = json.dumps(text, ensure_ascii=False)
    assert says({"type": "string"}, written)
    assert says({"type": "string", "maxLength": len(text)}, written)
    assert not text or not says({"type": "string", "maxLength": len(text) - 1}, written)


@settings(deadline=None)
@given(raw=st.binary(max_size=5))
def test_bytes_that_are_no_characters_are_no_string(raw):
    try:
        good = json.loads(b'"' + raw + b'"') is not None
        good = good and not any("\ud800" <= char <= "\udfff" for char in json.loads(b'"' + raw + b'"'))
    except (UnicodeDecodeError, ValueError):
        good = False
    assert says({"type": "string"}, b'"' + raw + b'"') == good


@settings(deadline=None)
@given(number=st.one_of(st.integers(-(10**15) + 1, 10**15 - 1), st.floats(-1e6, 1e6).map(lambda x: round(x, 3))))
def test_numbers_may_be_written_as_python_writes_them(number):
    written = json.dumps(number)
    assert says({"type": "number"}, written)
    assert says({"type": "integer"}, written) == isinstance(number, int)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"const": {"a": [1, None]}}, '{"a": [1, null]}', "{}"),
        ({"type": "boolean"}, "true", "True"),
        ({"enum": [1, "1", True]}, "true", "false"),
        ({"type": "string", "enum": [1, "1"]}, '"1"', "1"),
        ({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]}, '"x"', '"xy"'),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2,3, 4]", "[1,, 2]"),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2}, "[null, null, null]", "[null]"),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 0}, "[]", "[null]"),
        ({"type": "object", "properties": {}}, "{}", '{"a": 1}'),
        ({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}}, '{"b": 2}', '{"b": 2, "a": 1}'),
        ({"type": "object", "properties": {"a": {"const": 1}}}, "{}", '{, "a": 1}'),
        ({"type": "string", "minLength": 2}, '"ab"', '"a"'),
    ],
)
def test_each_keyword(schema, good, bad):
    jsonschema.validate(json.loads(good), schema)
    assert says(schema, good) and not says(schema, bad)


@pytest.mark.parametrize(
    ("schema", "named", "where"),
    [
        ({"type": "string", "pattern": "a+"}, "'pattern' is not understood", "schema.pattern"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, "'.ref' is not understood", "schema.a.$ref"),
        ({"type": "integer", "minimum": 3}, "'minimum' is not understood", "schema.minimum"),
        ({"type": "integer", "maxLength": 3}, "'maxLength' is not understood", "schema.maxLength"),
        ({"type": "strin"}, "no type 'strin'", "schema.type"),
        ({"type": {}}, "no type", "schema.type"),
        ({}, "does not say what its value is", "schema"),
        (True, "must be an object", "schema"),
        ({"type": "object"}, "which properties", "schema"),
        (
            {"type": "object", "properties": {"name": {"type": "null"}}, "required": ["nam"]},
            "'nam' is required",
            "required",
        ),
        (
            {"type": "object", "properties": {}, "additionalProperties": {"type": "null"}},
            "without a name",
            "additional",
        ),
        ({"type": "array"}, "what its items are", "schema"),
        ({"type": "array", "items": {"type": "array"}}, "what its items are", "schema.items"),
        ({"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2}, "maxItems is below", "schema"),
        ({"type": "string", "maxLength": -1}, "maxLength is -1", "schema.maxLength"),
        ({"type": "string", "maxLength": 10**9}, "allows too much", "schema"),
        ({"enum": []}, "at least one entry", "schema.enum"),
        ({"type": "null", "enum": [1]}, "has the type", "schema"),
        ({"anyOf": [{"type": "null"}, {"not": {}}]}, "'not' is not understood", "schema.anyOf[1]"),
        ({"anyOf": [{"type": "null"}], "type": "null"}, "'type' is not understood", "schema.type"),
        ({"enum": [1], "const": 1}, "both say", "schema"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(schema, named, where):
    with pytest.raises(RecipeRefusal, match=named) as refusal:
        write_schema(schema, Paths())
    assert where in refusal.value.where and refusal.value.remedy
