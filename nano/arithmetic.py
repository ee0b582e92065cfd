"""Arithmetic in digits and in words, with short workings. Knows numbers and everyday things; must not know a corpus."""

from __future__ import annotations

from random import Random

from nano.chat import exchange
from nano.domains import POOLS
from nano.lists import number_in_words, person
from nano.wording import capital, say


def write(rng: Random) -> str:
    """One sum, story or comparison, in plain text or as a conversation."""
    question, answer = rng.choice(
        (sum_in_digits, sum_in_digits, sum_in_words, story, story, story, comparison, clock, money, series)
    )(rng)
    if rng.random() < 0.3:
        return f"{question}\n{answer}"
    return exchange(rng, question, answer)


def sum_in_digits(rng: Random) -> tuple[str, str]:
    sign, first, second, result = _operation(rng)
    shown = f"{first} {sign} {second}"
    return rng.choice([
        (f"{shown} =", str(result)), (f"What is {shown}?", str(result)), (f"Calculate {shown}.", f"{shown} = {result}"),
        (f"{shown}?", f"{result}"), (f"Work out {shown} step by step.", _steps(sign, first, second, result)),
    ])  # fmt: skip


def _operation(rng: Random) -> tuple[str, int, int, int]:
    sign = rng.choice("++--*/")
    if sign in "+-":
        first, second = sorted(
            (rng.randint(0, rng.choice((20, 100, 1000))), rng.randint(0, rng.choice((20, 100, 1000)))), reverse=True
        )
        return sign, first, second, first + second if sign == "+" else first - second
    first, second = rng.randint(2, 25), rng.randint(2, 12)
    return ("*", first, second, first * second) if sign == "*" else ("/", first * second, second, first)


def _steps(sign: str, first: int, second: int, result: int) -> str:
    tens, ones = second // 10 * 10, second % 10
    if sign in "+-" and tens and ones:
        half = first + tens if sign == "+" else first - tens
        return f"{first} {sign} {tens} = {half}\n{half} {sign} {ones} = {result}\nThe answer is {result}."
    if sign == "*" and first > 10:
        return (f"{first // 10 * 10} * {second} = {first // 10 * 10 * second}\n{first % 10} * {second} = "
                f"{first % 10 * second}\n"
                f"{first // 10 * 10 * second} + {first % 10 * second} = {result}\nThe answer is {result}.")  # fmt: skip
    if sign == "/":
        return f"{second} * {result} = {first}\nSo {first} / {second} = {result}."
    return f"{first} {sign} {second} = {result}\nThe answer is {result}."


def sum_in_words(rng: Random) -> tuple[str, str]:
    sign, first, second, result = _operation(rng)
    word = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}[sign]
    spoken = number_in_words(result)
    number = rng.randint(0, 9999)
    return rng.choice([
        (f"What is {number_in_words(first)} {word} {number_in_words(second)}?", f"{capital(spoken)}."),
        (f"{capital(number_in_words(first))} {word} {number_in_words(second)}?", str(result)),
        (f"Write {number} in words.", number_in_words(number)),
        (f"Write {number_in_words(number)} in digits.", str(number)),
    ])  # fmt: skip


_STORIES = (
    ("{A} has {a} {things}. {B} gives {A.her} {b} more. How many {things} does {A} have now?", "+"),
    ("There are {a} {things} in one box and {b} in another. How many {things} are there in all?", "+"),
    ("{A} picks {a} {things} in the morning and {b} in the afternoon. How many is that together?", "+"),
    ("{A} buys {a} {things} and eats {b} of them. How many are left?", "-"),
    ("Of {a} {things}, {b} are broken. How many are whole?", "-"),
    ("{A} had {a} {things} and gave {b} to {B}. How many did {A.she} keep?", "-"),
    ("A bus carries {a} people. At the next stop {b} get off. How many stay on?", "-"),
    ("{A} puts {a} {things} in each of {b} bags. How many {things} are that?", "*"),
    ("A ticket costs {a} coins. {A} buys {b} of them. How many coins does {A.she} pay?", "*"),
    ("{A} runs {a} kilometres every day. How far does {A.she} run in {b} days?", "*"),
    ("{A} shares {a} {things} equally among {b} friends. How many does each get?", "/"),
    ("{a} chairs stand in {b} equal rows. How many chairs are in a row?", "/"),
    ("{A} reads {a} pages in {b} days, the same number every day. How many pages a day is that?", "/"),
)
_THINGS = ("apples plums stamps shells coins cards marbles eggs nails books flowers pencils nuts buttons candles "
           "stones cups biscuits").split()  # fmt: skip


