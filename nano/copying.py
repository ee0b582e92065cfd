"""Short lists to copy, repeat, reverse, count, pick from: a small model learns to copy by them. Knows no sentence."""

from __future__ import annotations

import json
from random import Random

from nano.chat import exchange
from nano.domains import POOLS
from nano.lists import MEN, SURNAMES, TOWNS, WOMEN, code, coined, full_name, ordinal
from nano.wording import choose


def write(rng: Random) -> str:
    """One exercise over a list of items."""
    items = draw_items(rng)
    request, answer = _task(rng, items)
    if rng.random() < 0.35:
        more, second = _task(rng, items)
        if second != answer:
            return exchange(rng, request, answer, more, second)
    if rng.random() < 0.2:
        return f"{request}\n{answer}"
    return exchange(rng, request, answer)


def draw_items(rng: Random) -> list[str]:
    """Two to eight different items of one sort."""
    sort = rng.choice((code, coined, full_name, _word, _word, _name, _number, _phrase))
    return list(dict.fromkeys(sort(rng) for _ in range(rng.randint(2, 8))))


def _word(rng: Random) -> str:
    pool = rng.choice(
        (
            "food",
            "animal",
            "plant",
            "job",
            "colour",
            "object",
            "fruit",
            "instrument",
            "hobby",
            "goods",
            "part",
            "vehicle",
        )
    )
    return choose(rng, rng.choice(POOLS[pool]))


def _name(rng: Random) -> str:
    return rng.choice(rng.choice((WOMEN, MEN, TOWNS, SURNAMES)))


def _number(rng: Random) -> str:
    return str(rng.choice((rng.randint(0, 99), rng.randint(100, 99_999))))


def _phrase(rng: Random) -> str:
    return f"{rng.choice(POOLS['colour'])} {rng.choice(POOLS['object'])}"


def _task(rng: Random, items: list[str]) -> tuple[str, str]:
    joint = rng.choice((", ", "; ", "\n", " / ", " | "))
    shown, one, index = joint.join(items), rng.choice(items), rng.randrange(len(items))
    after = items[(index + 1) % len(items)] if index + 1 < len(items) else "nothing"
    longest, other = max(items, key=len), rng.choice([*items, draw_items(rng)[0]])
    return rng.choice([
        (f"Repeat: {shown}", shown), (f"Repeat this list exactly.\n{shown}", shown),
        (f"Copy the text.\n{shown}", shown), (f"Reverse the order.\n{shown}", joint.join(reversed(items))),
        (f"Say it backwards, item by item: {shown}", joint.join(reversed(items))),
        (f"Which is the {ordinal(index + 1)} item?\n{shown}", items[index]),
        (f"{shown}\n\nWhat comes first?", items[0]), (f"{shown}\n\nWhat is the last item?", items[-1]),
        (f"{shown}\nWhat comes after {items[index]}?", after), (f"How many items are there?\n{shown}", str(len(items))),
        (f"Write the items as a JSON array.\n{shown}", json.dumps(items, ensure_ascii=False)),
        (f"{json.dumps(items, ensure_ascii=False)}\nOne item per line, please.", "\n".join(items)),
        (f"Leave out {one}.\n{shown}", joint.join(item for item in items if item != one) or "nothing"),
        (f"Is {other} in the list? {shown}", "Yes." if other in items else "No."),
        (f"Number the items.\n{shown}", "\n".join(f"{n}. {item}" for n, item in enumerate(items, 1))),
        (f"Put every item in quotation marks.\n{shown}", joint.join(f'"{item}"' for item in items)),
        ("Join with a comma.\n" + "\n".join(items), ", ".join(items)),
        (f"Say {one} three times.", f"{one} {one} {one}"),
        (f"Which item is the longest?\n{shown}",
         longest) if [len(item) for item in items].count(len(longest)) == 1 else (f"Echo: {shown}", shown),
        (f"Sort by the alphabet.\n{shown}", joint.join(sorted(items, key=str.lower))),
        (f"Swap the first and the last.\n{shown}", joint.join([items[-1], *items[1:-1], items[0]])),
        (f"Spell {one}.", " ".join(one.replace(" ", ""))),
        (f"Replace {one} by {other}.\n{shown}", joint.join(other if item == one else item for item in items)),
    ])  # fmt: skip
