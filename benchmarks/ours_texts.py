"""Tunewright's side of the benchmark of models that write text; `benchmarks/generation.py` states the contract."""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tunewright.model.adapters import ADAPTER
from tunewright.model.bases import find_base
from tunewright.model.build import Model, build_model
from tunewright.model.describe import describe
from tunewright.model.trainable import TRAINABLE, select
from tunewright.recipe.schema import Budget
from tunewright.train.assemble import tokens_per_pass
from tunewright.train.engine import Pieces, Training
from tunewright.train.material import Tokens
from tunewright.train.objectives import OBJECTIVES
from tunewright.train.optimizers import AdamW, Masters
from tunewright.values import Encoded

_SQUARE = 2048  # of the matrices by which the peak of bfloat16 products is measured


class Given:
    """A schedule that makes the updates it was given."""

    def __init__(self, path: Path):
        self.drawn = [np.array(rows) for rows in json.loads(path.read_text())]

    def updates(self, lengths_r: np.ndarray, *, rows_per_update: int, seed: int, epoch: int) -> list[np.ndarray]:
        return self.drawn


def main() -> None:
    asked = read_words()
    torch.set_num_threads(asked.threads)
    peak_flops = measured_peak()
    base = find_base(str(asked.base), root=Path("."))
    described = describe(base)
    model = build_model(base, described, kind="generation", outputs=0, pooling="mean", seed=0)
    chosen = TRAINABLE["everything"]()
    if asked.adapter:
        chosen = TRAINABLE["lora"](rank=asked.rank, targets=asked.targets)
        chosen.prepare(model, seed=0)
        set_adapter(model, asked.adapter)
    optimizer = AdamW(rate=asked.rate, warmup=asked.warm_up_share)
    masters = Masters(model, select(model, chosen.filter()), optimizer, dtype=torch.bfloat16)
    encoded = read_rows(asked.rows, decoder=described.family == "decoder")
    material = Tokens(
        encoded, None, np.ones(encoded.rows, np.float32), tuple(map(str, range(encoded.rows))), pad_id=model.pad_id
    )
    schedule = Given(asked.order)
    pieces = Pieces(
        kind="generation", objectives=[(OBJECTIVES["supervised"](), 1.0)], schedule=schedule, optimizer=optimizer,
        budget=Budget(amount=len(schedule.drawn), unit="updates"), rows_per_update=len(schedule.drawn[0]),
        accumulate=1, tokens_per_pass=tokens_per_pass(described), seed=0,
    )  # fmt: skip
    facts = train(Training(model, material, pieces, masters=masters), untimed=asked.untimed)
    print(json.dumps(facts | {"peak_flops": max(peak_flops, measured_peak())}))


def read_words() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("work", choices=("lora-decoder", "full-decoder", "lora-seq2seq"))
    for name in ("base", "rows", "order", "adapter", "folder"):
        words.add_argument(f"--{name}", type=Path)
    words.add_argument("--targets", default="")
    for name in ("rank", "untimed", "threads", "seed"):
        words.add_argument(f"--{name}", type=int, default=0)
    for name in ("rate", "warm-up-share"):
        words.add_argument(f"--{name}", type=float)
    return words.parse_args()


def measured_peak() -> float:
    """Floating-point operations a second of a square product in bfloat16, the best of five."""
    matrix = torch.randn(_SQUARE, _SQUARE).bfloat16()
    matrix @ matrix
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return 2 * _SQUARE**3 / min(seconds)


def read_rows(path: Path, *, decoder: bool) -> Encoded:
    """What the encoder of a recipe makes of rows: a decoder reads prompt and answer, the other a source and a start."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    ids, asked, types = [], [], []
    for record in records:
        prompt, answer = record["prompt"], record["answer"]
        if decoder:
            ids.append([*prompt, *answer[:-1]])
            asked.append([*[-1] * (len(prompt) - 1), *answer])
        else:
            ids.append([*prompt, 0, *answer[:-1]])
            asked.append([*[-1] * len(prompt), *answer])
            types += [0] * len(prompt) + [1] * len(answer)
    lengths = [len(row) for row in ids]
    return Encoded(
        tokens_n=np.concatenate(ids).astype(np.int32), starts_s=np.concatenate([[0], np.cumsum(lengths)]),
        owner_s=np.arange(len(ids)), types_n=None if decoder else np.array(types, np.int8),
        cut_r=np.zeros(len(ids), np.int64), answers_n=np.concatenate(asked).astype(np.int32),
        bytes_r=np.zeros(len(ids), np.int64),
    )  # fmt: skip


def set_adapter(model: Model, path: Path) -> None:
    """Both sides start from the same LoRA matrices: A by name of the layer it stands beside, B zero."""
    modules = dict(model.trunk.named_modules())
    with np.load(path) as first:
        for name in first.files:
            modules[name].lora_A[ADAPTER].weight.data.copy_(torch.from_numpy(first[name]))


def train(training: Training, *, untimed: int) -> dict[str, Any]:
    losses, rows = [], 0
    started = time.perf_counter()
    for fact in training.updates():
        losses.append(fact.loss)
        rows += fact.rows if fact.update > untimed else 0
        if fact.update == untimed:
            started = time.perf_counter()
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds, "rows_per_second": rows / seconds, "losses": losses,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


if __name__ == "__main__":
    main()
