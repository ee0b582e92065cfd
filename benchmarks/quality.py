"""What recipes reach on public data, each beside its baselines, by the command line. Knows no peer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.stage import DATA, ROOT, ladder_line, run_recipe, say

_SETTINGS = {"dialogue-summaries": {"base": "wright-nano"}}  # the recipe's own base is on the hub


def recipes() -> list[str]:
    """Those that read public data."""
    return sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml") if f"${{{DATA}}}" in path.read_text())


def measure(*, data: Path, folder: Path, names: Sequence[str]) -> dict[str, float]:
    """The figure that each recipe is judged by, of the model and of every rung beside it, on its test rows.

    Runs are kept in `folder`, and one that is there is not repeated. Raises CalledProcessError where a run fails.
    """
    reached: dict[str, float] = {}
    for name in names:
        recipe = ROOT / "recipes" / f"{name}.yaml"
        facts = run_recipe(recipe, home=folder, data=data, settings=_SETTINGS.get(name))
        say(f"{name}: {ladder_line(facts)}")
        for step in facts["ladder"]:
            if isinstance(step["value"], float):
                reached[f"{name}_{facts['metric']}_{step['rung']}"] = step["value"]
    return reached
