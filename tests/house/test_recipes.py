"""Every recipe in recipes/ reads clean, explains itself, and checks clean on what is bundled."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.house.sources import ROOT
from tests.tiny_bases import make_tiny_base

from tunewright.model.bases import find_base
from tunewright.pipeline.check import check
from tunewright.pipeline.plan import read_recipe
from tunewright.recipe.errors import BaseRefusal
from tunewright.train.assemble import plan_phase

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.fixture(scope="module")
def tiny_decoder(tmp_path_factory):
    """Stands in for a decoder that would have to be downloaded."""
    return make_tiny_base(tmp_path_factory.mktemp("decoder"), "llama")


def test_there_is_a_recipe_for_every_choice_of_what_trains():
    chosen = {phase.trainable.kind for path in RECIPES for phase in read_recipe(path).recipe.phases}
    assert chosen >= {"everything", "head", "last_layers", "biases", "lora"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_reads_clean_fits_together_and_says_what_it_is_for(path):
    file = read_recipe(path)
    assert file.text.startswith("# ")
    for index in range(len(file.recipe.phases)):
        plan_phase(file.recipe, index)


def test_no_two_recipes_share_a_name():
    names = [read_recipe(path).recipe.name for path in RECIPES]
    assert len(set(names)) == len(names)


PUBLIC = "../../shared/data/"  # where a recipe on public data looks for it
ROWS_TO_CHECK = 300


def some_public_rows(file, public_data, folder) -> list[str]:
    """The override that gives a recipe on public data its first rows, from where that data is; skips if it is not."""
    train = file.recipe.data.train
    if not isinstance(train, str) or not train.startswith(PUBLIC):
        return []
    name, _, inside = train.removeprefix(PUBLIC).partition("/")
    lines = (public_data(name) / inside).read_bytes().splitlines(keepends=True)
    (folder / Path(inside).name).write_bytes(b"".join(lines[:ROWS_TO_CHECK]))
    return [f"data.train={folder / Path(inside).name}"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_checks_clean(path, tiny_decoder, public_data, tmp_path):
    overrides = some_public_rows(read_recipe(path), public_data, tmp_path)
    try:
        find_base(read_recipe(path).recipe.base, root=path.parent)
    except BaseRefusal:
        overrides += [f"base={tiny_decoder}", "encode.max_length=48"]
    report = check(path, overrides=overrides)
    assert [line for line in report.lines if line.state in ("refused", "skipped")] == []
    assert report.ok
