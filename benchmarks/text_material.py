"""Bases of random weights, rows as token ids and first LoRA matrices for `benchmarks/generation.py`. Neither side's.

    python -m benchmarks.text_material --data FOLDER --folder FOLDER --rows N --rows-per-update B

Writes `decoder/` and `seq2seq/` (bases), `decoder.npz` and `seq2seq.npz` (LoRA's A by layer), `decoder.jsonl` and
`seq2seq.jsonl` ({"prompt": [id], "answer": [id]}), and `decoder.json` and `seq2seq.json` (the rows of each update).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

PAD, END = "<pad>", "</s>"
PAD_ID, END_ID = 0, 1
ASKED = "Summarize the dialogue.\n\n{dialogue}\n\nSummary: "
ENTRIES = 16_384  # of the tokenizer; the shapes' tables are larger, which is what costs
POOL_UPDATES = 50  # updates among whose rows those of like length are put together, as Trainer does


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--rows-per-update", type=int, required=True)
    return parser.parse_args()


def main() -> None:
    asked = read_arguments()
    lines = (asked.data / "dialogsum" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    tokenizer = train_tokenizer(record[name] for record in records for name in ("dialogue", "summary"))
    chosen = np.random.default_rng(0).choice(len(records), asked.rows, replace=False)
    rows = [
        {"prompt": tokenizer(ASKED.format(dialogue=records[i]["dialogue"])).input_ids,
         "answer": [*tokenizer(records[i]["summary"]).input_ids, tokenizer.eos_token_id]}
        for i in chosen
    ]  # fmt: skip
    for name, model, targets in (
        ("decoder", decoder(), None), ("seq2seq", seq2seq(), {"q", "v"}),
    ):  # fmt: skip
        model.save_pretrained(asked.folder / name)
        tokenizer.save_pretrained(asked.folder / name)
        np.savez(asked.folder / f"{name}.npz", **first_matrices(model, targets, rank=16 if targets is None else 32))
        written = rows if name == "decoder" else [row | {"prompt": [*row["prompt"], END_ID]} for row in rows]
        (asked.folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, written)) + "\n", encoding="utf-8")
        (asked.folder / f"{name}.json").write_text(json.dumps(updates_of(written, asked.rows_per_update)))


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the data itself."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=ENTRIES, special_tokens=[PAD, END], show_progress=False)
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token=PAD, eos_token=END)


def decoder() -> LlamaForCausalLM:
    """The shape of SmolLM-135M: 134.5 M parameters."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True,
        pad_token_id=PAD_ID, eos_token_id=END_ID, bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def seq2seq() -> T5ForConditionalGeneration:
    """The shape of flan-t5-base: 247.6 M parameters. Dropout is 0, so that both sides' losses can be compared."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=32_128, d_model=768, d_kv=64, d_ff=2048, num_layers=12, num_decoder_layers=12, num_heads=12,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.0,
        pad_token_id=PAD_ID, eos_token_id=END_ID, decoder_start_token_id=PAD_ID,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


def first_matrices(model: nn.Module, targets: set[str] | None, *, rank: int) -> dict[str, np.ndarray]:
    """LoRA's A [rank, inputs] of the linear layers named `targets`, or of all but the output layer."""
    drawn = np.random.default_rng(1)
    return {
        name: drawn.uniform(-1, 1, (rank, module.in_features)).astype(np.float32) / np.sqrt(module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name != "lm_head"
        and (targets is None or name.rpartition(".")[2] in targets)
    }  # fmt: skip


def updates_of(rows: list[dict[str, list[int]]], size: int) -> list[list[int]]:
    """Rows in updates of like length, the updates in random order."""
    drawn = np.random.default_rng(2)
    order, updates = drawn.permutation(len(rows)), []
    for start in range(0, len(order), POOL_UPDATES * size):
        pool = sorted(order[start : start + POOL_UPDATES * size], key=lambda i: -len(rows[i]["prompt"]))
        updates += [[int(i) for i in pool[at : at + size]] for at in range(0, len(pool) - size + 1, size)]
    return [updates[i] for i in drawn.permutation(len(updates))]


if __name__ == "__main__":
    main()
