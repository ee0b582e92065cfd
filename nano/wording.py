"""Phrases with choices and slots, and the little English grammar they need. Knows no theme and no file.

A phrase writes alternatives as `[one|two|]` (nested at will) and slots as `{name}` or `{name.form}`:

- `{task.ing}` painting the fence, `{task.Cap}` Paint the fence;
- `{chore.you}` what is mine is yours;
- `{why.I}` as the speaker says it, `{why.A}` as somebody else tells it of the person in slot A;
- `{A.she}` `{A.her}` `{A.hers}` the pronouns of the person in slot A: she, her (object), her (possessive).

Forms follow each other: `{task.A.ing}`. A clause about the speaker is written in the first person, verbs that follow
`I` in the present marked by `_`: "I _have to look after my sister" becomes "she has to look after her sister".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_ALIKE = re.compile(r"\[~([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)((?:\.\w+)*)\}")
_WORD = re.compile(r"_?[A-Za-z']+")


@dataclass(frozen=True)
class Person:
    """Somebody who speaks: the label before their lines, their name to a teller, woman or not, their name to others."""

    label: str
    named: str
    woman: bool
    call: str = ""

    @property
    def she(self) -> str:
        return "she" if self.woman else "he"

    @property
    def her(self) -> str:
        return "her" if self.woman else "him"

    @property
    def hers(self) -> str:
        return "her" if self.woman else "his"

    @property
    def herself(self) -> str:
        return f"{self.her}self"

    def __str__(self) -> str:
        return self.named


Slots = Mapping[str, "str | Person"]


def choose(rng: Random, phrase: str) -> str:
    """`phrase` with its choices drawn, nothing else changed."""
    while _CHOICE.search(phrase):
        phrase = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), phrase)
    return phrase


def choose_alike(rng: Random, phrases: list[str]) -> list[str]:
    """Choices `[~a|b|c]` of all `phrases` drawn together: everywhere the first, or everywhere the second, and so on."""
    turn = rng.randrange(60)

    def pick(found: re.Match[str]) -> str:
        options = found[1].split("|")
        return options[turn % len(options)]

    return [_ALIKE.sub(pick, phrase) for phrase in phrases]


def say(rng: Random, phrase: str, slots: Slots | None = None) -> str:
    """`phrase` with its choices drawn and its slots filled, articles and spaces put right."""
    phrase = choose(rng, phrase)
    while slots and _SLOT.search(phrase):
        phrase = _SLOT.sub(lambda found: _fill(slots, found[1], found[2]), phrase)
    return tidy(phrase)


def _fill(slots: Slots, name: str, forms: str) -> str:
    value, steps = slots[name], forms.split(".")[1:]
    if isinstance(value, Person):
        value = getattr(value, steps.pop(0)) if steps else str(value)
    for form in steps:
        if form in _FORMS:
            value = _FORMS[form](value)
        else:
            person, other = slots[form], slots.get("B" if form == "A" else "A")
            assert isinstance(person, Person), f"{form} is no form of a slot and no person"
            value = told_of(value, person, other if isinstance(other, Person) else None)
    return value


def tidy(text: str) -> str:
    """Articles before vowels, capitals after full stops, single spaces."""
    text = re.sub(r" +", " ", text)
    text = re.sub(r" ([,.!?;:])(?=\s|$)", r"\1", text)
    text = re.sub(
        r"(?:(?<=[\s(])|^)(a|(?:(?<=[.!?:\"] )|(?<=\")|^)A) "
        r"(?=(?:[aeioAEIO]|u(?!ni|se|su|k)|hour|honest|8|11\b|18\b))(?!one\b|once|Eu|eu)",
        r"\1n ",
        text,
    )
    text = re.sub(r"(^|[.!?] )([a-z])(?![\w.]*@)", lambda found: found[1] + found[2].upper(), text)
    return text.strip()


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- verbs: the first word of a phrase is its verb --------------------------------------------------------------------

_IRREGULAR = {"have": "has", "am": "is"}
_DOUBLED = frozenset(
    "get put cut let set shut sit win run swim begin stop plan swap plug rub forget dig spot drop trim shop wrap skip "
    "jog mop".split()
)


def ing(phrase: str) -> str:
    """The phrase's verb, its first word, with -ing: paint the fence, painting the fence."""
    verb, *rest = phrase.split(" ", 1)
    if verb in _DOUBLED:
        form = f"{verb}{verb[-1]}ing"
    elif verb.endswith("ie"):
        form = f"{verb[:-2]}ying"
    else:
        form = f"{verb[:-1]}ing" if verb.endswith("e") and verb not in ("be", "see") else f"{verb}ing"
    return " ".join([form, *rest])


