"""Asserts that a corpus holds nothing of the ticket task: no pair, template, name or value. Knows the task's lists.

Words are runs of letters, digits and underscores, in small letters; an n-gram is n of them in a row, whatever stands
between. Four things are looked for:

- texts: eight words in a row of any ticket of the task, committed or made from other seeds;
- templates: eight items in a row of a template, words or slots (one to four words each), at least five of them words;
- names and values: every brand, product, customer, model and label that is no everyday word; numbers of orders;
- records: a key of the task's records, written as a JSON key, that is no everyday word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product as combinations
from pathlib import Path
from random import Random

from nano import tickets
from nano.corpus import read_rows
from nano.wording import tidy

GRAM = 8
OWN_WORDS = 5
"""So many of the eight items of a template's window must be words, not slots."""
SLOT_WORDS = 4
OTHER_TICKETS = 4_000
EVERYDAY = frozenset(
    "damaged overcharged refund replacement repair information cancellation amount currency date".split()
)
"""Values and keys of the task that are plain words of the language; every other one must be absent."""

Window = tuple[str | None, ...]
_WORD = re.compile(r"\w+")
_ORDER = re.compile(r"\b[bcdfghklmnpqrtvwxz][qvxz][- ]\d{6}\b", re.IGNORECASE)


@dataclass(frozen=True)
class Leak:
    """What of the task stands in which row."""

    row: int
    kind: str
    found: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.kind} of the ticket task: {self.found!r}"


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def scan(rows: Iterable[str]) -> Iterator[Leak]:
    """Leaks of the ticket task in the texts of a corpus."""
    task = whole_task()
    for number, text in enumerate(rows, 1):
        yield from (Leak(number, kind, found) for kind, found in task.leaks_in(text))


def scan_corpus(folder: Path) -> list[Leak]:
    """Leaks in train.jsonl and heldout.jsonl of `folder`."""
    return [
        leak
        for split in ("train", "heldout")
        for leak in scan(row["text"] for row in read_rows(folder / f"{split}.jsonl"))
    ]


class Task:
    """All that must not be in a corpus, indexed by how it begins."""

    def __init__(self) -> None:
        self.grams = set(_grams_of_tickets())
        self.windows: dict[tuple[str, str], list[tuple[int, Window]]] = {}
        for window in set(_windows_of_templates()):
            place = _anchor(window)
            first, second = window[place], window[place + 1]
            assert first is not None and second is not None
            self.windows.setdefault((first, second), []).append((place, window))
        self.names: dict[str, list[list[str]]] = {}
        for name in {" ".join(words_of(name)) for name in names_and_values()}:
            if name not in EVERYDAY:
                self.names.setdefault(name.split()[0], []).append(name.split())
        self.keys = [f'"{key}":' for key in tickets.FIELDS if key not in EVERYDAY]

    def leaks_in(self, text: str) -> Iterator[tuple[str, str]]:
        words = words_of(text)
        for place, word in enumerate(words):
            gram = tuple(words[place : place + GRAM])
            if gram in self.grams:
                yield "words", " ".join(gram)
            for name in self.names.get(word, ()):
                if words[place : place + len(name)] == name:
                    yield "name or value", " ".join(name)
            for before, window in self.windows.get((word, *gram[1:2]), ()):  # type: ignore[arg-type]
                if _fits(window, before, words, place):
                    yield "template", " ".join(each or "*" for each in window)
        for found in _ORDER.findall(text):
            yield "order number", found
        for key in self.keys:
            if key in text:
                yield "key", key


@cache
def whole_task() -> Task:
    """The task, indexed once."""
    return Task()


def names_and_values() -> list[str]:
    """Every entry of the task's lists; goods only with their brand, since a kettle is a kettle."""
    goods = [f"{brand} {each}" for brand in tickets.BRANDS for each in tickets.GOODS]
    return [*tickets.BRANDS, *tickets.MODELS, *tickets.CUSTOMERS, *goods, *tickets.ISSUES, *tickets.WANTS]


def _grams_of_tickets() -> Iterator[tuple[str, ...]]:
    rng = Random("scan")
    committed = Random(f"{tickets.SEED}/tickets")
    for source, count in ((committed, tickets.COUNT + 100), (rng, OTHER_TICKETS)):
        for _ in range(count):
            text, record = tickets.ticket(source)
            for words in (words_of(text), words_of(json.dumps(record))):
                yield from (tuple(words[place : place + GRAM]) for place in range(len(words) - GRAM + 1))


def _windows_of_templates() -> Iterator[Window]:
    for phrase in tickets.phrases():
        for expanded in expansions(phrase):
            items: list[str | None] = [
                None if each == "{}" else each
                for each in re.findall(r"\w+|\{\}", re.sub(r"\{\w+\}", " {} ", expanded.lower()))
            ]
            for place in range(len(items) - GRAM + 1):
                window = tuple(items[place : place + GRAM])
                if sum(each is not None for each in window) >= OWN_WORDS:
                    yield window


def expansions(phrase: str) -> list[str]:
    """`phrase` with its choices drawn in every possible way."""
    inner = re.search(r"\[([^\[\]]*)\]", phrase)
    if inner is None:
        return [tidy(phrase)]
    return [
        each
        for option in inner[1].split("|")
        for each in expansions(phrase[: inner.start()] + option + phrase[inner.end() :])
    ]


def _anchor(window: Window) -> int:
    """The place of two words in a row, the longest together: with five words of eight there are two."""
    places = [place for place in range(GRAM - 1) if window[place] is not None and window[place + 1] is not None]
    return max(places, key=lambda place: len(window[place] or "") + len(window[place + 1] or ""))


def _fits(window: Window, before: int, words: list[str], place: int) -> bool:
    """Whether `window` stands in `words`, its item number `before` at `place`; a slot takes one to four words."""
    ahead = [each is None for each in window[:before]]
    for lengths in combinations(range(1, SLOT_WORDS + 1), repeat=sum(ahead)):
        start = place - (before - sum(ahead)) - sum(lengths)
        if start >= 0 and _stands_at(window, words, start, list(lengths)):
            return True
    return False


def _stands_at(window: Window, words: list[str], start: int, lengths: list[int]) -> bool:
    """Whether the window begins at `start`; its first slots take `lengths` words, later ones any number."""
    if not window:
        return True
    if window[0] is None:
        options = [lengths[0]] if lengths else list(range(1, SLOT_WORDS + 1))
        return any(
            start + count <= len(words) and _stands_at(window[1:], words, start + count, lengths[1:])
            for count in options
        )
    return start < len(words) and words[start] == window[0] and _stands_at(window[1:], words, start + 1, lengths)
