"""Conversations as files write them become turns. Knows OpenAI's and ShareGPT's forms; no chat template, no tokens.

A conversation is at most one turn of tools and one of a system, then user and assistant by turns, a call being followed
by what the tool returned; it ends with what the assistant is to learn to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunewright.data.cells import Asked, Said, Unusable, as_text, is_missing, kind_name, shown, unfolded
from tunewright.recipe.errors import nearest
from tunewright.values import Turn

_ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant", "function_call": "call",
    "tool_call": "call", "tool": "tool", "function": "tool", "observation": "tool", "tool_response": "tool",
}  # fmt: skip
_FOLLOWS: dict[str, tuple[str, ...]] = {  # what each role may come after; "" is the beginning
    "tools": ("",),
    "system": ("", "tools"),
    "user": ("", "tools", "system", "assistant"),
    "assistant": ("user", "tool"),
    "call": ("user", "tool", "assistant"),
    "tool": ("call", "tool"),
}
ANSWERING = ("assistant", "call")
_TEXT_PARTS = ("text", "input_text", "output_text")


def read_conversation(values: Mapping[str, Any], asked: Asked) -> Said:
    """The turns before the last one of the assistant, and that turn.

    The column holds OpenAI's messages ({"role", "content"}, `tool_calls` becoming a turn of calls) or ShareGPT's
    conversations ({"from", "value"}), as a list or as a text that writes one. Columns `tools` and `system` of the same
    row are read where they are there. A row that is to be answered may end with its user. A turn's own `weight` is not
    read, and one that is 0 is remarked upon.
    """
    (column,) = asked.task.inputs
    said = unfolded(values.get(column))
    if is_missing(said):
        raise Unusable("no_input", f"{column} is empty")
    if not isinstance(said, list) or not all(isinstance(turn, dict) for turn in said):
        raise Unusable("bad_input", f"{column} is no list of turns: {shown(values.get(column))}")
    if not said:
        raise Unusable("no_input", f"{column} has no turns")
    turns = read_turns(said, opening=tuple(_opening(values)))
    if turns[-1].role in ANSWERING:
        inputs, answer = turns[:-1], turns[-1]
    elif asked.answers:
        raise Unusable("no_answer", f"{column} ends with {turns[-1].role}, not with an answer of the assistant")
    else:
        inputs, answer = turns, None
    unread = [place for place, turn in enumerate(said, start=1) if turn.get("weight") == 0]
    remark = f"turn {unread[0]} has the weight 0, which is not read" if unread else ""
    return Said(tuple(inputs), answer if asked.answers else None, remark)


def read_turns(said: Sequence[Mapping[str, Any]], *, opening: Sequence[Turn] = ()) -> list[Turn]:
    """The turns of OpenAI's or ShareGPT's entries, after those of `opening`: the one way, for files and for requests.

    Raises Unusable for an entry that cannot be read and for turns out of order.
    """
    turns = [*opening, *(turn for place, one in enumerate(said, start=1) for turn in _turns(one, place))]
    turns = _without_second_system(turns)
    refuse_disorder(turns)
    return turns


def refuse_disorder(turns: Sequence[Turn]) -> None:
    """Raise Unusable where a turn follows one that it cannot follow, or where there is no question.

    Also used for conversations that are put together elsewhere: the order is the same in training and in serving.
    """
    before = ""
    for place, turn in enumerate(turns, start=1):
        if before not in _FOLLOWS[turn.role]:
            says = f"follows {before}" if before else "comes first"
            raise Unusable("bad_input", f"turn {place} of the conversation is {turn.role} and {says}")
        before = turn.role
    if not any(turn.role == "user" for turn in turns):
        raise Unusable("no_input", "the conversation has no turn of a user")


def read_tools(value: Any) -> str:
    """The functions that may be called, as the JSON list of their descriptions; "" where there are none.

    OpenAI's wrapper {"type": "function", "function": {...}} is taken off.
    """
    found = unfolded(value)
    if is_missing(found) or found == []:
        return ""
    if not isinstance(found, list) or not all(isinstance(tool, dict) for tool in found):
        raise Unusable("bad_input", f"tools is no list of functions: {shown(value)}")
    tools = [tool["function"] if isinstance(tool.get("function"), dict) else tool for tool in found]
    if any(not isinstance(tool.get("name"), str) for tool in tools):
        raise Unusable("bad_input", f"tools has a function without a name: {shown(value)}")
    return json.dumps(tools, ensure_ascii=False)


def _opening(values: Mapping[str, Any]) -> Iterator[Turn]:
    tools = read_tools(values.get("tools"))
    if tools:
        yield Turn(tools, "tools")
    system = values.get("system")
    if isinstance(system, str) and system.strip():
        yield Turn(system, "system")


def _without_second_system(turns: Sequence[Turn]) -> list[Turn]:
    """The turns without a system that says again what the one before it says, as where a column repeats a turn."""
    return [turn for i, turn in enumerate(turns) if not (turn.role == "system" and i and turns[i - 1] == turn)]


def _turns(said: Mapping[str, Any], place: int) -> Iterator[Turn]:
    """The turn or, of an assistant that speaks and then calls, the two turns of one entry."""
    written = said.get("role", said.get("from"))
    role = _ROLES.get(written.lower()) if isinstance(written, str) else None
    if role is None:
        hint = nearest(written, _ROLES) if isinstance(written, str) else ""
        raise Unusable("bad_input", f"turn {place} has the role {shown(written)}, which is none.{hint}")
    content = said["content"] if "content" in said else said.get("value")
    if role == "call":
        yield Turn(_calls(unfolded(content), place), "call")
        return
    calls = said.get("tool_calls") or said.get("function_call")
    returned = role == "tool" and isinstance(content, dict)
    text = json.dumps(content, ensure_ascii=False) if returned else _content(content, place)
    if text.strip():
        yield Turn(text, role)
    elif not calls:
        raise Unusable("no_answer" if role == "assistant" else "bad_input", f"turn {place} ({role}) is empty")
    if calls:
        yield Turn(_calls(unfolded(calls), place), "call")


def _content(content: Any, place: int) -> str:
    """The text of a turn; parts of type text are joined."""
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        if isinstance(part, dict):
            if part.get("type", "text") not in _TEXT_PARTS or not isinstance(part.get("text"), str):
                raise Unusable("bad_input", f"turn {place} holds {shown(part.get('type'))}; only text can be read")
            part = part["text"]
        if isinstance(part, (list, bytes)):
            raise Unusable("bad_input", f"turn {place} is {kind_name(part)}, not a text")
        texts.append(as_text(part))
    return "".join(texts)


def _calls(written: Any, place: int) -> str:
    """The calls of one turn as the JSON list of {"name", "arguments"}."""
    calls = [written] if isinstance(written, dict) else written
    if not isinstance(calls, list) or not calls:
        raise Unusable("bad_input", f"turn {place} calls nothing that can be read: {shown(written)}")
    return json.dumps([_call(call, place) for call in calls], ensure_ascii=False)


def _call(call: Any, place: int) -> dict[str, Any]:
    if isinstance(call, dict) and isinstance(call.get("function"), dict):
        call = call["function"]
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise Unusable("bad_input", f"turn {place} has a call without the name of a function: {shown(call)}")
    arguments = unfolded(call.get("arguments", {}))
    if is_missing(arguments):
        arguments = {}
    if not isinstance(arguments, dict):
        raise Unusable("bad_input", f"turn {place} calls {call['name']} with arguments that are no JSON object: "
                       f"{shown(arguments)}")
    return {"name": call["name"], "arguments": arguments}
