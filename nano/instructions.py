"""Instructions with answers: texts rewritten, counted, sorted, classified; words defined; yes or no with a reason.

Knows stories, dialogues and records as sources of sentences; must not know a corpus.
"""

from __future__ import annotations

import json
import re
from random import Random

from nano import facts
from nano.chat import exchange
from nano.dialogues import dialogue
from nano.domains import POOLS
from nano.fields import DOMAINS, describe
from nano.lists import COUNTRIES, DAYS, MEN, MONTHS, TOWNS, WOMEN
from nano.passages import tell
from nano.wording import choose, listed


def write(rng: Random) -> str:
    """One instruction and its answer."""
    request, answer = rng.choice(_TASKS)(rng)
    draw = rng.random()
    if draw < 0.1:
        return f"Instruction: {request}\nAnswer: {answer}"
    if draw < 0.16:
        return f"{request}\n\n{answer}"
    return exchange(rng, request, answer)


def sentences(rng: Random) -> list[str]:
    """Three to eight sentences of a story, of a description, or of a dialogue's summary."""
    source = rng.random()
    if source < 0.55:
        return tell(rng)[0]
    if source < 0.8:
        return [fact.sentence for fact in describe(rng, rng.choice(list(DOMAINS)))[0]]
    return dialogue(rng)[1]


def _asked(rng: Random, request: str, text: str) -> str:
    inline = "{r} {t}" if request.endswith("?") else "{r}: {t}"
    return rng.choice(["{r}\n\n{t}", "{r}\n{t}", inline, "{t}\n\n{r}", '{r}\n\n"{t}"']).format(r=request, t=text)


