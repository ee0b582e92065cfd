"""The ticket task: the committed rows are those of the script, whole, varied, and say what their records hold."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from nano.tickets import FIELDS, ISSUES, WANTS, write_tickets

from nano import tickets
from tunewright.data.minhash import find_near_duplicates

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "ticket-records.jsonl"


@pytest.fixture(scope="module")
def rows():
    return [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def records(rows):
    return [json.loads(row["record"]) for row in rows]


def test_the_committed_rows_are_those_that_the_script_writes(tmp_path):
    write_tickets(tmp_path / "tickets.jsonl")
    assert (tmp_path / "tickets.jsonl").read_bytes() == SAMPLE.read_bytes(), "run: python -m nano tickets"


def test_there_are_enough_rows_of_the_right_length_and_none_twice(rows):
    assert len(rows) == 1200 and all(set(row) == {"ticket", "record"} for row in rows)
    assert all(20 <= len(row["ticket"].split()) <= 90 for row in rows)
    assert len({row["ticket"] for row in rows}) == len(rows)
    found = find_near_duplicates([(row["ticket"],) for row in rows])
    assert (found.like_r >= 0).mean() < 0.02


def test_records_are_canonical(rows, records):
    for row, record in zip(rows, records, strict=True):
        assert tuple(record) == FIELDS and row["record"] == json.dumps(record, ensure_ascii=False)
        assert record["issue"] in ISSUES and record["wants"] in (*WANTS, None) and isinstance(record["urgent"], bool)
        assert record["order_id"] is None or re.fullmatch(r"[A-Z]{2}-\d{6}", record["order_id"])
        assert record["date"] is None or re.fullmatch(r"20\d\d-\d\d-\d\d", record["date"])
        assert (record["amount"] is None) == (record["currency"] is None)


def test_what_is_stated_stands_in_the_ticket_and_what_is_null_does_not(rows, records):
    for row, record in zip(rows, records, strict=True):
        ticket = row["ticket"]
        assert record["product"] in ticket
        numbers = re.findall(r"\d{6}", ticket)
        assert numbers == ([record["order_id"][-6:]] if record["order_id"] else [])
        if record["date"]:
            year, _, day = record["date"].split("-")
            assert year in ticket and str(int(day)) in ticket
        if record["amount"] is not None:
            shown = f"{record['amount']:.2f}" if isinstance(record["amount"], float) else str(record["amount"])
            assert shown in ticket
        elif "delivery fee" not in ticket:
            assert not re.search(r"[€£$]|\b(?:EUR|GBP|USD|euros|pounds|dollars)\b", ticket)


def test_every_value_of_an_enumeration_is_frequent_and_every_field_is_sometimes_absent(records):
    counts = {field: Counter(record[field] for record in records) for field in FIELDS}
    assert min(counts["issue"].values()) >= 100 and len(counts["issue"]) == 6
    assert min(counts["wants"].values()) >= 50 and 4 <= len(counts["wants"]) - 1 <= 6
    assert 300 <= counts["urgent"][True] <= 600
    assert all(100 <= counts[field][None] <= 400 for field in ("order_id", "amount", "date", "wants"))
    assert len(counts["product"]) > 600, "products can only be copied"


def test_tickets_hold_what_distracts(rows):
    holding = {word: sum(word in row["ticket"] for row in rows)
               for word in ("delivery fee", "My old", "onwards I am abroad", "loyal customer")}  # fmt: skip
    assert all(count >= 60 for count in holding.values()), holding


def test_another_seed_gives_other_tickets(tmp_path):
    write_tickets(tmp_path / "one.jsonl", count=20, seed=1)
    write_tickets(tmp_path / "two.jsonl", count=20, seed=2)
    assert (tmp_path / "one.jsonl").read_text() != (tmp_path / "two.jsonl").read_text()
    assert set(tickets.WANTED) == set(ISSUES)
    assert {each for wanted in tickets.WANTED.values() for each in wanted} == set(WANTS)
