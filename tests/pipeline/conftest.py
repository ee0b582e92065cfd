"""One tiny run that many tests of the pipeline look at, and the makers of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import tiny_tasks as tiny

from tunewright.pipeline.plan import Plan, make_plan, read_recipe
from tunewright.pipeline.run import RunResult, run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RunResult]]:
    """The recipe and the result of a finished run; read it, do not change it."""
    folder = tmp_path_factory.mktemp("tiny-run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWRIGHT_HOME", str(folder))
        recipe = tiny.write_task(folder)
        yield recipe, run(recipe)


@pytest.fixture
def tiny_plan(tmp_path: Path) -> Callable[..., Plan]:
    """Makes the plan of a tiny recipe with overrides."""

    def make(*overrides: str, **options: Any) -> Plan:
        return make_plan(read_recipe(tiny.write_task(tmp_path, **options), overrides))

    return make


@pytest.fixture
def tiny_task() -> Callable[..., Path]:
    """Writes rows, a tiny base and a recipe into a folder."""
    return tiny.write_task
