from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.chatters import chatter
from tests.serve.fakes import FakePredictor, opened

from tunewright.recipe.errors import Refusal
from tunewright.serve.app import create_app, new_token, serve
from tunewright.serve.predictor import (
    AnswerPrediction,
    LabelPrediction,
    LabelsPrediction,
    Predictor,
    SpansPrediction,
    ValuePrediction,
)
from tunewright.serve.protocol import ErrorBody, PredictResponse
from tunewright.serve.service import Limits

ROOT = Path(__file__).parents[2]
TEXTS = ["my card has not arrived", "please cancel this order now", "hello"]


def talk(test: Callable[[httpx.AsyncClient], Awaitable[None]], *, limits: Limits | None = None, **models: Any) -> None:
    """Runs `test` with a client of an application that serves `models` (a fake one without)."""

    async def whole() -> None:
        predictors = {name.replace("_at_", "@"): model for name, model in models.items()} or {"fake@1": FakePredictor()}
        app = create_app(predictors, token="secret", limits=limits or Limits(inputs=4))
        async with opened(app) as client:
            await asyncio.wait_for(test(client), 60)

    asyncio.run(whole())


def error_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["x-request-id"] and response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    return ErrorBody.model_validate_json(response.content, strict=True).error.model_dump()


@pytest.mark.parametrize(
    "kind", ["classification", "multi_label", "regression", "pair", "token_classification", "question_answering"]
)
def test_what_is_served_is_what_the_predictor_says(model_folders: dict[str, Path], kind: str) -> None:
    predictor = Predictor.load(model_folders[kind], dtype="float32")
    inputs: list[Any] = [dict.fromkeys(predictor.columns, text) for text in TEXTS]

    async def test(client: httpx.AsyncClient) -> None:
        response = await client.post("/v1/predict", json={"input": inputs, "model": "tickets@7"})
        assert response.status_code == 200
        body = response.json()
        PredictResponse.model_validate(body)
        assert (body["model"], body["version"]) == ("tickets", "7") and body["latency_ms"] > 0
        for said, prediction in zip(body["predictions"], predictor.predict(inputs), strict=True):
            match prediction:
                case LabelPrediction(label, probabilities):
                    assert said == {"label": label, "probabilities": probabilities}
                case LabelsPrediction(labels, probabilities):
                    assert said == {"labels": list(labels), "probabilities": probabilities}
                case ValuePrediction(value):
                    assert said == {"value": value}
                case SpansPrediction(spans):
                    assert said == {"spans": [dataclasses.asdict(span) for span in spans]}
                case AnswerPrediction(answer, start, end, probability):
                    assert said == {"answer": answer, "start": start, "end": end, "probability": probability}
                case _:
                    raise AssertionError(prediction)

    talk(test, tickets_at_7=predictor)


