"""What the server counts, for Prometheus. Must not know requests, models or queues beyond these numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tunewright.serve.batching import BatchFact
from tunewright.serve.writing import WriteFact

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_OTHER = "other"


class Counters:
    """Counters of one application, in a registry of their own. `routes` are told apart, other paths are `other`."""

    def __init__(self, routes: Iterable[str], *, tokens_waiting: Callable[[], int]):
        self._routes = frozenset(routes)
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "tunewright_requests", "HTTP requests answered", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "tunewright_request_seconds", "time to answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self._batch_rows = Histogram("tunewright_batch_rows", "rows of a batch", buckets=_ROWS, registry=registry)
        self._batch_seconds = Histogram(
            "tunewright_batch_seconds", "time the model took for a batch", buckets=_SECONDS, registry=registry
        )
        self._text_tokens = Counter(
            "tunewright_text_tokens", "tokens read and written by models that write", ["direction"], registry=registry
        )
        self._first_token_seconds = Histogram(
            "tunewright_first_token_seconds", "time to the first token of a text, waiting included", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._models = Gauge(
            "tunewright_model", "1 for every model served", ["name", "version", "task"], registry=registry
        )
        waiting = Gauge(
            "tunewright_queue_tokens", "tokens that wait: estimated, and of texts to write the most that they may be",
            registry=registry,
        )  # fmt: skip
        waiting.set_function(tokens_waiting)
        self._request_counter = lru_cache(maxsize=1024)(lambda route, status: self._requests.labels(route, str(status)))
        self._request_seconds = lru_cache(maxsize=1024)(self._seconds.labels)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        route = path if path in self._routes else _OTHER
        self._request_counter(route, status).inc()
        self._request_seconds(route).observe(seconds)

    def count_batch(self, fact: BatchFact) -> None:
        self._batch_rows.observe(fact.rows)
        self._batch_seconds.observe(fact.seconds)

    def count_text(self, fact: WriteFact) -> None:
        self._text_tokens.labels("in").inc(fact.prompt_tokens)
        self._text_tokens.labels("out").inc(fact.tokens)
        if fact.tokens:
            self._first_token_seconds.observe(fact.seconds_to_first)

    def name_model(self, name: str, version: str, task: str) -> None:
        self._models.labels(name, version, task).set(1)

    def exposition(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return generate_latest(self._registry)
