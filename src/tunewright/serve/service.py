"""The models served, and whether they may be asked. Knows readiness and waiting; must not know routes or bytes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from tunewright.model.answers import Generated
from tunewright.model.predict import compute_alone
from tunewright.model.sampling import Sampling
from tunewright.recipe.errors import RecipeRefusal, Refusal, nearest
from tunewright.recipe.tasks import KINDS
from tunewright.serve.batching import Batcher, Closed, QueueFull
from tunewright.serve.counters import Counters
from tunewright.serve.front import ClientLeft, Receive
from tunewright.serve.openai_requests import TextAsked
from tunewright.serve.orders import Order, Orders, TooLong
from tunewright.serve.predictor import InputRefusal, Predictor, Row, texts_of
from tunewright.serve.protocol import ApiError, Asked, ServedModel
from tunewright.serve.writing import Writer, Writing

Predictors = Mapping[str, Predictor]
_Answer = TypeVar("_Answer")
DRAIN_SECONDS = 30.0
_PARAMETERS_PER_THREAD = 200_000_000  # one core answers a short text with so many in about 10 ms
_CHARACTERS_PER_TOKEN, _TOKENS_PER_TEXT = 4, 3  # an estimate; the model thread counts exactly


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request, and all waiting ones together, may ask for.

    `queue_tokens` are of rows to read, `queue_text_tokens` of texts to write, by model; of those `texts_at_once` grow
    side by side.
    """

    body_bytes: int = 1 << 20
    inputs: int = 1024
    queue_tokens: int = 1 << 18
    batch_tokens: int = 4096
    queue_text_tokens: int = 1 << 16
    texts_at_once: int = 16


