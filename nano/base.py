"""The base's folder: tokenizer, random weights, chat template, card. Knows a corpus; must not train the model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from nano.card import card
from nano.chat import END, PAD, SPECIAL_TOKENS, TEMPLATE
from nano.corpus import read_rows

VOCABULARY = 8192
CONTEXT = 1024
# Words with the space before them, digits one by one, marks in runs, line breaks apart from other spaces.
PIECES = r"'(?:[sdmt]|ll|ve|re)\b| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\n|\s+(?!\S)|\s"
LICENCE = Path(__file__).resolve().parents[1] / "LICENSE"


def write_base(folder: Path, *, corpus: Path, seed: int = 0, vocabulary: int = VOCABULARY) -> None:
    """Write a base of random weights into `folder`, its tokenizer trained on `corpus`/train.jsonl."""
    tokenizer = wrapped(
        train_tokenizer((row["text"] for row in read_rows(corpus / "train.jsonl")), vocabulary=vocabulary)
    )
    model = random_model(tokenizer, seed=seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder, save_jinja_files=False)
    (folder / "README.md").write_text(card(corpus, tokenizer, parameters=model.num_parameters()), encoding="utf-8")
    shutil.copyfile(LICENCE, folder / "LICENSE")


def train_tokenizer(texts: Iterator[str], *, vocabulary: int) -> Tokenizer:
    """Byte-level BPE: every text can be written and read back, whatever its signs."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=list(SPECIAL_TOKENS), show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))  # fmt: skip
    tokenizer.train_from_iterator(_without_special_tokens(texts), trainer)
    return tokenizer


def _without_special_tokens(texts: Iterator[str]) -> Iterator[str]:
    """Special tokens are never merged from pieces, so they are not counted as text either."""
    for text in texts:
        for token in SPECIAL_TOKENS:
            text = text.replace(token, "\n")
        yield text


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers loads it, with the chat template."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, model_max_length=CONTEXT, chat_template=TEMPLATE,
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in (END, PAD)],
        clean_up_tokenization_spaces=False, padding_side="right", model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def random_model(tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LlamaForCausalLM:
    """12.5 M parameters when the vocabulary has 8,192 entries."""
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=320, intermediate_size=864, num_hidden_layers=8, num_attention_heads=5,
        num_key_value_heads=5, head_dim=64, max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, dtype="float32",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
