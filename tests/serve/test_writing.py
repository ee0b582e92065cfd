from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import transformers
from tests.serve.chatters import COUNTING, UNICODE, chatter, taught_lm, watched_lm

from tunewright.model.answers import Generated
from tunewright.model.generate import generate
from tunewright.model.sampling import Sampling
from tunewright.serve.batching import Closed, QueueFull
from tunewright.serve.orders import Order
from tunewright.serve.writing import WriteFact, Writer
from tunewright.values import Turn

ORDERS = chatter().orders


def order(text: str, **options: object) -> Order:
    prompt = ORDERS.of_rows([(Turn(text, "user"),)])[0].prompt
    return Order(prompt, Sampling(**{"max_new_tokens": 100} | options))


def run(
    test: Callable[[Writer], Awaitable[None]], lm: transformers.PreTrainedModel | None = None, **options: object
) -> list[WriteFact]:
    facts: list[WriteFact] = []

    async def whole() -> None:
        writer = Writer(lm or taught_lm(), ORDERS.tokenizer, ends=ORDERS.ends, observe=facts.append, **options)
        writer.start()
        try:
            await asyncio.wait_for(test(writer), 30)
        finally:
            await writer.drain(timeout_seconds=0)

    asyncio.run(whole())
    return facts


async def pieces_of(writer: Writer, one: Order) -> tuple[list[str], Generated]:
    with writer.writing([one], told=True) as writing:
        pieces: list[str] = []
        while writing.open_answers:
            _, said = await writing.next_event()
            if isinstance(said, Generated):
                return pieces, said
            pieces.append(said)
    raise AssertionError


def test_answers_are_those_of_generating_each_alone() -> None:
    asked = [order("hello"), order("count"), order("count", temperature=1.5, seed=4), order("hello", stop=("😀",))]
    alone = [
        generate(taught_lm(), ORDERS.tokenizer, [one.prompt], sampling=one.sampling, ends=ORDERS.ends)[0]
        for one in asked
    ]

    async def test(writer: Writer) -> None:
        several = await asyncio.gather(writer.write(asked), *(writer.write([one]) for one in asked))
        assert [[one.text for one in said] for said in several] == [
            [one.text for one in alone], *([one.text] for one in alone)
        ]  # fmt: skip

    facts = run(test)
    assert sum(fact.tokens for fact in facts) == 2 * sum(len(one.ids) for one in alone)
    assert all(fact.seconds_to_first > 0 and fact.prompt_tokens > 0 for fact in facts)


def test_the_pieces_of_an_answer_are_its_text_and_hold_no_half_characters() -> None:
    async def test(writer: Writer) -> None:
        pieces, said = await pieces_of(writer, order("hello"))
        assert "".join(pieces) == said.text == UNICODE and len(pieces) > 3
        assert "�" not in "".join(pieces)

    run(test)


def test_several_grow_side_by_side_and_a_long_list_does_not_hold_up_a_single_one() -> None:
    lm, steps = watched_lm(seconds_per_step=0.002)
    done: list[str] = []

    async def test(writer: Writer) -> None:
        async def ask(name: str, *orders: Order) -> None:
            await writer.write(orders)
            done.append(name)

        many = asyncio.create_task(ask("many", *[order("count", max_new_tokens=20)] * 9))
        await asyncio.sleep(0.02)
        await ask("one", order("count", max_new_tokens=5))
        await many

    run(test, lm, at_once=4)
    assert done == ["one", "many"] and max(steps) == 4


def test_what_nobody_waits_for_is_not_computed() -> None:
    lm, steps = watched_lm(seconds_per_step=0.005)

    async def test(writer: Writer) -> None:
        with writer.writing([order("count")] * 3, told=True) as writing:
            await writing.next_event()
        await asyncio.sleep(0.05)
        assert writer.tokens_waiting == 0
        seen = len(steps)
        assert seen < 40
        await asyncio.sleep(0.05)
        assert len(steps) == seen

    facts = run(test, lm, at_once=2)
    assert len(facts) == 2 and all(0 < fact.tokens < 40 for fact in facts)


