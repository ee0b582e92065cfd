"""Hugging Face `Trainer` on the benchmark's work, tuned. Knows transformers and torch; must not know Tunewright.

What was tried (2026-11-21; 2 cores of an AMD EPYC with AVX512-BF16, torch 2.13, transformers 5.23). The machine was
busy with other work (load 2 to 8). Two threads then wait for each other and wall times swing tenfold, so the table is
rows per second of *processor time on one thread*: 20 timed updates (`frozen` 40), 1,280 rows for `predict`; one figure
per repeat. It ranks choices; it is not what the machine does in wall time on two threads.

    full      autocast, group_by_length, sdpa, fused AdamW   241, 247    chosen
              attention=eager                                251         within the spread
              precision=weights                              244         no fp32 master weights: not the same work
              pad_to=8                                       213
              optimizer=adamw_torch                          175
              precision=matmul                               173
              precision=fp32                                 99
              sampling=random                                82
              freed_kept=False                               237, 248    no difference on one thread
    frozen    autocast                                       608, 729
              precision=weights (the frozen trunk in bf16)   767, 770    chosen
    predict   precision=weights, 16 rows                     790, 747    a tie with 32
              precision=weights, 32 rows                     786, 708    chosen
              precision=weights, 64 rows                     729

Equal runs differ by up to 20 %, so smaller differences here, `frozen` among them, choose without proving. On two
threads, wall time, `full`, each update's fastest of 2 or 3 repeats: 261 and 271 without `freed_kept`, 349 with the same
settings of glibc from the environment, but at different loads, and every run that should have repeated it timed out.
So that gain is NOT established; the option is on because it was not seen to cost. Not measured: compiled=True,
workers=1, huge pages, `frozen` and `predict` on two quiet threads, random sampling with all of Trainer's defaults.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shared import Clock, InOrder, keep_freed_memory, minilm_folder
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, Trainer, TrainingArguments

LONGEST_TOKENS = 256
DROPOUT_BEFORE_HEAD = 0.1


@dataclass(frozen=True)
class Configuration:
    """What may be tuned without changing the work; `--try name=value` overrides one field."""

    precision: str = "autocast"  # autocast | weights (all in bf16) | matmul (fp32 with bf16 products) | fp32
    sampling: str = "group_by_length"  # group_by_length | random
    attention: str = "sdpa"  # sdpa | eager
    optimizer: str = "adamw_torch_fused"
    compiled: bool = False
    workers: int = 0
    pad_to: int = 1
    predict_rows: int = 32
    freed_kept: bool = True  # glibc keeps freed memory instead of giving it back and faulting it in again


def read_configuration(mode: str, overrides: Sequence[str]) -> Configuration:
    """The tuned configuration of `mode` with `overrides` ("name=value") applied."""
    types = {field.name: type(field.default) for field in fields(Configuration)}
    changes: dict[str, Any] = {}
    for override in overrides:
        name, _, text = override.partition("=")
        changes[name] = text == "True" if types[name] is bool else types[name](text)
    return replace(TUNED[mode], **changes)


TUNED = {
    "full": Configuration(),
    "frozen": Configuration(precision="weights"),
    "predict": Configuration(precision="weights"),
}


class Classifier(nn.Module):
    """Trunk, mean over real tokens, dropout, linear head; `forward` gives the loss where labels are given."""

    def __init__(self, trunk: nn.Module, head_cd: Tensor, bias_c: Tensor, *, trunk_frozen: bool):
        super().__init__()
        self.trunk = trunk
        self.dropout = nn.Dropout(DROPOUT_BEFORE_HEAD)
        self.head = nn.Linear(head_cd.shape[1], head_cd.shape[0])
        self.head.load_state_dict({"weight": head_cd, "bias": bias_c})
        self.trunk_frozen = trunk_frozen
        if trunk_frozen:
            self.trunk.requires_grad_(False)

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        if self.trunk_frozen:
            self.trunk.eval()
        return self

    def pool(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.trunk(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(hidden.dtype)
        return ((hidden * mask).sum(1) / mask.sum(1)).to(self.head.weight.dtype)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        if self.trunk_frozen:
            with torch.inference_mode():
                pooled = self.pool(input_ids, attention_mask)
            pooled = pooled.clone()
        else:
            pooled = self.pool(input_ids, attention_mask)
        logits = self.head(self.dropout(pooled)).float()
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Padding:
    """A collator that pads to the longest row of the batch; leaner than the tokenizer's own."""

    def __init__(self, *, multiple: int):
        self.multiple = multiple

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        width = -(-longest // self.multiple) * self.multiple
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for ids_t, mask_t, row in zip(ids, mask, rows, strict=True):
            length = len(row["input_ids"])
            ids_t[:length] = row["input_ids"]
            mask_t[:length] = 1
        batch = {"input_ids": ids, "attention_mask": mask}
        if "labels" in rows[0]:
            batch["labels"] = torch.tensor([row["labels"] for row in rows])
            batch["rows"] = torch.tensor([row["row"] for row in rows])
        return batch


class RecordingTrainer(Trainer):
    """A Trainer that keeps the loss and the rows of every update, and replays an order where one is given."""

    def __init__(self, *positional: Any, order: list[list[int]] | None = None, **named: Any):
        super().__init__(*positional, **named)
        self.replayed = order
        self.losses: list[Tensor] = []
        self.order: list[Tensor] = []

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.replayed is None:
            return super()._get_train_sampler(train_dataset)
        return InOrder(self.replayed)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        self.order.append(inputs.pop("rows"))
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.losses.append(loss)
        return loss


def peak_rss_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_rows(path: Path, tokenizer: Any) -> list[dict[str, Any]]:
    """Token ids, label and place of every row of a JSONL file of {"text", "label"}."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    encoded = tokenizer([record["text"] for record in records], truncation=True, max_length=LONGEST_TOKENS)
    return [
        {"input_ids": torch.tensor(ids), "labels": record["label"], "row": row}
        for row, (ids, record) in enumerate(zip(encoded["input_ids"], records, strict=True))
    ]


def load_classifier(arguments: argparse.Namespace, configuration: Configuration) -> Classifier:
    halved = configuration.precision == "weights"
    trunk = AutoModel.from_pretrained(
        minilm_folder(),
        dtype=torch.bfloat16 if halved else torch.float32,
        attn_implementation=configuration.attention,
        add_pooling_layer=False,
    )
    with np.load(arguments.head) as head:
        head_cd, bias_c = torch.from_numpy(head["weight"]), torch.from_numpy(head["bias"])
    model = Classifier(trunk, head_cd, bias_c, trunk_frozen=arguments.mode == "frozen")
    if halved and arguments.mode == "full":
        model = model.bfloat16()
    return model


def make_trainer(
    arguments: argparse.Namespace, configuration: Configuration, rows: list[dict[str, Any]]
) -> RecordingTrainer:
    order = json.loads(arguments.order.read_text()) if arguments.order else None
    settings = TrainingArguments(
        output_dir=str(arguments.folder),
        use_cpu=True,
        bf16=configuration.precision == "autocast" and arguments.mode != "predict",
        bf16_full_eval=configuration.precision == "weights" and arguments.mode == "predict",
        torch_compile=configuration.compiled,
        per_device_train_batch_size=arguments.rows_per_update,
        per_device_eval_batch_size=configuration.predict_rows,
        max_steps=arguments.updates,
        learning_rate=arguments.rate,
        lr_scheduler_type="linear",
        warmup_steps=round(arguments.warm_up_share * arguments.updates),
        weight_decay=0.01,
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        max_grad_norm=1.0,
        optim=configuration.optimizer,
        train_sampling_strategy=configuration.sampling,
        dataloader_num_workers=configuration.workers,
        dataloader_pin_memory=False,
        dataloader_drop_last=True,
        remove_unused_columns=False,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        seed=arguments.seed,
        label_names=["labels"],
    )
    return RecordingTrainer(
        model=load_classifier(arguments, configuration),
        args=settings,
        train_dataset=rows,
        data_collator=Padding(multiple=configuration.pad_to),
        order=order,
    )


def predict_logits(trainer: Trainer, rows: list[dict[str, Any]]) -> np.ndarray:
    """Logits float32 [r, c] in the order of `rows`, predicted in order of length so that little is padding.

    Trainer's evaluation sampler follows the training strategy and `predict` does not undo its order, so both training
    choices are withdrawn first: `group_by_length` would shuffle the answers, `drop_last` would lose some.
    """
    by_length = sorted(range(len(rows)), key=lambda row: -len(rows[row]["input_ids"]))
    trainer.args.train_sampling_strategy = "sequential"
    trainer.args.dataloader_drop_last = False
    output = trainer.predict([{"input_ids": rows[row]["input_ids"]} for row in by_length])
    logits_rc = np.empty_like(output.predictions)
    logits_rc[by_length] = output.predictions
    return logits_rc


def train(arguments: argparse.Namespace, configuration: Configuration, tokenizer: Any) -> dict[str, Any]:
    trainer = make_trainer(arguments, configuration, read_rows(arguments.train, tokenizer))
    clock = Clock(untimed=arguments.untimed)
    trainer.add_callback(clock)
    trainer.train()
    peak = peak_rss_megabytes()
    order = [rows.tolist() for rows in trainer.order]
    (arguments.folder / "order.json").write_text(json.dumps(order))
    test = read_rows(arguments.test, tokenizer)
    logits_rc = predict_logits(trainer, test)
    timed = order[arguments.untimed :]
    return {
        "seconds": clock.seconds,
        "rows_per_second": sum(map(len, timed)) / clock.seconds,
        "peak_rss_mb": peak,
        "losses": [float(loss) for loss in trainer.losses],
        "order": str(arguments.folder / "order.json"),
    } | judge(logits_rc, test, arguments.folder)


def predict(arguments: argparse.Namespace, configuration: Configuration, tokenizer: Any) -> dict[str, Any]:
    rows = read_rows(arguments.test, tokenizer)
    trainer = make_trainer(arguments, configuration, rows)
    predict_logits(trainer, rows[: arguments.untimed * 32])
    started = time.perf_counter()
    logits_rc = predict_logits(trainer, rows)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "rows_per_second": len(rows) / seconds,
        "peak_rss_mb": peak_rss_megabytes(),
        "losses": [],
    } | judge(logits_rc, rows, arguments.folder)


def judge(logits_rc: np.ndarray, rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Accuracy, and the path of the logits (float32 [r, c], in the order of the file)."""
    np.save(folder / "logits.npy", logits_rc)
    labels_r = np.array([row["labels"] for row in rows])
    return {
        "test_accuracy": float((logits_rc.argmax(1) == labels_r).mean()),
        "predictions": str(folder / "logits.npy"),
    }


def read_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=sorted(TUNED))
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--head", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--order", type=Path)
    parser.add_argument("--updates", type=int, default=1)
    parser.add_argument("--untimed", type=int, default=20)
    parser.add_argument("--rows-per-update", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--warm-up-share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--try", dest="overrides", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args(words)


def main() -> None:
    arguments = read_arguments()
    configuration = read_configuration(arguments.mode, arguments.overrides)
    torch.set_num_threads(arguments.threads)
    if configuration.freed_kept:
        keep_freed_memory()
    if configuration.precision == "matmul":
        torch.set_float32_matmul_precision("medium")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    measured = predict if arguments.mode == "predict" else train
    print(json.dumps(measured(arguments, configuration, tokenizer)))


if __name__ == "__main__":
    sys.exit(main())
