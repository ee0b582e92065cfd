"""The scan finds nothing of the ticket task in a corpus without it, and each kind of leak where one is planted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from nano.corpus import Row
from nano.scan import EVERYDAY, Task, expansions, names_and_values, scan, scan_corpus, whole_task, words_of

from nano import tickets

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples" / "ticket-records.jsonl"


@pytest.fixture(scope="module")
def task():
    return whole_task()


def kinds_in(task: Task, text: str) -> set[str]:
    return {kind for kind, _ in task.leaks_in(text)}


def planted(rows: list[Row], text: str, folder: Path) -> Path:
    """A copy of the corpus with `text` in the midst of one of its rows."""
    middle = len(rows) // 2
    changed = [row | {"text": f"{row['text']} {text} And so on."} if index == middle else row
               for index, row in enumerate(rows)]  # fmt: skip
    for split, content in (("train", changed), ("heldout", rows[:2])):
        lines = "".join(json.dumps(row) + "\n" for row in content)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def test_a_corpus_without_the_task_passes(corpus):
    assert scan_corpus(corpus[0]) == []


def test_a_committed_ticket_is_found_wherever_it_stands(corpus, tmp_path):
    row = json.loads(SAMPLE.read_text(encoding="utf-8").splitlines()[700])
    found = scan_corpus(planted(corpus[1]["train"], row["ticket"], tmp_path))
    assert {leak.kind for leak in found} >= {"words", "name or value"}
    assert {leak.row for leak in found} == {len(corpus[1]["train"]) // 2 + 1}


def test_the_door_says_what_it_found_and_fails(corpus, tmp_path):
    planted(corpus[1]["train"], f"It came from {tickets.BRANDS[3]}.", tmp_path)
    command = [sys.executable, "-m", "nano", "scan", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "name or value of the ticket task: 'quillbrook'" in done.stdout


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("my order Bluebird 77 of last spring contained a rather shiny tin whistle at nine crowns", "template"),
        ("He muttered: I rang your hotline and hung on for ninety-nine minutes, madam.", "words"),
        ("A PHONE CALL: you billed me for two pieces, though I only ordered one!", "words"),
        ("the label says gx-480213 and nothing else", "order number"),
        ('{"name": "Tom", "order_id": null}', "key"),
        ('{"urgent": true}', "key"),
        ("her aunt Oluwaseun came for tea", "name or value"),
        ('{"reason": "not_delivered"}', "name or value"),
        ("the Neo 2 was parked outside", "name or value"),
        ("a velmora  KETTLE sang", "name or value"),
    ],
)
def test_each_kind_of_leak_is_found(task, text, kind):
    assert kind in kinds_in(task, text)


@pytest.mark.parametrize(
    "text",
    ["He wanted a refund, since the kettle was damaged, and a repair would have cost too much.",
     "My order was the best in the school, and I paid for it with sleep.", "It is about nine, and she is urgent.",
     '{"date": "2020-01-01", "amount": 12, "currency": "EUR"}', "Room XQ-48021 is on the left."],
)  # fmt: skip
def test_everyday_language_is_no_leak(task, text):
    assert kinds_in(task, text) == set()


def test_templates_are_found_with_any_values_in_their_slots(task):
    """Every template long enough for a window is found with values that are in none of the task's lists."""
    rng, checked = Random(1), 0
    strange = dict.fromkeys(("product", "order", "amount", "date", "name", "n", "other", "fee", "later"), "zumbo dunk")
    for phrase in tickets.phrases():
        for expanded in rng.sample(expansions(phrase), 1):
            text = expanded.format(**strange)
            if len(words_of(expanded)) >= 8 and len(words_of(expanded.format(**dict.fromkeys(strange, "")))) >= 8:
                assert kinds_in(task, f"Well, {text} So it is.") & {"template", "words"}, text
                checked += 1
    assert checked > 40


def test_choices_expand_in_every_way():
    assert set(expansions("[a|b [c|d]] x")) == {"A x", "B c x", "B d x"}


def test_everyday_words_are_few_single_and_the_tasks_own():
    listed = {" ".join(words_of(name)) for name in names_and_values()} | set(tickets.FIELDS)
    assert listed >= EVERYDAY and len(EVERYDAY) <= 12
    assert all(word.isalpha() and word.islower() for word in EVERYDAY)
    assert len(listed - EVERYDAY) > 700


def test_rows_are_numbered_from_one():
    assert [leak.row for leak in scan(["nothing here", "Tarvik", "nothing", "Ondrix"])] == [2, 4]
