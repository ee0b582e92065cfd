"""The model card of the base: what it is, can and cannot do, its text by source. Knows a corpus and a tokenizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from nano.corpus import Row, read_rows

CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# wright-nano

A small causal language model of Tunewright's own making: {parameters:,} parameters, Llama architecture, English. It is
a base to fine-tune where no model can be downloaded, small enough for a laptop's processor. It is not an assistant.

## What it can do

Continue plain English text; after a few minutes of fine-tuning, short answers of the kinds that its text holds: facts
of a paragraph as JSON, summaries of short dialogues, short questions about a text, labels for a sentence. It knows a
chat template (system, tools, user, assistant, tool results) and ends its turns.

## What it cannot do

It knows hardly any facts about the world, and what it says about medicine, law or people must not be relied on. It
reads English only, and 1,024 tokens at most. It cannot reason over several steps, do sums beyond the simplest, write
programs, or follow instructions that are unlike those of its text. A large part of its text is novels of 1840 to 1920
and speeches of presidents: their language and their prejudices are in it, and nothing was done to remove them. It has
no safety training. A user who writes the template's own tokens into a message can end a turn: strip them where
strangers write.

## Text

{tokens:,} tokens of this folder's tokenizer, each seen as often as the recipe says.

| source | licence | texts | tokens |
|---|---|---|---|
{table}

Novels: ELTeC-eng (COST Action CA16204), one row a passage. Speeches: NLTK's inaugural and state_union. MedQuAD: A. Ben
Abacha and D. Demner-Fushman, 2019, questions and the first sentences of answers from sites of the U.S. National
Institutes of Health. GSM8K: K. Cobbe et al., 2021, training questions. Self-Instruct: Y. Wang et al., 2022, seed tasks.
PubMedQA: Q. Jin et al., 2019, training questions. BANKING77: I. Casanueva et al., 2020, and CLINC150: S. Larson et al.,
2019, training utterances. Texts were cleaned, cut to the context and put into the form of conversations.

`generated/*` is text that the project makes by its own programs (`nano/`), without any other model: dialogues with
summaries, records and their fields, questions about paragraphs, instructions, arithmetic, lists, tool calls. Its
people, places and things are invented; names of people and towns are common ones, drawn at random.

The text holds no support ticket turned into a record: `python -m nano scan` asserts that no template, name or value
of the project's own ticket task (`samples/ticket-records.jsonl`) is in it.

## Tokenizer

Byte-level BPE with {vocabulary:,} entries, digits one by one; any text can be written and read back. `{end}` ends
turns and documents, `{pad}` pads.

## How it is reproduced

    python -m nano corpus CORPUS
    python -m nano scan CORPUS
    python -m nano base BASE --corpus CORPUS

then the recipe `recipes/pretrain-nano.yaml` on that corpus, from the random weights of BASE.
"""
MEASURED = """
## What was measured

Trained on {tokens:,} tokens in {updates:,} updates. On {rows:,} texts held out of the same sources:

| | perplexity | bits per byte |
|---|---|---|
{table}
"""


def card(corpus: Path, tokenizer: PreTrainedTokenizerBase, *, parameters: int) -> str:
    """The card, with the tokens of every source counted."""
    rows = list(read_rows(corpus / "train.jsonl"))
    counts = tokens_by_source(rows, tokenizer)
    licences = {row["source"]: row["licence"] for row in rows}
    table = "\n".join(
        f"| {name} | {licences[name]} | {texts:,} | {tokens:,} |" for name, (texts, tokens) in counts.items()
    )
    total = sum(tokens for _, tokens in counts.values())
    return CARD.format(
        parameters=parameters,
        tokens=total,
        table=table,
        vocabulary=len(tokenizer),
        end=tokenizer.eos_token,
        pad=tokenizer.pad_token,
    )


def measured(
    *, trained: Mapping[str, float], others: Mapping[str, Mapping[str, float]], rows: int, tokens: int, updates: int
) -> str:
    """What the card of a trained base ends with; `trained` and each of `others` hold perplexity and bits_per_byte."""
    names = {"untouched": "the random weights it began with", "unigram": "each token by how often it occurs"}
    rungs = {"wright-nano": trained} | {names.get(name, name): rung for name, rung in others.items()}
    table = "\n".join(
        f"| {name} | {rung['perplexity']:,.1f} | {rung['bits_per_byte']:.3f} |" for name, rung in rungs.items()
    )
    return MEASURED.format(tokens=tokens, updates=updates, rows=rows, table=table)


def tokens_by_source(rows: list[Row], tokenizer: PreTrainedTokenizerBase) -> dict[str, tuple[int, int]]:
    """Texts and tokens of every source."""
    texts, tokens = Counter[str](), Counter[str]()
    for start in range(0, len(rows), 1000):
        batch = rows[start : start + 1000]
        for row, ids in zip(
            batch, tokenizer([row["text"] for row in batch], add_special_tokens=False)["input_ids"], strict=True
        ):
            texts[row["source"]] += 1
            tokens[row["source"]] += len(ids)
    return {name: (texts[name], tokens[name]) for name in sorted(texts)}
