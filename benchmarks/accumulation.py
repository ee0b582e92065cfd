"""How far an update in eight parts is from the same update at once, by the type of the arithmetic. Ours alone.

In float32 parts change nothing but the order of sums; in bfloat16 each product is rounded, and other sizes of matrices
may be summed in another order. The rows are the project's own tickets and records, the base is the bundled decoder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stage import ROOT, say
from tunewright.model.bases import find_base
from tunewright.model.build import build_model
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.trainable import TRAINABLE, select
from tunewright.recipe.schema import Budget
from tunewright.train.engine import Pieces, Training
from tunewright.train.material import Tokens
from tunewright.train.objectives import OBJECTIVES
from tunewright.train.optimizers import AdamW, Masters
from tunewright.train.schedules import Shuffled
from tunewright.values import Encoded

ROWS = 8
SEEDS = 20


def tickets(tokenizer: Any, rows: np.ndarray) -> Encoded:
    """Tickets with their records, of which the record is learned."""
    lines = (ROOT / "samples" / "ticket-records.jsonl").read_text(encoding="utf-8").splitlines()
    ids, asked = [], []
    for record in (json.loads(lines[row]) for row in rows):
        prompt, answer = (tokenizer(record[name])["input_ids"] for name in ("ticket", "record"))
        answer = [*answer, tokenizer.eos_token_id]
        ids.append([*prompt, *answer[:-1]])
        asked.append([*[-1] * (len(prompt) - 1), *answer])
    lengths = [len(row) for row in ids]
    return Encoded(
        tokens_n=np.concatenate(ids).astype(np.int32), starts_s=np.concatenate([[0], np.cumsum(lengths)]),
        owner_s=np.arange(len(ids)), types_n=None, cut_r=np.zeros(len(ids), np.int64),
        answers_n=np.concatenate(asked).astype(np.int32), bytes_r=np.zeros(len(ids), np.int64),
    )  # fmt: skip


def one_update(name: str, dtype: torch.dtype, *, parts: int, seed: int) -> tuple[float, torch.Tensor]:
    """Loss and flat gradient of one update of eight rows drawn by `seed`, in `parts`."""
    base = find_base(name, root=Path("."))
    described, tokenizer = describe(base), load_tokenizer(base.folder)
    model = build_model(base, described, kind="generation", outputs=0, pooling="mean", seed=0)
    optimizer = AdamW(rate=0.0)
    masters = Masters(model, select(model, TRAINABLE["everything"]().filter()), optimizer, dtype=dtype)
    encoded = tickets(tokenizer, np.random.default_rng(seed).choice(1000, ROWS, replace=False))
    material = Tokens(encoded, None, np.ones(ROWS, np.float32), tuple(map(str, range(ROWS))), pad_id=model.pad_id)
    pieces = Pieces(
        kind="generation", objectives=[(OBJECTIVES["supervised"](), 1.0)], schedule=Shuffled(), optimizer=optimizer,
        budget=Budget(amount=1, unit="updates"), rows_per_update=ROWS, accumulate=parts, tokens_per_pass=1 << 20,
        seed=seed,
    )  # fmt: skip
    training = Training(model, material, pieces, masters=masters)
    loss = training._backward([material.batch(part) for part in training._passes(np.arange(ROWS))])
    return loss, masters.gradient.clone()


def compare(*, base: str = "wright-nano") -> dict[str, float]:
    """Relative differences of eight parts from one, of loss and gradient: the largest and the mean over all seeds."""
    found: dict[str, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        losses, gradients = [], []
        for seed in range(SEEDS):
            whole, apart = (one_update(base, dtype, parts=parts, seed=seed) for parts in (1, ROWS))
            losses.append(abs(whole[0] - apart[0]) / whole[0])
            gradients.append(float((whole[1] - apart[1]).norm() / whole[1].norm()))
        name = str(dtype).removeprefix("torch.")
        for what, values in (("loss", losses), ("gradient", gradients)):
            found[f"accumulation_{name}_{what}_largest"] = max(values)
            found[f"accumulation_{name}_{what}_mean"] = float(np.mean(values))
        say(f"{name}: loss {max(losses):.2e} at most, gradient {max(gradients):.2e}")
    return found
