"""What a scene of a dialogue is and how its text is read; what all scenes may draw from. Knows no particular scene.

A scene is written as groups of alternatives: groups between lines `--`, alternatives of a group between lines `?`.
A line `A: ...` is spoken; a line `= ...` is what the summary says of the alternative. Choices `[~a|b]` of one
alternative are drawn together, so that an answer fits its question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from nano.lists import COUNTRIES, DAYS, SURNAMES, TOWNS
from nano.wording import Person, choose, choose_alike, say, table, words

SHARED = {
    "when": words("""tomorrow; tonight; this afternoon; this evening; on [Monday|Tuesday|Wednesday|Thursday|Friday];
        on Saturday; on Sunday; at the weekend; next week; next [Monday|Wednesday|Friday|Saturday];
        tomorrow [morning|evening]; on [Friday|Saturday|Thursday] evening; on Sunday morning; on Saturday afternoon;
        next month"""),
    "on": words("""tomorrow; on [Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday];
        next [Monday|Wednesday|Thursday|Saturday]; the day after tomorrow; on [Tuesday|Friday]; a week from now"""),
    "office": words("""half past [nine|ten|two|three]; [10|11] am; [2|3|4] pm; [ten|eleven|two|three|four] o'clock;
        [9|10|11|14|15]:[15|30|45]; quarter to [four|eleven|ten]; a quarter past [nine|two|three]"""),
    "time": words("""half past [six|seven|eight|two|four]; [three|four|five|six|seven|eight] o'clock; noon;
        quarter to [five|seven|nine]; [9|10|11|2|3|4] [am|pm]; [10|11|9]:[15|30|45]; [5|6|7|8] pm;
        [14|15|16|18|19]:[00|30|15]; a quarter past [two|six|ten]"""),
    "spot": words("""at the station; in front of the library; at the bus stop; at my place; by the fountain;
        at the main entrance; outside the bakery; at the corner of [Mill Lane|Park Avenue|Station Road];
        in the car park; at the café by the bridge; at the tram stop; next to the post office; at the school gate;
        under the big clock"""),
    "price": words("""[two|three|five|eight|ten|twelve|fifteen|twenty|thirty|forty] [dollars|euros|pounds];
        [3|4|6|7|9|11|14|18|25|35|48] [dollars|euros|pounds]; [five|six|nine] fifty; [$|£][3|5|8|12|16|24|39]"""),
    "cost": words("[forty|sixty|eighty|ninety] [euros|pounds|dollars]; [£|$][45|75|120|140|210]; [110|150|230|320] "
                  "[euros|pounds|dollars]"),
    "meal": words("""[tomato|pumpkin|onion|lentil] soup; [mushroom|vegetable|seafood] risotto;
        a [chicken|vegetable|fish] curry; pancakes; lasagne; fish and chips; roast chicken; a big salad; dumplings;
        pasta with [pesto|clams|garlic]; stuffed peppers; [potato|spinach|apple] pie; tacos; fried rice; an omelette;
        noodles; grilled [salmon|trout|vegetables]; bean stew; meatballs; pizza"""),
    "food": words("""bread; milk; eggs; butter; rice; flour; sugar; onions; potatoes; carrots; tomatoes; apples;
        bananas; cheese; yoghurt; coffee; tea; honey; olive oil; lemons; garlic; spinach; beans; noodles; salt; cream;
        oranges; lettuce; mushrooms; jam; fish"""),
    "kin": words("""[my|my] sister; my brother; my mother; my father; my grandmother; my grandfather; my uncle; my aunt;
        my cousin; my neighbour; my best friend; my son; my daughter; my wife; my husband; my boss; my niece; my nephew;
        my flatmate; a colleague"""),
    "busy": words("""I _have to work late; I _have a [dentist|doctor's] appointment; my parents are visiting;
        I _am on the early shift; I promised to help my [brother|sister|cousin] move; I _have an exam the day after;
        my [son|daughter] has a match; I _have a bad cold; I _need to finish a report;
        I _am looking after my [niece|nephew|neighbour's dog]; my car is at the garage; I _have a choir rehearsal;
        it is my [mother|father|wife|grandmother]'s birthday;
        I already _have plans with [an old friend|my cousin|colleagues]; I _have to catch an early train;
        I _have to pick up my [children|parents|uncle] [from the airport|at the station];
        I _have a [piano|driving|swimming] lesson; the plumber is coming; I _have hardly slept this week;
        I _am flying to [Rome|Berlin|Dublin|Lisbon|Vienna|Madrid]"""),
    "duration": words("""[two|three|four|five] days; a week; two weeks; ten days; a [whole|] month; the whole weekend;
        a couple of days; the whole of [May|July|August]"""),
    "days": words("two days; three days; a few days; a week; two weeks; about ten days; a month"),
    "minutes": words("five minutes; ten minutes; a quarter of an hour; twenty minutes; half an hour; forty minutes; "
                     "an hour"),
    "years": words("two years; three years; five years; six years; eight years; ten years; twelve years; twenty years"),
    "town": TOWNS, "town2": TOWNS, "country": COUNTRIES, "day": DAYS, "surname": SURNAMES,
    "few": "two three four five six".split(),
    "many": "seven eight nine ten eleven twelve fifteen eighteen twenty thirty".split(),
    "glad": words("""Great!; Wonderful.; Perfect.; That sounds good.; Lovely.; Brilliant!; Excellent.; Good.; Fine.;
        Nice!; Sounds good to me."""),
    "sorry": words("""Oh, I am sorry to hear that.; Oh no.; What a pity.; That is too bad.; Oh dear.; How annoying.;
        Poor you."""),
    "thanks": words("""Thanks[ a lot|]!; Thank you [so much|very much|].; That is very kind of you.;
        I really appreciate it.; You are a star!; Many thanks."""),
    "welcome": words("""You are welcome.; No problem.; Any time.; My pleasure.; Don't mention it.; Not at all."""),
    "bye": words("""See you [then|soon|later]!; Bye!; Take care!; Talk to you later.; See you."""),
}  # fmt: skip


class Drawn(dict[str, "str | Person"]):
    """Slots of one dialogue: what is shared is drawn when first asked for, and then stays."""

    def __init__(self, rng: Random, first: Mapping[str, str | Person]):
        super().__init__(first)
        self.rng = rng

    def __missing__(self, name: str) -> str:
        self[name] = choose(self.rng, self.rng.choice(SHARED[name])) if name in SHARED else ""
        assert name in SHARED, f"no slot {name!r}"
        return str(self[name])


@dataclass(frozen=True)
class Scene:
    """One kind of situation. `cast` gives parts that are not called by name: {"A": "Waiter"};
    `strangers` do not chat before it."""

    name: str
    text: str
    slots: Mapping[str, str] = field(default_factory=dict)
    cast: Mapping[str, str] = field(default_factory=dict)
    strangers: bool = False

    def groups(self) -> list[list[list[str]]]:
        """Groups of alternatives, each a list of lines."""
        return [[alternative.strip().splitlines() for alternative in group.split("\n?\n")]
                for group in self.text.strip().split("\n--\n")]  # fmt: skip

    def parts(self) -> list[str]:
        """The parts that speak: A, B, perhaps C."""
        return [part for part in "ABC" if f"\n{part}:" in "\n" + self.text]

    def draw(self, rng: Random, people: Mapping[str, Person]) -> Drawn:
        """One row of each of the scene's own tables, its choices drawn, beside the people."""
        drawn: dict[str, str | Person] = dict(people)
        for names, rows in self.slots.items():
            keys = [name.strip() for name in names.split(",")]
            if len(keys) == 1:
                drawn[keys[0]] = choose(rng, rng.choice(words(rows)))
            else:
                drawn |= {key: choose(rng, cell) for key, cell in zip(keys, rng.choice(table(rows)), strict=True)}
        return Drawn(rng, drawn)


def play(rng: Random, scene: Scene, people: Mapping[str, Person]) -> tuple[list[tuple[str, str]], list[str]]:
    """The scene played once: lines as (part, what is said), and the sentences of its summary."""
    slots = scene.draw(rng, people)
    lines: list[tuple[str, str]] = []
    summary: list[str] = []
    for group in scene.groups():
        for line in choose_alike(rng, rng.choice(group)):
            head, _, text = line.partition(" ")
            said = say(rng, text, slots)
            summary.append(said) if head == "=" else lines.append((head.removesuffix(":"), said))
    return lines, [sentence for sentence in summary if sentence]
