"""Token classification on wnut17 with MiniLM, by us and by the tuned Trainer. Imports neither side.

The contract of both sides. `python -m benchmarks.ours_tags` and `benchmarks/peers/tagger.py` take the same words and
print one JSON object as the last line of stdout:

    --train FILE --test FILE   JSONL of {"tokens": [str], "ner_tags": [str]} in BIO
    --tags NAMES               all tags, O first
    --order FILE               the rows of each update, [[int, ...], ...], of like length
    --rate R --warm-up-share W --untimed U --threads T --seed S --folder FOLDER

    seconds, rows_per_second   of the updates after the first U
    peak_rss_mb, losses        of the process until the last update; one number per update
    said                       path of what was found in the test rows: ours the spans [[start, end, label], ...] of the
                               tokens joined by spaces, theirs the tags of the tokens

The work: MiniLM, at most 256 tokens, a linear head at every token (theirs learns at the first of each word, as the
library's example has it), dropout 0.1, AdamW, decay 0.01, linear warm-up and decay, gradient norm clipped to 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stage import ROOT, SIDES, Stage, make_environment, median, ratio_of_medians

ROWS_PER_UPDATE = 32
EPOCHS = 6
RATE = 3e-4
UNTIMED = 20
RESAMPLES = 10_000
POOL_UPDATES = 50
Spans = set[tuple[int, int, str]]


def spans_of_tags(tokens: Sequence[str], tags: Sequence[str]) -> Spans:
    """The spans that BIO tags mean in the tokens joined by spaces; an I after nothing of its label begins one."""
    spans: Spans = set()
    start, label, at = 0, "", 0
    for token, tag in zip([*tokens, ""], [*tags, "O"], strict=True):
        goes_on = bool(label) and tag == f"I-{label}"
        if label and not goes_on:
            spans.add((start, at - 1, label))
            label = ""
        if tag != "O" and not goes_on:
            start, label = at, tag[2:]
        at += len(token) + 1
    return spans


def f1(counts_r3: np.ndarray) -> float:
    """From right, found and wanted spans a row."""
    right, found, wanted = counts_r3.sum(0)
    return float(2 * right / max(found + wanted, 1))


def counts_of(said: Sequence[Spans], wanted: Sequence[Spans]) -> np.ndarray:
    return np.array([[len(a & b), len(a), len(b)] for a, b in zip(said, wanted, strict=True)])


def p_value(ours_r3: np.ndarray, theirs_r3: np.ndarray) -> float:
    """Two-sided, that F1 is equal: approximate randomisation over rows (Noreen 1989)."""
    drawn = np.random.default_rng(0)
    seen, extreme = abs(f1(ours_r3) - f1(theirs_r3)), 0
    for _ in range(RESAMPLES):
        swapped_r = drawn.random(len(ours_r3)) < 0.5
        a = np.where(swapped_r[:, None], theirs_r3, ours_r3)
        b = np.where(swapped_r[:, None], ours_r3, theirs_r3)
        extreme += abs(f1(a) - f1(b)) >= seen
    return (extreme + 1) / (RESAMPLES + 1)


def order_of(lengths: Sequence[int]) -> list[list[int]]:
    """Updates of all epochs, their rows of like length; a smaller last one of an epoch is left out."""
    drawn, updates = np.random.default_rng(0), []
    for _ in range(EPOCHS):
        rows, epoch = drawn.permutation(len(lengths)), []
        for start in range(0, len(rows), POOL_UPDATES * ROWS_PER_UPDATE):
            pool = sorted(rows[start : start + POOL_UPDATES * ROWS_PER_UPDATE], key=lambda i: -lengths[i])
            epoch += [pool[at : at + ROWS_PER_UPDATE] for at in range(0, len(pool), ROWS_PER_UPDATE)]
        updates += [epoch[i] for i in drawn.permutation(len(epoch)) if len(epoch[i]) == ROWS_PER_UPDATE]
    return [[int(row) for row in update] for update in updates]


def said_by(facts: Mapping[str, Any], records: Sequence[Mapping[str, Any]], side: str) -> list[Spans]:
    said = json.loads(Path(facts["said"]).read_text())
    if side == "ours":
        return [{(start, end, label) for start, end, label in row} for row in said]
    return [spans_of_tags(record["tokens"], tags) for record, tags in zip(records, said, strict=True)]


def compare(*, data: Path, folder: Path, environment: Path, repeats: int, threads: int) -> dict[str, float]:
    """Ratios (ours over theirs), and the span F1 of both sides: medians over `repeats` runs with seeds of their own.

    Raises subprocess.CalledProcessError where a side fails, and FileNotFoundError where `data` is absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        split: [json.loads(line) for line in (data / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        for split in ("train", "test")
    }
    tags = sorted({tag for split in rows.values() for row in split for tag in row["ner_tags"]} - {"O"})
    order = folder / "order.json"
    order.write_text(json.dumps(order_of([len(" ".join(row["tokens"])) for row in rows["train"]])))
    words = [
        "--train", data / "train.jsonl", "--test", data / "test.jsonl", "--tags", ",".join(["O", *tags]),
        "--order", order, "--rate", RATE, "--warm-up-share", 0.1, "--untimed", UNTIMED,
    ]  # fmt: skip
    theirs = (str(make_environment(environment)), str(ROOT / "benchmarks" / "peers" / "tagger.py"))
    stage = Stage({"ours": (sys.executable, "-m", "benchmarks.ours_tags"), "theirs": theirs}, folder, threads)
    facts = stage.alternate(dict.fromkeys(SIDES, words), name="tags", repeats=repeats)
    wanted = [spans_of_tags(row["tokens"], row["ner_tags"]) for row in rows["test"]]
    counts = {}
    for side in SIDES:
        counts[side] = [counts_of(said_by(fact, rows["test"], side), wanted) for fact in facts[side]]
        for fact, counted in zip(facts[side], counts[side], strict=True):
            fact["span_f1"] = f1(counted)
    return {
        "tags_rows_per_second": ratio_of_medians(facts, "rows_per_second"),
        "tags_peak_memory": ratio_of_medians(facts, "peak_rss_mb"),
        "tags_span_f1_ours": median(facts["ours"], "span_f1"),
        "tags_span_f1_theirs": median(facts["theirs"], "span_f1"),
        "tags_span_f1_p_value": p_value(sum(counts["ours"]), sum(counts["theirs"])),
    }
