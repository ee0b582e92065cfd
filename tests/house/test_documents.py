"""What the documents say exists: commands, make targets, files, names. What is generated is fresh."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import tomllib
from importlib import metadata

import pytest
import typer
from packaging.requirements import Requirement
from tests.house.sources import DOCUMENTS, MODULES, ROOT, SOURCES, named

import tunewright
from tunewright.cli import app
from tunewright.pipeline.reference import recipe_json_schema, recipe_reference
from tunewright.recipe.read import AXES
from tunewright.train.assemble import VOCABULARY

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def commands_in(text: str) -> list[str]:
    """Command lines of fenced blocks that call tunewright, comments cut off."""
    blocks = re.findall(r"```(?:console|sh|bash)\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("tunewright ")]


def parse(command: str) -> None:
    """Parse a command line without running it; raises a usage error of the command line's library."""
    words = shlex.split(command, comments=True)[1:]
    group = typer.main.get_command(app)
    context = group.make_context("tunewright", list(words), resilient_parsing=True)
    while hasattr(group, "commands"):
        name, words = words[0], words[1:]
        assert name in group.commands, f"there is no command {name!r}"
        group = group.commands[name]
        context = group.make_context(name, list(words), parent=context, resilient_parsing=hasattr(group, "commands"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_in_documents_can_be_given(path):
    for command in commands_in(path.read_text(encoding="utf-8")):
        parse(command)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_named_in_passing_exist(path):
    group = typer.main.get_command(app)
    assert set(re.findall(r"`tunewright ([a-z]+)", path.read_text(encoding="utf-8"))) <= set(group.commands)


def test_the_readme_shows_every_command():
    shown = {shlex.split(command, comments=True)[1] for command in commands_in((ROOT / "README.md").read_text())}
    group = typer.main.get_command(app)
    assert shown == {name for name in group.commands if name != "schema"}


@pytest.mark.parametrize("command", ["tunewright ruin r.yaml", "tunewright run r.yaml --sett a=1", "tunewright run"])
def test_a_command_that_does_not_exist_would_be_noticed(command):
    with pytest.raises((AssertionError, Exception), match="ruin|sett|Missing"):
        parse(command)


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_make_targets_in_documents_exist(path):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named_here = set(re.findall(r"(?:`|\$ )make ([a-z][a-z-]*)", path.read_text(encoding="utf-8")))
    assert named_here <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_in_documents_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_the_public_names_are_those_that_the_documents_show():
    shown = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert set(re.findall(r"\btw\.([A-Za-z_]+)", shown)) == set(tunewright.__all__)


@pytest.mark.parametrize("name", tunewright.__all__)
def test_every_public_name_is_there_and_documented_also_when_all_rooms_are_imported(name):
    for module in MODULES:
        importlib.import_module(module)
    assert callable(getattr(tunewright, name))
    assert (getattr(tunewright, name).__doc__ or "").strip()
    assert name in dir(tunewright)


def test_the_map_names_every_source_file():
    text = (ROOT / "docs" / "map.md").read_text(encoding="utf-8")
    assert [path.stem for path in SOURCES if path.name != "__init__.py" and f"`{path.stem}" not in text
            and f"{path.stem}.py" not in text and f"`{path.parent.name}/`" not in text] == []  # fmt: skip


def test_generated_documents_are_fresh():
    assert (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8") == recipe_reference(), "run: make docs"
    written = json.loads((ROOT / "docs" / "recipe.schema.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(recipe_json_schema())), "run: make docs"


@pytest.mark.parametrize(("axis", "name"), [(axis, name) for axis in AXES for name in VOCABULARY.tables[axis]])
def test_every_component_is_documented(axis, name):
    component = VOCABULARY.tables[axis][name]
    assert (component.__doc__ or "").strip() and not component.__doc__.startswith(f"{component.__name__}(")
    assert f"### {axis}: {name}\n" in (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")


def test_the_changelog_speaks_of_this_version():
    assert f"## {tunewright.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert tunewright.__version__ == PROJECT["version"]


def pins() -> dict[str, Requirement]:
    """The lines of constraints.txt by name of package."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {requirement.name.lower().replace("_", "-"): requirement for requirement in requirements}


def test_every_dependency_is_pinned_to_a_version_that_fits():
    pinned = pins()
    wanted = [Requirement(text) for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
              for text in group]  # fmt: skip
    for requirement in wanted:
        name = requirement.name.lower()
        if name == "tunewright":
            continue
        assert name in pinned, f"{name} is not in constraints.txt"
        exact = [each.version for each in pinned[name].specifier if each.operator == "=="]
        assert name == "torch" or (len(exact) == 1 and requirement.specifier.contains(exact[0])), name


def test_everything_that_the_dependencies_need_is_pinned_too():
    missing, seen, pinned = set(), set(), pins()

    def visit(requirement: Requirement) -> None:
        name = requirement.name.lower().replace("_", "-")
        if name in seen or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            return
        seen.add(name)
        if name not in pinned:
            missing.add(name)
        for needed in metadata.requires(name) or ():
            if not name.startswith(("torch", "nvidia", "triton", "cuda")):
                visit(Requirement(needed))

    for text in PROJECT["dependencies"]:
        visit(Requirement(text))
    assert missing == set()