def test_many_clients_at_once_each_get_their_own_answer(model_folders: dict[str, Path]) -> None:
    predictor = Predictor.load(model_folders["classification"], dtype="float32")
    texts = [f"{text} {'card ' * i}" for i in range(20) for text in TEXTS]
    expected = predictor.predict(texts)

    async def test(client: httpx.AsyncClient) -> None:
        responses = await asyncio.gather(*(client.post("/v1/predict", json={"input": text}) for text in texts))
        for response, prediction in zip(responses, expected, strict=True):
            [said] = response.json()["predictions"]
            assert said["label"] == prediction.label
            assert said["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-4)
        metrics = (await client.get("/metrics")).text
        batches = float(re.search(r"^tunewright_batch_rows_count (.+)$", metrics, re.MULTILINE)[1])
        assert batches < len(texts) and 'tunewright_requests_total{route="/v1/predict",status="200"} 60.0' in metrics

    talk(test, m=predictor)


BAD = [
    ('{"input": ', 400, "invalid_json", None),
    ('{"input": NaN}', 400, "invalid_json", None),
    ('["a"]', 400, "not_an_object", None),
    ("[" * 50_000, 400, "nested_too_deeply", None),
    (b'{"input": "\xff"}', 400, "invalid_utf8", None),
    ('{"input": 5}', 400, "wrong_type", "input"),
    ('{"input": []}', 400, "empty_list", "input"),
    ('{"input": ""}', 400, "empty_text", "input"),
    ('{"input": ["a", "  "]}', 400, "empty_text", "input.1"),
    ('{"input": ["a", 5]}', 400, "wrong_type", "input.1"),
    ('{"input": ["a", null]}', 400, "wrong_type", "input.1"),
    ('{"input": [["a"]]}', 400, "wrong_type", "input.0"),
    ('{"input": {"text": 5}}', 400, "wrong_type", "input"),
    ('{"input": {"txt": "a"}}', 400, "unknown_column", "input.txt"),
    ('{"input": {}}', 400, "missing_column", "input.text"),
    ('{"input": "\\ud83d"}', 400, "invalid_text", "input"),
    ('{"input": ["a", "b", "c", "d", "e"]}', 400, "too_many_inputs", "input"),
    ('{"input": "a", "model": "nobody"}', 404, "unknown_model", "model"),
    ('{"input": "a", "model": "fake@9"}', 404, "unknown_model", "model"),
    ('{"input": "a", "temperature": 1}', 400, "unknown_key", "temperature"),
    ('{"input": "' + "a" * (2 << 20) + '"}', 413, "body_too_large", None),
]


@pytest.mark.parametrize(("body", "status", "code", "param"), BAD, ids=[f"{i}-{b[2]}" for i, b in enumerate(BAD)])
def test_a_bad_body_is_named_for_what_it_is(body: Any, status: int, code: str, param: str | None) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        response = await client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
        error = error_of(response)
        assert (response.status_code, error["code"], error["param"]) == (status, code, param)

    talk(test)


@pytest.mark.parametrize("header", ["text/plain", "", "application/json; charset=latin-1", "application/jsonx"])
def test_another_content_type_is_415(header: str) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        response = await client.post("/v1/predict", content='{"input": "a"}', headers={"content-type": header})
        assert (response.status_code, error_of(response)["code"]) == (415, "wrong_content_type")

    talk(test)


def test_a_charset_of_utf8_is_welcome() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        headers = {"content-type": 'Application/JSON; charset="UTF-8"'}
        assert (await client.post("/v1/predict", content='{"input": "a"}', headers=headers)).status_code == 200

    talk(test)


def test_wrong_method_unknown_path_and_no_token_have_the_same_shape() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        wrong = await client.get("/v1/predict")
        assert (wrong.status_code, wrong.headers["allow"], error_of(wrong)["code"]) == (405, "POST", "wrong_method")
        for path in ("/v1/predict/", "/v2", "/static/../etc", "/docs/"):
            unknown = await client.get(path)
            assert (unknown.status_code, error_of(unknown)["code"]) == (404, "unknown_path")
        for path in ("/v1/predict", "/v1/models", "/metrics", "/openapi.json", "/docs", "/nowhere"):
            stranger = await client.get(path, headers={"authorization": "Bearer guess"})
            assert (stranger.status_code, error_of(stranger)["code"]) == (401, "wrong_token")
            assert "www-authenticate" in stranger.headers

    talk(test)


def test_a_mistake_of_the_model_is_500_without_a_trace() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        good, bad = await asyncio.gather(
            client.post("/v1/predict", json={"input": "fine"}), client.post("/v1/predict", json={"input": "explode"})
        )
        assert good.status_code == 200 and bad.status_code == 500
        assert bad.headers["x-request-id"] in error_of(bad)["message"] and "secret" not in bad.text

    talk(test)


ARBITRARY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["text", "fake"]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["text", "input", "x"]), inner),
    max_leaves=8,
)
BODIES = (
    st.binary(max_size=60)
    | ARBITRARY.map(lambda value: json.dumps(value).encode())
    | ARBITRARY.map(lambda value: json.dumps({"input": value}).encode())
    | st.tuples(ARBITRARY, ARBITRARY).map(lambda pair: json.dumps({"input": pair[0], "model": pair[1]}).encode())
)


def test_no_body_whatever_makes_the_server_fail() -> None:
    seen: set[int] = set()

    async def send(client: httpx.AsyncClient, body: bytes) -> None:
        response = await client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
        seen.add(response.status_code)
        if response.status_code == 200:
            PredictResponse.model_validate_json(response.content)
        else:
            assert 400 <= response.status_code < 500, response.text
            error_of(response)

    with asyncio.Runner() as runner:
        session = opened(create_app({"fake@1": FakePredictor()}, token="secret", limits=Limits(inputs=4)))
        client = runner.run(session.__aenter__())

        @given(BODIES)
        @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        def whole(body: bytes) -> None:
            runner.run(send(client, body))

        try:
            whole()
        finally:
            runner.run(session.__aexit__(None, None, None))
    assert {200, 400} <= seen


def test_the_models_are_described() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        data = (await client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in data] == ["a@1", "b"]
        assert (data[0]["task"], data[0]["inputs"]) == ("classification", ["text"])
        assert data[0]["labels"] == ["card", "refund", "other"]
        assert (data[1]["name"], data[1]["version"], data[1]["task"]) == ("b", "5", "regression")

    talk(test, a_at_1=FakePredictor(), b=FakePredictor(kind="regression", labels=(), version="5"))


