from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion as OfficialChat
from openai.types.chat import ChatCompletionChunk

from tunewright.model.answers import Generated
from tunewright.serve.openai_answers import ChatCompletion, ChatReply, TextCompletion, TextReply
from tunewright.serve.tool_calls import CallForm

FORM = CallForm("<call>", "</call>")
CALLED = 'Well. <call>{"name": "weather", "arguments": {"city": "Köln"}}</call>'


def chat_reply(*offered: str) -> ChatReply:
    return ChatReply("m@1", "1", calls=FORM, offered=frozenset(offered))


def said(text: str, finish: Any = "stop", tokens: int = 3) -> Generated:
    return Generated(tuple(range(tokens)), text, finish, -1.0)


def chunks(reply: ChatReply | TextReply, whole: Generated, pieces: list[str]) -> list[dict[str, Any]]:
    sent = [*reply.opening()]
    for piece in pieces:
        sent += reply.piece(piece)
    return [*sent, *reply.closing(whole)]


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_whole_chat_is_what_is_described_and_what_the_official_client_expects(finish: str) -> None:
    body = chat_reply().whole(said("hello", finish), 7)
    ChatCompletion.model_validate(body, strict=True)
    official = OfficialChat.model_validate(body, strict=True)
    assert official.choices[0].message.content == "hello" and official.choices[0].finish_reason == finish
    assert (official.usage.prompt_tokens, official.usage.completion_tokens, official.usage.total_tokens) == (7, 3, 10)


def test_a_whole_completion_is_what_is_described_and_what_the_official_client_expects() -> None:
    body = TextReply("m@1", "1").whole(said("hello", "length"), 7)
    TextCompletion.model_validate(body, strict=True)
    official = Completion.model_validate(body, strict=True)
    assert (official.choices[0].text, official.choices[0].finish_reason) == ("hello", "length")


def test_calls_of_offered_functions_are_told_apart_from_text() -> None:
    body = chat_reply("weather").whole(said(CALLED), 1)
    ChatCompletion.model_validate(body, strict=True)
    [choice] = OfficialChat.model_validate(body, strict=True).choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Well. ")
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Köln"}
    for reply in (chat_reply(), chat_reply("other")):
        [choice] = OfficialChat.model_validate(reply.whole(said(CALLED), 1)).choices
        assert (choice.finish_reason, choice.message.content, choice.message.tool_calls) == ("stop", CALLED, None)
    alone = chat_reply("weather").whole(said(CALLED[6:]), 1)["choices"][0]["message"]
    assert alone["content"] is None and alone["tool_calls"]
    assert chat_reply("weather").whole(said(""), 1)["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize("text", ["hello", CALLED, CALLED[:-3], "a <call", ""])
@pytest.mark.parametrize("offered", [(), ("weather",)])
def test_chunks_put_together_are_the_whole(text: str, offered: tuple[str, ...]) -> None:
    sent = chunks(chat_reply(*offered), said(text), [text[i : i + 4] for i in range(0, len(text), 4)])
    official = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in sent]
    assert official[0].choices[0].delta.role == "assistant"
    content = "".join(chunk.choices[0].delta.content or "" for chunk in official)
    calls = [call for chunk in official for call in chunk.choices[0].delta.tool_calls or []]
    whole = chat_reply(*offered).whole(said(text), 1)["choices"][0]
    assert content == (whole["message"]["content"] or "")
    assert [call.function.arguments for call in calls] == [
        call["function"]["arguments"] for call in whole["message"].get("tool_calls", [])
    ]
    assert official[-1].choices[0].finish_reason == whole["finish_reason"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in official}) == 1


def test_chunks_of_a_completion_put_together_are_the_whole() -> None:
    official = [Completion.construct(**chunk) for chunk in chunks(TextReply("m", "1"), said("abc"), ["a", "bc"])]
    assert "".join(chunk.choices[0].text for chunk in official) == "abc"
    assert [chunk.choices[0].finish_reason for chunk in official] == [None, None, "stop"]


@pytest.mark.parametrize("reply", [chat_reply(), TextReply("m", "1")])
def test_the_chunk_that_counts_has_no_choice(reply: ChatReply | TextReply) -> None:
    counted = reply.counts(said("a", tokens=5), 2)
    assert counted["choices"] == [] and counted["usage"] == {
        "prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}  # fmt: skip
    assert counted["id"] == reply.id


def test_ids_differ() -> None:
    assert chat_reply().id != chat_reply().id and TextReply("m", "1").id.startswith("cmpl-")
