from __future__ import annotations

import json
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import completion_create_params as text_params
from openai.types.chat import completion_create_params as chat_params

from tunewright.serve.openai_requests import ChatRequest, CompletionRequest, TextAsked, read_chat, read_completion
from tunewright.serve.protocol import ApiError
from tunewright.values import Turn

USER = {"role": "user", "content": "hello"}
FUNCTION = {"name": "weather", "description": "w", "parameters": {"type": "object", "properties": {}}}
CALLING = {
    "role": "assistant", "content": None, "refusal": None,
    "tool_calls": [{"id": f"c{i}", "type": "function", "function": {"name": "weather", "arguments": '{"at": "ö"}'}}
                   for i in (1, 2)],
}  # fmt: skip


def chat(**options: Any) -> TextAsked:
    return read_chat(json.dumps({"messages": [USER], "model": "m"} | options).encode())


def completion(**options: Any) -> TextAsked:
    return read_completion(json.dumps({"prompt": "hello", "model": "m"} | options).encode())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(ChatRequest, chat_params.CompletionCreateParamsStreaming), (CompletionRequest,
     text_params.CompletionCreateParamsStreaming)],
)  # fmt: skip
def test_every_parameter_of_the_official_client_is_known_by_name(ours: Any, theirs: Any) -> None:
    known = set(get_type_hints(theirs))
    assert known - set(ours.model_fields) == set()
    own = set(ours.model_fields) - known
    assert own == set(), own


@pytest.mark.parametrize("shape", [ChatRequest, CompletionRequest])
def test_every_parameter_says_what_it_does_or_that_it_does_nothing(shape: Any) -> None:
    silent = [name for name, field in shape.model_fields.items() if not field.description]
    assert set(silent) <= {"messages", "tools", "response_format"}


def without_effect() -> set[str]:
    fields = ChatRequest.model_fields.items()
    return {name for name, field in fields if (field.description or "").startswith("no effect")}


def test_what_has_no_effect_is_listed() -> None:
    listed = without_effect()
    assert listed == {
        "user", "metadata", "store", "service_tier", "safety_identifier", "prediction", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention",
    }  # fmt: skip
    assert chat(**dict.fromkeys(listed, "x"), seed=1) == chat(seed=1)


TOOL = {"type": "function", "function": FUNCTION}
ALIVE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # what to compare with, and the parameter with a value
    "messages": ({}, {"messages": [{"role": "user", "content": "other"}]}),
    "model": ({}, {"model": "other"}),
    "max_tokens": ({}, {"max_tokens": 5}),
    "max_completion_tokens": ({}, {"max_completion_tokens": 5}),
    "temperature": ({}, {"temperature": 0.5}),
    "top_p": ({}, {"top_p": 0.5}),
    "stop": ({}, {"stop": "x"}),
    "seed": ({}, {"seed": 2}),
    "stream": ({}, {"stream": True}),
    "stream_options": ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    "tools": ({}, {"tools": [TOOL]}),
    "tool_choice": ({"tools": [TOOL]}, {"tools": [TOOL], "tool_choice": "none"}),
    "response_format": ({}, {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}),
}


@pytest.mark.parametrize("name", ALIVE)
def test_a_parameter_that_is_taken_is_alive(name: str) -> None:
    without, with_it = ALIVE[name]
    assert chat(**{"seed": 1} | with_it) != chat(**{"seed": 1} | without)


def test_a_parameter_is_alive_or_may_only_be_neutral_or_has_no_effect() -> None:
    listed = without_effect()
    neutral = {name for name in ChatRequest.model_fields if any(name == bad[1].split(".")[0] for bad in BAD_CHATS)}
    neutral |= {name for name, field in ChatRequest.model_fields.items() if field.annotation is type(None)}
    same = {"presence_penalty": 1, "top_logprobs": 2}
    for name, value in same.items():
        with pytest.raises(ApiError):
            chat(**{name: value})
    assert set(ChatRequest.model_fields) == set(ALIVE) | listed | neutral | set(same)


def test_the_defaults_are_those_by_which_the_model_was_judged() -> None:
    wanted = chat().wanted
    assert (wanted.max_tokens, wanted.temperature, wanted.top_p, wanted.stop, wanted.schema) == (None,) * 3 + ((), None)
    assert wanted.seed is None and not wanted.chooses and not chat().stream


