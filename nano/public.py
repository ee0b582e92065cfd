"""Texts of others under permissive licences, cleaned and cut to the base's context. Knows the public data only.

What is held out for judging is held out by group: whole novels, whole speeches, all questions about a disease.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from nano.chat import exchange

PASSAGE_CHARS = 2_900
VERSE_CHARS = 2_200
"""At most 1,000 tokens: a passage fits into the context of 1,024. Verse takes more tokens a character."""


@dataclass(frozen=True)
class Source:
    """One source: its folder, licence, how many texts are taken, how many of those are held out, how they are read."""

    name: str
    licence: str
    texts: int
    held_out: int
    read: Callable[[Random, Path], Iterator[tuple[str, str]]]
    """Yields (group, text) in an order of its own; a group is held out as a whole or not at all."""


_SIGNS = str.maketrans(
    {
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "—": "--",
        "–": "-",
        "‐": "-",
        "‑": "-",
        "…": "...",
        "\u00a0": " ",
        "_": "",
        "\ufeff": "",
    }
)


def clean(text: str) -> str:
    """Plain quotes and dashes, single spaces, at most one empty line."""
    text = re.sub(r"[ \t]+", " ", text.translate(_SIGNS))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" *\n *", "\n", text)).strip()


def passages(text: str, chars: int = PASSAGE_CHARS) -> list[str]:
    """Whole paragraphs up to `chars` characters; a paragraph that is longer alone is left out."""
    made, current = [], ""
    for paragraph in text.split("\n\n"):
        if len(paragraph) > chars:
            continue
        if len(current) + len(paragraph) + 2 > chars:
            made.append(current)
            current = ""
        current = f"{current}\n\n{paragraph}" if current else paragraph
    return [each for each in [*made, current] if len(each) > 400]


def sentences_up_to(text: str, chars: int) -> str:
    """The first whole sentences of `text` that fit into `chars` characters."""
    if len(text) <= chars:
        return text
    cut = text[:chars]
    end = max(cut.rfind(". "), cut.rfind("? "), cut.rfind("! "), cut.rfind(".\n"))
    return cut[: end + 1] if end > chars // 4 else ""


def rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:  # not splitlines: the texts hold other line separators
        return [json.loads(line) for line in lines]


def read_novels(rng: Random, data: Path) -> Iterator[tuple[str, str]]:
    """As many passages of every novel, so that no author outweighs the others."""
    novels = rows(data / "eltec_eng_novels" / "novels.jsonl")
    rng.shuffle(novels)
    for novel in novels:
        parts = passages(clean(novel["text"]))
        for part in rng.sample(parts, min(len(parts), 70)):
            yield novel["id"], part


def read_speeches(rng: Random, data: Path) -> Iterator[tuple[str, str]]:
    speeches = rows(data / "us_presidential_speeches" / "speeches.jsonl")
    rng.shuffle(speeches)
    for speech in speeches:
        for part in passages(re.sub(r"\n+", "\n\n", clean(speech["text"]))):
            yield speech["id"], part


def read_shakespeare(rng: Random, data: Path) -> Iterator[tuple[str, str]]:
    parts = passages(clean((data / "tiny_shakespeare" / "input.txt").read_text(encoding="utf-8")), VERSE_CHARS)
    for index in rng.sample(range(len(parts)), len(parts)):
        yield str(index), parts[index]


def read_medquad(rng: Random, data: Path) -> Iterator[tuple[str, str]]:
    """Questions with the first sentences of their answers; lists of signs that a machine made are left out."""
    questions = [
        row for row in rows(data / "medquad" / "all.jsonl") if (row["source"], row["qtype"]) != ("GARD", "symptoms")
    ]
    rng.shuffle(questions)
    for row in questions:
        answer = sentences_up_to(_answer(clean(row["answer"])), rng.choice((400, 700, 1000)))
        question = re.sub(
            r"\s+\?$", "?", row["question"].replace("(are)", "").replace("  ", " ").replace("? ?", "?").strip()
        )
        if len(answer) > 60 and "Human Phenotype" not in answer:
            plain = rng.random() < 0.4
            yield (
                row["focus"] or row["id"],
                f"Question: {question}\nAnswer: {answer}" if plain else exchange(rng, question, answer),
            )


def _answer(text: str) -> str:
    """The answer without its heading, the question it begins with again, and marks of references."""
    return re.sub(r"^(?:Key Points\s*|Summary : )?(?:[^.?!]{5,140}\?\s+)?", "", re.sub(r"\[\d+\]", "", text))


def read_gsm8k(rng: Random, data: Path) -> Iterator[tuple[str, str]]:
    for index, row in enumerate(rows(data / "gsm8k" / "train.jsonl")):
        question, answer = clean(row["question"]), clean(re.sub(r"<<[^>]*>>", "", row["answer"]))
        yield str(index), f"{question}\n{answer}" if rng.random() < 0.3 else exchange(rng, question, answer)


def read_self_instruct(rng: Random, data: Path) -> Iterator[tuple[str, str]]:
    for row in rows(data / "self_instruct" / "seed_tasks.jsonl"):
        for instance in row["instances"]:
            request = f"{row['instruction']}\n\n{instance['input']}".strip()
            if len(request) + len(instance["output"]) < PASSAGE_CHARS:
                yield row["id"], exchange(rng, clean(request), clean(instance["output"]))


def read_pubmedqa(rng: Random, data: Path) -> Iterator[tuple[str, str]]:
    for row in rows(data / "pubmedqa" / "train.jsonl"):
        context = sentences_up_to(clean(" ".join(row["contexts"])), 1800)
        answer = f"{row['final_decision'].capitalize()}. {sentences_up_to(clean(row['long_answer']), 600)}"
        yield (
            row["pmid"],
            exchange(
                rng,
                f"{context}\n\n{row['question']}" if rng.random() < 0.7 else f"{row['question']}\n\n{context}",
                answer,
            ),
        )


_WANTS = (
    "What does the customer want?",
    "What is this message about?",
    "Name the intent.",
    "In a few words: what is asked for?",
    "Which topic is it?",
)


def _intents(folder: str, domain_of_file: str) -> Callable[[Random, Path], Iterator[tuple[str, str]]]:
    def read(rng: Random, data: Path) -> Iterator[tuple[str, str]]:
        messages = rows(data / folder / domain_of_file)
        labels = sorted({row["label"] for row in messages})
        rng.shuffle(messages)
        for index, row in enumerate(messages):
            named, text = row["label"].replace("_", " ").lower(), clean(row["text"])
            request = rng.choice(_WANTS)
            if rng.random() < 0.4:
                others = rng.sample([each for each in labels if each != row["label"]], rng.randint(1, 4))
                shown = rng.sample([named, *(each.replace("_", " ").lower() for each in others)], len(others) + 1)
                request = f"{rng.choice(['Choose one', 'Labels', 'Which of these fits'])}: {', '.join(shown)}"
            yield (
                str(index),
                exchange(rng, f"{request}\n\n{text}" if rng.random() < 0.6 else f"{text}\n\n{request}", named),
            )

    return read


SOURCES = (
    Source("eltec_eng_novels", "public domain", 6_600, 130, read_novels),
    Source("us_presidential_speeches", "public domain", 1_100, 40, read_speeches),
    Source("tiny_shakespeare", "public domain", 170, 8, read_shakespeare),
    Source("medquad", "CC BY 4.0", 8_000, 100, read_medquad), Source("gsm8k", "MIT", 6_500, 80, read_gsm8k),
    Source("self_instruct", "Apache-2.0", 200, 10, read_self_instruct),
    Source("pubmedqa", "MIT", 500, 20, read_pubmedqa),
    Source("banking77", "CC BY 4.0", 3_000, 40, _intents("banking77", "train.jsonl")),
    Source("clinc150", "CC BY 3.0", 4_000, 40, _intents("clinc150", "train.jsonl")),
)  # fmt: skip
