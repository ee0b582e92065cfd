"""Small tasks on tiny bases: rows that can be learned in seconds, and recipes for them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import tiny_bases

TOPICS = {
    "card": "my card has not arrived yet where is it please tell me the card pin code",
    "refund": "a refund is missing from my account the payment was charged twice money back",
    "rate": "exchange rate fee transfer top up how much money do i change early late",
}

_IDLE = ("my", "the", "is", "to")


def make_rows(count: int = 90, *, topics: dict[str, str] = TOPICS, seed: int = 3) -> list[dict[str, str]]:
    """Rows of `text`, `topic`, `row_id` and `customer_id`, no two texts alike."""
    draw = random.Random(seed)
    rows, seen = [], set()
    while len(rows) < count:
        topic = list(topics)[len(rows) % len(topics)]
        text = " ".join(draw.choices(topics[topic].split(), k=draw.randint(5, 12)))
        if text not in seen:
            seen.add(text)
            rows.append({"row_id": f"r{len(rows)}", "customer_id": f"c{len(rows) % 50}", "text": text, "topic": topic})
    return rows


def make_pairs(kind: str, count: int = 90, *, seed: int = 3) -> list[dict[str, object]]:
    """Rows of a `kind` that compares: queries with the passage that has their two words, or texts and how many words
    they share beside those of no meaning, and one.
    """
    draw, words = random.Random(seed), sorted(set(tiny_bases.WORDS.split()) - set(_IDLE))
    pairs = draw.sample([(a, b) for a in words for b in words if a < b], count)
    rows: list[dict[str, object]] = []
    for place, (a, b) in enumerate(pairs):
        few = draw.sample([word for word in words if word not in (a, b)], 8)
        if kind == "retrieval":
            rows.append({"query": f"{few[0]} {a} {b}", "passage": " ".join([few[1], b, *few[2:4], a, few[4]])})
        else:
            shared, idle = [a, b, *few[:2]][: place % 5], draw.sample(_IDLE, draw.randint(0, 4))
            first, second = [*shared, *idle, few[2], few[3]], [few[4], few[5], *idle, *shared]
            rows.append({"sentence1": " ".join(first), "sentence2": " ".join(second), "score": 1 + len(shared)})
    return rows


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_pairs_task(folder: Path, kind: str, *, extra: str = "") -> Path:
    """Rows of `kind`, a tiny base and a recipe of three epochs in `folder`; returns the recipe's path."""
    folder.mkdir(exist_ok=True, parents=True)
    if not (folder / "base").exists():
        tiny_bases.make_tiny_base(folder / "base", "bert")
    write_rows(folder / "rows.jsonl", make_pairs(kind))
    columns = {"retrieval": "input: [query, passage]", "similarity": "input: [sentence1, sentence2], output: score"}
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"name: tiny-{kind}\ntask: {{kind: {kind}, {columns[kind]}}}\nbase: base\ndata: {{train: rows.jsonl}}\n"
        "phases: [{budget: 3 epochs, optimizer: {kind: adamw, rate: 0.003}}]\nevaluate: {resamples: 200}\n" + extra,
        encoding="utf-8",
    )
    return recipe


def write_task(folder: Path, *, extra: str = "", rows: list[dict[str, str]] | None = None) -> Path:
    """Rows, a tiny base and a recipe of two epochs in `folder`; returns the recipe's path."""
    folder.mkdir(exist_ok=True, parents=True)
    if not (folder / "base").exists():
        tiny_bases.make_tiny_base(folder / "base", "bert")
    write_rows(folder / "rows.jsonl", make_rows() if rows is None else rows)
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        "name: tiny\n"
        "task: {kind: classification, input: text, output: topic}\n"
        "base: base\n"
        "data: {train: rows.jsonl}\n"
        "phases: [{budget: 2 epochs}]\n"
        "evaluate: {resamples: 200, baselines: [majority]}\n" + extra,
        encoding="utf-8",
    )
    return recipe
