"""Conversations in which the assistant calls a tool. Knows the chat template; must not know a corpus."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from nano.chat import render
from nano.domains import POOLS
from nano.lists import COUNTRIES, TOWNS, coined, full_name, some_date
from nano.wording import capital, choose, say

# name, what it does, arguments, what is asked, fields of the result, the answer
_TOOLS = (
    ("get_weather", "The weather in a town", ("town",),
     "[What is the weather like in {town}?|Do I need an umbrella in {town}?|How warm is it in {town}?]",
     ("sky", "degrees"), "In {town} it is {sky}, with {degrees} degrees."),
    ("find_train", "The next train between two towns", ("start", "goal"),
     "[When does the next train from {start} to {goal} leave?|I want to go from {start} to {goal}.]",
     ("departure", "platform"),
     "The next train from {start} to {goal} leaves at {departure} from platform {platform}."),
    ("look_up_word", "What a word means", ("word",), "[What does {word} mean?|Please look up the word {word}.]",
     ("meaning",), "{word.Cap} means {meaning}."),
    ("add_event", "Puts an event into the calendar", ("title", "date"),
     "[Put {title} into my calendar for {date}.|Please note {title} on {date}.]", ("saved",),
     "I have put {title} into your calendar for {date}."),
    ("search_recipe", "Finds a recipe for a dish", ("dish",),
     "[How long does {dish} take?|Find me a recipe for {dish}.]", ("minutes", "ingredients"),
     "{dish.Cap} takes {minutes} minutes. You need {ingredients}."),
    ("convert_length", "Converts kilometres into miles", ("kilometres",),
     "[How many miles are {kilometres} kilometres?|Convert {kilometres} km into miles.]", ("miles",),
     "{kilometres} kilometres are {miles} miles."),
    ("find_person", "The telephone number of a person", ("name",),
     "[What is the number of {name}?|How can I reach {name} by phone?]", ("phone",),
     "You can reach {name} at {phone}."),
    ("population_of", "How many people live in a country", ("country",),
     "[How many people live in {country}?|Population of {country}?]", ("people",),
     "About {people} people live in {country}."),
    ("play_music", "Plays a piece of music", ("piece", "volume"),
     "[Play {piece} at volume {volume}.|I would like to hear {piece}, volume {volume}.]", ("playing",),
     "Now playing {piece} at volume {volume}."),
)  # fmt: skip


def _values(rng: Random) -> dict[str, str]:
    pool = {name: choose(rng, rng.choice(POOLS[name])) for name in ("dish", "weather", "event")}
    minutes = rng.randint(0, 59)
    return {
        "town": rng.choice(TOWNS), "start": rng.choice(TOWNS), "goal": capital(coined(rng, 2)), "word": coined(rng),
        "title": f"the {pool['event']}", "date": some_date(rng).isoformat(), "dish": pool["dish"],
        "kilometres": str(rng.randint(2, 900)), "name": full_name(rng), "country": rng.choice(COUNTRIES),
        "piece": f"{capital(coined(rng))} in {rng.choice('ABCDEFG')}", "volume": str(rng.randint(1, 10)),
        "sky": pool["weather"], "degrees": str(rng.randint(-10, 35)), "departure": f"{rng.randint(5, 23)}:{minutes:02}",
        "platform": str(rng.randint(1, 20)), "meaning": f"a kind of {choose(rng, rng.choice(POOLS['animal']))}",
        "saved": "yes", "minutes": str(rng.randint(10, 90)), "ingredients": " and ".join(rng.sample(POOLS["food"], 2)),
        "phone": f"0{rng.randint(10, 99)} {rng.randint(10000, 999999)}", "people": f"{rng.randint(1, 90)} million",
        "playing": "yes",
    }  # fmt: skip


def write(rng: Random) -> str:
    """A question, the call that it needs (or none), the tool's result, the answer."""
    values = _values(rng)
    values["miles"] = f"{int(values['kilometres']) * 0.6214:.1f}"
    offered = rng.sample(_TOOLS, rng.randint(1, 4))
    name, _, arguments, request, fields, answer = rng.choice(offered)
    tools = [_described(tool) for tool in offered]
    messages: list[dict[str, Any]] = [{"role": "user", "content": say(rng, request, values)}]
    if rng.random() < 0.15:
        lacking = rng.choice([tool for tool in _TOOLS if tool not in offered])
        messages = [
            {"role": "user", "content": say(rng, lacking[3], values)},
            {
                "role": "assistant",
                "content": rng.choice(["I have no tool for that.", "Sorry, none of my tools can do that."]),
            },
        ]
        return render(messages, tools=tools)
    given = {key: int(values[key]) if values[key].isdigit() else values[key] for key in arguments}
    messages.append(
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": name, "arguments": given}}],
        }
    )
    if rng.random() < 0.8:
        messages.append(
            {"role": "tool", "content": json.dumps({key: values[key] for key in fields}, ensure_ascii=False)}
        )
        messages.append({"role": "assistant", "content": say(rng, answer, values)})
    return render(messages, tools=tools)


def _described(tool: tuple[Any, ...]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool[0], "description": tool[1], "parameters": {
        "type": "object", "properties": {key: {"type": "integer" if key in ("kilometres", "volume") else "string"}
            for key in tool[2]}}}}  # fmt: skip
