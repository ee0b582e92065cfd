"""How product attributes are found by how many rows were there to learn from, as spans and as JSON.

The published claim: about 200 rows lift accuracy from 70 % to 88 %. Rows are drawn once, so that each smaller set
is part of the next; of each the recipe holds some rows out to choose by, and the test rows are always all. By the
command line, with the recipes as they are.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from benchmarks.stage import ROOT, ladder_line, run_recipe, say

RECIPES = ("product-attributes", "products-to-json")
SIZES = (25, 50, 100, 200, 400, None)  # None: all
LEAST_UPDATES = 200  # few rows are seen more often, so that no size is trained less than it needs
ROWS_PER_UPDATE = 16


def draw(*, data: Path, folder: Path) -> dict[str, float]:
    """The figure of each recipe at each size; at 0 rows that of the untouched base, where there is one.

    Raises CalledProcessError where a run fails.
    """
    lines = (data / "oa_mine" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    random.Random(0).shuffle(lines)
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({name for line in lines for name in json.loads(line)["attributes"]})
    labels = json.dumps(dict.fromkeys(names, ""))  # few rows do not hold every attribute
    reached: dict[str, float] = {}
    for name in RECIPES:
        for size in SIZES:
            count = size or len(lines)
            rows = folder / f"{count}.jsonl"
            rows.write_text("\n".join(lines[:count]) + "\n", encoding="utf-8")
            settings = {"data.train": rows.resolve(), "name": f"{name}-{count}", "phases.0.patience": 0,
                        "phases.0.rows_per_update": ROWS_PER_UPDATE}  # fmt: skip
            if name == "product-attributes":
                settings["task.labels"] = labels
            if size is not None:
                settings["phases.0.budget"] = f"{max(LEAST_UPDATES, 6 * count // ROWS_PER_UPDATE)} updates"
            facts = run_recipe(ROOT / "recipes" / f"{name}.yaml", home=folder, data=data, settings=settings)
            say(f"{name}, {count} rows to learn from: {ladder_line(facts)}")
            for step in facts["ladder"]:
                if isinstance(step["value"], float) and step["rung"] in ("model", "untouched"):
                    reached[f"{name}_{count if step['rung'] == 'model' else 0}"] = step["value"]
    return reached
