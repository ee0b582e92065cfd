"""Conversations of both forms become the same turns, and those that go wrong say where."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.cells import Asked, Unusable
from tunewright.data.conversations import read_conversation, read_tools, refuse_disorder
from tunewright.recipe.schema import Task
from tunewright.values import Turn

TOOLS = [{"name": "weather", "parameters": {"type": "object"}}]
CALLS = [{"name": "weather", "arguments": {"city": "Zürich"}}]
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Rain in "}, {"type": "input_text", "text": "Zürich?"}]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Zürich"}'}}]},
    {"role": "tool", "tool_call_id": "1", "content": '{"rain": false}'},
    {"role": "assistant", "content": "No."},
]  # fmt: skip
SHAREGPT = [
    {"from": "human", "value": "Rain in Zürich?"},
    {"from": "function_call", "value": json.dumps(CALLS[0])},
    {"from": "observation", "value": '{"rain": false}'},
    {"from": "gpt", "value": "No."},
]
TURNS = (
    Turn(json.dumps(TOOLS), "tools"), Turn("Be brief.", "system"), Turn("Rain in Zürich?", "user"),
    Turn(json.dumps(CALLS, ensure_ascii=False), "call"), Turn('{"rain": false}', "tool"),
)  # fmt: skip


def read(said, *, answers=True, **more):
    return read_conversation({"said": said, **more}, Asked(Task(kind="generation", input="said"), answers))


def turns(*roles):
    return [{"role": role, "content": f"{role} says"} for role in roles]


@pytest.mark.parametrize(
    ("said", "more"),
    [
        (MESSAGES, {"tools": [{"type": "function", "function": TOOLS[0]}]}),
        (json.dumps(MESSAGES), {"tools": json.dumps(TOOLS)}),
        (SHAREGPT, {"tools": json.dumps(TOOLS), "system": "Be brief."}),
        (str(SHAREGPT), {"tools": TOOLS, "system": "Be brief."}),
        (MESSAGES, {"tools": TOOLS, "system": "Be brief."}),
    ],
)
def test_both_forms_say_the_same_turns(said, more):
    found = read(said, **more)
    assert found.inputs == TURNS and found.answer == Turn("No.", "assistant")


def test_the_last_call_is_an_answer_of_its_own_role():
    found = read(SHAREGPT[:2])
    assert found.inputs == (Turn("Rain in Zürich?", "user"),)
    assert found.answer == Turn(json.dumps(CALLS, ensure_ascii=False), "call")


def test_an_assistant_that_speaks_and_calls_takes_two_turns():
    spoken = [*turns("user"), {**MESSAGES[2], "content": "I look."}]
    assert [turn.role for turn in read(spoken).inputs] == ["user", "assistant"]
    assert read(spoken).answer.role == "call"


def test_a_conversation_to_be_answered_may_end_with_its_user():
    assert read(turns("user"), answers=False).inputs == (Turn("user says", "user"),)
    assert read(turns("user", "assistant"), answers=False) == read(turns("user"), answers=False)


@pytest.mark.parametrize("nothing", [None, "", "[]", [], "  "])
def test_no_tools_are_no_turn(nothing):
    assert read_tools(nothing) == ""
    assert read(turns("user", "assistant"), tools=nothing).inputs == (Turn("user says", "user"),)


@pytest.mark.parametrize(
    ("said", "reason", "detail"),
    [
        (None, "no_input", "said is empty"),
        ([], "no_input", "said has no turns"),
        ("Hello there", "bad_input", "said is no list of turns: 'Hello there'"),
        (["hello"], "bad_input", "said is no list of turns: \"['hello']\""),
        (turns("user"), "no_answer", "said ends with user, not with an answer of the assistant"),
        (turns("user", "assistant", "user"), "no_answer", "said ends with user, not with an answer of the assistant"),
        (turns("user", "user", "assistant"), "bad_input", "turn 2 of the conversation is user and follows user"),
        (turns("assistant"), "bad_input", "turn 1 of the conversation is assistant and comes first"),
        (turns("user", "system", "assistant"), "bad_input", "turn 2 of the conversation is system and follows user"),
        (turns("user", "tool", "assistant"), "bad_input", "turn 2 of the conversation is tool and follows user"),
        (turns("user", "assistant", "assistant"), "bad_input",
         "turn 3 of the conversation is assistant and follows assistant"),
        (turns("system"), "no_input", "the conversation has no turn of a user"),
        ([*turns("user"), {"role": "assistant", "content": " "}], "no_answer", "turn 2 (assistant) is empty"),
        ([{"role": "user", "content": None}], "bad_input", "turn 1 (user) is empty"),
        ([{"role": "asistant", "content": "x"}], "bad_input",
         "turn 1 has the role 'asistant', which is none. Did you mean 'assistant'?"),
        ([{"content": "x"}], "bad_input", "turn 1 has the role '', which is none."),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "bad_input",
         "turn 1 holds 'image_url'; only text can be read"),
        ([*turns("user"), {"from": "function_call", "value": "weather()"}], "bad_input",
         "turn 2 calls nothing that can be read: 'weather()'"),
        ([*turns("user"), {"from": "function_call", "value": {"arguments": {}}}], "bad_input",
         "turn 2 has a call without the name of a function: \"{'arguments': {}}\""),
        ([*turns("user"), {"from": "function_call", "value": {"name": "f", "arguments": "x=1"}}], "bad_input",
         "turn 2 calls f with arguments that are no JSON object: 'x=1'"),
    ],
)  # fmt: skip
def test_conversations_that_go_wrong_say_where(said, reason, detail):
    with pytest.raises(Unusable) as fault:
        read(said)
    assert (fault.value.reason, fault.value.detail) == (reason, detail)


@pytest.mark.parametrize("tools", ["weather", [3], [{"parameters": {}}]])
def test_tools_that_are_none_are_a_fault(tools):
    with pytest.raises(Unusable, match="bad_input"):
        read_tools(tools)


def test_a_weight_that_is_not_read_is_remarked_upon():
    weighted = [*turns("user"), {"role": "assistant", "content": "no", "weight": 0}, *turns("user", "assistant")]
    assert read(weighted).remark == "turn 2 has the weight 0, which is not read"
    assert read([*turns("user"), {"role": "assistant", "content": "no", "weight": 1}]).remark == ""


def test_two_systems_that_differ_are_a_fault_and_two_alike_are_one():
    with pytest.raises(Unusable) as fault:
        read(MESSAGES, system="Be long.")
    assert fault.value.detail == "turn 2 of the conversation is system and follows system"
    assert [turn.role for turn in read(MESSAGES, system="Be brief.").inputs[:2]] == ["system", "user"]


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
exchanges = st.lists(st.tuples(words, words), min_size=1, max_size=4)


@given(exchanges, st.none() | words)
def test_any_conversation_survives_being_written_in_either_form(exchanged, system):
    wanted = [Turn(system, "system")] if system is not None else []
    for asked, answered in exchanged:
        wanted += [Turn(asked, "user"), Turn(answered, "assistant")]
    refuse_disorder(wanted)
    openai = [{"role": turn.role, "content": str(turn)} for turn in wanted]
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    sharegpt = [{"from": names[turn.role], "value": str(turn)} for turn in wanted]
    for said in (openai, sharegpt, json.dumps(openai)):
        found = read(said)
        assert [*found.inputs, found.answer] == wanted