def test_the_description_tells_the_truth_about_every_route() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        schema = (await client.get("/openapi.json")).json()
        posts = {
            "/v1/predict": {"input": "a"},
            "/v1/completions": {"prompt": "a", "max_tokens": 2},
            "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2},
        }
        assert set(schema["paths"]) == {"/healthz", "/readyz", "/v1/models", "/metrics", *posts}
        for path, methods in schema["paths"].items():
            for method in methods:
                response = await client.request(method, path, json=posts.get(path))
                assert response.status_code == 200, path
                open_path = methods[method].get("security") == []
                stranger = await client.request(method, path, headers={"authorization": ""})
                assert (stranger.status_code == 200) == open_path
        text = json.dumps(schema)
        assert all(f'"{name}"' in text for name in re.findall(r"#/components/schemas/(\w+)", text))

    talk(test, chatter_at_1=chatter())


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        stranger = {"authorization": ""}
        page = await client.get("/", headers=stranger)
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"] and "secret" not in page.text
        assert (await client.get("/docs")).text == page.text
        browser = await client.get("/docs", headers=stranger | {"accept": "text/html"})
        assert (browser.status_code, browser.text) == (401, page.text)

    talk(test)


def test_it_is_ready_only_once_the_models_are_loaded() -> None:
    leave = threading.Event()

    def load() -> dict[str, Predictor]:
        assert leave.wait(10)
        return {"fake@1": FakePredictor()}

    async def whole() -> None:
        async with opened(create_app(load, token="secret")) as client:
            waiting = await client.get("/readyz")
            assert waiting.status_code == 503 and error_of(waiting)["code"] == "not_ready"
            assert (await client.get("/healthz")).status_code == 200
            early = await client.post("/v1/predict", json={"input": "a"})
            assert early.status_code == 503 and int(early.headers["retry-after"]) >= 1
            leave.set()
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.005)
            assert (await client.post("/v1/predict", json={"input": "a"})).status_code == 200

    asyncio.run(asyncio.wait_for(whole(), 20))


def test_a_taken_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Refusal, match="cannot be opened"):
        serve({"fake": FakePredictor()}, token="secret", port=taken.getsockname()[1])


def test_a_model_that_cannot_be_loaded_stops_the_server_with_its_reason() -> None:
    def load() -> dict[str, Predictor]:
        raise Refusal("There is no such model.")

    with pytest.raises(Refusal, match="no such model"):
        serve(load, token="secret", port=0)


def test_tokens_differ_and_are_long() -> None:
    assert new_token() != new_token() and len(new_token()) >= 32


SERVER = """
from tests.serve.fakes import FakePredictor
from tunewright.serve.app import serve
models = {"fake@1": FakePredictor(seconds_per_batch=%s)}
serve(models, token="secret", port=0, announce=lambda url: print(url, flush=True))
print("left cleanly", flush=True)
"""


@contextlib.contextmanager
def server(seconds_per_batch: float) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A real server process and its port, once it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER % seconds_per_batch], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        deadline = time.monotonic() + 30
        while get(port, "/readyz") != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process, port
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def post(port: int, text: str, statuses: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"authorization": "Bearer secret", "content-type": "application/json"}
    connection.request("POST", "/v1/predict", json.dumps({"input": text}), headers)
    response = connection.getresponse()
    assert json.loads(response.read())
    statuses.append(response.status)
    connection.close()


def test_a_real_server_survives_sigterm_gracefully() -> None:
    with server(0.5) as (process, port):
        statuses: list[int] = []
        clients = [threading.Thread(target=post, args=(port, "text " * i, statuses)) for i in range(1, 5)]
        for client in clients:
            client.start()
        time.sleep(0.25)  # one is being computed, the others wait
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        assert get(port, "/readyz") == 503
        late: list[int] = []
        post(port, "late", late)
        for client in clients:
            client.join(20)
        assert (statuses, late) == ([200] * 4, [503])
        assert process.wait(20) == 0
        assert process.stdout.read().strip() == "left cleanly"


def test_a_real_server_refuses_ten_megabytes_and_goes_on() -> None:
    with server(0.0) as (_, port):
        whole = httpx.post(
            f"http://127.0.0.1:{port}/v1/predict",
            content=b'{"input": "' + b"a" * (10 << 20) + b'"}',
            headers={"authorization": "Bearer secret", "content-type": "application/json"},
        )
        assert whole.status_code == 413 and error_of(whole)["code"] == "body_too_large"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as announced:
            announced.sendall(
                b"POST /v1/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\n"
                b"content-type: application/json\r\ncontent-length: 10000000000\r\n\r\n{"
            )
            assert announced.recv(4096).startswith(b"HTTP/1.1 413")  # with nearly all of it still to come
        statuses: list[int] = []
        post(port, "still there", statuses)
        assert statuses == [200]


def test_a_real_client_that_hangs_up_frees_its_place() -> None:
    with server(0.3) as (_, port):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as leaver:
                leaver.sendall(
                    b"POST /v1/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\n"
                    b'content-type: application/json\r\ncontent-length: 14\r\n\r\n{"input": "a"}'
                )
                time.sleep(0.02)
        began, statuses = time.monotonic(), []
        post(port, "stays", statuses)
        assert statuses == [200]
        assert time.monotonic() - began < 0.3 * 4  # not behind five batches of those who left