def test_options_are_read() -> None:
    asked = chat(
        max_completion_tokens=5, temperature=0.5, top_p=0.25, stop=["a", "b"], seed=-3, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    wanted = asked.wanted
    assert (wanted.max_tokens, wanted.temperature, wanted.top_p, wanted.stop) == (5, 0.5, 0.25, ("a", "b"))
    assert (wanted.seed, asked.stream, asked.include_usage, asked.model) == (-3, True, True, "m")
    assert chat(top_p=0.5).wanted.top_p == 0.5 and chat(top_p=0.5).wanted.temperature is None
    assert chat(stop="x").wanted.stop == ("x",) and chat(max_tokens=4, max_completion_tokens=4).wanted.max_tokens == 4
    assert completion(prompt=["a"]).said == "a" and completion(prompt="").said == ""
    schema = {"type": "object", "properties": {"b": {"type": "null"}, "a": {"type": "null"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    assert list(chat(response_format=form).wanted.schema["properties"]) == ["b", "a"]
    assert chat(response_format={"type": "text"}).wanted.schema is None


@pytest.mark.parametrize("value", [None, "neutral"])
def test_values_that_change_nothing_are_welcome(value: Any) -> None:
    neutral: dict[str, Any] = {
        "n": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "logprobs": False,
        "top_logprobs": 0, "parallel_tool_calls": True, "modalities": ["text"], "tool_choice": "auto", "tools": [],
        "functions": None, "reasoning_effort": None,
    }  # fmt: skip
    options = {key: None if value is None else one for key, one in neutral.items()}
    assert chat(**options, seed=1) == chat(seed=1)
    options = {"best_of": 1, "echo": False, "suffix": "", "n": 1, "logprobs": None}
    assert completion(**options, seed=1) == completion(seed=1)


BAD_CHATS = [
    ({"n": 2}, "n", "unsupported_value"),
    ({"logprobs": True}, "logprobs", "unsupported_value"),
    ({"frequency_penalty": 0.5}, "frequency_penalty", "unsupported_value"),
    ({"logit_bias": {"50256": -100}}, "logit_bias", "wrong_value"),
    ({"reasoning_effort": "low"}, "reasoning_effort", "unsupported_value"),
    ({"functions": [FUNCTION]}, "functions", "unsupported_value"),
    ({"parallel_tool_calls": False}, "parallel_tool_calls", "unsupported_value"),
    ({"modalities": ["text", "audio"]}, "modalities.1", "unsupported_value"),
    ({"tool_choice": "required"}, "tool_choice", "unsupported_value"),
    ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, "tool_choice", "unsupported_value"),
    ({"tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}]}, "tools.0.function.strict",
     "unsupported_value"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0.type", "unsupported_value"),
    ({"tools": [{"type": "function", "function": {"description": "x"}}]}, "tools.0.function.name", "missing_key"),
    ({"response_format": {"type": "json_object"}}, "response_format.type", "unsupported_value"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "wrong_value"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
      "tools": [{"type": "function", "function": FUNCTION}]}, "response_format", "wrong_value"),
    ({"temperature": 2.5}, "temperature", "wrong_value"),
    ({"temperature": "warm"}, "temperature", "wrong_value"),
    ({"top_p": 0}, "top_p", "wrong_value"),
    ({"max_tokens": 0}, "max_tokens", "wrong_value"),
    ({"max_tokens": 4, "max_completion_tokens": 5}, "max_tokens", "wrong_value"),
    ({"stop": ["a"] * 5}, "stop", "wrong_value"),
    ({"stop": ""}, "stop", "wrong_value"),
    ({"seed": 1.5}, "seed", "wrong_value"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "wrong_value"),
    ({"temprature": 1}, "temprature", "unknown_key"),
    ({"messages": "hello"}, "messages", "wrong_value"),
    ({"messages": []}, "messages", "wrong_value"),
    ({"messages": [{"role": "usr", "content": "a"}]}, "messages.0.role", "unsupported_value"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content", "wrong_value"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages", "wrong_value"),
    ({"messages": [{"role": "user", "content": "a\ud800"}]}, "messages", "invalid_text"),
    ({"messages": [{"role": "user", "content": "a\0"}]}, "messages", "invalid_text"),
    ({"messages": [{**USER, "name": "bob"}]}, "messages.0.name", "unsupported_value"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
     "messages.0.content.0.type", "unsupported_value"),
    ({"messages": [USER, USER]}, "messages", "wrong_value"),
    ({"messages": [{"role": "system", "content": "a"}]}, "messages", "wrong_value"),
    ({"messages": [USER, {"role": "system", "content": "a"}]}, "messages", "wrong_value"),
    ({"messages": [USER, {"role": "assistant", "content": "a"}]}, "messages", "wrong_value"),
    ({"messages": [USER, CALLING]}, "messages", "wrong_value"),
    ({"messages": [USER, CALLING, USER]}, "messages.2", "wrong_value"),
    ({"messages": [USER, CALLING, {"role": "tool", "content": "4", "tool_call_id": "c2"}]},
     "messages.2.tool_call_id", "wrong_value"),
    ({"messages": [USER, {"role": "tool", "content": "4", "tool_call_id": "c1"}]}, "messages.1.tool_call_id",
     "wrong_value"),
    ({"messages": [{**USER, "tool_call_id": "c1"}]}, "messages.0", "wrong_value"),
    ({"messages": [USER, {**CALLING, "tool_calls": [{**CALLING["tool_calls"][0], "function":
      {"name": "weather", "arguments": "not json"}}]}, {"role": "tool", "content": "4", "tool_call_id": "c1"}]},
     "messages", "wrong_value"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "param", "code"), BAD_CHATS, ids=[f"{i}-{b[1]}" for i, b in enumerate(BAD_CHATS)])
def test_a_chat_that_cannot_be_is_refused_by_name(options: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(ApiError) as refused:
        chat(**options)
    error = refused.value
    assert (error.status, error.param, error.code) == (400, param, code), error.message
    assert len(error.message) < 250 and error.message.endswith((".", "?"))


@pytest.mark.parametrize(
    ("options", "param"),
    [({"echo": True}, "echo"), ({"suffix": "x"}, "suffix"), ({"best_of": 2}, "best_of"), ({"logprobs": 0}, "logprobs"),
     ({"prompt": ["a", "b"]}, "prompt"), ({"prompt": [1, 2]}, "prompt"), ({"prompt": None}, "prompt"),
     ({"messages": []}, "messages"), ({"response_format": None}, "response_format")],
)  # fmt: skip
def test_a_completion_that_cannot_be_is_refused_by_name(options: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        completion(**options)
    assert (refused.value.status, refused.value.param) == (400, param), refused.value.message


def test_what_a_refusal_says_is_what_to_do() -> None:
    for options, part in [
        ({"response_format": {"type": "json_object"}}, "JSON without a schema cannot be promised"),
        ({"n": 3}, "should be 1 (a request gets one answer; send several"),
        ({"temprature": 1}, "Did you mean 'temperature'?"),
        ({"stop": ["a"] * 5}, "at most 4"),
        ({"messages": [{**USER, "name": "bob"}]}, "names of speakers are not read"),
    ]:
        with pytest.raises(ApiError) as refused:
            chat(**options)
        assert part in refused.value.message


def test_a_body_that_is_nested_deeply_is_refused_before_anything_walks_it() -> None:
    deep = b'{"messages": ' + b"[" * 500 + b"]" * 500 + b"}"
    with pytest.raises(ApiError) as refused:
        read_chat(deep)
    assert refused.value.code == "nested_too_deeply"


def test_messages_become_the_turns_of_training_files() -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    asked = chat(
        messages=[
            {"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}, CALLING,
            {"role": "tool", "content": "4", "tool_call_id": "c1"},
            {"role": "tool", "content": "5", "tool_call_id": "c2"},
        ],
        tools=[{"type": "function", "function": {**FUNCTION, "strict": False}}],
    )  # fmt: skip
    call = {"name": "weather", "arguments": {"at": "ö"}}
    assert asked.said == (
        Turn(json.dumps([FUNCTION]), "tools"), Turn("be brief", "system"), Turn("hello", "user"),
        Turn(json.dumps([call, call], ensure_ascii=False), "call"), Turn("4", "tool"), Turn("5", "tool"),
    )  # fmt: skip
    assert asked.offered == {"weather"} and asked.param == "messages"
    silent = chat(tools=[{"type": "function", "function": FUNCTION}], tool_choice="none")
    assert silent.said == (Turn("hello", "user"),) and not silent.offered


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["role", "content", "type", "text", "function", "name", "tool_calls", "x"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


NAMES = st.sampled_from([*ChatRequest.model_fields, "prompt", "x"])


@given(st.dictionaries(NAMES, ANYTHING, max_size=4), st.booleans())
def test_whatever_is_sent_is_read_or_refused(options: dict[str, Any], whole: bool) -> None:
    body = json.dumps(({"messages": [USER]} if whole else {}) | options).encode()
    for read in (read_chat, read_completion):
        try:
            assert isinstance(read(body), TextAsked)
        except ApiError as error:
            assert error.status == 400 and error.message
