"""Rows of every kind of task and what rungs of a given skill say of them; answers never depend on the rung."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from tunewright.values import Predictions, Span, Turn

PEOPLE = ("Ines Okafor", "Pieter de Vries", "Mei Lin", "J. Almeida", "Zoë Novák", "Omar Haddad")
FIRMS = ("Northwind", "Acme & Sons", "Baltic Freight", "Lumen Health", "Orchard Bank")
PLACES = ("New York City", "Łódź", "Porto", "São Paulo", "Leeds", "Cape Town")
PRODUCTS = ("X200 router", "pressure valve", "blue kettle", "tax module")
SENTENCES = (
    "{person} of {firm} flew from {place} to {place2} to see the {product} <in person>.",
    "Nobody at {firm} has heard from {person} since the {product} failed in {place}.",
    "In {place}, {person} and {person2} said that {firm} would stop selling the {product} by May.",
    "The weather was dull and nothing was announced.",
)
LABELS = ("firm", "person", "place", "product")
TOPICS = ("the rent", "a lost parcel", "the birthday party", "a new laptop", "the interview on Monday", "her sick dog")
ACTS = ("apologises for", "asks for advice about", "complains about", "is worried about", "wants to cancel", "explains")
TIMES = ("first", "second", "third", "fourth", "fifth", "sixth")
ENDS = ("offers to help", "promises to call back", "suggests waiting until Friday", "agrees and thanks #Person1#")


def invent(
    rung: str, *, rows: int, skill: float, seed: int, kind: str, split: str = "test"
) -> tuple[Predictions, list[str]]:
    """Predictions of a rung that gets about skill / (skill + 1) of things right, and the texts it read."""
    answers, own = np.random.default_rng(1), np.random.default_rng(seed)
    right = skill / (skill + 1)
    texts, targets, outputs, sizes = _KINDS[kind](rows, answers, own, right)
    ids = tuple(f"{split}-{i:05d}" for i in range(rows))
    return Predictions(rung, split, ids, outputs, targets, seconds=0.4 + own.random(), sizes=sizes), texts


def objects(items: Sequence) -> np.ndarray:
    return np.fromiter(items, dtype=object, count=len(items))


def _token_classification(rows, answers, own, right):
    texts, targets = zip(*(_sentence(answers) for _ in range(rows)), strict=True)
    said = [tuple(sorted(_say_spans(text, spans, own, right))) for text, spans in zip(texts, targets, strict=True)]
    return list(texts), objects(targets), objects(said), None


def _sentence(rng):
    parts = {"person": PEOPLE, "firm": FIRMS, "place": PLACES, "product": PRODUCTS}
    text, spans = "", []
    for piece in SENTENCES[rng.integers(len(SENTENCES))].replace("}", "{").split("{"):
        label = piece.rstrip("2")
        if label in parts:
            said = str(rng.choice(parts[label]))
            spans.append(Span(len(text), len(text) + len(said), label))
            text += said
        else:
            text += piece
    return text, tuple(spans)


def _say_spans(text, spans, rng, right):
    for span in spans:
        fate = rng.random()
        if fate < right:
            yield span
        elif fate < right + (1 - right) / 3:
            yield Span(span.start, span.start + (text[span.start : span.end] + " ").index(" "), span.label)
        elif fate < right + 2 * (1 - right) / 3:
            yield Span(span.start, span.end, LABELS[rng.integers(len(LABELS))])
    if rng.random() > right and "announced" in text:
        yield Span(4, 11, "product")


def _question_answering(rows, answers, own, right):
    texts, targets, said = [], [], []
    for i in range(rows):
        context, spans = _sentence(answers)
        known = answers.random() < 0.7 and bool(spans)
        true = tuple(_read(context, span) for span in spans[:1]) if known else ()
        texts.append(f"Who is meant in report {i}? | {context}")
        targets.append(true)
        if own.random() < right:
            said.append(true[0] if true else None)
        elif true and own.random() < 0.5:
            said.append(_read(context, Span(true[0].start, true[0].end + 9, "")))
        else:
            said.append(None if true else _read(context, Span(0, 11, "")))
    return texts, objects(targets), objects(said), None


def _read(context, span):
    return Span(span.start, span.end, context[span.start : span.end])


def _retrieval(rows, answers, own, right):
    skill = right / (1 - right)
    ranks = 1 + own.exponential(20 / skill**1.5, size=rows).astype(np.int64)
    texts = [f"how to return item {i} | Items are returned within {answers.integers(60)} days." for i in range(rows)]
    return texts, np.ones(rows, np.float32), ranks, None


def _texts(rows, answers, own, right, *, of_json=0.0):
    texts, targets, said = [], [], []
    for i in range(rows):
        topic, act, end = (str(answers.choice(choices)) for choices in (TOPICS, ACTS, ENDS))
        if answers.random() < of_json:
            record = {"topic": topic, "urgent": bool(answers.integers(2)), "days": int(answers.integers(9)),
                      "people": [str(answers.choice(PEOPLE)), str(answers.choice(PEOPLE))]}  # fmt: skip
            true = json.dumps(record)
            ours = true if own.random() < right else json.dumps(record | {"days": 99, "topic": "?"})[own.integers(2) :]
        else:
            true = f"#Person1# {act} {topic} for the {TIMES[i % len(TIMES)]} time, and #Person2# {end}."
            ours = true if own.random() < right / 2 else _garble(true, own, right)
        texts.append("\n".join((
            f"#Person1#: Can we talk about {topic}?",
            f"#Person2#: Again? It is the {TIMES[i % len(TIMES)]} time this week.",
            "#Person1#: I have told you all I know & more, and nobody listens to a word that I say about it.",
            f"#Person2#: Fine. One of us {end}.")))  # fmt: skip
        targets.append(Turn(true, "assistant"))
        said.append(ours)
    tokens = np.array([1.0 + len(text.split()) for text in targets])
    noise = own.normal(size=rows) * 0.2
    sizes = np.stack([tokens * (4 - 3 * right + noise), tokens, [len(text.encode()) for text in targets]], axis=1)
    return texts, objects(targets), objects(said), sizes


def _garble(text, rng, right):
    words = [word if rng.random() < right else str(rng.choice(TOPICS)).split()[0] for word in text.split()]
    return " ".join(word for word in words if rng.random() < (1 + right) / 2) or "…"


def _generation(rows, answers, own, right):
    return _texts(rows, answers, own, right, of_json=0.5)


def _pretraining(rows, answers, own, right):
    texts, _, _, sizes = _texts(rows, answers, own, right)
    return texts, np.zeros(rows, np.float32), sizes[:, 0].astype(np.float32), sizes


_KINDS = {
    "token_classification": _token_classification,
    "question_answering": _question_answering,
    "retrieval": _retrieval,
    "generation": _generation,
    "summarisation": _texts,
    "translation": _texts,
    "pretraining": _pretraining,
}
