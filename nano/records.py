"""Records and prose: either made of the other, one field asked for, several. Knows fields; must not know a corpus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from nano.chat import exchange
from nano.domains_messages import DOMAINS as MESSAGES
from nano.fields import DOMAINS, Fact, describe, fields_of
from nano.wording import listed, say

NOISE = (
    "I hope you are well.", "It is raining again today.", "The phone has not stopped ringing all day.",
    "My sister says hello.", "Sorry for my handwriting.", "I am writing this on the train.",
    "We had a lovely time last year.", "Let me know if anything is unclear.", "The dog is barking while I write this.",
    "[Many thanks in advance.|Thank you for reading this.|Thanks!]", "I nearly forgot to write.",
    "The coffee here is very good, by the way.", "You can imagine how busy we are.", "My neighbour recommended you.",
    "It has been a long week.", "That is all for now.", "More about that another time.",
    "As you can see, I have not changed.", "{n} years ago it was different.", "I have told this to {n} people already.",
    "The number {n} bus was late again.", "I counted {n} cars on the way here.", "They say that will change soon.",
    "Nobody knows what comes next.", "You will find more in the newspaper.", "That is what my aunt told me.",
)  # fmt: skip
TO_JSON = (
    "Extract [the following fields|these fields] from the text as JSON: {keys}.",
    "Turn the text into a JSON object with the keys {keys}.", "Read the text and fill in {keys}. Answer in JSON.",
    "Return JSON with {keys}. Use null for what the text does not say.",
    "Which {keys} does the text give? Answer with a JSON object[; missing values are null|].",
    "Make a record of this text. Fields: {keys}.", "JSON, please. Keys: {keys}. Not stated means null.",
    "Note the {keys} as JSON.", "Convert to JSON ({keys}).",
    "Write the facts of the text as a JSON object. Keys: {keys}. If something is missing, write null.",
)  # fmt: skip
TO_JSON_FREELY = (
    "Turn this {domain} into JSON.", "Write the facts as a JSON object.", "Make a record of this {domain}.",
    "Structured data, please.", "Extract all facts as JSON.", "Convert this text into a JSON record.",
)  # fmt: skip
FORMS = ("Fill in", "Complete the record", "Use this form", "Answer in this form")
SCHEMAS = ("Schema", "Types", "Fields and types")
TO_PROSE = (
    "Describe this record in words.", "Write the record as a short text.", "Turn this JSON into plain sentences.",
    "Say this in plain English.", "What does this {domain} record say?", "Write a few sentences from these data.",
)  # fmt: skip
FIELD_ASKS = (
    "What does it say under {key}?",
    "Give me the {key}.",
    "{key}?",
    "Which {key} is stated?",
    "Find the {key} in the text.",
    "Tell me the {key}, nothing else.",
)


def write(rng: Random) -> str:
    """One exercise with records of one domain."""
    return rng.choice(_EXERCISES)(rng, rng.choice(_DOMAIN_NAMES))


def prose_of(rng: Random, domain: str, facts: Sequence[Fact]) -> str:
    """The sentences of the facts in some order, the opening one first, now and then with words that say nothing."""
    head, *rest = [fact.sentence for fact in facts]
    if rng.random() < 0.6:
        rng.shuffle(rest)
    noise = rng.choice((0, 1, 1, 2, 3)) if domain in MESSAGES else rng.choice((0, 0, 0, 1))
    for sentence in rng.sample(NOISE, noise):
        rest.insert(rng.randint(0, len(rest)), say(rng, sentence, {"n": str(rng.randint(3, 40))}))
    if domain in MESSAGES and rng.random() < 0.4:
        greeting = rng.choice(
            ["Hello,", "Good morning,", "Dear all,", "Hi there,", "Good day!", "Dear Sir or Madam,", "Hello everybody,"]
        )
        head = f"{greeting}\n{head}" if rng.random() < 0.4 else f"{greeting} {head}"
    return " ".join([head, *rest])


def record_of(facts: Sequence[Fact], silent: Sequence[str] = (), order: Sequence[str] | None = None) -> dict[str, Any]:
    """The record: dotted keys are nested, what is not stated is null."""
    values = {fact.key: fact.value for fact in facts} | dict.fromkeys(silent)
    record: dict[str, Any] = {}
    for key in order or values:
        outer, _, inner = key.partition(".")
        if inner:
            record.setdefault(outer, {})[inner] = values[key]
        else:
            record[key] = values[key]
    return record


def unclashing_facts(rng: Random, domain: str) -> tuple[list[Fact], list[str]]:
    """Facts whose keys are all different, and no key both a value and a group of others."""
    while True:
        facts, silent = describe(rng, domain)
        keys = [*(fact.key for fact in facts), *silent]
        if len(set(keys)) == len(keys) and not {key.split(".")[0] for key in keys if "." in key} & set(keys):
            return facts, silent


def as_json(rng: Random, value: Any) -> str:
    """JSON as one line, or laid out now and then."""
    return json.dumps(value, ensure_ascii=False, indent=2 if rng.random() < 0.08 else None)


def _named_keys(rng: Random, keys: Sequence[str]) -> str:
    shown = [f'"{key}"' if rng.random() < 0.3 else key for key in keys] if rng.random() < 0.5 else list(keys)
    return listed(shown) if rng.random() < 0.4 else ", ".join(shown)


def _around(rng: Random, request: str, text: str, answer: str) -> str:
    """Request and text in either order, as a conversation or plain; the request now and then as the system's."""
    draw = rng.random()
    if draw < 0.12:
        return exchange(rng, text, answer, system=request)
    if draw < 0.3:
        return f"{request}\n\n{text}\n\n{answer}"
    shape = rng.choice(
        ["{r}\n\n{t}", "{r}\n\n{t}", "{t}\n\n{r}", "{r}\nText: {t}", '{r}\n\n"""{t}"""', "Text: {t}\n{r}"]
    )
    return exchange(rng, shape.format(r=request, t=text), answer)