def story(rng: Random) -> tuple[str, str]:
    """A sum told as a story of one or two steps."""
    text, sign = rng.choice(_STORIES)
    while True:
        drawn, first, second, result = _operation(rng)
        if drawn == sign and second > 1 and first > second - (sign == "*") * 100:
            break
    one = person(rng)
    slots = {
        "A": one,
        "B": person(rng, besides=(one,)),
        "a": str(first),
        "b": str(second),
        "things": rng.choice(_THINGS),
    }
    question = say(rng, text, slots)
    working = f"{first} {sign} {second} = {result}"
    return question, rng.choice(
        [
            f"{working}. The answer is {result}.",
            f"{result}",
            f"{working}\n#### {result}",
            f"It is {result}, because {working}.",
        ]
    )


def comparison(rng: Random) -> tuple[str, str]:
    numbers = rng.sample(range(0, rng.choice((30, 500, 9000))), rng.randint(2, 5))
    shown, largest = ", ".join(map(str, numbers)), max(numbers)
    ordered = sorted(numbers)
    is_more = numbers[0] > numbers[1]
    return rng.choice([
        (f"Which is the largest: {shown}?", str(largest)),
        (f"Which is the smallest number? {shown}", str(min(numbers))),
        (f"Sort from small to large: {shown}", ", ".join(map(str, ordered))),
        (f"Is {numbers[0]} more than {numbers[1]}?",
         f"{'Yes' if is_more else 'No'}, {numbers[0]} is {'more' if is_more else 'less'} than {numbers[1]}."),
        (f"Is {numbers[0]} even or odd?", f"{numbers[0]} is {'odd' if numbers[0] % 2 else 'even'}."),
        (f"Add these numbers: {shown}", f"{' + '.join(map(str, numbers))} = {sum(numbers)}"),
    ])  # fmt: skip


def clock(rng: Random) -> tuple[str, str]:
    hour, minute, length = (
        rng.randint(6, 20),
        rng.choice((0, 10, 15, 20, 30, 40, 45)),
        rng.choice((15, 20, 30, 45, 60, 75, 90, 120)),
    )
    end = hour * 60 + minute + length
    what = rng.choice(("The film", "The lesson", "The meeting", "The concert", "The walk", "The match"))
    return (f"{what} starts at {hour}:{minute:02} and lasts {length} minutes. When does it end?",
            f"{hour}:{minute:02} plus {length} minutes is {end // 60}:{end % 60:02}.")  # fmt: skip


def money(rng: Random) -> tuple[str, str]:
    one, price, count = person(rng), rng.randint(2, 12), rng.randint(2, 9)
    paid = rng.choice([note for note in (10, 20, 50, 100, 200) if note >= price * count])
    fruit, cost = rng.choice(POOLS["fruit"].copy()), price * count
    return (f"A kilo of {fruit} costs {price} euros. {one} buys {count} kilos and pays with {paid} euros. How much "
            f"change does {one.she} get?",
            f"{count} * {price} = {cost}\n{paid} - {cost} = {paid - cost}\n{capital(one.she)} gets {paid - cost} "
            f"euros back.")  # fmt: skip


def series(rng: Random) -> tuple[str, str]:
    start, step, down = rng.randint(0, 60), rng.randint(1, 12), rng.random() < 0.3
    numbers = [start + step * index for index in range(6)]
    numbers = numbers[::-1] if down else numbers
    return (
        f"{rng.choice(['Which number comes next', 'Continue', 'What comes next'])}: {', '.join(map(str, numbers[:5]))}",
        rng.choice(
            [
                str(numbers[5]),
                f"{numbers[5]}, because each number is {step} {'less' if down else 'more'} than the one before.",
            ]
        ),
    )
