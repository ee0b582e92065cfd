"""Dialogues of daily life and what they say in short. Knows scenes; must not know a corpus."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from nano import scenes_home, scenes_out, scenes_three, scenes_town, scenes_work
from nano.chat import exchange
from nano.lists import person
from nano.scenes import Scene, play
from nano.wording import Person, contract, listed, say, tidy

SCENES: tuple[Scene, ...] = (
    *scenes_home.SCENES,
    *scenes_out.SCENES,
    *scenes_work.SCENES,
    *scenes_three.SCENES,
    *scenes_town.SCENES,
)

GREETINGS = (
    (
        "[Hi|Hello|Hey], {B}! [How are you?|How are things?|Long time no see!|Nice to see you.]",
        "[Hi|Hello], {A}! [Fine, thanks.|I am well, thank you.|Not bad.|A bit tired, but fine.] "
        "[And you?|How about you?|]",
    ),
    (
        "{B}! [What a surprise!|What are you doing here?|I did not expect you here.]",
        "[Oh, hello {A}!|Hi {A}!] [I am just on my way home.|I had something to do nearby.|Good to see you.]",
    ),
    (
        "[Good morning|Good evening|Good afternoon], {B}.",
        "[Good to see you|Hello|Good day], {A}. [Come in.|Sit down.|]",
    ),
    (
        "{B}, [do you have a minute|can I talk to you|have you got a moment]?",
        "[Sure|Of course|Yes], [go ahead.|what is it?|I am listening.|what can I do for you?]",
    ),
)
PARTINGS = (
    (
        "[Well, I have to go.|I must hurry.|My bus is coming.|It is getting late.] [Bye|See you soon|Take care], {B}!",
        "[Bye|See you|Goodbye|So long], {A}!",
    ),
    (
        "[Say hello to your family.|Give my love to your parents.|Say hello to everybody.]",
        "[I will.|Will do.|Gladly.] [Bye!|Take care!|]",
    ),
    (
        "[Have a nice day|Enjoy your evening|Have a good week], {B}.",
        "[You too!|The same to you, {A}.|Thanks, you too.]",
    ),
)
TURNS_OF_TALK = (
    "By the way, [one more thing.|something else.]",
    "Oh, before I forget:",
    "There is something else.",
    "[And|Oh, and] another thing.",
    "[While you are here:|While we are talking:]",
)
ASKS = (
    "Summarise the dialogue.",
    "Summarize the following conversation in [one or two|a few] sentences.",
    "What is this dialogue about?",
    "Write a short summary of this conversation.",
    "Give a brief summary.",
    "Sum up [this|the] conversation.",
    "What do they talk about?",
    "Tell me in short what happens in this dialogue.",
    "Please summarise this [chat|conversation] in the third person.",
    "TL;DR",
    "Read the conversation and say what it comes down to.",
)


def write(rng: Random) -> str:
    """One dialogue with its summary, as plain text or as a conversation with the model."""
    lines, summary = dialogue(rng)
    if len(summary) == 1 and rng.random() < 0.5 or rng.random() < 0.04:
        return question(rng, lines)
    text = "\n".join(lines)
    if rng.random() < 0.3:
        head = rng.choice(["Summary: ", "In short: ", "\nSummary: ", "What it is about: ", "= "])
        begin = rng.choice(
            ["", "Dialogue:\n", "Conversation:\n", "Two people talk.\n" if len(speakers(lines)) == 2 else ""]
        )
        return f"{begin}{text}\n{head}{' '.join(summary)}"
    return ask(rng, text, " ".join(summary))


def ask(rng: Random, text: str, summary: str) -> str:
    request = say(rng, rng.choice(ASKS))
    shapes = [f"{request}\n\n{text}", f"{text}\n\n{request}", f"{request}\n{text}", f"Dialogue:\n{text}\n\n{request}",
              f"{request}\n\n<dialogue>\n{text}\n</dialogue>", f"{text}\nSummary:"]  # fmt: skip
    return exchange(rng, rng.choice(shapes), summary)


def question(rng: Random, lines: list[str]) -> str:
    """A question about the lines themselves: who said it, who speaks, how many lines."""
    speaker, said = rng.choice(lines).split(": ", 1)
    text, names = "\n".join(lines), speakers(lines)
    asked, answer = rng.choice([
        ("Who takes part in this dialogue?", f"{listed(names)}."), (f'Who says "{said}"?', f"{speaker}."),
        ("Who speaks first?", f"{lines[0].split(': ')[0]}."),
        ("Who has the last word?", f"{lines[-1].split(': ')[0]}."),
        ("What is the first thing that is said?", lines[0].split(": ", 1)[1]),
        ("List the people who speak, separated by commas.", ", ".join(names)),
    ])  # fmt: skip
    return exchange(rng, f"{text}\n\n{asked}" if rng.random() < 0.6 else f"{asked}\n\n{text}", answer)


def speakers(lines: list[str]) -> list[str]:
    return list(dict.fromkeys(line.split(": ", 1)[0] for line in lines))


def dialogue(rng: Random) -> tuple[list[str], list[str]]:
    """Lines "Name: words" and the sentences of the summary; now and then two scenes after each other."""
    scene = rng.choice(SCENES)
    people = cast(rng, scene)
    spoken, summary = play(rng, scene, people)
    second = rng.choice(SCENES)
    fits = _friendly(scene) and _friendly(second) and scene is not second and scene.parts() == second.parts()
    if fits and rng.random() < 0.2:
        more, told = play(rng, second, people)
        link = say(rng, rng.choice(TURNS_OF_TALK))
        spoken = [*spoken, (more[0][0], f"{link} {more[0][1]}"), *more[1:]]
        summary = [*summary, f"Then {told[0]}", *told[1:]]
    if _friendly(scene):
        spoken = framed(rng, spoken)
    spoken = [(part, say(rng, words, {key: each.call for key, each in people.items()})) for part, words in spoken]
    lines = [f"{people[part].label}: {contract(rng, words)}" for part, words in joined(spoken)]
    return lines, [contract(rng, each) if rng.random() < 0.1 else each for each in map(tidy, summary)]


def _friendly(scene: Scene) -> bool:
    """Whether people who know each other meet: they may greet, part, and come to speak of other things."""
    return not scene.cast and not scene.strangers


def cast(rng: Random, scene: Scene) -> dict[str, Person]:
    """Who plays: named people, those of the scene's own cast, now and then people without a name."""
    people: dict[str, Person] = {}
    style = "{}" if scene.cast else rng.choice(["{}"] * 12 + ["Person {}", "#Person{}#", "Speaker {}"])
    for index, part in enumerate("ABC"):
        each = person(rng, besides=tuple(people.values()))
        if style != "{}":
            label = style.format(index + 1 if "#" in style else part)
            each = replace(each, label=label, named=label)
        elif part in scene.cast:
            each = replace(each, label=scene.cast[part], named=f"the {scene.cast[part].lower()}")
        people[part] = each
    return people