def third_singular(verb: str) -> str:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith(("s", "sh", "ch", "x", "o")):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if verb[-1] == "y" and verb[-2] not in "aeou" else f"{verb}s"


_FORMS = {
    "you": lambda clause: re.sub(r"\bmy\b", "your", clause),
    "I": lambda clause: clause.replace("_", ""),
    "ing": ing,
    "Cap": capital,
}

# --- person -----------------------------------------------------------------------------------------------------------


def told_of(clause: str, person: Person, other: Person | None = None) -> str:
    """A clause that `person` says of themselves (and of `other` as "you"), as a third person tells it."""
    change = {"i": person.she, "me": person.her, "my": person.hers, "mine": "hers" if person.woman else "his",
              "myself": person.herself, "we": "they", "us": "them", "our": "their"}  # fmt: skip
    if other is not None:
        change |= {"you": other.named, "your": f"{other.named}'s"}

    def turn(found: re.Match[str]) -> str:
        word = found[0]
        return third_singular(word[1:]) if word[0] == "_" else change.get(word.lower(), word)

    return _WORD.sub(turn, clause)


_CONTRACTIONS = [(re.compile(rf"\b{full}(?= (?!it\b|you\b|they\b)[a-z])"), short) for full, short in (
    ("I am", "I'm"), ("I will not", "I won't"), ("([Yy])ou are", r"\1ou're"), ("([Ww])e are", r"\1e're"),
    ("([Tt])hey are", r"\1hey're"), ("([Ii])t is", r"\1t's"), ("([Tt])hat is", r"\1hat's"),
    ("([Ww])hat is", r"\1hat's"), ("([Hh])e is", r"\1e's"), ("([Ss])he is", r"\1he's"),
    ("I have (?=never|been|just|got|already|seen|had)", "I've "), ("([Cc])annot", r"\1an't"),
    ("([Dd])o not", r"\1on't"), ("([Dd])oes not", r"\1oesn't"), ("([Dd])id not", r"\1idn't"), ("I will", "I'll"),
    ("([Ww])e will", r"\1e'll"), ("([Ii])s not", r"\1sn't"), ("([Ww])as not", r"\1asn't"), ("([Aa])re not", r"\1ren't"),
    ("([Ww])ould not", r"\1ouldn't"), ("([Cc])ould not", r"\1ouldn't"), ("I would", "I'd"), ("([Ll])et us", r"\1et's"),
    ("([Tt])here is", r"\1here's"), ("([Hh])ave not", r"\1aven't"), ("([Yy])ou will", r"\1ou'll"),
    ("([Ww])ill not", r"\1on't"), ("([Hh])as not", r"\1asn't"),
)]  # fmt: skip


def contract(rng: Random, text: str) -> str:
    """Speech: most of the full forms shortened."""
    for full, short in _CONTRACTIONS:
        text = full.sub(lambda found, short=short: found.expand(short) if rng.random() < 0.85 else found[0], text)
    return re.sub(r" {2,}", " ", text)


def table(text: str) -> list[tuple[str, ...]]:
    """The rows of a table written as text: a line a row, columns between bars with a space on either side."""
    rows = [tuple(cell.strip() for cell in line.split(" | ")) for line in text.strip().splitlines()]
    assert len({len(row) for row in rows}) == 1, f"columns differ: {[row for row in rows if len(row) != len(rows[0])]}"
    return rows


def words(text: str) -> list[str]:
    """A list written as text, entries between semicolons."""
    return [" ".join(entry.split()) for entry in text.split(";") if entry.strip()]


def listed(items: list[str] | tuple[str, ...], joint: str = "and") -> str:
    """one, two and three"""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {joint} {items[-1]}"