def form_of_text(rng: Random) -> tuple[str, str]:
    """The text in another outward form."""
    lines = sentences(rng)[: rng.randint(1, 4)]
    text = " ".join(lines)
    tokens = text.split()
    request, answer = rng.choice([
        (rng.choice(("Write in capital letters", "Make this upper case", "Change everything to upper case")),
         text.upper()),
        (rng.choice(("Write in small letters", "Make it lower case")), text.lower()),
        ("Put each sentence on a line of its own", "\n".join(lines)),
        ("Number the sentences", "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))),
        ("Make a list with one bullet per sentence", "\n".join(f"- {line}" for line in lines)),
        ("Remove all full stops", text.replace(".", "")), ("Put the text in quotation marks", f'"{text}"'),
        ("Repeat the text exactly", text), ("Copy it word for word", text),
        ("Write the sentences in reverse order", " ".join(reversed(lines))),
        ("Return the sentences as a JSON array", json.dumps(lines, ensure_ascii=False)),
        ("Give only the first three words", " ".join(tokens[:3])),
        ("Replace every space by an underscore", "_".join(tokens)) if len(tokens) < 14 else ("Give only the last word",
         tokens[-1].strip('."!?')),
    ])  # fmt: skip
    return _asked(rng, request, text), answer


def count_in_text(rng: Random) -> tuple[str, str]:
    lines = sentences(rng)[: rng.randint(1, 3)]
    text = " ".join(lines)
    tokens = text.split()
    word = re.sub(r"\W", "", rng.choice(tokens)) or "the"
    number = sum(re.sub(r"\W", "", token).lower() == word.lower() for token in tokens)
    letter = rng.choice(word)
    return rng.choice([
        (_asked(rng, "How many sentences are there?", text), str(len(lines))),
        (_asked(rng, "Count the words", " ".join(tokens[:9])), f"{len(tokens[:9])} words."),
        (_asked(rng, f'How often does the word "{word}" occur?', text),
         "Once." if number == 1 else "Twice." if number == 2 else f"{number} times."),
        (f'How many letters does "{word}" have?', f"{len(word)} letters."),
        (f'How many times is the letter "{letter}" in "{word}"?', str(word.count(letter))),
    ])  # fmt: skip


def part_of_text(rng: Random) -> tuple[str, str]:
    lines = sentences(rng)
    text = " ".join(lines)
    names = named_in(text)
    places = [name for name in dict.fromkeys(re.findall(r"[A-Z][a-z]+", text)) if name in _PLACES]
    numbers = re.findall(r"\d+(?:[.,]\d+)*", text)
    options = [
        (rng.choice(("Write down the first sentence", "What is the first sentence?")), lines[0]),
        (rng.choice(("Give the last sentence", "How does the text end? Quote the last sentence")), lines[-1]),
        ("Leave out the first sentence", " ".join(lines[1:]) or "Nothing is left."),
        ("Find all names of people. Separate them by commas", ", ".join(names) or "There are none."),
        ("Who is mentioned?", f"{listed(names)}." if names else "Nobody."),
        ("Which towns and countries are named?", ", ".join(places) or "None."),
        ("List all numbers written in digits", ", ".join(numbers) or "There are none."),
        ("Extract the names of people as a JSON array", json.dumps(names)),
        ('Extract people and places as JSON with the keys "people" and "places"',
         json.dumps({"people": names, "places": places})),
    ]  # fmt: skip
    if len(lines) > 2:
        options.append(("What is the second sentence?", lines[1]))
        wanted = rng.choice(lines[1:])
        word = max(re.findall(r"[A-Za-z]+", wanted), key=len)
        if sum(word in line for line in lines) == 1:
            options += [(f'Which sentence has the word "{word}" in it?', wanted)] * 2
    request, answer = rng.choice(options)
    return _asked(rng, request, text), answer


_NAMES, _PLACES = frozenset(WOMEN + MEN), frozenset(TOWNS + COUNTRIES)


def named_in(text: str) -> list[str]:
    """People in the order of their first mention, with the surname where one follows; none with a title before it."""
    found = re.findall(r"\b([A-Z][a-z]+)((?: [A-Z][a-z]+)?)", text)
    return list(dict.fromkeys(first + last for first, last in found if first in _NAMES))


def yes_or_no(rng: Random) -> tuple[str, str]:
    """A claim about a text: yes or no, and why."""
    lines, asked, _ = tell(rng)
    text = " ".join(lines)
    question, answer = rng.choice(asked)
    names = named_in(text)
    other = rng.choice([name for name in WOMEN + MEN if name not in text])
    wrong = tell(rng)[1][0][1]
    options = [
        (f'Is "{answer}" the right answer to "{question}"?', f"Yes, {_reason(lines, answer)}"),
        (f"Is {other} mentioned in the text?", f"No, {other} is not mentioned."),
        ("Is the text written in English?", "Yes, it is written in English."),
    ]
    if names:
        line = next(line for line in lines if names[0] in line)
        options += [(f"Is {names[0]} mentioned in the text?", f"Yes: {line}")] * 2
    if wrong != answer:
        options += [
            (f'Somebody answers "{question}" with "{wrong}" Is that right?', f"No. The right answer is: {answer}")
        ]
    request, said = rng.choice(options)
    return _asked(rng, request, text) if rng.random() < 0.5 else f"{text}\n\n{request}", said


def _reason(lines: list[str], answer: str) -> str:
    key = answer.strip(".").split()[-1]
    line = next((line for line in lines if key in line), lines[0])
    return f"because the text says: {line}"


def classify(rng: Random) -> tuple[str, str]:
    """A word or a sentence, put into one of the classes that are named."""
    if rng.random() < 0.45:
        text, label, labels = facts.labelled_sentence(rng)
        request = rng.choice(["Classify the sentence", "Which label fits", "Choose one", "What kind of sentence is it"])
    else:
        pools = rng.sample(
            [
                "food",
                "animal",
                "plant",
                "job",
                "colour",
                "material",
                "instrument",
                "language",
                "sport",
                "vehicle",
                "illness",
                "weather",
            ],
            rng.randint(2, 4),
        )
        text, label, labels = choose(rng, rng.choice(POOLS[pools[0]])), pools[0], rng.sample(pools, len(pools))
        request = rng.choice(["What is it", "Choose the right class", "Into which group does it belong", "Category"])
    shown = rng.choice([", ".join(labels), " | ".join(labels), " or ".join(labels), json.dumps(labels)])
    if rng.random() < 0.12:
        return f"{request}? Labels: {shown}. Answer as JSON with the key label.\n{text}", json.dumps({"label": label})
    return rng.choice(
        [
            f"{request}? Labels: {shown}\n\n{text}",
            f"{text}\n\n{request}: {shown}?",
            f"{request} ({shown}).\nText: {text}",
        ]
    ), label


def sort_and_pick(rng: Random) -> tuple[str, str]:
    pools = rng.sample(
        ["food", "animal", "plant", "job", "colour", "material", "instrument", "fruit", "vehicle", "object"], 2
    )
    several = list(dict.fromkeys(choose(rng, each) for each in rng.sample(POOLS[pools[0]], rng.randint(3, 6))))
    odd = choose(rng, rng.choice([each for each in POOLS[pools[1]] if each not in several]))
    mixed = rng.sample([*several, odd], len(several) + 1)
    days = rng.sample(DAYS, 4)
    months = rng.sample(MONTHS, 4)
    return rng.choice([
        (f"Put these words in alphabetical order: {', '.join(mixed)}", ", ".join(sorted(mixed))),
        (f"Which word does not belong with the others? {', '.join(mixed)}",
         f"{odd}, because the others are of the kind {pools[0]}."),
        (f"Sort the days from Monday to Sunday: {', '.join(days)}", ", ".join(sorted(days, key=DAYS.index))),
        (f"Order the months from January to December: {', '.join(months)}",
         ", ".join(sorted(months, key=MONTHS.index))),
        (f"Sort by length, shortest first: {', '.join(mixed)}", ", ".join(sorted(mixed, key=len))),
        (f"Which day comes after {days[0]}?", f"{DAYS[(DAYS.index(days[0]) + 1) % 7]}."),
        (f"Which month comes before {months[0]}?", f"{MONTHS[MONTHS.index(months[0]) - 1]}."),
    ])  # fmt: skip


_TASKS = (
    form_of_text,
    form_of_text,
    count_in_text,
    part_of_text,
    part_of_text,
    yes_or_no,
    classify,
    classify,
    sort_and_pick,
    facts.define,
    facts.rewrite,
    facts.rewrite,
)
