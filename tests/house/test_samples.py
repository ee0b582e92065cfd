"""The bundled tickets are many, varied, whole and all different; the defective ones are as their key says."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime

import pytest
import yaml
from tests.house.sources import ROOT

from tunewright.data.minhash import find_near_duplicates

KEYS = {"ticket_id", "customer_id", "created_at", "channel", "text", "intent"}


@pytest.fixture(scope="module")
def tickets():
    lines = (ROOT / "samples" / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_there_are_enough_tickets_in_enough_intents(tickets):
    counts = Counter(ticket["intent"] for ticket in tickets)
    assert len(tickets) >= 1600 and len(counts) >= 12
    assert min(counts.values()) >= 30


def test_every_ticket_has_all_keys_and_its_own_id(tickets):
    assert all(set(ticket) == KEYS and all(isinstance(value, str) and value for value in ticket.values())
               for ticket in tickets)  # fmt: skip
    assert len({ticket["ticket_id"] for ticket in tickets}) == len(tickets)
    assert all(datetime.fromisoformat(ticket["created_at"]) for ticket in tickets)
    assert len({ticket["channel"] for ticket in tickets}) >= 3
    assert len({ticket["customer_id"] for ticket in tickets}) < len(tickets), "some customers write more than once"


def test_tickets_are_as_long_as_people_write(tickets):
    words = [len(ticket["text"].split()) for ticket in tickets]
    assert min(words) >= 4 and max(words) <= 150
    assert sum(count <= 15 for count in words) >= len(tickets) / 20
    assert sum(count >= 60 for count in words) >= len(tickets) / 20


def test_hardly_two_tickets_are_alike(tickets):
    found = find_near_duplicates([(ticket["text"],) for ticket in tickets])
    assert (found.like_r >= 0).mean() < 0.02


def test_hardly_two_tickets_begin_alike(tickets):
    beginnings = Counter(" ".join(ticket["text"].lower().split()[:5]) for ticket in tickets)
    shared = sum(count for count in beginnings.values() if count > 1)
    assert shared < 0.01 * len(tickets)


def test_the_recipe_describes_exactly_the_intents_of_the_tickets(tickets):
    recipe = yaml.safe_load((ROOT / "recipes" / "ticket-intents.yaml").read_text(encoding="utf-8"))
    assert set(recipe["task"]["labels"]) == {ticket["intent"] for ticket in tickets}
    assert all(len(description.split()) >= 4 for description in recipe["task"]["labels"].values())


TOPICS = {
    "orders": ("order_status", "delivery_problem", "order_change", "order_cancellation"),
    "returns": ("return_request", "refund_status", "wrong_or_missing_item", "defective_product"),
    "devices": ("setup_help", "app_bug"),
    "accounts": ("account_access", "account_data"),
    "money": ("billing_dispute", "payment_failure", "subscription_change", "invoice_request"),
}
PAIRS_OF_A_GRADE = 180


def pair_up(tickets: list[dict[str, str]]) -> list[dict[str, object]]:
    """Pairs of tickets, graded 2 where they have one intent, 1 where their intents are of one topic, and else 0.

    No ticket is in two pairs, and there are as many pairs of each grade.
    """
    topic_of = {intent: topic for topic, intents in TOPICS.items() for intent in intents}
    waiting, counts, pairs = list(tickets), Counter(), []
    random.Random(7).shuffle(waiting)
    while min(counts[grade] for grade in (0, 1, 2)) < PAIRS_OF_A_GRADE:
        wanted, first = len(pairs) % 3, waiting.pop()
        for place, second in enumerate(waiting):
            a, b = first["intent"], second["intent"]
            if (2 if a == b else int(topic_of[a] == topic_of[b])) == wanted:
                del waiting[place]
                break
        else:
            continue  # nothing is left that would make such a pair
        counts[wanted] += 1
        pairs.append({"text_a": first["text"], "text_b": second["text"], "score": wanted})
    return pairs


def test_the_pairs_are_what_is_said_of_them(tickets):
    text = (ROOT / "samples" / "ticket-pairs.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in text.splitlines()] == pair_up(tickets)
    assert {topic for topics in TOPICS.values() for topic in topics} == {ticket["intent"] for ticket in tickets}


def test_the_key_of_the_defective_tickets_speaks_of_lines_that_are_there():
    lines = (ROOT / "samples" / "tickets-defects.jsonl").read_bytes().splitlines()
    key = json.loads((ROOT / "samples" / "tickets-defects.key.json").read_text(encoding="utf-8"))
    assert key.pop("rows") == len(lines)
    for defect, places in key.items():
        numbers = [*places, *places.values()] if isinstance(places, dict) else places
        assert numbers and all(1 <= int(number) <= len(lines) for number in numbers), defect