def test_cancelling_gives_up() -> None:
    lm, steps = watched_lm(seconds_per_step=0.005)

    async def test(writer: Writer) -> None:
        asking = asyncio.create_task(writer.write([order("count")]))
        await asyncio.sleep(0.03)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        [said] = await writer.write([order("hello")])
        assert said.text == UNICODE

    facts = run(test, lm)
    assert [fact.tokens < 30 for fact in facts] == [True, True]


def test_more_than_may_wait_is_refused_with_when_to_come_again() -> None:
    lm, _ = watched_lm(seconds_per_step=0.005)

    async def test(writer: Writer) -> None:
        first = asyncio.create_task(writer.write([order("count")]))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(writer.write([order("hello", max_new_tokens=50)]))  # an empty queue takes all
        await asyncio.sleep(0)
        assert writer.tokens_waiting == 50
        with pytest.raises(QueueFull) as full:
            await writer.write([order("hello", max_new_tokens=11)])
        assert 1 <= full.value.retry_after_seconds <= 60
        small = asyncio.create_task(writer.write([order("hello", max_new_tokens=10)]))
        assert [said.text for task in (first, waiting, small) for said in await task][:2] == [COUNTING, UNICODE]

    run(test, lm, at_once=1, queue_tokens=60)


def test_a_mistake_of_the_model_is_told_to_those_it_hit_and_to_no_other() -> None:
    lm, _ = watched_lm(seconds_per_step=0.002, fails_at=5)

    async def test(writer: Writer) -> None:
        hit = await asyncio.gather(
            writer.write([order("count")] * 4), pieces_of(writer, order("hello")), return_exceptions=True
        )
        assert [type(error) for error in hit] == [RuntimeError, RuntimeError]
        assert writer.tokens_waiting == 0
        [said] = await writer.write([order("hello")])
        assert said.text == UNICODE

    run(test, lm, at_once=3)


def test_an_order_that_cannot_be_is_refused_alone() -> None:
    async def test(writer: Writer) -> None:
        refused, said = await asyncio.gather(
            writer.write([order("hello", max_new_tokens=10_000)]), writer.write([order("hello")]),
            return_exceptions=True,
        )  # fmt: skip
        assert "positions" in str(refused) and said[0].text == UNICODE

    run(test)


def test_draining_answers_what_was_taken_and_refuses_what_is_new() -> None:
    lm, _ = watched_lm(seconds_per_step=0.002)

    async def test(writer: Writer) -> None:
        taken = asyncio.create_task(writer.write([order("hello")]))
        await asyncio.sleep(0)
        assert await writer.drain(timeout_seconds=10)
        assert (await taken)[0].text == UNICODE
        with pytest.raises(Closed):
            await writer.write([order("hello")])

    run(test, lm)


def test_where_time_to_drain_runs_out_computing_ends() -> None:
    lm, steps = watched_lm(seconds_per_step=0.02)

    async def test(writer: Writer) -> None:
        taken = asyncio.create_task(writer.write([order("count")] * 3))
        await asyncio.sleep(0.05)
        assert not await writer.drain(timeout_seconds=0.05)
        with pytest.raises(Closed):
            await taken
        seen = len(steps)
        await asyncio.sleep(0.06)
        assert len(steps) == seen < 20

    run(test, lm)


def test_a_writer_that_never_started_drains_at_once() -> None:
    async def whole() -> None:
        writer = Writer(taught_lm(), ORDERS.tokenizer, ends=ORDERS.ends)
        with pytest.raises(Closed):
            await writer.write([order("hello")])
        assert await writer.drain(timeout_seconds=1)

    asyncio.run(whole())


def test_a_beam_search_is_that_of_generating_and_is_told_whole() -> None:
    searched, greedy = order("count", beams=3), order("hello")
    [alone] = generate(
        taught_lm(), ORDERS.tokenizer, [searched.prompt], sampling=searched.sampling, ends=ORDERS.ends
    )

    async def test(writer: Writer) -> None:
        beside = asyncio.ensure_future(writer.write([greedy, searched]))
        pieces, said = await pieces_of(writer, searched)
        assert pieces == [said.text] and said == alone
        first, second = await beside
        assert second == alone and first.finish == "stop"

    assert len(run(test)) == 3
