"""Fields of records: how a value is drawn, how prose and records write it. Knows domains; must not know a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from nano import domains, domains_messages
from nano.domains import POOLS
from nano.lists import (
    COUNTRIES,
    MEN,
    SURNAMES,
    TOWNS,
    WOMEN,
    code,
    coined,
    full_name,
    number_in_words,
    some_date,
    written,
)  # fmt: skip
from nano.wording import capital, choose, listed, say

DOMAINS = domains.DOMAINS | domains_messages.DOMAINS
_TITLE_HEADS = (
    "Night Letter Garden Island Last_Train Silver_Key Winter House River Empty_Chair Second_Life Old_Bridge Secret "
    "Blue_Door Storm Promise Lighthouse Journey Clockmaker Stranger Orchard Long_Road Ninth_Wave Glass_Tower"
).split()  # fmt: skip
_TEAMS = "United Rovers Tigers Bears City Eagles Falcons Stars".split()
_FIRMS = ("", "", " & Sons", " Works", " Ltd", " Brothers")


@dataclass(frozen=True)
class Field:
    keys: tuple[str, ...]
    kind: tuple[str, ...]
    sentences: str


@dataclass(frozen=True)
class Fact:
    """One field of one thing: the key it carries, its value in a record, the sentence that states it."""

    key: str
    value: Any
    sentence: str


@cache
def fields_of(domain: str) -> tuple[Field, ...]:
    fields = []
    for line in DOMAINS[domain].splitlines():
        keys, rest = line.strip().split(" = ", 1)
        kind, sentences = rest.split(" : ", 1)
        fields.append(Field(tuple(key.strip() for key in keys.split(",")), tuple(kind.split()), sentences))
    return tuple(fields)


def describe(rng: Random, domain: str, *, keys: dict[int, str] | None = None) -> tuple[list[Fact], list[str]]:
    """Facts of one thing of `domain` and the keys of fields that nothing is said about.

    `keys` fixes the names of the fields, so that several things have alike records.
    """
    fields = fields_of(domain)
    chosen = sorted(rng.sample(range(1, len(fields)), rng.randint(2, min(6, len(fields) - 1)))) if keys is None else [
        index for index in keys if index]  # fmt: skip
    names = keys or {index: rng.choice(fields[index].keys) for index in (0, *chosen)}
    if keys is None:
        silent = [index for index in chosen[1:] if rng.random() < 0.15]
    else:
        silent = [index for index in chosen if rng.random() < 0.08]
    facts: list[Fact] = []
    slots: dict[str, str] = {}
    for index in (0, *chosen):
        if index not in silent:
            fact, text = state(rng, fields[index], names[index], slots)
            facts.append(fact)
            if index == 0:
                slots["name"] = rng.choice([text.split()[0], text]) if fields[0].kind[0] == "person" else text
    return facts, [names[index] for index in silent]


def state(rng: Random, field: Field, key: str, slots: dict[str, str]) -> tuple[Fact, str]:
    """A value for the field, the sentence that states it, and the value as the sentence writes it."""
    value, text, sentences = draw(rng, field)
    used = slots | {"v": text, "genre": rng.choice(POOLS["genre"]), "animal": rng.choice(POOLS["animal"])}
    return Fact(key, value, say(rng, rng.choice(sentences.split(" / ")).strip(), used)), text


def draw(rng: Random, field: Field) -> tuple[Any, str, str]:
    """Value in a record, value in prose, sentences to choose from."""
    name, *arguments = field.kind
    if name == "bool":
        value = rng.random() < 0.5
        return value, "", field.sentences.split(" // ")[0 if value else 1]
    if name == "enum":
        value, sentences = rng.choice(field.sentences.split(" | ")).split(" => ")
        return value.strip(), "", sentences
    value, text = _KINDS[name](rng, *arguments)
    return value, text, field.sentences


def _int(rng: Random, low: str, high: str, step: str = "1") -> tuple[int, str]:
    number = rng.randrange(int(low), int(high) + 1, int(step))
    if 2 <= number <= 12 and rng.random() < 0.4:
        return number, number_in_words(number)
    return number, f"{number:,}" if number >= 10_000 and rng.random() < 0.7 else str(number)


def _float(rng: Random, low: str, high: str, digits: str) -> tuple[float, str]:
    number = round(rng.uniform(float(low), float(high)), int(digits))
    return number, str(number)


def _money(rng: Random) -> tuple[float | int, str]:
    number = rng.choice(
        [rng.randint(2, 40), rng.randint(10, 900), round(rng.uniform(1, 90), 2), rng.randint(1, 60) + 0.5]
    )
    shown = f"{number:.2f}" if isinstance(number, float) else str(number)
    return number, rng.choice(["${}", "{} dollars", "{} euros", "£{}", "{} pounds", "{} francs", "€{}"]).format(shown)


def _clock(rng: Random) -> tuple[str, str]:
    hour, minute = rng.randint(6, 22), rng.choice((0, 0, 5, 10, 15, 20, 30, 30, 40, 45, 50))
    texts = [f"{hour}:{minute:02}"] if hour > 9 else [f"{hour:02}:{minute:02}"]
    half = "am" if hour < 12 else "pm"
    texts.append(f"{(hour - 1) % 12 + 1}:{minute:02} {half}" if minute else f"{(hour - 1) % 12 + 1} {half}")
    return f"{hour:02}:{minute:02}", rng.choice(texts)


def _date(rng: Random) -> tuple[str, str]:
    day = some_date(rng)
    text = written(rng, day)
    return day.isoformat(), text


def _pool(rng: Random, pool: str) -> tuple[str, str]:
    value = choose(rng, rng.choice(POOLS[pool]))
    return value, value


def _list(rng: Random, pool: str, least: str, most: str) -> tuple[list[str], str]:
    values = [choose(rng, each) for each in rng.sample(POOLS[pool], rng.randint(int(least), int(most)))]
    return values, listed(values)


def _several(rng: Random, make: Any, least: str, most: str) -> tuple[list[str], str]:
    values = [make(rng) for _ in range(rng.randint(int(least), int(most)))]
    return values, listed(values)


def _same(make: Any) -> Any:
    def drawn(rng: Random, *arguments: str) -> tuple[Any, str]:
        value = make(rng, *arguments)
        return value, str(value)

    return drawn


def title(rng: Random) -> str:
    head, tail = rng.choice(_TITLE_HEADS).replace("_", " "), rng.choice(_TITLE_HEADS).replace("_", " ")
    return rng.choice([
        f"The {head}", f"The {head} and the {tail}", f"{head} in {rng.choice(TOWNS)}",
        f"A {head} for {rng.choice(WOMEN + MEN)}", f"{rng.choice(WOMEN + MEN)}'s {head}", f"{capital(coined(rng))}",
        f"The {head} of {capital(coined(rng))}",
    ])  # fmt: skip


def email(rng: Random) -> str:
    first, last = rng.choice(WOMEN + MEN).lower(), rng.choice(SURNAMES).lower()
    box = rng.choice([f"{first}.{last}", f"{first[0]}{last}", f"{first}{rng.randint(1, 99)}"])
    return f"{box}@{coined(rng, 2)}.{rng.choice(['org', 'net', 'example'])}"


def latin(rng: Random) -> str:
    genus = f"{capital(coined(rng, 2))}{rng.choice(['us', 'a', 'um'])}"
    return f"{genus} {coined(rng, 2)}{rng.choice(['is', 'ens', 'ata', 'alis'])}"


def somebody(rng: Random) -> str:
    return full_name(rng) if rng.random() < 0.8 else f"{rng.choice(WOMEN + MEN)} {capital(coined(rng))}"


def flight(rng: Random) -> str:
    airline = f"{rng.choice('ABCDEFKLMNRSTU')}{rng.choice('AFGKLPRSXZ')}"
    return f"{airline}{rng.choice(['', ' '])}{rng.randint(10, 9999)}"


_KINDS = {
    "int": _int, "float": _float, "money": _money, "clock": _clock, "date": _date, "pool": _pool, "list": _list,
    "person": _same(somebody), "people": lambda rng, least, most: _several(rng, full_name, least, most),
    "titles": lambda rng, least, most: _several(rng, title, least, most),
    "town": _same(lambda rng: rng.choice(TOWNS) if rng.random() < 0.7 else capital(coined(rng, 2))),
    "country": _same(lambda rng: rng.choice(COUNTRIES)), "coined": _same(lambda rng: capital(coined(rng))),
    "brand": _same(lambda rng: f"{capital(coined(rng))}{rng.choice(_FIRMS)}"),
    "team": _same(lambda rng: f"{rng.choice(TOWNS)} {rng.choice(_TEAMS)}"), "title": _same(title),
    "email": _same(email), "latin": _same(latin), "code": _same(code),
    "year": _same(lambda rng, low, high: rng.randint(int(low), int(high))),
    "address": _same(lambda rng: f"{rng.randint(1, 140)} {rng.choice(POOLS['street'])}"), "flight": _same(flight),
    "gate": _same(lambda rng: f"{rng.choice('ABCDE')}{rng.randint(1, 48)}"),
    "phone": _same(lambda rng: f"0{rng.randint(10, 999)} {rng.randint(10000, 9999999)}"),
    "classroom": _same(lambda rng: f"{rng.randint(1, 9)}{rng.choice('abcd')}"),
    "teacher": _same(lambda rng: f"{rng.choice(['Mr', 'Mrs', 'Ms', 'Dr'])} {rng.choice(SURNAMES)}"),
}  # fmt: skip
