"""The official client against a real server on loopback, with a model that knows a few conversations by heart."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from tests.serve.chatters import (
    CALL,
    CONTEXT,
    COUNTING,
    TAUGHT,
    TOKEN,
    TOOLS,
    UNICODE,
    chat_tokenizer,
    chatter,
    serving,
    turn_encoder,
    watched_lm,
)
from tests.serve.fakes import FakePredictor

from tunewright.data.chat_template import as_messages
from tunewright.serve.app import create_app
from tunewright.serve.protocol import ErrorBody
from tunewright.serve.service import Limits

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
COUNT: list[Any] = [{"role": "user", "content": "count"}]
RAIN: list[Any] = [{"role": "user", "content": "rain?"}]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    models = {"chatter@1": chatter(), "writer@1": chatter("pretraining"), "labels@1": FakePredictor()}
    with serving(create_app(models, token=TOKEN)) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai_at(url)


def openai_at(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=TOKEN, max_retries=0, timeout=30)


def ask(client: openai.OpenAI, messages: list[Any], **options: Any) -> Any:
    return client.chat.completions.create(model="chatter", messages=messages, **options)


def text_of(client: openai.OpenAI, messages: list[Any], **options: Any) -> str:
    return ask(client, messages, **options).choices[0].message.content


def pieces_of(stream: Any) -> list[str]:
    return [chunk.choices[0].delta.content for chunk in stream if chunk.choices and chunk.choices[0].delta.content]


def metric(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text.splitlines()
    return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)))


def eventually(holds: Callable[[], bool], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def test_the_client_chats_with_the_model(client: openai.OpenAI) -> None:
    said = ask(client, HELLO)
    assert said.choices[0].message.content == UNICODE and said.choices[0].finish_reason == "stop"
    prompt = chat_tokenizer()("<|user|>hello<|end|><|assistant|>")["input_ids"]
    written = chat_tokenizer()(UNICODE + "<|end|>")["input_ids"]
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (len(prompt), len(written))
    assert (said.model, said.object, said.system_fingerprint) == ("chatter@1", "chat.completion", "1")
    assert abs(said.created - time.time()) < 60 and said.id.startswith("chatcmpl-")
    assert [model.id for model in client.models.list()] == ["chatter@1", "writer@1", "labels@1"]


def test_a_stream_is_the_same_text_in_whole_characters_with_true_counts(client: openai.OpenAI) -> None:
    chunks = list(ask(client, HELLO, stream=True, stream_options={"include_usage": True}))
    pieces = pieces_of(chunks)
    assert "".join(pieces) == UNICODE and len(pieces) > 3 and all("�" not in piece for piece in pieces)
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-2:] == [None, "stop"]
    assert chunks[-1].choices == [] and chunks[-1].usage == ask(client, HELLO).usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.choices for chunk in ask(client, HELLO, stream=True))


def test_what_goes_over_the_wire_are_server_sent_events(url: str) -> None:
    body = {"messages": HELLO, "model": "chatter", "stream": True}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, headers=_headers()) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store" and response.headers["x-request-id"]
        raw = b"".join(response.iter_raw()).decode()
    events = raw.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") and "\n" not in event for event in events[:-2])
    assert json.loads(events[0][6:])["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def _headers() -> dict[str, str]:
    return {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}


@pytest.mark.parametrize("row", range(len(TAUGHT)))
def test_the_ids_that_reach_the_model_are_those_of_the_training_row(row: int) -> None:
    lm, _ = watched_lm()
    seen: list[list[int]] = []
    forward = lm.forward
    lm.forward = lambda *a, **o: (seen.append(o["input_ids"][0].tolist()), forward(*a, **o))[1]  # type: ignore[method-assign]
    turns, answer = TAUGHT[row]
    learned = turn_encoder().encode([turns], [answer])
    messages, tools = _as_sent(turns)
    with serving(create_app({"chatter@1": chatter(lm=lm)}, token=TOKEN)) as address:
        seen.clear()
        said = ask(openai_at(address), messages, **({"tools": tools} if tools else {}))
    read = [*seen[0], *(ids[0] for ids in seen[1:])]
    assert read == learned.tokens_n.tolist()  # the prompt, and token by token the whole answer
    asked = learned.answers_n[learned.answers_n >= 0]
    assert said.usage.completion_tokens == len(read) - said.usage.prompt_tokens + 1 <= len(asked)
    assert np.array_equal(learned.answers_n[said.usage.prompt_tokens - 1 :], asked[-said.usage.completion_tokens :])


def _as_sent(turns: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
    """The messages and tools of a training row as a client sends them."""
    tools = [{"type": "function", "function": tool} for turn in turns if turn.role == "tools"
             for tool in json.loads(turn)]  # fmt: skip
    messages = as_messages(turns)
    for message in messages:
        for number, call in enumerate(message.get("tool_calls", [])):
            call["id"] = f"call_{number}"
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        if message["role"] == "tool":
            message["tool_call_id"] = "call_0"
    return messages, tools


def test_system_prompts_and_earlier_turns_are_read(client: openai.OpenAI) -> None:
    assert text_of(client, [{"role": "system", "content": "be rude"}, *HELLO]) == "go away"
    earlier = ask(client, HELLO).choices[0].message.model_dump()
    assert text_of(client, [*HELLO, earlier, {"role": "user", "content": "and?"}]) == "no more"
    parts = [{"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}]
    assert text_of(client, parts) == UNICODE


@pytest.mark.parametrize("stream", [False, True])
def test_offered_functions_are_called_and_their_results_read(client: openai.OpenAI, stream: bool) -> None:
    said = ask(client, RAIN, tools=TOOLS, stream=stream)
    if stream:
        chunks = list(said)
        [call] = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
        assert pieces_of(chunks) == [] and chunks[-1].choices[0].finish_reason == "tool_calls"
        message = {"role": "assistant", "tool_calls": [call.model_dump(exclude={"index"})]}
    else:
        [choice] = said.choices
        [call] = choice.message.tool_calls
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        message = choice.message
    assert {"name": call.function.name, "arguments": json.loads(call.function.arguments)} == CALL
    result = {"role": "tool", "tool_call_id": call.id, "content": "4 mm"}
    assert text_of(client, [*RAIN, message, result], tools=TOOLS) == "yes, 4 mm"
    assert text_of(client, HELLO, tools=TOOLS) == "no call"
    assert text_of(client, HELLO, tools=TOOLS, tool_choice="none") == UNICODE


@pytest.mark.parametrize("stream", [False, True])
def test_answers_end_where_they_are_told_to(client: openai.OpenAI, stream: bool) -> None:
    def said(**options: Any) -> tuple[str, str, int]:
        if not stream:
            whole = ask(client, COUNT, **options)
            return whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.completion_tokens
        chunks = list(ask(client, COUNT, stream=True, stream_options={"include_usage": True}, **options))
        return "".join(pieces_of(chunks)), chunks[-2].choices[0].finish_reason, chunks[-1].usage.completion_tokens

    assert said()[:2] == (COUNTING, "stop")
    text, finish, tokens = said(max_tokens=7)
    assert COUNTING.startswith(text) and (finish, tokens) == ("length", 7)
    assert said(max_completion_tokens=7) == (text, finish, tokens)
    assert said(stop="ree, fo")[:2] == ("one, two, th", "stop")
    assert said(stop=["five", "two"])[:2] == ("one, ", "stop")


def test_drawing_repeats_under_a_seed_and_not_without(client: openai.OpenAI) -> None:
    warm: dict[str, Any] = {"temperature": 2.0, "max_tokens": 20}
    first = text_of(client, HELLO, seed=1, **warm)
    assert first == text_of(client, HELLO, seed=1, **warm) != text_of(client, HELLO, seed=2, **warm)
    assert first == "".join(pieces_of(ask(client, HELLO, seed=1, stream=True, **warm)))
    assert len({text_of(client, HELLO, **warm) for _ in range(4)}) > 1
    assert text_of(client, HELLO, temperature=2.0, top_p=0.01) == UNICODE


def test_an_answer_keeps_to_a_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}
    form = {"type": "json_schema", "json_schema": {"name": "mood", "schema": schema, "strict": True}}
    for said in (
        text_of(client, HELLO, response_format=form),
        "".join(pieces_of(ask(client, HELLO, response_format=form, stream=True))),
    ):
        assert json.loads(said)["mood"] in ("good", "bad")
    form["json_schema"]["schema"] = {"type": "strin"}  # type: ignore[index]
    with pytest.raises(openai.BadRequestError, match="Did you mean 'string'") as refused:
        text_of(client, HELLO, response_format=form)
    assert refused.value.param == "response_format.json_schema.schema.type"


def test_completions_go_on_from_a_text_without_a_template(client: openai.OpenAI) -> None:
    spelled = "<|user|>count<|end|><|assistant|>"
    said = client.completions.create(model="chatter", prompt=spelled, max_tokens=100)
    assert (said.choices[0].text, said.choices[0].finish_reason) == (COUNTING, "stop")
    chunks = list(client.completions.create(model="chatter", prompt=spelled, max_tokens=100, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == COUNTING
    assert chunks[-1].choices[0].finish_reason == "stop"
    short = client.completions.create(model="writer", prompt="one, two, ")
    assert short.usage.completion_tokens <= 16
    assert short.usage.prompt_tokens == 1 + len(chat_tokenizer()("one, two, ")["input_ids"])


def test_two_streams_grow_side_by_side(client: openai.OpenAI) -> None:
    order: list[str] = []

    def read(name: str, messages: list[Any]) -> str:
        text = ""
        for piece in pieces_of_live(ask(client, messages, stream=True)):
            order.append(name)
            text += piece
        return text

    with ThreadPoolExecutor(2) as both:
        texts = list(both.map(read, ("a", "b"), (COUNT, COUNT)))
    assert texts == [COUNTING, COUNTING]
    switches = sum(one != other for one, other in zip(order, order[1:], strict=False))
    assert switches > 2, "".join(order)


def pieces_of_live(stream: Any) -> Iterator[str]:
    return (chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content)


BAD: list[tuple[list[Any], dict[str, Any], str, str]] = [
    (HELLO, {"n": 2}, "n", "unsupported_value"),
    (HELLO, {"logprobs": True}, "logprobs", "unsupported_value"),
    (HELLO, {"extra_body": {"top_k": 3}}, "top_k", "unknown_key"),
    (HELLO, {"max_tokens": CONTEXT}, "messages", "context_length_exceeded"),
    ([{"role": "user", "content": "hello " * CONTEXT}], {}, "messages", "context_length_exceeded"),
    ([{"role": "user", "content": "<|end|>"}], {}, "messages", "refused"),
    ([{"role": "user", "content": " "}], {}, "messages", "wrong_value"),
    (HELLO, {"stop": ["a"], "response_format": {"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"type": "null"}}}}, "stop", "refused"),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("messages", "options", "param", "code"), BAD, ids=[f"{bad[2]}-{bad[3]}" for bad in BAD])
def test_what_cannot_be_is_refused_by_name_streamed_or_not(
    client: openai.OpenAI, messages: list[Any], options: dict[str, Any], param: str, code: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, messages, stream=stream, **options)
    assert (refused.value.param, refused.value.code) == (param, code), refused.value.message
    ErrorBody.model_validate({"error": refused.value.body})


def test_too_long_a_conversation_says_how_long_it_is(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=f"model takes {CONTEXT}, its answer included"):
        ask(client, [{"role": "user", "content": "hello " * CONTEXT}])


def test_each_endpoint_refuses_models_that_cannot_answer_there(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="labels@1 writes no texts: its task is classification"):
        client.chat.completions.create(model="labels", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="writes no texts"):
        client.completions.create(model="labels", prompt="a")
    with pytest.raises(openai.BadRequestError, match="continue texts, not to chat"):
        client.chat.completions.create(model="writer", messages=HELLO)
    with pytest.raises(openai.NotFoundError, match="Did you mean 'chatter@1'"):
        client.chat.completions.create(model="chattr@1", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=str(client.base_url), api_key="guess", max_retries=0).models.list()


def test_prediction_writes_too(url: str) -> None:
    body = {"input": ["hello", {"text": "count"}], "model": "chatter"}
    said = httpx.post(f"{url}/v1/predict", json=body, headers=_headers(), timeout=30).json()
    assert said["predictions"] == [{"text": UNICODE}, {"text": COUNTING}]
    described = httpx.get(f"{url}/v1/models", headers=_headers()).json()["data"]
    assert [model["endpoints"][1:] for model in described] == [
        ["/v1/chat/completions", "/v1/completions"], ["/v1/completions"], []]  # fmt: skip


def test_a_client_that_leaves_stops_the_computing() -> None:
    lm, steps = watched_lm(seconds_per_step=0.01)
    with serving(create_app({"chatter@1": chatter(lm=lm)}, token=TOKEN)) as address:
        for stream in (True, False):
            connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
            body = json.dumps({"messages": COUNT, "stream": stream, "temperature": 2, "seed": 3, "stop": ["never"]})
            before = len(steps)
            connection.request("POST", "/v1/chat/completions", body, _headers())
            assert eventually(lambda before=before: len(steps) > before + 2)
            connection.sock.shutdown(2)
            connection.close()
            assert eventually(lambda: metric(address, "tunewright_queue_tokens") == 0)
            time.sleep(0.05)
            seen = len(steps)
            time.sleep(0.1)
            assert len(steps) == seen
        assert 0 < metric(address, 'tunewright_text_tokens_total{direction="out"}') < 2 * 60


def test_a_full_queue_is_429_with_when_to_come_again() -> None:
    lm, steps = watched_lm(seconds_per_step=0.02)
    limits = Limits(texts_at_once=1, queue_text_tokens=10)
    with serving(create_app({"chatter@1": chatter(lm=lm)}, token=TOKEN, limits=limits)) as address:
        client = openai_at(address)
        with ThreadPoolExecutor(2) as others:
            warmed_up = len(steps)
            first = others.submit(text_of, client, COUNT)
            assert eventually(lambda: len(steps) > warmed_up)
            second = others.submit(text_of, client, HELLO)
            assert eventually(lambda: metric(address, "tunewright_queue_tokens") > 10)
            for stream in (False, True):
                with pytest.raises(openai.RateLimitError) as full:
                    ask(client, HELLO, stream=stream)
                assert int(full.value.response.headers["retry-after"]) >= 1
            assert (first.result(), second.result()) == (COUNTING, UNICODE)


def test_a_mistake_of_the_model_is_told_without_a_trace() -> None:
    lm, _ = watched_lm(fails_at=4)
    with serving(create_app({"chatter@1": chatter(lm=lm)}, token=TOKEN)) as address:
        client = openai_at(address)
        with pytest.raises(openai.InternalServerError) as failed:
            ask(client, HELLO)
        assert "secret" not in str(failed.value.body) and failed.value.request_id in failed.value.message
        assert text_of(client, HELLO) == UNICODE
    lm, _ = watched_lm(fails_at=4)
    with serving(create_app({"chatter@1": chatter(lm=lm)}, token=TOKEN)) as address:
        with pytest.raises(openai.APIError) as failed:
            list(ask(openai_at(address), HELLO, stream=True))
        assert "secret" not in str(failed.value)


def test_a_stream_that_is_cut_off_by_draining_ends_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunewright.serve.service.DRAIN_SECONDS", 0.1)
    lm, _ = watched_lm(seconds_per_step=0.05)
    app = create_app({"chatter@1": chatter(lm=lm)}, token=TOKEN)
    with serving(app) as address:
        stream = ask(openai_at(address), COUNT, stream=True)
        assert next(pieces_of_live(stream))
        loop = app.state.service.models["chatter@1"].writer._loop
        draining = threading.Thread(
            target=lambda: loop.call_soon_threadsafe(lambda: loop.create_task(app.state.service.drain()))
        )
        draining.start()
        with pytest.raises(openai.APIError, match="draining"):
            list(stream)


def test_tokens_and_times_are_counted(url: str, client: openai.OpenAI) -> None:
    before = metric(url, 'tunewright_text_tokens_total{direction="in"}')
    first = metric(url, "tunewright_first_token_seconds_count")
    usage = ask(client, HELLO).usage
    assert metric(url, 'tunewright_text_tokens_total{direction="in"}') == before + usage.prompt_tokens
    assert metric(url, "tunewright_first_token_seconds_count") == first + 1
    assert metric(url, 'tunewright_requests_total{route="/v1/chat/completions",status="200"}') >= 1