def framed(rng: Random, spoken: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The talk with words of greeting before and of parting after it, now and then."""
    first, second = spoken[0][0], spoken[1][0]
    if rng.random() < 0.3:
        names = {"A": "{" + first + "}", "B": "{" + second + "}"}
        spoken = [(part, _named(rng, words, names))
                  for part, words in zip((first, second), rng.choice(GREETINGS), strict=True)] + spoken  # fmt: skip
    if rng.random() < 0.25:
        end = "A" if spoken[-1][0] != "A" else "B"
        names = {"A": "{" + end + "}", "B": "{" + spoken[-1][0] + "}"}
        spoken = spoken + [(part, _named(rng, words, names))
                           for part, words in zip((end, spoken[-1][0]), rng.choice(PARTINGS), strict=True)]  # fmt: skip
    return spoken


def _named(rng: Random, words: str, names: dict[str, str]) -> str:
    swapped = words.replace("{A}", "\x00").replace("{B}", names["B"]).replace("\x00", names["A"])
    return say(rng, swapped)


def joined(spoken: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Lines of the same part after each other made one."""
    made: list[tuple[str, str]] = []
    for part, words in spoken:
        if made and made[-1][0] == part:
            made[-1] = (part, f"{made[-1][1]} {words}")
        else:
            made.append((part, words))
    return made
