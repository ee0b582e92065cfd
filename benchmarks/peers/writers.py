"""TRL's `SFTTrainer` and `Seq2SeqTrainer` on models that write text, tuned. Must not know Tunewright.

`benchmarks/generation.py` states the contract. Both sides are given the rows of every update, sorted by length there,
so what is left to tune is how a given update is computed; `--try name=value` overrides a field of `Configuration`. What
was tried is in docs/log.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from shared import IGNORED, Clock, Ordered, keep_freed_memory, padded
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)
from trl import SFTConfig, SFTTrainer


@dataclass(frozen=True)
class Configuration:
    """What may be tuned without changing the work."""

    weights: str = "float32"  # type of the weights that do not train; those that train are float32
    autocast: bool = True  # products in bfloat16 whatever the weights
    attention: str = "sdpa"  # sdpa | eager
    mask: bool = True  # False: rows padded on the right of a causal model need no mask
    checkpointing: bool = False
    rows_per_pass: int = 8
    pad_to: int = 1
    optimizer: str = "adamw_torch_fused"
    freed_kept: bool = True  # glibc keeps freed memory instead of giving it back and faulting it in again


FASTEST = {
    "lora-decoder": Configuration(weights="bfloat16", mask=False),
    "full-decoder": Configuration(mask=False),
    "lora-seq2seq": Configuration(weights="bfloat16"),
}
LEANEST = {
    "lora-decoder": Configuration(weights="bfloat16", mask=False, checkpointing=True, rows_per_pass=1,
                                  freed_kept=False),
}  # fmt: skip


def configured(arguments: argparse.Namespace) -> Configuration:
    chosen = (LEANEST if arguments.leanest else FASTEST)[arguments.work]
    types = {field.name: type(field.default) for field in fields(Configuration)}
    changes: dict[str, Any] = {}
    for override in arguments.overrides:
        name, _, text = override.partition("=")
        changes[name] = text == "True" if types[name] is bool else types[name](text)
    return replace(chosen, **changes)


class OrderedSFT(Ordered, SFTTrainer):
    pass


class OrderedSeq2Seq(Ordered, Seq2SeqTrainer):
    pass


@dataclass(frozen=True)
class Collator:
    """Rows of a batch padded on the right to the longest."""

    pad_id: int
    multiple: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        ids = padded([row["input_ids"] for row in rows], self.pad_id, self.multiple)
        mask = padded([[1] * len(row["input_ids"]) for row in rows], 0, self.multiple)
        labels = padded([row["labels"] for row in rows], IGNORED, self.multiple)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def without_mask(module: nn.Module, positional: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return positional, {name: value for name, value in named.items() if name != "attention_mask"}


def read_rows(path: Path, *, decoder: bool) -> Dataset:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if decoder:
        return Dataset.from_list([
            {"input_ids": r["prompt"] + r["answer"], "labels": [IGNORED] * len(r["prompt"]) + r["answer"]}
            for r in records
        ])  # fmt: skip
    return Dataset.from_list([{"input_ids": r["prompt"], "labels": r["answer"]} for r in records])


def set_adapter(model: nn.Module, path: Path) -> None:
    """Both sides start from the same LoRA matrices: A by name of the layer it stands beside, B zero."""
    with np.load(path) as first:
        wanted = set(first.files)
        for name, module in model.named_modules():
            plain = name.removeprefix("base_model.model.")
            if hasattr(module, "lora_A") and plain in wanted:
                module.lora_A["default"].weight.data.copy_(torch.from_numpy(first[plain]))
                wanted.remove(plain)
    assert not wanted, f"no LoRA stands beside {sorted(wanted)[:3]}"


def make_trainer(arguments: argparse.Namespace, chosen: Configuration) -> Ordered:
    decoder = arguments.work != "lora-seq2seq"
    load = AutoModelForCausalLM if decoder else AutoModelForSeq2SeqLM
    model = load.from_pretrained(
        arguments.base, dtype=getattr(torch, chosen.weights), attn_implementation=chosen.attention
    )
    model.config.use_cache = False
    order = json.loads(arguments.order.read_text())
    rows_per_update = len(order[0])
    settings = dict(
        output_dir=str(arguments.folder), use_cpu=True, bf16=chosen.autocast, max_steps=len(order),
        per_device_train_batch_size=chosen.rows_per_pass,
        gradient_accumulation_steps=rows_per_update // chosen.rows_per_pass,
        gradient_checkpointing=chosen.checkpointing, learning_rate=arguments.rate, lr_scheduler_type="linear",
        warmup_steps=round(arguments.warm_up_share * len(order)), weight_decay=0.01, max_grad_norm=1.0,
        optim=chosen.optimizer, dataloader_pin_memory=False, remove_unused_columns=False, eval_strategy="no",
        save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True, seed=0, label_names=["labels"],
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(arguments.base)
    shared = dict(
        train_dataset=read_rows(arguments.rows, decoder=decoder), processing_class=tokenizer,
        data_collator=Collator(tokenizer.pad_token_id, chosen.pad_to),
    )  # fmt: skip
    lora = None
    if arguments.adapter:
        targets = arguments.targets.split(",")
        lora = LoraConfig(r=arguments.rank, lora_alpha=2 * arguments.rank, target_modules=targets, lora_dropout=0.0)
    if decoder:
        arguments_of = SFTConfig(**settings, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
        trainer: Any = OrderedSFT(model=model, args=arguments_of, peft_config=lora, **shared)
    else:
        if lora is not None:
            model = get_peft_model(model, lora)
            if chosen.checkpointing:
                model.enable_input_require_grads()
        trainer = OrderedSeq2Seq(model=model, args=Seq2SeqTrainingArguments(**settings), **shared)
    if arguments.adapter:
        set_adapter(trainer.model, arguments.adapter)
    if not chosen.mask:
        plain = trainer.model.get_base_model() if lora is not None else trainer.model
        plain.base_model.register_forward_pre_hook(without_mask, with_kwargs=True)
    trainer.order, trainer.losses = order, []
    return trainer


def losses_of_updates(steps: list[Tensor], updates: int) -> list[float]:
    """Each pass's loss is its share of the update's."""
    return torch.stack(steps).view(updates, -1).sum(1).tolist()


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=sorted(FASTEST))
    for name in ("base", "rows", "order", "adapter", "folder"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--targets", default="")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--warm-up-share", type=float, default=0.1)
    parser.add_argument("--untimed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--leanest", action="store_true")
    parser.add_argument("--try", dest="overrides", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    chosen = configured(arguments)
    torch.set_num_threads(arguments.threads)
    if chosen.freed_kept:
        keep_freed_memory()
    trainer = make_trainer(arguments, chosen)
    clock = Clock(untimed=arguments.untimed)
    trainer.add_callback(clock)
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds, timed = clock.seconds, trainer.order[arguments.untimed :]
    print(json.dumps({
        "seconds": seconds, "rows_per_second": sum(map(len, timed)) / seconds, "peak_rss_mb": peak,
        "losses": losses_of_updates(trainer.losses, len(trainer.order)),
    }))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
