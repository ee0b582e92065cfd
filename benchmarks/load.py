"""A bounded closed-loop HTTP client: raw sockets, keep-alive, one event loop. Knows bytes and clocks only."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadResult:
    """What was answered inside the counted seconds."""

    requests: int
    rows: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds


class _Client(asyncio.Protocol):
    """One connection that sends its next request as soon as the answer to the last is whole."""

    def __init__(
        self, next_request: Callable[[], bytes], stop: float, record: Callable[[float, float, bool], None],
        done: asyncio.Future[None],
    ):  # fmt: skip
        self.next_request, self.stop, self.record, self.done = next_request, stop, record, done
        self.buffer = bytearray()
        self.needed = -1
        self.good = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.began = time.perf_counter()
        if self.began >= self.stop:
            self.transport.close()
        else:
            self.transport.write(self.next_request())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.needed < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            start = head.index(b"content-length:") + len(b"content-length:")
            self.needed = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
            self.good = head.startswith(b"http/1.1 200")
        if len(self.buffer) >= self.needed:
            now = time.perf_counter()
            self.record(now, now - self.began, self.good)
            self.buffer.clear()
            self.needed = -1
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def load(
    *, port: int, token: str, texts: Sequence[str], clients: int, per_request: int, seconds: float,
    warm_seconds: float = 2.0,
) -> LoadResult:  # fmt: skip
    """Keep `clients` requests of `per_request` texts in flight; count those answered in `seconds` after the warm-up."""
    requests = itertools.cycle(_requests(texts, per_request, token))
    loop = asyncio.get_running_loop()
    counted_from = time.perf_counter() + warm_seconds
    stop = counted_from + seconds
    latencies: list[float] = []
    errors = [0]

    def record(now: float, latency: float, good: bool) -> None:
        if counted_from <= now < stop:
            latencies.append(latency)
            errors[0] += not good

    waits = []
    for _ in range(clients):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        await loop.create_connection(
            lambda done=done: _Client(requests.__next__, stop, record, done), "127.0.0.1", port
        )
    await asyncio.wait_for(asyncio.gather(*waits), warm_seconds + seconds + 60)
    latencies.sort()
    p50, p99 = (1000 * latencies[min(int(share * len(latencies)), len(latencies) - 1)] for share in (0.5, 0.99))
    return LoadResult(len(latencies), len(latencies) * per_request, seconds, p50, p99, errors[0])


def _requests(texts: Sequence[str], per_request: int, token: str) -> list[bytes]:
    requests = []
    for start in range(0, max(len(texts) - per_request + 1, 1), per_request):
        chunk = list(texts[start : start + per_request])
        body = json.dumps({"input": chunk[0] if per_request == 1 else chunk}).encode()
        head = (
            "POST /v1/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests
