"""What every HTTP exchange has: an id, a token, safe headers, one shape of error, a count. Must not know models.

Pure ASGI, because it stands in front of every prediction.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tunewright.serve.protocol import ApiError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Count = Callable[[str, int, float], None]  # path, status, seconds

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz"})
CLIENT_LEFT = 499
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SAFE_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_STRICT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_BODY_SECONDS = 30.0
_LINGER_SECONDS, _LINGER_BYTES = 1.0, 16 << 20
_log = logging.getLogger(__name__)


class ClientLeft(Exception):
    """The other side closed the connection before its answer was ready."""


@dataclass(frozen=True, slots=True)
class Page:
    """The one HTML page and the policy under which it may run its own inline script and style, and nothing else."""

    content: bytes
    policy: bytes

    @classmethod
    def read(cls) -> Page:
        web = files("tunewright.serve") / "web"
        text, style, script = ((web / name).read_text("utf-8") for name in ("index.html", "page.css", "page.js"))
        text = text.replace("<style></style>", f"<style>\n{style}</style>")
        text = text.replace("<script></script>", f"<script>\n{script}</script>")
        policy = (
            f"default-src 'none'; script-src {_hashes(text, 'script')}; style-src {_hashes(text, 'style')}; "
            "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return cls(text.encode(), policy.encode())


class Front:
    """ASGI middleware around the whole application.

    A request without the bearer `token` is refused, except on OPEN_PATHS; a browser that opens a path without one gets
    the page `sign_in`, which asks for it, in place of a JSON error. An ApiError becomes its answer, anything else
    a 500 that names the request id and shows nothing more. `count` hears of every exchange.
    """

    def __init__(self, app: App, *, token: str, sign_in: Page, count: Count):
        assert token, "a server needs a token"
        self._app, self._token, self._sign_in, self._count = app, token.encode(), sign_in, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        exchange = _Exchange(scope, send)
        try:
            if scope["path"] not in OPEN_PATHS:
                self._refuse_stranger(exchange.headers.get(b"authorization", b""))
            await self._app(scope, receive, exchange.send)
        except ApiError as error:
            await exchange.refuse(error, receive, sign_in=self._sign_in)
        except ClientLeft:
            exchange.status = CLIENT_LEFT
        except Exception:
            _log.exception("request %s failed", exchange.id)
            exchange.status = 500
            if exchange.started:
                raise
            message = f"The server made a mistake; it is logged as request {exchange.id}."
            await exchange.refuse(ApiError(500, "internal", message), receive, sign_in=self._sign_in)
        finally:
            self._count(scope["path"], exchange.status, time.perf_counter() - began)

    def _refuse_stranger(self, authorization: bytes) -> None:
        scheme, _, token = authorization.partition(b" ")
        known = hmac.compare_digest(token.strip(), self._token)
        if known and scheme.lower() == b"bearer":
            return
        code, why = ("wrong_token", "is not the one of this server") if authorization else ("no_token", "is missing")
        challenge = 'Bearer realm="tunewright"' + (', error="invalid_token"' if authorization else "")
        message = f"The bearer token {why}; send the header 'Authorization: Bearer <token>'."
        raise ApiError(401, code, message, headers={"www-authenticate": challenge})


class _Exchange:
    """One request and its answer: adds the headers that every answer has, and remembers the status."""

    __slots__ = ("headers", "id", "inner", "scope", "started", "status")

    def __init__(self, scope: Scope, send: Send):
        self.scope, self.inner = scope, send
        self.headers = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.id = given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
        self.started = False
        self.status = 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = [*message["headers"], (b"x-request-id", self.id.encode()), *_SAFE_HEADERS]
            if not any(name == b"content-security-policy" for name, _ in headers):
                headers.append(_STRICT_POLICY)
            message = {**message, "headers": headers}
        await self.inner(message)

    async def refuse(self, error: ApiError, receive: Receive, *, sign_in: Page) -> None:
        """Answers with `error`. A body too large to read is left unread, and the connection ends."""
        extra = [(name.encode(), value.encode()) for name, value in error.headers.items()]
        if error.status in (408, 413):
            await self._refuse_and_close(error, receive, extra)
        elif error.status == 401 and self._is_browser:
            policy = (b"content-security-policy", sign_in.policy)
            await self.send(start(401, sign_in.content, policy, *extra, media_type=b"text/html; charset=utf-8"))
            await self.send({"type": "http.response.body", "body": sign_in.content})
        else:
            content = error.body()
            await self.send(start(error.status, content, *extra))
            await self.send({"type": "http.response.body", "body": content})

    @property
    def _is_browser(self) -> bool:
        navigates = self.scope["method"] == "GET" and not self.headers.get(b"authorization")
        return navigates and b"text/html" in self.headers.get(b"accept", b"")

    async def _refuse_and_close(self, error: ApiError, receive: Receive, extra: list[tuple[bytes, bytes]]) -> None:
        content = error.body()
        await self.send(start(error.status, content, *extra, (b"connection", b"close")))
        await self.send({"type": "http.response.body", "body": content, "more_body": True})
        await _linger(receive)
        await self.send({"type": "http.response.body", "body": b""})


def start(
    status: int, content: bytes, *headers: tuple[bytes, bytes], media_type: bytes = b"application/json"
) -> Message:
    """The message that opens an answer of `content`."""
    known = [(b"content-type", media_type), (b"content-length", b"%d" % len(content)), *headers]
    return {"type": "http.response.start", "status": status, "headers": known}


def start_stream() -> Message:
    """The message that opens an answer of server-sent events, which nobody on the way may hold back."""
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def refuse_media_type(scope: Scope) -> None:
    """Raises ApiError for a body that does not say that it is JSON."""
    given = next((value for name, value in scope["headers"] if name == b"content-type"), b"").lower()
    media_type, _, parameters = given.partition(b";")
    charset = parameters.partition(b"charset=")[2].strip(b' "')
    if media_type.strip() != b"application/json" or charset not in (b"", b"utf-8"):
        message = "Send JSON in UTF-8, with the header 'Content-Type: application/json'."
        raise ApiError(415, "wrong_content_type", message)


async def read_body(scope: Scope, receive: Receive, *, max_bytes: int) -> bytes:
    """The whole body, refused with 413 as soon as it is known to be longer than `max_bytes`. Raises ClientLeft."""
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if announced.isdigit() and int(announced[:19]) > max_bytes:
        raise _too_large(max_bytes)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return _bounded(message.get("body", b""), max_bytes)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _read_pieces(message, receive, max_bytes)
    except TimeoutError:
        raise ApiError(408, "body_too_slow", f"The body did not arrive within {_BODY_SECONDS:g} s.") from None


async def _read_pieces(message: Message, receive: Receive, max_bytes: int) -> bytes:
    pieces = bytearray()
    while message["type"] == "http.request":
        pieces += message.get("body", b"")
        _bounded(pieces, max_bytes)
        if not message.get("more_body"):
            return bytes(pieces)
        message = await receive()
    raise ClientLeft


def _bounded(body: Any, max_bytes: int) -> Any:
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


def _too_large(max_bytes: int) -> ApiError:
    message = f"The body is larger than {max_bytes:,} bytes; send fewer or shorter texts in several requests."
    return ApiError(413, "body_too_large", message)


async def _linger(receive: Receive) -> None:
    """Throws away what still comes in, for a bounded while.

    Closing at once, with bytes unread, would reset the connection and the client might never see the answer.
    """
    left = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return


def _hashes(page: str, tag: str) -> str:
    blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
    digests = (hashlib.sha256(block.encode()).digest() for block in blocks)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
