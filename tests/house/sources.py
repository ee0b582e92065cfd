"""The source as the house tests read it: files, rooms, syntax trees and who imports whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "tunewright"
SOURCES = sorted(PACKAGE.rglob("*.py"))
EVERYWHERE = sorted(
    path for folder in ("src", "tests", "benchmarks", "examples", "nano") for path in (ROOT / folder).rglob("*.py")
)  # fmt: skip
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def named(path: Path) -> str:
    """The path as a test's name."""
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    """`src/tunewright/data/read.py` is `tunewright.data.read`, a package's `__init__.py` the package."""
    steps = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(steps[:-1] if steps[-1] == "__init__" else steps)


MODULES = {module_of(path): path for path in SOURCES}


def imports_of(module: str, text: str, *, is_package: bool = False) -> Iterator[tuple[str, int]]:
    """Modules of tunewright that the source `text` of `module` imports, with the line.

    Seen are imports at the top, inside functions, for type checking, relative ones, `from tunewright import x`, and
    names in quotes, as importlib takes them.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name.split(".")[0] == "tunewright")
        elif isinstance(node, ast.ImportFrom):
            source = _source_of(node, module, is_package=is_package)
            if source.split(".")[0] == "tunewright":
                for alias in node.names:
                    inner = f"{source}.{alias.name}"
                    yield (inner if inner in MODULES else source), node.lineno
        elif isinstance(node, ast.Constant) and str(node.value) in MODULES:
            yield str(node.value), node.lineno


def _source_of(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    steps = module.split(".")
    above = steps[: len(steps) - node.level + is_package]
    return ".".join([*above, *([node.module] if node.module else [])])


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Name and lines of every function in a file, its docstring and decorators not counted."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines, first = node.end_lineno - node.lineno + 1, node.body[0]
            if ast.get_docstring(node) is not None and first.end_lineno is not None:
                lines -= first.end_lineno - first.lineno + 1
            yield node.name, lines
