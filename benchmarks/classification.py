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
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stage import (
    ROOT,
    SIDES,
    Stage,
    make_environment,
    mcnemar_p_value,
    median,
    ratio_of_medians,
    say,
)  # fmt: skip

ROWS_PER_UPDATE = 32
HIDDEN_WIDTH = 384
WINDOW_UPDATES = 156


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


def words_of(work: str, folder: Path, updates_per_epoch: int) -> list[Any]:
    """What either side is told of `work`, but for the seed."""
    plan = WORKS[work]
    test = "train.jsonl" if work == "predict" else "test.jsonl"  # the larger file takes long enough to be timed
    return [
        work, "--train", folder / "train.jsonl", "--test", folder / test, "--head", folder / "head.npz",
        "--rows-per-update", ROWS_PER_UPDATE, "--updates", max(1, plan.epochs * updates_per_epoch),
        "--rate", plan.rate, "--warm-up-share", 0.1, "--untimed", plan.untimed,
    ]  # fmt: skip


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


def compare_training(
    stage: Stage, facts: Mapping[str, Sequence[dict[str, Any]]], words: Sequence[Any]
) -> dict[str, float]:
    """Accuracy by a paired test on the first repeat; losses of a run of ours on the rows that theirs drew."""
    test = (stage.folder / "test.jsonl").read_text(encoding="utf-8").splitlines()
    labels_r = np.array([json.loads(line)["label"] for line in test])
    ours_right_r, theirs_right_r = (np.load(facts[side][0]["predictions"]).argmax(1) == labels_r for side in SIDES)
    again = [*words, "--seed", 0, "--order", facts["theirs"][0]["order"]]
    replay = stage.measure("ours", again, name="full-ours-replay")
    return {
        "full_accuracy_ours": median(facts["ours"], "test_accuracy"),
        "full_accuracy_theirs": median(facts["theirs"], "test_accuracy"),
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
    stage = Stage(commands, folder, threads)
    say(f"{rows} rows, {labels} labels, {threads} threads")
    ratios: dict[str, float] = {}
    for work in works:
        words = words_of(work, folder, rows // ROWS_PER_UPDATE)
        facts = stage.alternate(dict.fromkeys(SIDES, words), name=work, repeats=repeats)
        ratios[f"{work}_rows_per_second"] = ratio_of_medians(facts, "rows_per_second")
        ratios[f"{work}_peak_memory"] = ratio_of_medians(facts, "peak_rss_mb")
        if work == "full":
            ratios |= compare_training(stage, facts, words)
        elif work == "predict":
            ratios["predict_logit_gap"] = logit_gap(facts)
    return ratios