def prose_to_json(rng: Random, domain: str) -> str:
    facts, silent = unclashing_facts(rng, domain)
    text = prose_of(rng, domain, facts)
    if not silent and rng.random() < 0.25:
        request = say(rng, rng.choice(TO_JSON_FREELY), {"domain": domain})
        return _around(rng, request, text, as_json(rng, record_of(facts)))
    keys = [*(fact.key for fact in facts), *silent]
    if rng.random() < 0.5:
        rng.shuffle(keys)
    outer = [key.split(".")[0] for key in keys]
    keys.sort(key=lambda key: outer.index(key.split(".")[0]))  # keys of one nested object stand together
    record = record_of(facts, silent, keys)
    draw = rng.random()
    if draw < 0.2:
        request = f"{rng.choice(FORMS)}: {json.dumps(_blank(record))}"
    elif draw < 0.3:
        request = f"{rng.choice(SCHEMAS)}: {json.dumps(_types(record))}. Answer in JSON."
    else:
        request = say(rng, rng.choice(TO_JSON), {"keys": _named_keys(rng, keys)})
    return _around(rng, request, text, as_json(rng, record))


def _blank(record: dict[str, Any]) -> dict[str, Any]:
    return {key: _blank(value) if isinstance(value, dict) else "..." for key, value in record.items()}


def _types(record: dict[str, Any]) -> dict[str, Any]:
    names = {
        bool: "true or false",
        int: "number",
        float: "number",
        str: "text",
        list: "list",
        type(None): "text or null",
    }
    return {key: _types(value) if isinstance(value, dict) else names[type(value)] for key, value in record.items()}


def json_to_prose(rng: Random, domain: str) -> str:
    facts, _ = unclashing_facts(rng, domain)
    request = say(rng, rng.choice(TO_PROSE), {"domain": domain})
    return _around(rng, request, as_json(rng, record_of(facts)), " ".join(fact.sentence for fact in facts))


def one_field(rng: Random, domain: str) -> str:
    """One field asked for in words: its value, or that it is not stated."""
    facts, silent = unclashing_facts(rng, domain)
    source = prose_of(rng, domain, facts) if rng.random() < 0.6 else json.dumps(record_of(facts), ensure_ascii=False)
    turns: list[str] = []
    asked = rng.sample(
        [*((fact.key, spoken(fact.value)) for fact in facts), *((key, "Not stated.") for key in silent)],
        rng.choice((1, 1, 2, 3)),
    )
    for index, (key, answer) in enumerate(asked):
        name = key.replace(".", " ").replace("_", " ")
        request = say(rng, rng.choice(FIELD_ASKS), {"key": name})
        turns += [f"{source}\n\n{request}" if index == 0 else request, answer]
    return exchange(rng, *turns)


