"""Nothing unfinished, nothing swallowed, every file introduced, and a test file for every source file."""

from __future__ import annotations

import ast
import re

import pytest
from tests.house.sources import DOCUMENTS, EVERYWHERE, PACKAGE, ROOT, SOURCES, named

BROAD = ("Exception", "BaseException")
WORDS = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error", "place" + "holder")
UNFINISHED = re.compile("|".join(WORDS), re.IGNORECASE)
TOLD = [*EVERYWHERE, *DOCUMENTS, *sorted((ROOT / "recipes").glob("*.yaml")), ROOT / "Makefile", ROOT / "pyproject.toml"]


@pytest.mark.parametrize("path", TOLD, ids=named)
def test_nothing_is_left_for_later(path):
    assert UNFINISHED.findall(path.read_text(encoding="utf-8")) == []


def swallowed(text: str) -> list[int]:
    """Lines of `text` where any error at all is caught and nothing is done about it."""
    lines = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or ast.unparse(node.type) in BROAD
            if broad and all(_is_idle(step) for step in node.body):
                lines.append(node.lineno)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            lines += [node.lineno for argument in node.args if ast.unparse(argument) in BROAD]
    return lines


def _is_idle(step: ast.stmt) -> bool:
    said = isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)
    return said or isinstance(step, ast.Pass | ast.Continue)


@pytest.mark.parametrize("path", EVERYWHERE, ids=named)
def test_no_error_is_swallowed(path):
    assert swallowed(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [("except Exception: pass", [3]), ("except: ...", [3]), ("except BaseException:\n  'why'", [3]),
     ("except OSError: pass", []), ("except Exception: log()", []), ("except Exception: raise", [])],
)  # fmt: skip
def test_swallowing_is_recognised(body, found):
    assert swallowed(f"try:\n  f()\n{body}") == found


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_every_file_begins_by_saying_what_it_knows(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = ast.get_docstring(tree) or ""
    assert said.split("\n\n")[0].endswith((".", ":")) or not tree.body


def test_tests_mirror_the_source():
    with_code = {path for path in SOURCES if path.name != "__init__.py"}
    expected = {ROOT / "tests" / path.relative_to(PACKAGE).with_name(f"test_{path.name}") for path in with_code}
    rooms = {path.parent for path in expected}
    there = {path for path in (ROOT / "tests").rglob("test_*.py") if path.parent in rooms}
    assert {named(path) for path in expected - there} == set(), "source files without a test file"
    assert {named(path) for path in there - expected} == set(), "test files without a source file"
