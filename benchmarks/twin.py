"""Whether the bundled decoder learned anything worth having: it and a twin of random weights, tuned alike.

Both are tuned by the command line on the project's own task, tickets to JSON records, with the recipe as it is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.stage import ROOT, run_recipe, say

RECIPE = ROOT / "recipes" / "ticket-records.yaml"
_MAKE_TWIN = """
import shutil, sys, torch; from pathlib import Path
from transformers import AutoConfig, AutoModelForCausalLM
from tunewright.model.bases import find_base
base, folder = find_base("wright-nano", root=Path(".")).folder, Path(sys.argv[1])
torch.manual_seed(0)
AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base), dtype=torch.float32).save_pretrained(folder)
for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copyfile(base / name, folder / name)
"""


def compare(*, folder: Path) -> dict[str, float]:
    """Field F1 of both, and by how much the bundled base is better. Raises CalledProcessError where a run fails."""
    twin = folder / "random-weights"
    subprocess.run([sys.executable, "-c", _MAKE_TWIN, str(twin)], check=True, stdout=sys.stderr)
    reached = {}
    for name, base in (("wright_nano", "wright-nano"), ("random_weights", str(twin))):
        facts = run_recipe(RECIPE, home=folder / name, settings={"base": base})
        reached[name] = facts["figures"]["json_f1"]["value"]
        say(f"{name:16} json_f1 {reached[name]:.3f} of {facts['rows']} test rows, {facts['seconds']:.0f} s")
    return {f"json_f1_{name}": value for name, value in reached.items()} | {
        "json_f1_above_random_weights": reached["wright_nano"] - reached["random_weights"]
    }
