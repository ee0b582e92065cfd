"""Hugging Face `Trainer` on token classification, tuned. Knows transformers and torch; must not know Tunewright.

`benchmarks/tags.py` states the contract. The first part of a word carries its tag, as the library's example has it.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shared import IGNORED, Clock, Ordered, keep_freed_memory, minilm_folder, padded
from torch import Tensor, nn
from transformers import AutoModelForTokenClassification, AutoTokenizer, Trainer, TrainingArguments

LONGEST_TOKENS = 256


@dataclass(frozen=True)
class Collator:
    pad_id: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        return {
            "input_ids": padded([row["input_ids"] for row in rows], self.pad_id),
            "attention_mask": padded([[1] * len(row["input_ids"]) for row in rows], 0),
            "labels": padded([row["labels"] for row in rows], IGNORED),
        }


class OrderedTrainer(Ordered, Trainer):
    pass


def read_rows(path: Path, tokenizer: Any, tags: Sequence[str]) -> list[dict[str, Any]]:
    """Token ids, the word of each token (-1: none) and the tag of each word's first token."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    encoded = tokenizer(
        [record["tokens"] for record in records], is_split_into_words=True, truncation=True, max_length=LONGEST_TOKENS
    )
    rows = []
    for row, record in enumerate(records):
        words = encoded.word_ids(row)
        first = [word is not None and word != before for word, before in zip(words, [None, *words], strict=False)]
        labels = [
            tags.index(record["ner_tags"][word]) if begins else IGNORED
            for word, begins in zip(words, first, strict=True)
        ]
        rows.append({"input_ids": encoded["input_ids"][row], "labels": labels, "tags": len(record["tokens"])})
    return rows


def tags_said(trainer: Trainer, rows: list[dict[str, Any]], tags: Sequence[str]) -> list[list[str]]:
    """The likeliest tag of each word; O for words beyond the cut."""
    by_length = sorted(range(len(rows)), key=lambda row: -len(rows[row]["input_ids"]))
    trainer.args.dataloader_drop_last = False
    logits = trainer.predict([{k: rows[row][k] for k in ("input_ids", "labels")} for row in by_length]).predictions
    said: list[list[str]] = [[] for _ in rows]
    for place, row in enumerate(by_length):
        at = [i for i, label in enumerate(rows[row]["labels"]) if label != IGNORED]
        words = [tags[i] for i in logits[place, at].argmax(-1)]
        said[row] = words + ["O"] * (rows[row]["tags"] - len(words))
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("train", "test", "order", "folder"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--tags", required=True)
    for name in ("untimed", "threads", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--warm-up-share", type=float, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    tags, order = arguments.tags.split(","), json.loads(arguments.order.read_text())
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    torch.manual_seed(arguments.seed)
    model: nn.Module = AutoModelForTokenClassification.from_pretrained(minilm_folder(), num_labels=len(tags))
    settings = TrainingArguments(
        output_dir=str(arguments.folder), use_cpu=True, bf16=True, max_steps=len(order),
        per_device_train_batch_size=len(order[0]), per_device_eval_batch_size=32, learning_rate=arguments.rate,
        lr_scheduler_type="linear", warmup_steps=round(arguments.warm_up_share * len(order)), weight_decay=0.01,
        max_grad_norm=1.0, optim="adamw_torch_fused", dataloader_pin_memory=False, dataloader_drop_last=True,
        remove_unused_columns=False, eval_strategy="no", save_strategy="no", logging_strategy="no", report_to=[],
        disable_tqdm=True, seed=arguments.seed, label_names=["labels"],
    )  # fmt: skip
    train = [{k: row[k] for k in ("input_ids", "labels")} for row in read_rows(arguments.train, tokenizer, tags)]
    trainer = OrderedTrainer(
        model=model, args=settings, train_dataset=train, data_collator=Collator(tokenizer.pad_token_id)
    )
    trainer.order, trainer.losses = order, []
    clock = Clock(untimed=arguments.untimed)
    trainer.add_callback(clock)
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = tags_said(trainer, read_rows(arguments.test, tokenizer, tags), tags)
    (arguments.folder / "said.json").write_text(json.dumps(said))
    print(json.dumps({
        "seconds": clock.seconds, "rows_per_second": sum(map(len, order[arguments.untimed :])) / clock.seconds,
        "peak_rss_mb": peak, "losses": [float(loss) for loss in trainer.losses],
        "said": str(arguments.folder / "said.json"),
    }))  # fmt: skip


if __name__ == "__main__":
    np.seterr(all="raise")
    sys.exit(main())
