"""The models served, and whether they may be asked. Knows readiness and waiting; must not know routes or bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tunewright.model.predict import compute_alone
from tunewright.recipe.errors import Refusal, nearest
from tunewright.serve.batching import Batcher, Closed, QueueFull
from tunewright.serve.counters import Counters
from tunewright.serve.front import ClientLeft, Receive
from tunewright.serve.predictor import InputRefusal, Predictor, Row
from tunewright.serve.protocol import ApiError, Asked, ServedModel

Predictors = Mapping[str, Predictor]
DRAIN_SECONDS = 30.0
_PARAMETERS_PER_THREAD = 200_000_000  # one core answers a short text with so many in about 10 ms
_CHARACTERS_PER_TOKEN, _TOKENS_PER_TEXT = 4, 3  # an estimate; the model thread counts exactly


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request, and all waiting ones together, may ask for."""

    body_bytes: int = 1 << 20
    inputs: int = 1024
    queue_tokens: int = 1 << 18
    batch_tokens: int = 4096


@dataclass(frozen=True, slots=True)
class Served:
    """A model under the name and version by which requests ask for it."""

    id: str
    name: str
    version: str
    predictor: Predictor

    @classmethod
    def under(cls, id: str, predictor: Predictor) -> Served:
        name, _, version = id.partition("@")
        return cls(id, name, version or predictor.version, predictor)

    def rows(self, asked: Asked) -> list[Row]:
        """The inputs of a request, checked. Raises ApiError."""
        try:
            return self.predictor.rows(asked.inputs)
        except InputRefusal as refusal:
            message = f"{refusal.what} {refusal.remedy}".strip()
            raise ApiError(400, refusal.code, message, param=asked.param(refusal.index, refusal.column)) from None

    def described(self) -> dict[str, Any]:
        predictor = self.predictor
        return ServedModel(
            id=self.id,
            name=self.name,
            version=self.version,
            task=predictor.task,
            inputs=list(predictor.columns),
            labels=list(predictor.labels),
            max_length=predictor.encoder.max_length,
            dtype=predictor.dtype,
        ).model_dump()


class Service:
    """The models, the queue before them, and whether they may be asked."""

    def __init__(self, load: Callable[[], Predictors], limits: Limits, *, routes: Iterable[str]):
        self._load = load
        self.limits = limits
        self.models: dict[str, Served] = {}
        self.state = "loading"  # then ready, then draining; or failed
        self.failure: BaseException | None = None
        self.batcher = Batcher(
            batch_tokens=limits.batch_tokens,
            queue_tokens=limits.queue_tokens,
            observe=lambda fact: self.counters.count_batch(fact),
        )
        self.counters = Counters(routes, tokens_waiting=lambda: self.batcher.tokens_waiting)

    async def open(self) -> None:
        """Loads the models and lets each answer once, so that no request pays for a first time."""
        try:
            predictors = await asyncio.to_thread(self._load)
            if self.state != "loading":  # drained meanwhile
                return
            self._start_workers(predictors)
            for id, predictor in predictors.items():
                served = Served.under(id, predictor)
                first = [("ready",) * len(predictor.columns)]
                await self.batcher.submit(predictor.outputs_of_rows, first, tokens_r=[1])
                self.models[id] = served
                self.counters.name_model(served.name, served.version, predictor.task)
        except Exception as error:
            self.state, self.failure = "failed", error
            raise
        if self.state == "loading":
            self.state = "ready"

    def _start_workers(self, predictors: Predictors) -> None:
        """One worker with all threads, or where all models are small one a thread: then no core waits for another."""
        threads = torch.get_num_threads()
        if threads > 1 and all(p.parameters <= _PARAMETERS_PER_THREAD for p in predictors.values()):
            self.batcher.start(threads, prepare=compute_alone)
            torch.set_num_threads(threads)  # what a worker sets for itself, torch also takes for threads to come
        else:
            self.batcher.start()

    async def drain(self) -> None:
        """Answers what was taken, refuses what is new."""
        if self.state != "draining":
            self.state = "draining"
            await self.batcher.drain(timeout_seconds=DRAIN_SECONDS)

    def find(self, reference: str | None) -> Served:
        """The model that `reference` names, by its id or by a name that only one has. Raises ApiError."""
        if self.state != "ready":
            raise not_ready(self.state)
        if reference in self.models:
            return self.models[reference]
        named = [served for served in self.models.values() if reference in (None, served.name)]
        if len(named) == 1:
            return named[0]
        ids = ", ".join(self.models)
        if named:
            raise ApiError(400, "ambiguous_model", f"Several models fit; say which as 'model': {ids}.", param="model")
        shown = str(reference)[:128]
        message = f"There is no model {shown!r} here.{nearest(shown, self.models)} Served: {ids}."
        raise ApiError(404, "unknown_model", message, param="model")

    async def answer(self, served: Served, rows: list[Row], receive: Receive) -> np.ndarray:
        """The outputs of `rows`. Raises ApiError, or ClientLeft as soon as the connection is gone."""
        tokens_r = [sum(map(len, row)) // _CHARACTERS_PER_TOKEN + _TOKENS_PER_TEXT * len(row) for row in rows]
        try:
            return await _while_connected(
                self.batcher.submit(served.predictor.outputs_of_rows, rows, tokens_r=tokens_r), receive
            )
        except QueueFull as full:
            wait = str(full.retry_after_seconds)
            message = f"Too many requests wait; try again in {wait} s."
            raise ApiError(429, "queue_full", message, headers={"retry-after": wait}) from None
        except Closed:
            raise not_ready("draining") from None
        except Refusal as refusal:
            raise ApiError(400, "refused", str(refusal), param="input") from None


def not_ready(state: str) -> ApiError:
    headers = {"retry-after": "1"} | ({"connection": "close"} if state == "draining" else {})
    return ApiError(503, "not_ready", f"The server is {state}; try again in a moment.", headers=headers)


async def _while_connected(work: Coroutine[Any, Any, np.ndarray], receive: Receive) -> np.ndarray:
    """What `work` returns, given up as soon as the client is gone. The body must have been read."""
    task = asyncio.current_task()
    assert task is not None

    def stop(watch: asyncio.Future[Any]) -> None:
        task.cancel()

    watch = asyncio.ensure_future(receive())
    watch.add_done_callback(stop)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.done():
            task.uncancel()
            raise ClientLeft from None
        raise
    finally:
        watch.remove_done_callback(stop)
        watch.cancel()
