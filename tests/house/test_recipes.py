"""Every recipe in recipes/ reads clean, explains itself, and checks clean on what is bundled."""

from __future__ import annotations

import json
import os
import re

import pytest
from tests.house.sources import ROOT
from tests.tiny_bases import WORDS, make_tiny_base

from tunewright.model.bases import find_base
from tunewright.pipeline.check import check
from tunewright.pipeline.plan import read_recipe
from tunewright.recipe.errors import BaseRefusal
from tunewright.train.assemble import plan_phase

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
PUBLIC = re.compile(r"\$\{TUNEWRIGHT_DATA\}/([\w.-]+)/([\w.-]+)")  # how a recipe says where public data lies
ROWS_OF_PUBLIC_DATA = 200  # or somewhat more: enough to see that the recipe fits, and done in seconds


@pytest.fixture(autouse=True)
def somewhere(monkeypatch):
    """Recipes that read public data can be read where there is none."""
    monkeypatch.setenv("TUNEWRIGHT_DATA", os.environ.get("TUNEWRIGHT_DATA", str(ROOT.parent / "shared" / "data")))


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A tiny base in place of one that would have to be downloaded: of summaries one like T5, else a decoder."""
    found = {}
    for family in ("llama", "t5"):
        folder = make_tiny_base(tmp_path_factory.mktemp(family), family)
        for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
            settings = json.loads((folder / name).read_text(encoding="utf-8"))
            settings |= {key: 1024} if key in settings else {}  # as long as real ones: neither has a table of positions
            (folder / name).write_text(json.dumps(settings), encoding="utf-8")
        found[family] = folder
    return lambda kind: found["t5" if kind == "summarisation" else "llama"]


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


def costly(path):
    """Whether a check takes long: where texts are long and the data are not the project's own few tickets."""
    return "${TUNEWRIGHT_DATA}" in path.read_text(encoding="utf-8") or path.stem in ("ticket-records", "pretrain-nano")


@pytest.mark.parametrize("path", [
    pytest.param(path, id=path.stem, marks=[pytest.mark.heavy] if costly(path) else []) for path in RECIPES
])  # fmt: skip
def test_it_checks_clean(path, stand_in, public_data, tmp_path, monkeypatch):
    overrides, kind = [], read_recipe(path).recipe.task.kind
    for name, file in PUBLIC.findall(path.read_text(encoding="utf-8")):
        lines = (public_data(name) / file).read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / name).mkdir(exist_ok=True)
        wanted = ROWS_OF_PUBLIC_DATA // (1 if file.startswith(("train", "all")) else 4)
        some = lines[:: max(1, len(lines) // wanted)]  # from all over: files may be sorted
        (tmp_path / name / file).write_text("".join(some), encoding="utf-8")
        monkeypatch.setenv("TUNEWRIGHT_DATA", str(tmp_path))
    try:
        find_base(read_recipe(path).recipe.base, root=path.parent)
    except BaseRefusal:
        overrides = [f"base={stand_in(kind)}", "encode.max_length=1000"]  # its words are letters, so texts are long
        if read_recipe(path).recipe.evaluate.writing is not None:
            overrides.append("evaluate.writing=greedy")  # nor can it spell every label
    if path.stem == "pretrain-nano":  # its corpus is made by `python -m nano corpus`, which takes minutes
        rows = [{"text": f"{word} {i} " * 9} for i, word in enumerate(WORDS.split())]
        small = tmp_path / "corpus.jsonl"
        small.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        overrides = [f"base={stand_in(kind)}", "encode.max_length=48", f"data.train={small}", "data.test=0.2",
                     "data.validation=0.1"]  # fmt: skip
    report = check(path, overrides=overrides)
    assert [line for line in report.lines if line.state in ("refused", "skipped")] == []
    assert report.ok