def spoken(value: Any) -> str:
    """A value as an answer in words."""
    if isinstance(value, bool):
        return "Yes." if value else "No."
    return listed(value) if isinstance(value, list) else str(value)


def several(rng: Random, domain: str) -> str:
    """Several things of one domain: prose to a JSON array, or a question over the array."""
    fields = fields_of(domain)
    indices = [0, *sorted(rng.sample(range(1, len(fields)), rng.randint(1, 3)))]
    keys = {index: rng.choice([key for key in fields[index].keys if "." not in key] or ["value"]) for index in indices}
    if len(set(keys.values())) < len(keys):
        return several(rng, domain)
    things = [describe(rng, domain, keys=keys) for _ in range(rng.randint(2, 4))]
    records = [record_of(facts, silent, list(keys.values())) for facts, silent in things]
    array = json.dumps(records, ensure_ascii=False)
    if rng.random() < 0.5:
        text = rng.choice(["\n", "\n\n", " "]).join(" ".join(fact.sentence for fact in facts) for facts, _ in things)
        request = rng.choice(
            [
                "Make a JSON array with one object for each",
                "List them as JSON, one object each",
                "One JSON record per item",
            ]
        )
        return _around(rng, f"{request}. Keys: {', '.join(keys.values())}.", text, array)
    return exchange(rng, *_over_array(rng, records, array))


def _over_array(rng: Random, records: list[dict[str, Any]], array: str) -> tuple[str, str]:
    first, key = list(records[0])[0], rng.choice(list(records[0])[1:])
    numbers = [
        record for record in records if isinstance(record[key], int | float) and not isinstance(record[key], bool)
    ]
    if len(numbers) == len(records) and len({record[key] for record in records}) == len(records):
        most = rng.random() < 0.5
        chosen = (max if most else min)(records, key=lambda record: record[key])
        superlative = f"{'highest' if most else 'lowest'} {key.replace('_', ' ')}"
        return f"{array}\n\nWhich {first} has the {superlative}?", str(chosen[first])
    one = rng.choice(records)
    return rng.choice([
        (f"How many records are there?\n{array}", str(len(records))),
        (f"{array}\n\nGive only the values of {key} as a JSON array.",
         json.dumps([record[key] for record in records], ensure_ascii=False)),
        (f'{array}\n\nReturn the record whose {first} is "{one[first]}".', json.dumps(one, ensure_ascii=False)),
        (f"Remove the key {key} from every record.\n{array}",
         json.dumps([{k: v for k, v in record.items() if k != key} for record in records], ensure_ascii=False)),
    ])  # fmt: skip


def change(rng: Random, domain: str) -> str:
    """A record changed as asked: a value, a key, the order; or lines "key: value" to JSON and back."""
    facts, silent = unclashing_facts(rng, domain)
    record = record_of(
        [fact for fact in facts if "." not in fact.key], silent=[key for key in silent if "." not in key]
    )
    text, key = json.dumps(record, ensure_ascii=False), rng.choice(list(record))
    lines = "\n".join(
        f"{name}: {json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value}"
        for name, value in record.items()
    )
    number, flag = rng.randint(2, 900), rng.choice(["checked", "done", "archived", "seen", "new", "private"])
    request, answer = rng.choice([
        (f"Set {key} to {number}.\n{text}", record | {key: number}),
        (f"Add the key {flag} with the value true.\n{text}", record | {flag: True}),
        (f"Remove {key}.\n{text}", {name: value for name, value in record.items() if name != key}),
        (f"Rename {key} to {key}_old.\n{text}",
         {f"{key}_old" if name == key else name: value for name, value in record.items()}),
        (f"Sort the keys by the alphabet.\n{text}", dict(sorted(record.items()))),
        (f"Write this as JSON.\n{lines}", record), (f"{lines}\n\nAs a JSON object, please.", record),
        (f"Write one line per field.\n{text}", None), (f"{text}\n\nAs plain lines, key and value.", None),
        (f"Which keys does this object have?\n{text}", list(record)),
    ])  # fmt: skip
    return exchange(rng, request, lines if answer is None else json.dumps(answer, ensure_ascii=False))


_DOMAIN_NAMES = tuple(DOMAINS)
_EXERCISES = (prose_to_json,) * 9 + (json_to_prose,) * 2 + (one_field,) * 3 + (several,) * 2 + (change,) * 2
