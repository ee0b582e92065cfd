from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.serve.batching import Batcher, BatchFact, Closed, QueueFull


def lengths(rows: Sequence[tuple[str, ...]]) -> np.ndarray:
    return np.array([len(row[0]) for row in rows], dtype=np.float32)


class Recorder:
    """A lane that waits for leave, so that a test decides what is queued while a batch runs."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)

    def __call__(self, rows: Sequence[tuple[str, ...]]) -> np.ndarray:
        self.batches.append([row[0] for row in rows])
        self.entered.release()
        assert self.leave.acquire(timeout=10)
        return lengths(rows)


def run(test: Callable[[Batcher], Awaitable[None]], workers: int = 1, **options: int) -> None:
    async def whole() -> None:
        batcher = Batcher(**options)
        batcher.start(workers)
        try:
            await asyncio.wait_for(test(batcher), 20)
        finally:
            await batcher.drain(timeout_seconds=5)

    asyncio.run(whole())


def submit(batcher: Batcher, lane: object, *texts: str) -> asyncio.Task[np.ndarray]:
    rows = [(text,) for text in texts]
    return asyncio.create_task(batcher.submit(lane, rows, tokens_r=[len(text) for text in texts]))


async def entered(lane: Recorder) -> None:
    assert await asyncio.to_thread(lane.entered.acquire, timeout=10)


def test_an_idle_batcher_runs_a_single_row_at_once() -> None:
    async def test(batcher: Batcher) -> None:
        began = time.perf_counter()
        assert (await submit(batcher, lengths, "abc")).tolist() == [3]
        assert time.perf_counter() - began < 1

    run(test)


def test_what_waits_while_a_batch_runs_goes_together() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        first = submit(batcher, lane, "a")
        await entered(lane)
        rest = [submit(batcher, lane, text) for text in ("bb", "ccc", "dddd")]
        await asyncio.sleep(0.01)
        lane.leave.release(2)
        assert [(await task).tolist() for task in [first, *rest]] == [[1], [2], [3], [4]]
        assert lane.batches == [["a"], ["bb", "ccc", "dddd"]]

    run(test)


def test_requests_take_turns_so_that_a_long_list_holds_up_no_single_text() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        first = submit(batcher, lane, "x")
        await entered(lane)
        long = submit(batcher, lane, *["aaaa"] * 10)
        short = submit(batcher, lane, "bb")
        await asyncio.sleep(0.01)
        lane.leave.release(20)
        await asyncio.gather(first, long, short)
        assert lane.batches[1] == ["aaaa", "aaaa", "bb"]
        assert (await long).tolist() == [4] * 10
        assert all(sum(map(len, batch)) <= 12 for batch in lane.batches)

    run(test, batch_tokens=12, turn_tokens=8)


def test_a_row_longer_than_a_batch_goes_alone() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        first = submit(batcher, lane, "x")
        await entered(lane)
        tasks = [submit(batcher, lane, "aa"), submit(batcher, lane, "b" * 50), submit(batcher, lane, "cc")]
        await asyncio.sleep(0.01)
        lane.leave.release(20)
        await asyncio.gather(first, *tasks)
        assert [batch for batch in lane.batches if "b" * 50 in batch] == [["b" * 50]]

    run(test, batch_tokens=10, turn_tokens=10)


def test_two_models_take_turns_and_never_share_a_batch() -> None:
    async def test(batcher: Batcher) -> None:
        one, other = Recorder(), Recorder()
        one.leave.release(50), other.leave.release(50)
        tasks = [submit(batcher, lane, "aaaa") for _ in range(6) for lane in (one, other)]
        await asyncio.gather(*tasks)
        assert sum(map(len, one.batches)) == sum(map(len, other.batches)) == 6

    run(test, batch_tokens=8)


def test_workers_share_what_waits_and_answers_keep_their_order() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        while batcher._idle < 2:
            await asyncio.sleep(0.001)
        asking = submit(batcher, lane, *("x" * (50 + i) for i in range(8)))
        await entered(lane)
        await entered(lane)  # the second worker, while the first is still busy
        assert sorted(map(len, lane.batches)) == [4, 4]
        lane.leave.release(5)
        assert (await asking).tolist() == list(range(50, 58))

    run(test, workers=2, turn_tokens=1000)


def test_a_small_batch_waits_a_moment_for_its_share_of_the_requests_under_way() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        lane.leave.release(9)
        batcher._under_way, batcher._batch_seconds = 3, 80.0  # as a batch would have left them: wait ten seconds
        alone = [submit(batcher, lane, "a")]
        await asyncio.sleep(0.1)
        assert not lane.batches
        await asyncio.gather(*alone, *(submit(batcher, lane, text) for text in "bc"))
        assert lane.batches == [["a", "b", "c"]]
        assert batcher._under_way == 3 and batcher._batch_seconds < 1

    run(test)


def test_a_small_batch_does_not_wait_for_company_that_does_not_come() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        lane.leave.release(9)
        batcher._under_way, batcher._batch_seconds = 3, 0.8
        began = time.perf_counter()
        await submit(batcher, lane, "a")
        assert time.perf_counter() - began >= 0.1 and lane.batches == [["a"]]

    run(test)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        first = submit(batcher, lane, "x")
        await entered(lane)
        waiting = submit(batcher, lane, "a" * 30)  # alone in the queue, so taken whatever its size
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFull) as full:
            await submit(batcher, lane, "b")
        assert full.value.retry_after_seconds >= 1
        lane.leave.release(5)
        await asyncio.gather(first, waiting)
        assert (await submit(batcher, lengths, "later")).tolist() == [5]

    run(test, queue_tokens=20)


def test_a_cancelled_request_leaves_the_queue_and_makes_room() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        first = submit(batcher, lane, "x")
        await entered(lane)
        given_up, kept = submit(batcher, lane, "gone"), submit(batcher, lane, "kept")
        await asyncio.sleep(0.01)
        given_up.cancel()
        await asyncio.sleep(0.01)
        assert batcher.tokens_waiting == 4
        lane.leave.release(5)
        await asyncio.gather(first, kept)
        assert lane.batches == [["x"], ["kept"]]

    run(test)


def test_a_request_cancelled_in_mid_batch_spoils_no_other() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        first, second = submit(batcher, lane, "one"), None
        await entered(lane)
        first.cancel()
        second = submit(batcher, lane, "second")
        await asyncio.sleep(0.01)
        lane.leave.release(5)
        assert (await second).tolist() == [6]
        assert batcher.requests_unsettled == 0

    run(test)


def test_a_row_that_fails_spoils_only_its_own_request() -> None:
    def lane(rows: Sequence[tuple[str, ...]]) -> np.ndarray:
        time.sleep(0.02)
        if ("bad",) in rows:
            raise ValueError("bad row")
        return lengths(rows)

    async def test(batcher: Batcher) -> None:
        first = submit(batcher, lane, "x")
        await asyncio.sleep(0.005)
        tasks = [submit(batcher, lane, "good"), submit(batcher, lane, "bad"), submit(batcher, lane, "fine!")]
        answers = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert isinstance(answers[2], ValueError)
        assert [answers[i].tolist() for i in (0, 1, 3)] == [[1], [4], [5]]

    run(test)


def test_draining_answers_what_was_taken_and_refuses_what_is_new() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        first = submit(batcher, lane, "one")
        await entered(lane)
        second = submit(batcher, lane, "second")
        await asyncio.sleep(0.01)
        draining = asyncio.create_task(batcher.drain(timeout_seconds=5))
        await asyncio.sleep(0.01)
        with pytest.raises(Closed):
            await submit(batcher, lane, "late")
        lane.leave.release(5)
        assert await draining
        assert (await first).tolist() == [3] and (await second).tolist() == [6]

    run(test)


def test_draining_out_of_time_fails_what_still_waits() -> None:
    async def test(batcher: Batcher) -> None:
        lane = Recorder()
        running = submit(batcher, lane, "one")
        await entered(lane)
        waiting = submit(batcher, lane, "second")
        await asyncio.sleep(0.01)
        assert not await batcher.drain(timeout_seconds=0.05)
        with pytest.raises(Closed):
            await waiting
        lane.leave.release(5)
        assert (await running).tolist() == [3]

    run(test)


def test_every_batch_is_observed() -> None:
    facts: list[BatchFact] = []

    async def whole() -> None:
        batcher = Batcher(observe=facts.append)
        batcher.start()
        await batcher.submit(lengths, [("ab",), ("c",)], tokens_r=[2, 1])
        await batcher.drain(timeout_seconds=5)

    asyncio.run(whole())
    assert [(fact.rows, fact.requests, fact.tokens) for fact in facts] == [(2, 1, 3)]


texts_of_a_request = st.lists(st.text("ab", min_size=1, max_size=9), min_size=1, max_size=7)
requests = st.lists(st.tuples(texts_of_a_request, st.integers(0, 2), st.booleans()), min_size=1, max_size=12)


@given(requests, st.integers(1, 12), st.integers(1, 12), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_whatever_comes_each_request_gets_its_own_answers_in_order(
    several: list[tuple[list[str], int, bool]], batch_tokens: int, turn_tokens: int, workers: int
) -> None:
    sizes: list[int] = []

    def lane(rows: Sequence[tuple[str, ...]]) -> np.ndarray:
        sizes.append(sum(len(row[0]) for row in rows) if len(rows) > 1 else 0)
        return lengths(rows)

    async def test(batcher: Batcher) -> None:
        tasks = []
        for texts, pauses, cancelled in several:
            task = submit(batcher, lane, *texts)
            for _ in range(pauses):
                await asyncio.sleep(0)
            if cancelled:
                task.cancel()
            tasks.append(task)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for answer, (texts, _, cancelled) in zip(answers, several, strict=True):
            assert cancelled or answer.tolist() == [len(text) for text in texts]
        await asyncio.sleep(0)
        assert batcher.tokens_waiting == 0 and batcher.requests_unsettled == 0
        assert max(sizes, default=0) <= batch_tokens

    run(test, workers, batch_tokens=batch_tokens, turn_tokens=turn_tokens)
