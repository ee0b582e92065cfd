"""What recipes reach on public data, each beside its baselines, by the command line. Measures no time and no peer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.stage import ROOT, run_recipe, say, with_interval

DATA = "TUNEWRIGHT_DATA"
_SETTINGS = {"dialogue-summaries": {"base": "wright-nano"}}  # the recipe's own base is on the hub


def recipes() -> list[str]:
    """Those that read public data."""
    return sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml") if f"${{{DATA}}}" in path.read_text())


def measure(*, data: Path, folder: Path, names: Sequence[str]) -> dict[str, float]:
    """The figure that each recipe is judged by, of the model and of every rung beside it, on its test rows.

    Runs are kept in `folder`, and one that is there is not repeated. Raises CalledProcessError where a run fails.
    """
    os.environ[DATA] = str(data.resolve())
    reached: dict[str, float] = {}
    for name in names:
        facts = run_recipe(ROOT / "recipes" / f"{name}.yaml", home=folder, settings=_SETTINGS.get(name))
        rungs = "; ".join(map(with_interval, facts["ladder"]))
        say(f"{name}: {facts['metric']} of {facts['rows']} rows, {facts['outcome']}, {facts['seconds']:.0f} s: {rungs}")
        for step in facts["ladder"]:
            if isinstance(step["value"], float):
                reached[f"{name}_{facts['metric']}_{step['rung']}"] = step["value"]
    return reached
