"""Files and functions that one can read, a recipe that one can know, and a command line that answers at once."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.house.sources import EVERYWHERE, ROOT, functions_of, named

from tunewright.pipeline.reference import SECTIONS

LINES_OF_A_FILE = 500
LINES_OF_A_FUNCTION = 60
KEYS_OF_A_RECIPE = 60
LINES_OF_THE_README = 150
SECONDS_TO_HELP = 0.3


@pytest.mark.parametrize("path", EVERYWHERE, ids=named)
def test_files_and_functions_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_OF_A_FILE
    assert {name: lines for name, lines in functions_of(path) if lines > LINES_OF_A_FUNCTION} == {}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LINES_OF_THE_README


def test_a_recipe_has_few_keys():
    keys = [f"{section}.{name}" for section, model in SECTIONS.items() for name in model.model_fields]
    assert len(keys) <= KEYS_OF_A_RECIPE, len(keys)


@pytest.mark.alone
def test_help_answers_at_once():
    command = [str(Path(sys.executable).with_name("tunewright")), "--help"]
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - started)
    assert "run" in done.stdout
    assert statistics.median(seconds[1:]) <= SECONDS_TO_HELP
