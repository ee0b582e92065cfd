"""Tunewright's side of the classification benchmark; `benchmarks/classification.py` states the contract."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tunewright.data.encode import Encoder
from tunewright.model.bases import Base, find_base
from tunewright.model.build import build_model
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.heads import TaskModel
from tunewright.model.predict import forward_rows, pooled_rows
from tunewright.model.trainable import TRAINABLE, select
from tunewright.recipe.schema import Budget
from tunewright.train.assemble import tokens_per_pass
from tunewright.train.engine import Pieces, Training
from tunewright.train.material import Features, Material, Tokens
from tunewright.train.objectives import OBJECTIVES
from tunewright.train.optimizers import AdamW, Masters
from tunewright.train.schedules import LengthGrouped
from tunewright.values import Encoded

LONGEST_TOKENS = 256


class Replayed:
    """A schedule that repeats the updates another side drew, cut into epochs of equal length."""

    def __init__(self, path: Path, epochs: int):
        updates = [np.array(rows) for rows in json.loads(path.read_text())]
        self.per_epoch = -(-len(updates) // max(1, epochs))
        self.drawn = updates

    def updates(self, lengths_r: np.ndarray, *, rows_per_update: int, seed: int, epoch: int) -> list[np.ndarray]:
        return self.drawn[epoch * self.per_epoch : (epoch + 1) * self.per_epoch]


class WholeUpdates(LengthGrouped):
    """Length-grouped, without the smaller last update of an epoch: every update of the benchmark has as many rows."""

    def updates(self, lengths_r: np.ndarray, *, rows_per_update: int, seed: int, epoch: int) -> list[np.ndarray]:
        drawn = super().updates(lengths_r, rows_per_update=rows_per_update, seed=seed, epoch=epoch)
        return [rows for rows in drawn if len(rows) == rows_per_update]


def main() -> None:
    asked = read_words()
    torch.set_num_threads(asked.threads)
    asked.folder.mkdir(parents=True, exist_ok=True)
    base = find_base("minilm", root=Path("."))
    encoder = Encoder(
        max_length=LONGEST_TOKENS, long="truncate", overlap=0, join=None, inputs=("text",),
        tokenizer=load_tokenizer(base.folder),
    )  # fmt: skip
    test = read_rows(asked.test)
    encoded_test = encoder.encode([(row["text"],) for row in test])
    model = with_head(base, asked)
    if asked.work == "predict":
        facts = predict(model, encoded_test, asked)
    else:
        facts = train(model, base, encoder, encoded_test, asked)
    logits_rc = facts.pop("logits")
    np.save(asked.folder / "logits.npy", logits_rc)
    labels_r = np.array([row["label"] for row in test])
    facts |= {
        "test_accuracy": float((logits_rc.argmax(1) == labels_r).mean()),
        "predictions": str(asked.folder / "logits.npy"),
    }
    print(json.dumps(facts))


def read_words() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("work", choices=("full", "frozen", "predict"))
    for name in ("train", "test", "head", "folder", "order"):
        words.add_argument(f"--{name}", type=Path)
    for name in ("updates", "rows-per-update", "seed", "threads", "untimed"):
        words.add_argument(f"--{name}", type=int)
    for name in ("rate", "warm-up-share"):
        words.add_argument(f"--{name}", type=float)
    return words.parse_args()


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def with_head(base: Base, asked: argparse.Namespace) -> TaskModel:
    """The model both sides start from, its head read from the file."""
    head = np.load(asked.head)
    model = build_model(
        base, describe(base), kind="classification", outputs=len(head["bias"]), pooling="mean", seed=asked.seed
    )
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(head["weight"]))
        model.head.bias.copy_(torch.from_numpy(head["bias"]))
    return model


def train(
    model: TaskModel, base: Base, encoder: Encoder, encoded_test: Encoded, asked: argparse.Namespace
) -> dict[str, Any]:
    rows = read_rows(asked.train)
    encoded = encoder.encode([(row["text"],) for row in rows])
    targets = np.array([row["label"] for row in rows])
    started = time.perf_counter()
    optimizer = AdamW(rate=asked.rate, warmup=asked.warm_up_share)
    chosen = TRAINABLE["everything" if asked.work == "full" else "head"]()
    masters = Masters(model, select(model, chosen.filter()), optimizer, dtype=torch.bfloat16)
    weights_r, ids = np.ones(len(rows), np.float32), tuple(str(i) for i in range(len(rows)))
    material: Material = Tokens(encoded, targets, weights_r, ids, pad_id=model.pad_id)
    if asked.work == "frozen":
        material = Features(pooled_rows(model, encoded), targets, weights_r, ids, encoded.lengths_r())
    per_epoch = len(rows) // asked.rows_per_update
    pieces = Pieces(
        kind="classification", objectives=[(OBJECTIVES["supervised"](), 1.0)],
        schedule=Replayed(asked.order, -(-asked.updates // per_epoch)) if asked.order else WholeUpdates(),
        optimizer=optimizer, budget=Budget(amount=asked.updates, unit="updates"),
        rows_per_update=asked.rows_per_update, accumulate=1,
        tokens_per_pass=sys.maxsize if asked.work == "frozen" else tokens_per_pass(describe(base)), seed=asked.seed,
    )  # fmt: skip
    training, losses, timed_rows = Training(model, material, pieces, masters=masters), [], 0
    for fact in training.updates():
        losses.append(fact.loss)
        timed_rows += fact.rows if fact.update > asked.untimed else 0
        if fact.update == asked.untimed:
            started = time.perf_counter()
    seconds = time.perf_counter() - started
    peak_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    drawn = [
        rows.tolist()
        for epoch in range(-(-asked.updates // per_epoch))
        for rows in pieces.schedule.updates(
            material.lengths_r, rows_per_update=asked.rows_per_update, seed=asked.seed, epoch=epoch
        )
    ]
    (asked.folder / "order.json").write_text(json.dumps(drawn[: asked.updates]))
    masters.settle()
    return {
        "seconds": seconds, "rows_per_second": timed_rows / seconds, "peak_rss_mb": peak_rss_mb, "losses": losses,
        "order": str(asked.folder / "order.json"), "logits": forward_rows(model, encoded_test),
    }  # fmt: skip


def predict(model: TaskModel, encoded: Encoded, asked: argparse.Namespace) -> dict[str, Any]:
    model.trunk.to(torch.bfloat16)
    model.eval()
    forward_rows(model, first_rows(encoded, asked.untimed * asked.rows_per_update))
    started = time.perf_counter()
    logits_rc = forward_rows(model, encoded)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds, "rows_per_second": encoded.rows / seconds, "losses": [], "logits": logits_rc,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def first_rows(encoded: Encoded, rows: int) -> Encoded:
    """The first rows of data in which every row is one sequence."""
    stop = int(encoded.starts_s[rows])
    return Encoded(
        encoded.tokens_n[:stop], encoded.starts_s[: rows + 1], encoded.owner_s[:rows],
        None if encoded.types_n is None else encoded.types_n[:stop], encoded.cut_r[:rows],
    )  # fmt: skip


if __name__ == "__main__":
    main()
