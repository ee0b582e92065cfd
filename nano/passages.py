"""Paragraphs and questions about them, also unanswerable ones. Knows stories; must not know a corpus."""

from __future__ import annotations

from functools import cache
from random import Random

from nano.chat import exchange
from nano.lists import COUNTRIES, SURNAMES, TOWNS, person
from nano.stories import SHARED, STORIES
from nano.wording import Person, choose_alike, say, words

NOT_STATED = ("The text does not say.", "Not stated.", "That is not stated.", "The text does not tell us.", "Unknown.")
HEADS = ("Answer from the text.", "Read the text and answer.", "Use only the text.",
    "Answer the question about the text.",
         "If the text does not say, write \"{n}\"")  # fmt: skip


@cache
def _shared() -> dict[str, list[str]]:
    joined = SHARED.replace("\n    ", " ").strip().splitlines()
    lists = {name: words(entries) for name, entries in (line.split(": ", 1) for line in joined)}
    return lists | {"count2": lists["count"], "count3": lists["count"], "job2": lists["job"], "town": TOWNS,
        "town2": TOWNS,
                    "country": COUNTRIES, "surname": SURNAMES,
                        "when_low": words("in the spring; last year; two weeks later; in the summer")}  # fmt: skip


class _Drawn(dict[str, "str | Person"]):
    def __init__(self, rng: Random):
        one = person(rng)
        super().__init__(A=one, B=person(rng, besides=(one,)))
        self.rng = rng

    def __missing__(self, name: str) -> str:
        taken = {value for key, value in self.items() if key.rstrip("23") == name.rstrip("23")}
        self[name] = self.rng.choice([entry for entry in _shared()[name] if entry not in taken])
        return str(self[name])


def tell(rng: Random) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """Sentences of a story, questions with answers, and questions that the story does not answer."""
    slots, sentences, asked, open_questions = _Drawn(rng), [], [], []
    for group in rng.choice(STORIES).split("\n--\n"):
        alternatives = [each.splitlines() for each in group.split("\n?\n")]
        chosen = rng.choice(alternatives)
        for line in choose_alike(rng, chosen):
            if line.startswith("?? "):
                open_questions.append(say(rng, line[3:], slots))
            elif line.startswith("? "):
                question, answer = line[2:].split(" | ")
                asked.append((say(rng, question, slots), say(rng, answer, slots)))
            else:
                sentences.append(say(rng, line, slots))
        if rng.random() < 0.3:
            told = {line.split(" | ")[0] for line in chosen}
            others = [line[2:].split(" | ")[0] for each in alternatives if each is not chosen for line in each
                      if line.startswith("? ") and line.split(" | ")[0] not in told]  # fmt: skip
            open_questions += [say(rng, rng.choice(others), slots)] if others and len(alternatives) > 1 else []
    return sentences, asked, [question for question in open_questions if question not in dict(asked)]


def write(rng: Random) -> str:
    """A paragraph with one to three questions, as a conversation or as plain text."""
    sentences, asked, unanswered = tell(rng)
    text, said = " ".join(sentences), rng.choice(NOT_STATED)
    pairs = rng.sample(asked, min(len(asked), rng.choice((1, 1, 2, 3))))
    if unanswered and rng.random() < 0.3:
        pairs.insert(rng.randint(0, len(pairs)), (rng.choice(unanswered), said))
        pairs = pairs[: rng.choice((1, 2, 3))]
    draw = rng.random()
    if draw < 0.2:
        return f"{text}\n\n" + "\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in pairs)
    if draw < 0.3:
        return text
    head = rng.choice(HEADS).replace("{n}", said) if rng.random() < 0.5 else ""
    first = rng.choice(
        ["{h}\n\n{t}\n\n{q}", "{h}\n\nText: {t}\n\nQuestion: {q}", "{q}\n\n{t}\n\n{h}", "{t}\n\n{q} {h}"]
    )
    turns = [first.format(h=head, t=text, q=pairs[0][0]).strip(), pairs[0][1]]
    for question, answer in pairs[1:]:
        turns += [question, answer]
    return exchange(rng, *turns)
