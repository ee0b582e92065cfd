"""Requests gathered into batches for worker threads. Knows queues, threads and cancellation; must not know HTTP.

A worker takes its share of whatever waits, at once, up to a budget of tokens: an idle machine adds no delay, a busy one
forms larger batches by itself, and what the event loop reads in one go stays together. Requests take turns within a
batch, so that a long list does not hold up a single text.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Row = tuple[str, ...]
Lane = Callable[[Sequence[Row]], np.ndarray]  # rows to one output each, [r] or [r, c]; runs in a worker thread

_LEAST_SHARE = 128  # tokens below which a batch is not shared among workers
_COMPANY_TOKENS = 256  # above which a batch waits for no company


class QueueFull(Exception):
    """There is no room for these rows now; `retry_after_seconds` is when to expect some."""

    def __init__(self, retry_after_seconds: int):
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"the queue is full; try again in {retry_after_seconds} s")


class Closed(Exception):
    """The batcher takes no more rows: it is not started, or draining."""


class Job:
    """The rows of one request on their way through. Workers own `next_row`, the event loop owns the rest."""

    __slots__ = ("answered", "future", "given_up", "lane", "next_row", "pieces", "rows", "tokens_r")

    def __init__(self, lane: Lane, rows: Sequence[Row], tokens_r: Sequence[int], future: asyncio.Future[np.ndarray]):
        self.lane, self.rows, self.tokens_r, self.future = lane, rows, tokens_r, future
        self.next_row = 0
        self.answered = 0
        self.pieces: dict[int, np.ndarray] = {}  # by first row, in the order in which workers were done
        self.given_up = False

    @property
    def tokens_waiting(self) -> int:
        return sum(self.tokens_r[self.next_row :])

    def rows_within(self, tokens: int) -> tuple[int, int]:
        """How many of the next rows fit in `tokens`, and the tokens they hold."""
        count = held = 0
        for row_tokens in self.tokens_r[self.next_row :]:
            if held + row_tokens > tokens:
                break
            held += row_tokens
            count += 1
        return count, held

    def answer(self, start: int, outputs: np.ndarray) -> None:
        """Takes the outputs of the rows from `start` on; the last piece settles the request."""
        self.pieces[start] = outputs
        self.answered += len(outputs)
        if self.answered == len(self.rows) and not self.future.done():
            self.future.set_result(np.concatenate([self.pieces[place] for place in sorted(self.pieces)]))

    def fail(self, error: Exception) -> None:
        self.given_up = True
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True)
class Slice:
    """Rows `start` to `stop` of a job, in one batch."""

    job: Job
    start: int
    stop: int

    @property
    def rows(self) -> Sequence[Row]:
        return self.job.rows[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class BatchFact:
    """What one batch was, for whoever counts."""

    rows: int
    requests: int
    tokens: int
    seconds: float


class Batcher:
    """Takes rows from many coroutines of one event loop and answers them from worker threads, by default from one.

    `batch_tokens` bounds a batch (a row longer than that goes alone), `turn_tokens` what one request may put into it
    before the others have had their turn, `queue_tokens` what may wait: more is refused with QueueFull, except by an
    empty queue. Tokens are whatever the caller counts; `observe` is called on the event loop after every batch. Lanes
    must bear calls from as many threads at once as there are workers.
    """

    def __init__(
        self,
        *,
        batch_tokens: int = 4096,
        turn_tokens: int = 1024,
        queue_tokens: int = 1 << 18,
        observe: Callable[[BatchFact], None] = lambda fact: None,
    ):
        self._batch_tokens, self._turn_tokens, self._queue_tokens = batch_tokens, turn_tokens, queue_tokens
        self._observe = observe
        self._wake = threading.Condition()
        self._arrived: list[Job] = []  # not yet shown to the workers; belongs to the event loop
        self._lanes: dict[Lane, deque[Job]] = {}  # guarded by _wake; the first lane is served next
        self._tokens_waiting = 0  # guarded by _wake
        self._idle = 0  # workers that wait; guarded by _wake
        self._under_way = 0  # requests unsettled when the latest batch was done; written on the event loop
        self._batch_seconds = 0.0  # of the latest batch; written on the event loop
        self._stopping = False  # guarded by _wake
        self._workers: list[threading.Thread] = []
        self._accepting = False
        self._unsettled = 0
        self._settled = asyncio.Event()
        self._seconds_per_token = 0.0

    def start(self, workers: int = 1, *, prepare: Callable[[], None] = lambda: None) -> None:
        """Starts the workers, each after `prepare` in its own thread; to be called on the loop that will submit."""
        self._loop = asyncio.get_running_loop()
        prepared = threading.Barrier(workers + 1)

        def work() -> None:
            prepare()
            prepared.wait()
            self._work()

        self._workers = [
            threading.Thread(target=work, name=f"tunewright-batches-{i}", daemon=True) for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()
        prepared.wait()
        self._accepting = True

    @property
    def tokens_waiting(self) -> int:
        return self._tokens_waiting

    @property
    def requests_unsettled(self) -> int:
        return self._unsettled

    async def submit(self, lane: Lane, rows: Sequence[Row], *, tokens_r: Sequence[int]) -> np.ndarray:
        """The outputs of `rows`, float32 [r, ...]. Cancelling the call withdraws the rows that have not begun.

        Raises QueueFull, Closed, or what `lane` raised for these rows.
        """
        if not self._accepting:
            raise Closed
        job = Job(lane, rows, tokens_r, self._loop.create_future())
        self._enqueue(job)
        self._unsettled += 1
        try:
            return await job.future
        except asyncio.CancelledError:
            self._withdraw(job)
            raise
        finally:
            self._unsettled -= 1
            if not self._unsettled:
                self._settled.set()

    async def drain(self, *, timeout_seconds: float) -> bool:
        """Refuses new rows, waits until those taken are answered, and stops the workers. False where time ran out."""
        self._accepting = False
        self._settled.clear()
        if self._unsettled:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), timeout_seconds)
        in_time = not self._unsettled
        with self._wake:
            self._stopping = True
            left = [*self._arrived, *(job for jobs in self._lanes.values() for job in jobs)]
            self._arrived.clear()
            self._lanes.clear()
            self._tokens_waiting = 0
            self._wake.notify_all()
        for job in left:
            job.fail(Closed())
        if in_time:
            for worker in self._workers:
                await asyncio.to_thread(worker.join)
        return in_time

    def _enqueue(self, job: Job) -> None:
        tokens = sum(job.tokens_r)
        with self._wake:
            if self._tokens_waiting and self._tokens_waiting + tokens > self._queue_tokens:
                raise QueueFull(max(1, math.ceil(self._tokens_waiting * self._seconds_per_token)))
            self._tokens_waiting += tokens
        self._arrived.append(job)
        if len(self._arrived) == 1:
            self._loop.call_soon(self._admit)  # after all that is ready now, so that no worker takes the first alone

    def _admit(self) -> None:
        with self._wake:
            for job in self._arrived:
                self._lanes.setdefault(job.lane, deque()).append(job)
            self._arrived.clear()
            self._wake.notify()

    def _withdraw(self, job: Job) -> None:
        with self._wake:
            if job.given_up:
                return
            job.given_up = True
            for jobs in (self._arrived, self._lanes.get(job.lane, [])):
                if job in jobs:
                    self._tokens_waiting -= job.tokens_waiting
                    jobs.remove(job)
            if not self._lanes.get(job.lane, True):
                del self._lanes[job.lane]

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            lane, slices, tokens = batch
            began = time.perf_counter()
            answers = _run(lane, slices)
            fact = BatchFact(sum(s.stop - s.start for s in slices), len(slices), tokens, time.perf_counter() - began)
            with contextlib.suppress(RuntimeError):  # the loop has closed: time to drain ran out, nobody waits
                self._loop.call_soon_threadsafe(self._deliver, slices, answers, fact)

    def _next_batch(self) -> tuple[Lane, list[Slice], int] | None:
        with self._wake:
            self._idle += 1
            self._wake.wait_for(self._worth_starting, self._batch_seconds / 8)
            self._wake.wait_for(lambda: self._lanes or self._stopping)
            self._idle -= 1
            if not self._lanes:
                return None
            lane = next(iter(self._lanes))
            jobs = self._lanes.pop(lane)
            share = -(-self._tokens_waiting // (1 + self._idle))
            slices, tokens = self._fill(jobs, min(self._batch_tokens, max(share, _LEAST_SHARE)))
            self._tokens_waiting -= tokens
            if jobs:
                self._lanes[lane] = jobs  # at the end: other models have their turn first
            if self._lanes:
                self._wake.notify()  # the rest is for the next worker that waits
            return lane, slices, tokens

    def _worth_starting(self) -> bool:
        """Small batches cost the most a row: one waits a moment for its share of the requests that are under way."""
        waiting = sum(map(len, self._lanes.values()))
        share = self._under_way // len(self._workers)
        return self._stopping or waiting >= share or self._tokens_waiting >= _COMPANY_TOKENS

    def _fill(self, jobs: deque[Job], budget: int) -> tuple[list[Slice], int]:
        """A batch from the front of `jobs`, in turns; a job whose rows are all taken leaves the queue."""
        slices: dict[Job, Slice] = {}
        room = budget
        while jobs:
            job = jobs[0]
            count, tokens = job.rows_within(min(self._turn_tokens, room))
            if not count:  # the next row is longer than a turn: it goes where there is room for it, or alone
                count, tokens = 1, job.tokens_r[job.next_row]
                if slices and tokens > room:
                    break
            taken = slices.setdefault(job, Slice(job, job.next_row, job.next_row))
            taken.stop = job.next_row = job.next_row + count
            room -= tokens
            jobs.popleft()
            if job.next_row < len(job.rows):
                jobs.append(job)
        return list(slices.values()), budget - room

    def _deliver(self, slices: Sequence[Slice], answers: Sequence[np.ndarray | Exception], fact: BatchFact) -> None:
        self._under_way, self._batch_seconds = self._unsettled, fact.seconds
        if fact.tokens:
            pace = fact.seconds / fact.tokens
            self._seconds_per_token = 0.8 * self._seconds_per_token + 0.2 * pace if self._seconds_per_token else pace
        for taken, answer in zip(slices, answers, strict=True):
            if isinstance(answer, Exception):
                self._withdraw(taken.job)
                taken.job.fail(answer)
            else:
                taken.job.answer(taken.start, answer)
        self._observe(fact)


def _run(lane: Lane, slices: Sequence[Slice]) -> list[np.ndarray | Exception]:
    """One answer a slice. Where a batch fails its slices run alone, so that one bad request spoils no other."""
    try:
        outputs = lane([row for taken in slices for row in taken.rows])
    except Exception as error:
        if len(slices) == 1:
            return [error]
        return [answer for taken in slices for answer in _run(lane, [taken])]
    stops = np.cumsum([taken.stop - taken.start for taken in slices])
    return list(np.split(outputs, stops[:-1]))
