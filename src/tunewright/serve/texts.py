"""POST /v1/chat/completions and /v1/completions: a text asked for, whole or in pieces. Must not know how it is written.

Pieces are server-sent events, one chunk each, the last of them [DONE]; an error that comes after the first is an event
of its own, because the status has been told by then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from tunewright.model.answers import Generated
from tunewright.serve.front import Receive, Scope, Send, read_body, refuse_media_type, start, start_stream
from tunewright.serve.openai_answers import ChatReply, Reply, TextReply
from tunewright.serve.openai_requests import TextAsked
from tunewright.serve.orders import Order
from tunewright.serve.protocol import ApiError, to_json
from tunewright.serve.service import Served, Service, while_connected

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


class Texts:
    """One of the two endpoints as a bare ASGI application; `read` says what its bodies ask for."""

    def __init__(self, service: Service, read: Callable[[bytes], TextAsked]):
        self._service, self._read = service, read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_media_type(scope)
        asked = self._read(await read_body(scope, receive, max_bytes=self._service.limits.body_bytes))
        served = self._service.find(asked.model)
        order = await self._service.order(served, asked)
        reply = _reply(served, asked)
        if asked.stream:
            await while_connected(self._stream(served, asked, order, reply, send), receive)
            return
        [said] = await while_connected(self._service.write(served, [order]), receive)
        content = to_json(reply.whole(said, len(order.prompt)))
        await send(start(200, content))
        await send({"type": "http.response.body", "body": content})

    async def _stream(self, served: Served, asked: TextAsked, order: Order, reply: Reply, send: Send) -> None:
        """Raises ApiError until the first byte is sent; later errors are events."""
        with self._service.writing(served, order) as pieces:
            await send(start_stream())
            try:
                async for chunk in _chunks(pieces, reply, asked, len(order.prompt)):
                    await _send_event(send, to_json(chunk))
                await _send_event(send, b"[DONE]")
            except ApiError as error:
                await _send_event(send, error.body())
        await send({"type": "http.response.body", "body": b""})


async def _chunks(
    pieces: AsyncIterator[str | Generated], reply: Reply, asked: TextAsked, prompt_tokens: int
) -> AsyncIterator[dict[str, Any]]:
    """All chunks of an answer; where its tokens are counted, the others say that they do not count them."""

    def told(chunks: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        return ({**chunk, "usage": None} if asked.include_usage else chunk for chunk in chunks)

    for chunk in told(reply.opening()):
        yield chunk
    async for said in pieces:
        for chunk in told(reply.closing(said) if isinstance(said, Generated) else reply.piece(said)):
            yield chunk
        if isinstance(said, Generated) and asked.include_usage:
            yield reply.counts(said, prompt_tokens)


def _reply(served: Served, asked: TextAsked) -> Reply:
    if isinstance(asked.said, str):
        return TextReply(served.id, served.version)
    assert served.orders is not None
    return ChatReply(served.id, served.version, calls=served.orders.calls, offered=asked.offered)


async def _send_event(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})
