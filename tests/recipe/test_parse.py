"""YAML as people mean it: words stay words, numbers are numbers, every key has a line, and nothing else gets in."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.parse import below, parse_yaml


def place(mark):
    return "here" if mark is None else f"{mark.line + 1}:{mark.column + 1}"


def value_of(text):
    return parse_yaml(text, place=place)[0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("NO", "NO"),
        ("5e-5", 5e-5), ("1e3", 1000.0), ("-.5", -0.5), ("1.", 1.0), ("+3", 3), ("010", 10), ("0o17", 15), ("0x1F", 31),
        ("1:30", "1:30"), ("1_000", "1_000"), ("2026-01-05", "2026-01-05"), ("1.2.3", "1.2.3"),
        ("true", True), ("False", False), ("~", None), ("", None), ("null", None), ("Null", None), ("nULL", "nULL"),
        (".inf", math.inf), ("-.Inf", -math.inf), ("'5'", "5"), ('"true"', "true"), ("=", "="), ("<<", "<<"),
        ("0b101", "0b101"), ("12e", "12e"), ("!!str 5", "5"), ("!!int '5'", 5), ("!!float 5", 5.0),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_rules_of_yaml_1_2(written, meant):
    found = value_of(written)
    assert found == meant and type(found) is type(meant)
    assert value_of(f"key: {written}") == {"key": meant}
    assert value_of(f"[{written}]" if written else "[~]") == [meant]


def test_not_a_number_is_read_as_such():
    assert math.isnan(value_of(".nan"))


def test_keys_are_always_words():
    keys = ("1", "true", "~", "5e-5", "no", "=")
    assert value_of("".join(f"{key}: {{}}\n" for key in keys)) == {key: {} for key in keys}


def test_every_key_and_item_has_its_line():
    _, lines = parse_yaml("a: 1\nb:\n  c: [1,\n    2]\n  d: {e: 3}\nf:\n- g: 1\n- h\n", place=place)
    assert {key: lines[key] for key in ("a", "b", "b.c", "b.c.1", "b.d.e", "f.0.g", "f.1")} == {
        "a": 1, "b": 2, "b.c": 3, "b.c.1": 4, "b.d.e": 5, "f.0.g": 7, "f.1": 8,
    }  # fmt: skip


def test_names_below_are_joined_by_points():
    assert below("", "a") == "a" and below("a", 0) == "a.0" and below("a.0", "b") == "a.0.b"


@pytest.mark.parametrize(
    ("text", "says", "where"),
    [
        ("a: 1\nb: 2\na: 3", "'a' stands twice", "3:1"),
        ("p:\n  - {x: 1, x: 2}", "'p.0.x' stands twice", "2:12"),
        ("a: [1, 2", "not valid YAML", "1:9"),
        ("a: b: c", "not valid YAML", "1:5"),
        ("a: \x07", "not valid YAML", "here"),
        ("a: !!python/object:os.system {}", "tag '!!python/object:os.system'", "1:4"),
        ("a: !mine 5", "tag '!mine'", "1:4"),
        ("a: !!binary aGk=", "tag '!!binary'", "1:4"),
        ("a: !!int five", "'five' is not a int", "1:4"),
        ("{[a]: 1}", "a single word", "1:2"),
        ("? {a: 1}\n: 2", "a single word", "1:3"),
        ("a: *nowhere", "not valid YAML", "1:4"),
        ("a: 1\n---\nb: 2", "not valid YAML", "2:1"),
        ("a: &x [*x]", "refers to itself", "here"),
        ("[" * 3000 + "]" * 3000, "nested too deeply", "here"),
        (r'a: "\ud83d"', "half a character", "1:4"),
        ("9" * 5000, "is not a int", "1:1"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text, says, where):
    with pytest.raises(RecipeRefusal, match=".") as caught:
        value_of(text)
    assert says in caught.value.what
    assert caught.value.where == where


def test_aliases_work_and_cannot_blow_up():
    assert value_of("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}
    laughs = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    with pytest.raises(RecipeRefusal, match="more than 100000 values"):
        value_of(laughs)


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(_plain)
def test_json_is_yaml_and_is_read_as_written(value):
    written = json.dumps(value)
    assert value_of(written) == json.loads(written)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab1.:-?[]{},&*!|>'\"%@#~ \n\t=<é"), max_size=40))
def test_any_text_is_read_or_refused_and_never_crashes(text):
    try:
        value_of(text)
    except RecipeRefusal as refusal:
        assert refusal.where


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.from_regex(r"[a-z]{2,6}", fullmatch=True)))
def test_plain_words_are_read_as_the_library_reads_them(values):
    text = yaml.safe_dump(values)
    if not {"no", "yes", "on", "off", "null", "true", "false"} & {*values, *values.values()}:
        assert (value_of(text) or {}) == values
