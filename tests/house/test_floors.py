"""Imports go downward only, rooms on one floor do not see each other, and nothing goes in circles."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.house.sources import MODULES, imports_of

FLOORS = {
    "recipe": 0, "values": 0,
    "data": 1, "model": 1, "store": 1,
    "train": 2, "evaluate": 2,
    "serve": 3,
    "pipeline": 4,
    "cli": 5, "asking": 5, "display": 5, "failure": 5, "progress": 5, "": 5,
}  # fmt: skip
DOORS = 5  # one floor of neighbours, who may see each other


def room_of(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def fault(importer: str, imported: str) -> str | None:
    """Why `importer` must not import `imported`, or None."""
    if imported == "tunewright":
        return None  # only its version
    above, below = room_of(importer), room_of(imported)
    if below not in FLOORS:
        return f"{below} is on no floor"
    if above == below or FLOORS[above] > FLOORS[below] or FLOORS[above] == FLOORS[below] == DOORS:
        return "serve never imports train" if (above, below) == ("serve", "train") else None
    return f"{above} is on floor {FLOORS[above]} and {below} on floor {FLOORS[below]}"


def imports_in(module: str) -> list[tuple[str, int]]:
    path = MODULES[module]
    return list(imports_of(module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py"))


def edges() -> dict[str, set[str]]:
    return {module: {found for found, _ in imports_in(module)} for module in MODULES}


def test_every_room_has_a_floor():
    assert {room_of(module) for module in MODULES} <= set(FLOORS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward_only(module):
    found = imports_in(module)
    assert [f"line {line}: {why}" for imported, line in found if (why := fault(module, imported)) is not None] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import tunewright.train.engine", "tunewright.train.engine"),
        ("from tunewright import train", "tunewright.train"),
        ("from tunewright.train import engine as e", "tunewright.train.engine"),
        ("from ..train import engine", "tunewright.train.engine"),
        ("from ..train.engine import Training", "tunewright.train.engine"),
        ("from .. import train", "tunewright.train"),
        ("def f():\n    from tunewright.train.engine import Training", "tunewright.train.engine"),
        ("if TYPE_CHECKING:\n    from tunewright.train.engine import Training", "tunewright.train.engine"),
        ("importlib.import_module('tunewright.train.engine')", "tunewright.train.engine"),
    ],
)
def test_no_way_of_importing_goes_unseen(source, found):
    seen = [module for module, _ in imports_of("tunewright.evaluate.metrics", source)]
    assert seen == [found]
    assert fault("tunewright.evaluate.metrics", found) is not None
    assert fault("tunewright.serve.app", found) is not None
    assert fault("tunewright.pipeline.fit", found) is None


def test_no_module_imports_itself_by_way_of_others():
    graph, done = edges(), set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join([*way[way.index(module) :], module])
        if module not in done:
            for below in sorted(graph.get(module, ())):
                if below != "tunewright":
                    visit(below, (*way, module))
            done.add(module)

    for module in graph:
        if module != "tunewright":
            visit(module, ())


def test_recipes_and_values_know_no_torch():
    modules = [name for name in MODULES if name.startswith("tunewright.recipe") or name == "tunewright.values"]
    code = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
    code += "print({'torch', 'transformers', 'numpy.f2py', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
