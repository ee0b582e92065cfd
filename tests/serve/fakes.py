"""A predictor without a model, as slow or as broken as a test asks, and a client of an application that is open."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx
import numpy as np
from fastapi import FastAPI

from tunewright.serve.predictor import Predictor

LABELS = ("card", "refund", "other")


@dataclass(frozen=True)
class FakeEncoder:
    inputs: tuple[str, ...] = ("text",)
    max_length: int = 64


@dataclass
class FakePredictor(Predictor):
    """Answers by the length of the text; `seconds_per_batch` makes it slow, the text `explode` makes it fail."""

    columns_read: tuple[str, ...] = ("text",)
    kind: str = "classification"
    seconds_per_batch: float = 0.0
    version: str = "1"
    parameters: int = 10**9  # so many that one worker answers
    labels: tuple[str, ...] = LABELS
    batches: list[list[tuple[str, ...]]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.encoder = FakeEncoder(self.columns_read)
        self.name = "fake"
        self.orders = None

    __hash__ = object.__hash__

    @property
    def task(self) -> str:
        return self.kind

    @property
    def dtype(self) -> str:
        return "float32"

    def outputs_of_rows(self, rows: Sequence[tuple[str, ...]]) -> np.ndarray:
        self.batches.append(list(rows))
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds_per_batch)
        if any("explode" in text for row in rows for text in row):
            raise ValueError("secret detail of the model")
        scores_rc = [[len(text) % 7 + 1 for text in (*row, "one", "three")][:3] for row in rows]
        scores = np.array(scores_rc, dtype=np.float32)
        if self.kind == "regression":
            return scores[:, 0]
        if self.kind == "multi_label":
            return scores / 8
        return scores / scores.sum(axis=1, keepdims=True)


@contextlib.asynccontextmanager
async def opened(app: FastAPI, *, token: str | None = "secret") -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app` between its startup and its shutdown."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client,
    ):
        yield client
