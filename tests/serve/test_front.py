from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import Any

import pytest

from tunewright.serve import front
from tunewright.serve.front import ClientLeft, Front, Page, read_body, start
from tunewright.serve.protocol import ApiError


class Wire:
    """The two ends of one exchange: the messages that come in, and those that went out."""

    def __init__(self, *pieces: bytes, headers: dict[str, str] | None = None, path: str = "/v1/x", method: str = "GET"):
        self.coming: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": i + 1 < len(pieces)} for i, piece in enumerate(pieces)
        ]
        self.received = 0
        self.sent: list[dict[str, Any]] = []
        encoded = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        self.scope = {"type": "http", "method": method, "path": path, "headers": encoded}

    async def receive(self) -> dict[str, Any]:
        if not self.coming:
            return {"type": "http.disconnect"}
        self.received += 1
        return self.coming.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


async def say_fine(scope: Any, receive: Any, send: Any) -> None:
    await send(start(200, b"{}"))
    await send({"type": "http.response.body", "body": b"{}"})


def exchange(wire: Wire, app: Any = say_fine, *, token: str = "secret") -> list[tuple[str, int]]:
    counted: list[tuple[str, int]] = []
    page = Page(b"<p>sign in</p>", b"default-src 'none'")
    around = Front(app, token=token, sign_in=page, count=lambda path, status, seconds: counted.append((path, status)))
    asyncio.run(around(wire.scope, wire.receive, wire.send))
    return counted


@pytest.mark.parametrize("header", ["Bearer secret", "bearer secret", "BEARER  secret "])
def test_the_token_opens(header: str) -> None:
    wire = Wire(b"", headers={"authorization": header})
    assert exchange(wire) == [("/v1/x", 200)]


@pytest.mark.parametrize(
    "header", ["", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secret2", "Basic secret", "Bearer sécret"]
)
def test_anything_else_does_not(header: str) -> None:
    wire = Wire(b"", headers={"authorization": header} if header else {})
    assert exchange(wire) == [("/v1/x", 401)]
    assert wire.headers["www-authenticate"].startswith("Bearer")
    assert json.loads(wire.body)["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_the_open_paths_need_none(path: str) -> None:
    assert exchange(Wire(b"", path=path)) == [(path, 200)]


def test_a_browser_without_a_token_gets_the_page_that_asks_for_it() -> None:
    wire = Wire(b"", path="/docs", headers={"accept": "text/html,*/*;q=0.8"})
    exchange(wire)
    assert wire.status == 401 and wire.headers["content-type"].startswith("text/html")
    assert wire.body == b"<p>sign in</p>" and wire.headers["content-security-policy"] == "default-src 'none'"


def test_every_answer_has_an_id_and_safe_headers() -> None:
    given = Wire(b"", headers={"authorization": "Bearer secret", "x-request-id": "abc-1.2_3"})
    strange = Wire(b"", headers={"x-request-id": 'a"b\r\n'})
    none = Wire(b"", headers={})
    for wire in (given, strange, none):
        exchange(wire)
        assert wire.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in wire.headers["content-security-policy"]
        assert "access-control-allow-origin" not in wire.headers
    assert given.headers["x-request-id"] == "abc-1.2_3"
    assert re.fullmatch("[0-9a-f]{24}", strange.headers["x-request-id"])
    assert none.headers["x-request-id"] != strange.headers["x-request-id"]


def test_our_mistake_shows_an_id_and_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def explode(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("secret detail")

    wire = Wire(b"", headers={"authorization": "Bearer secret"})
    assert exchange(wire, explode) == [("/v1/x", 500)]
    error = json.loads(wire.body)["error"]
    assert wire.headers["x-request-id"] in error["message"] and error["code"] == "internal"
    assert b"secret" not in wire.body and b"Traceback" not in wire.body
    assert "secret detail" in caplog.text and wire.headers["x-request-id"] in caplog.text


def test_a_mistake_after_the_answer_began_is_not_hidden() -> None:
    async def explode(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, b"{}"))
        raise RuntimeError("half an answer")

    with pytest.raises(RuntimeError, match="half an answer"):
        exchange(Wire(b"", headers={"authorization": "Bearer secret"}), explode)


def test_a_client_that_left_is_counted_and_answered_nothing() -> None:
    async def leave(scope: Any, receive: Any, send: Any) -> None:
        raise ClientLeft

    wire = Wire(b"", headers={"authorization": "Bearer secret"})
    assert exchange(wire, leave) == [("/v1/x", 499)]
    assert wire.sent == []


def read(wire: Wire, *, max_bytes: int = 10) -> bytes:
    return asyncio.run(read_body(wire.scope, wire.receive, max_bytes=max_bytes))


def test_a_body_is_read_whole_up_to_the_limit() -> None:
    assert read(Wire(b"0123456789")) == b"0123456789"
    assert read(Wire(b"01234", b"", b"56789")) == b"0123456789"


def test_an_announced_body_too_large_is_refused_unread() -> None:
    for length in ("11", "10000000", "9" * 400):
        wire = Wire(b"x" * 5, b"y" * 6, headers={"content-length": length})
        with pytest.raises(ApiError) as refused:
            read(wire)
        assert refused.value.status == 413 and wire.received == 0


def test_a_body_that_grows_too_large_is_refused_where_it_does() -> None:
    wire = Wire(*[b"x" * 6] * 100)
    with pytest.raises(ApiError) as refused:
        read(wire)
    assert refused.value.status == 413 and wire.received == 2


def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "_BODY_SECONDS", 0.01)
    wire = Wire(b"x", b"y")

    async def receive() -> dict[str, Any]:
        if wire.received:
            await asyncio.sleep(60)
        return await wire.receive()

    with pytest.raises(ApiError) as refused:
        asyncio.run(read_body(wire.scope, receive, max_bytes=10))
    assert refused.value.status == 408


def test_a_client_that_leaves_in_mid_body_is_noticed() -> None:
    wire = Wire(b"x", b"y")
    wire.coming.pop()
    with pytest.raises(ClientLeft):
        read(wire)


def test_after_413_the_connection_ends_and_the_rest_is_thrown_away_within_bounds(monkeypatch: Any) -> None:
    monkeypatch.setattr(front, "_LINGER_BYTES", 30)

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await read_body(scope, receive, max_bytes=10)

    headers = {"authorization": "Bearer secret", "content-length": "600"}
    wire = Wire(*[b"x" * 6] * 100, headers=headers, method="POST")
    assert exchange(wire, refuse) == [("/v1/x", 413)]
    assert wire.headers["connection"] == "close" and wire.received == 5
    assert len(wire.body) == int(wire.headers["content-length"]) and not wire.sent[-1].get("more_body")


def test_the_pages_policy_allows_its_own_blocks_and_nothing_from_elsewhere() -> None:
    page = Page.read()
    text, policy = page.content.decode(), page.policy.decode()
    for tag in ("script", "style"):
        blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        assert len(blocks) == 1
        digest = base64.b64encode(hashlib.sha256(blocks[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy and "default-src 'none'" in policy
    assert not re.search(r"\son\w+=|style=\"|<link[^>]+href=\"(?!data:)|src=", text.partition("<script>")[0])
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
