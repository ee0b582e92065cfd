"""The corpus: public texts and generated ones, in fixed shares, shuffled, without repeats. Knows sources and themes.

A row is {"text", "source", "licence"}. Plain texts are plain; conversations are rendered by the chat template and end
with its end-of-turn token. The same seed gives the same bytes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from nano import arithmetic, copying, dialogues, instructions, passages, records, toolcalls
from nano.public import SOURCES, Source

Row = dict[str, str]
GENERATED_LICENCE = "Apache-2.0"
THEMES: dict[str, tuple[Callable[[Random], str], int]] = {
    "dialogues": (dialogues.write, 18_000),
    "records": (records.write, 24_000),
    "passages": (passages.write, 11_000),
    "instructions": (instructions.write, 16_000),
    "arithmetic": (arithmetic.write, 9_000),
    "copying": (copying.write, 10_000),
    "toolcalls": (toolcalls.write, 1_200),
}
HELD_OUT_SHARE = 0.01


def write_corpus(folder: Path, *, data: Path | None, seed: int = 0, scale: float = 1.0) -> dict[str, list[Row]]:
    """Write train.jsonl and heldout.jsonl into `folder`; returns their rows.

    `data` holds the public data sets; None leaves them out. `scale` multiplies the number of texts of every source.
    """
    splits: dict[str, list[Row]] = {"train": [], "heldout": []}
    seen: set[str] = set()
    for source in SOURCES if data is not None else ():
        _share_out(splits, seen, source.name, source.licence, *take(source, data, seed=seed, scale=scale))
    for name, (write, count) in THEMES.items():
        rng = Random(f"{seed}/{name}")
        texts = [write(rng) for _ in range(max(4, round(count * scale)))]
        held_out = max(1, round(len(texts) * HELD_OUT_SHARE))
        _share_out(splits, seen, f"generated/{name}", GENERATED_LICENCE, texts[held_out:], texts[:held_out])
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        Random(f"{seed}/{split}").shuffle(rows)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return splits


def take(source: Source, data: Path, *, seed: int, scale: float) -> tuple[list[str], list[str]]:
    """Texts of `source` to train on and texts held out, whole groups either way."""
    count, held_out = max(2, round(source.texts * scale)), max(1, round(source.held_out * scale))
    train: list[str] = []
    kept: list[str] = []
    groups: dict[str, list[str]] = {}
    for group, text in source.read(Random(f"{seed}/{source.name}"), data):
        if group not in groups:
            groups[group] = kept if len(kept) < held_out else train
        groups[group].append(text)
        if len(train) >= count:
            break
    return train, kept


def _share_out(
    splits: dict[str, list[Row]], seen: set[str], name: str, licence: str, train: list[str], held_out: list[str]
) -> None:
    """Rows of both splits, each text once in the corpus; the held-out first, so that none of them is trained on."""
    for split, texts in (("heldout", held_out), ("train", train)):
        for text in texts:
            if text not in seen:
                seen.add(text)
                splits[split].append({"text": text, "source": name, "licence": licence})


def read_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def characters_by_source(rows: list[Row]) -> dict[str, tuple[int, int]]:
    """Texts and characters of every source."""
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        totals[row["source"]][0] += 1
        totals[row["source"]][1] += len(row["text"])
    return {name: (texts, chars) for name, (texts, chars) in sorted(totals.items())}
