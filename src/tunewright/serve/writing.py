"""Texts of many requests written side by side, a token of each at a time, in one thread a model. Must not know HTTP.

Requests take turns for the places in the decoder, so that a long list does not hold up a single chat. What nobody waits
for any more is no longer computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tunewright.model.answers import Generated
from tunewright.model.decoder import Answer, Decoder
from tunewright.model.generate import generate
from tunewright.serve.batching import Closed, QueueFull
from tunewright.serve.orders import Order

Event = tuple[int, str | Generated]  # which of the orders, and a piece of its text or, at last, the whole answer
_LONGEST_RETRY_SECONDS = 60
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriteFact:
    """What one answer took, for whoever counts; also one that was given up half-way."""

    prompt_tokens: int
    tokens: int
    seconds_to_first: float  # waiting included


class Writing:
    """The answers of one request on their way. The worker owns `waiting`, the event loop the rest."""

    __slots__ = ("began", "events", "open_answers", "orders", "told", "waiting")

    def __init__(self, orders: Sequence[Order], *, told: bool):
        self.orders, self.told, self.began = orders, told, time.perf_counter()
        self.waiting = deque(range(len(orders)))
        self.events: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self.open_answers = len(orders)

    async def next_event(self) -> Event:
        """The next piece or answer; to be called while `open_answers`. Raises Closed, or what the model raised."""
        event = await self.events.get()
        if isinstance(event, Exception):
            raise event
        if isinstance(event[1], Generated):
            self.open_answers -= 1
        return event

    async def whole(self) -> list[Generated]:
        """All answers, in the order of the orders. Raises as `next_event`."""
        done: dict[int, Generated] = {}
        while self.open_answers:
            place, said = await self.next_event()
            if isinstance(said, Generated):
                done[place] = said
        return [done[place] for place in range(len(self.orders))]

    @property
    def tokens_waiting(self) -> int:
        return sum(self.orders[place].sampling.max_new_tokens for place in self.waiting)


@dataclass(slots=True)
class _Place:
    """An answer in the decoder: whose it is, what of it was told, and when it began to be there."""

    writing: Writing
    number: int
    told: int = 0
    seconds_to_first: float = 0.0

    def news(self, answer: Answer) -> list[Event]:
        """What there is to tell after a step."""
        events: list[Event] = []
        if self.writing.told:
            text = answer.growth.certain_text
            if len(text) > self.told:
                events.append((self.number, text[self.told :]))
                self.told = len(text)
        return [*events, (self.number, answer.growth.generated)] if answer.done else events


class Writer:
    """Takes orders from many coroutines of one event loop and writes their answers in a thread of its own.

    At most `at_once` answers grow side by side; of those that wait, `queue_tokens` bounds the tokens that they may come
    to, and more is refused with QueueFull, except by an empty queue. `observe` is called on the event loop.
    """

    def __init__(
        self, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, ends: Collection[int], at_once: int = 16,
        queue_tokens: int = 1 << 16, observe: Callable[[WriteFact], None] = lambda fact: None,
    ):  # fmt: skip
        self._new_decoder = lambda: Decoder(lm, tokenizer, ends=ends)
        self._generate = partial(generate, lm, tokenizer, ends=ends)
        self._at_once, self._queue_tokens, self._observe = at_once, queue_tokens, observe
        self._wake = threading.Condition()
        self._queue: deque[Writing] = deque()  # those of whom an answer still waits; guarded by _wake
        self._leaving: list[Writing] = []  # guarded by _wake
        self._tokens_waiting = 0  # guarded by _wake
        self._stopping = False  # guarded by _wake
        self._worker: threading.Thread | None = None
        self._open: set[Writing] = set()  # belongs to the event loop, as all that follows
        self._settled = asyncio.Event()
        self._accepting = False
        self._seconds_per_token = 0.0

    def start(self) -> None:
        """To be called on the loop that will ask."""
        self._loop = asyncio.get_running_loop()
        self._worker = threading.Thread(target=self._work, name="tunewright-writer", daemon=True)
        self._worker.start()
        self._accepting = True

    @property
    def tokens_waiting(self) -> int:
        return self._tokens_waiting

    @contextlib.contextmanager
    def writing(self, orders: Sequence[Order], *, told: bool = False) -> Iterator[Writing]:
        """The answers to `orders`, `told` with the pieces of their texts; on leaving, those not complete are given up.

        Raises QueueFull, Closed.
        """
        if not self._accepting:
            raise Closed
        writing = Writing(orders, told=told)
        self._enqueue(writing)
        self._open.add(writing)
        try:
            yield writing
        finally:
            self._open.discard(writing)
            if writing.open_answers:
                with self._wake:
                    self._leaving.append(writing)
                    self._wake.notify()
            if not self._open:
                self._settled.set()

    async def write(self, orders: Sequence[Order]) -> list[Generated]:
        """The answers, in the order of `orders`. Cancelling the call gives them up. Raises as `writing` and `whole`."""
        with self.writing(orders) as writing:
            return await writing.whole()

    async def drain(self, *, timeout_seconds: float) -> bool:
        """Refuses new orders, waits until those taken are answered, and stops. False where time ran out."""
        self._accepting = False
        self._settled.clear()
        if self._open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), timeout_seconds)
        in_time = not self._open
        with self._wake:
            self._stopping = True
            self._wake.notify()
        for writing in self._open:
            writing.events.put_nowait(Closed())
        if self._worker is not None:
            await asyncio.to_thread(self._worker.join)  # at most a step away
        return in_time

    def _enqueue(self, writing: Writing) -> None:
        tokens = writing.tokens_waiting
        with self._wake:
            if self._tokens_waiting and self._tokens_waiting + tokens > self._queue_tokens:
                wait = math.ceil(self._tokens_waiting * self._seconds_per_token)
                raise QueueFull(min(max(1, wait), _LONGEST_RETRY_SECONDS))
            self._tokens_waiting += tokens
            self._queue.append(writing)
            self._wake.notify()

    def _work(self) -> None:
        decoder = self._new_decoder()
        present: dict[Answer, _Place] = {}
        while self._worth_a_step(present):
            self._drop_leavers(decoder, present)
            self._admit(decoder, present)
            if not present:
                continue
            began = time.perf_counter()
            try:
                answers = decoder.step()
            except Exception as error:
                _log.exception("the model failed while it wrote")
                hit = {place.writing for place in present.values()}
                with self._wake:
                    self._unqueue(hit)
                self._tell([(writing, error) for writing in hit], [], 0.0)
                decoder, present = self._new_decoder(), {}
                continue
            self._tell_news(present, answers, (time.perf_counter() - began) / max(len(answers), 1))

    def _worth_a_step(self, present: dict[Answer, _Place]) -> bool:
        """Waits for something to do; False when it is time to stop."""
        with self._wake:
            self._wake.wait_for(lambda: bool(present) or bool(self._queue) or bool(self._leaving) or self._stopping)
            return not self._stopping

    def _drop_leavers(self, decoder: Decoder, present: dict[Answer, _Place]) -> None:
        with self._wake:
            leaving, self._leaving = set(self._leaving), []
            self._unqueue(leaving)
        if not leaving:
            return
        facts = []
        for answer, place in list(present.items()):
            if place.writing in leaving:
                decoder.cancel(answer)
                facts.append(_fact(answer, place))
                del present[answer]
        self._tell([], facts, 0.0)

    def _unqueue(self, writings: set[Writing]) -> None:
        """None of their answers waits any more; to be called with `_wake` held."""
        for writing in writings & set(self._queue):
            self._queue.remove(writing)
            self._tokens_waiting -= writing.tokens_waiting

    def _admit(self, decoder: Decoder, present: dict[Answer, _Place]) -> None:
        """The next answer of each request in turn, while there are places."""
        refused: list[tuple[Writing, Exception]] = []
        searches: list[_Place] = []
        with self._wake:
            while self._queue and len(present) < self._at_once:
                writing = self._queue.popleft()
                number = writing.waiting.popleft()
                order = writing.orders[number]
                self._tokens_waiting -= order.sampling.max_new_tokens
                if writing.waiting:
                    self._queue.append(writing)
                if order.sampling.beams > 1:
                    searches.append(_Place(writing, number))
                    continue
                try:
                    answer = decoder.add(
                        order.prompt, sampling=order.sampling, constraint=order.constraint, told=writing.told
                    )  # fmt: skip
                except Exception as error:
                    refused.append((writing, error))
                else:
                    present[answer] = _Place(writing, number)
        if refused:
            self._tell(refused, [], 0.0)
        for place in searches:
            self._search(place)

    def _search(self, place: _Place) -> None:
        """A beam search, alone: no text is certain before its end, so it is told whole, and others wait for it."""
        order = place.writing.orders[place.number]
        try:
            (said,) = self._generate(
                [order.prompt], sampling=order.sampling, constraint=order.constraint,
                should_stop=lambda: self._stopping or place.writing in self._leaving,
            )  # fmt: skip
        except Exception as error:
            _log.exception("the model failed while it searched")
            self._tell([(place.writing, error)], [], 0.0)
            return
        pieces: list[str | Generated] = [said.text, said] if place.writing.told and said.text else [said]
        seconds = time.perf_counter() - place.writing.began
        fact = WriteFact(len(order.prompt), len(said.ids), seconds)
        self._tell([(place.writing, (place.number, piece)) for piece in pieces], [fact], 0.0)

    def _tell_news(self, present: dict[Answer, _Place], answers: Sequence[Answer], seconds_per_token: float) -> None:
        events: list[tuple[Writing, Event | Exception]] = []
        facts = []
        for answer in answers:
            place = present[answer]
            if not place.seconds_to_first:
                place.seconds_to_first = time.perf_counter() - place.writing.began
            events += [(place.writing, event) for event in place.news(answer)]
            if answer.done:
                facts.append(_fact(answer, place))
                del present[answer]
        self._tell(events, facts, seconds_per_token)

    def _tell(
        self, events: Sequence[tuple[Writing, Event | Exception]], facts: Sequence[WriteFact], seconds_per_token: float
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: time to drain ran out, nobody waits
            self._loop.call_soon_threadsafe(self._deliver, events, facts, seconds_per_token)

    def _deliver(
        self, events: Sequence[tuple[Writing, Event | Exception]], facts: Sequence[WriteFact], seconds_per_token: float
    ) -> None:
        if seconds_per_token:
            before = self._seconds_per_token or seconds_per_token
            self._seconds_per_token = 0.9 * before + 0.1 * seconds_per_token
        for writing, event in events:
            writing.events.put_nowait(event)
        for fact in facts:
            self._observe(fact)


def _fact(answer: Answer, place: _Place) -> WriteFact:
    return WriteFact(len(answer.prompt), len(answer.growth.ids), place.seconds_to_first)