@dataclass(frozen=True, slots=True)
class Served:
    """A model under the name and version by which requests ask for it; `writer` is None unless it writes texts."""

    id: str
    name: str
    version: str
    predictor: Predictor
    loaded_at: int  # seconds since 1970
    writer: Writer | None = None

    @classmethod
    def under(cls, id: str, predictor: Predictor, writer: Writer | None = None) -> Served:
        name, _, version = id.partition("@")
        return cls(id, name, version or predictor.version, predictor, int(time.time()), writer)

    @property
    def orders(self) -> Orders:
        """How to ask it for texts. Raises ApiError where it writes none."""
        if self.predictor.orders is None:
            says = KINDS[self.predictor.task].says  # type: ignore[index]
            message = f"{self.id} writes no texts: its task is {self.predictor.task} ({says}). Ask POST /v1/predict."
            raise ApiError(400, "wrong_task", message, param="model")
        return self.predictor.orders

    @property
    def endpoints(self) -> list[str]:
        """Where it may be asked."""
        orders = self.predictor.orders
        chats = ["/v1/chat/completions"] if orders is not None and orders.chats else []
        return ["/v1/predict", *chats, *(["/v1/completions"] if orders is not None else [])]

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
            created=self.loaded_at,
            endpoints=self.endpoints,
            prompt=next(iter(getattr(predictor.encoder, "prompts", ())), None),
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
        self.counters = Counters(routes, tokens_waiting=lambda: self._tokens_waiting)
        self._writers: list[Writer] = []

    async def open(self) -> None:
        """Loads the models and lets each answer once, so that no request pays for a first time."""
        try:
            predictors = await asyncio.to_thread(self._load)
            if self.state != "loading":  # drained meanwhile
                return
            self._start_workers(predictors)
            for id, predictor in predictors.items():
                served = Served.under(id, predictor, self._new_writer(predictor))
                await self._answer_once(served)
                self.models[id] = served
                self.counters.name_model(served.name, served.version, predictor.task)
        except Exception as error:
            self.state, self.failure = "failed", error
            raise
        if self.state == "loading":
            self.state = "ready"

    async def _answer_once(self, served: Served) -> None:
        first = [("ready",) * len(served.predictor.columns)]
        if served.writer is None:
            await self.batcher.submit(served.predictor.outputs_of_rows, first, tokens_r=[1])
        else:
            [order] = await asyncio.to_thread(served.orders.of_rows, served.predictor.rows(first))
            await served.writer.write([Order(order.prompt, Sampling(max_new_tokens=1))])

    def _new_writer(self, predictor: Predictor) -> Writer | None:
        orders = predictor.orders
        if orders is None:
            return None
        writer = Writer(
            predictor.model.trunk, orders.tokenizer, ends=orders.ends, at_once=self.limits.texts_at_once,
            queue_tokens=self.limits.queue_text_tokens, observe=self.counters.count_text,
        )  # fmt: skip
        writer.start()
        self._writers.append(writer)
        return writer

    @property
    def _tokens_waiting(self) -> int:
        return self.batcher.tokens_waiting + sum(writer.tokens_waiting for writer in self._writers)

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
            queues = (self.batcher, *self._writers)
            await asyncio.gather(*(queue.drain(timeout_seconds=DRAIN_SECONDS) for queue in queues))

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
        if served.writer is not None:
            return texts_of(await while_connected(self._answer_by_writing(served, rows), receive))
        tokens_r = [sum(map(len, row)) // _CHARACTERS_PER_TOKEN + _TOKENS_PER_TEXT * len(row) for row in rows]
        with _told(param="input"):
            return await while_connected(
                self.batcher.submit(served.predictor.outputs_of_rows, rows, tokens_r=tokens_r), receive
            )

    async def _answer_by_writing(self, served: Served, rows: list[Row]) -> list[Generated]:
        with _told(param="input"):
            condensing = served.orders.condensing(rows)
            orders, done = await asyncio.to_thread(_next_orders, condensing, None)
            while not done:
                said = await self.write(served, orders)
                orders, done = await asyncio.to_thread(_next_orders, condensing, [one.text for one in said])
            return await self.write(served, orders)

    async def order(self, served: Served, asked: TextAsked) -> Order:
        """What a request for a text asks of `served`. Raises ApiError."""
        _refuse_unreadable(served, asked)
        make, said = (served.orders.of_text, asked.said) if isinstance(asked.said, str) else (
            served.orders.of_turns, asked.said)  # fmt: skip
        with _told(param=asked.param):
            return await asyncio.to_thread(make, said, asked.wanted)  # type: ignore[arg-type]

    async def write(self, served: Served, orders: Sequence[Order]) -> list[Generated]:
        """The answers, in order. Raises ApiError."""
        assert served.writer is not None
        with _told():
            return await served.writer.write(orders)

    @contextlib.contextmanager
    def writing(self, served: Served, order: Order) -> Iterator[AsyncIterator[str | Generated]]:
        """The pieces of an answer, then the whole; on leaving it is given up. Raises ApiError, as the pieces do."""
        assert served.writer is not None
        with _told(), served.writer.writing([order], told=True) as writing:
            yield _pieces(writing)


def _next_orders(
    condensing: Generator[list[Order], list[str], list[Order]], said: list[str] | None
) -> tuple[list[Order], bool]:
    """The next orders of a reading in pieces, and whether they are those of the rows themselves."""
    try:
        return (next(condensing) if said is None else condensing.send(said)), False
    except StopIteration as done:
        return done.value, True


def not_ready(state: str) -> ApiError:
    headers = {"retry-after": "1"} | ({"connection": "close"} if state == "draining" else {})
    return ApiError(503, "not_ready", f"The server is {state}; try again in a moment.", headers=headers)


async def while_connected(work: Coroutine[Any, Any, _Answer], receive: Receive) -> _Answer:
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


async def _pieces(writing: Writing) -> AsyncIterator[str | Generated]:
    while writing.open_answers:
        with _told():
            _, said = await writing.next_event()
        yield said


@contextlib.contextmanager
def _told(*, param: str | None = None) -> Iterator[None]:
    """Queues and refusals as answers; `param` is the part of the request that a refusal is about."""
    try:
        yield
    except QueueFull as full:
        wait = str(full.retry_after_seconds)
        message = f"Too many requests wait; try again in {wait} s."
        raise ApiError(429, "queue_full", message, headers={"retry-after": wait}) from None
    except Closed:
        raise not_ready("draining") from None
    except TooLong as refusal:
        raise ApiError(400, "context_length_exceeded", _sentences(refusal), param=param) from None
    except RecipeRefusal as refusal:
        where = refusal.where.partition(",")[0]
        param = f"response_format.json_schema.{where}" if where.startswith("schema") else where or param
        raise ApiError(400, "refused", _sentences(refusal), param=param) from None
    except Refusal as refusal:
        message = str(refusal) if param == "input" else _sentences(refusal)  # of several inputs it says which
        raise ApiError(400, "refused", message, param=param) from None


def _sentences(refusal: Refusal) -> str:
    """What is wrong and what to do, without a place in a recipe or file."""
    return f"{refusal.what} {refusal.remedy[:1].upper()}{refusal.remedy[1:]}".strip()


def _refuse_unreadable(served: Served, asked: TextAsked) -> None:
    """Raises ApiError where the model was not taught to read what is asked."""
    orders = served.orders
    if not isinstance(asked.said, str) and not orders.chats:
        message = f"{served.id} was taught to continue texts, not to chat. Ask POST /v1/completions."
        raise ApiError(400, "wrong_task", message, param="model")
    if asked.offered and not (orders.reads_tools and orders.calls is not None):
        message = f"The chat template of {served.id} has no place for tools, or writes calls that cannot be read."
        raise ApiError(400, "unsupported_value", message, param="tools")
