"""Tunewright's side of the benchmark of token classification; `benchmarks/tags.py` states the contract."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from benchmarks.ours_texts import Given, train
from tunewright.data.asking import ask_tags
from tunewright.data.encode import Encoder
from tunewright.data.spans import TaggedText, read_tags
from tunewright.model.bases import find_base
from tunewright.model.build import build_model
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.trainable import TRAINABLE, select
from tunewright.recipe.schema import Budget
from tunewright.serve.answering import logits_of, outputs_of
from tunewright.train.assemble import tokens_per_pass
from tunewright.train.engine import Pieces, Training
from tunewright.train.material import Tokens
from tunewright.train.objectives import OBJECTIVES
from tunewright.train.optimizers import AdamW, Masters

LONGEST_TOKENS = 256


def main() -> None:
    asked = read_words()
    torch.set_num_threads(asked.threads)
    tags = asked.tags.split(",")
    labels = sorted({tag[2:] for tag in tags if tag != "O"})
    base = find_base("minilm", root=Path("."))
    described = describe(base)
    encoder = Encoder(
        max_length=LONGEST_TOKENS, long="truncate", overlap=0, join=None, inputs=("text",),
        tokenizer=load_tokenizer(base.folder), located=0,
    )  # fmt: skip
    rows, test = read_rows(asked.train), read_rows(asked.test)
    encoded = ask_tags(encoder.encode([(row.text,) for row in rows]), [row.spans for row in rows], labels)
    model = build_model(
        base, described, kind="token_classification", outputs=len(tags), pooling="mean", seed=asked.seed
    )
    optimizer = AdamW(rate=asked.rate, warmup=asked.warm_up_share)
    masters = Masters(model, select(model, TRAINABLE["everything"]().filter()), optimizer, dtype=torch.bfloat16)
    material = Tokens(encoded, None, np.ones(len(rows), np.float32), tuple(map(str, range(len(rows)))),
                      pad_id=model.pad_id)  # fmt: skip
    schedule = Given(asked.order)
    pieces = Pieces(
        kind="token_classification", objectives=[(OBJECTIVES["supervised"](), 1.0)], schedule=schedule,
        optimizer=optimizer, budget=Budget(amount=len(schedule.drawn), unit="updates"),
        rows_per_update=len(schedule.drawn[0]), accumulate=1, tokens_per_pass=tokens_per_pass(described),
        seed=asked.seed,
    )  # fmt: skip
    facts = train(Training(model, material, pieces, masters=masters), untimed=asked.untimed)
    masters.settle()
    inputs = [(row.text,) for row in test]
    asked_test = ask_tags(encoder.encode(inputs), None, labels)
    found = outputs_of(logits_of(model, asked_test), asked_test, "token_classification", labels=labels, inputs=inputs)
    said = asked.folder / "said.json"
    said.write_text(json.dumps([[[span.start, span.end, span.label] for span in row] for row in found]))
    print(json.dumps(facts | {"said": str(said)}))


def read_words() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__)
    for name in ("train", "test", "order", "folder"):
        words.add_argument(f"--{name}", type=Path)
    words.add_argument("--tags")
    for name in ("untimed", "threads", "seed"):
        words.add_argument(f"--{name}", type=int)
    for name in ("rate", "warm-up-share"):
        words.add_argument(f"--{name}", type=float)
    return words.parse_args()


def read_rows(path: Path) -> list[TaggedText]:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [read_tags(record["tokens"], record["ner_tags"], scheme="BIO") for record in records]


if __name__ == "__main__":
    main()
