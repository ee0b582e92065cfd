from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.serve.fakes import FakePredictor

from tunewright.recipe.errors import DataRefusal
from tunewright.serve.front import ClientLeft
from tunewright.serve.protocol import ApiError
from tunewright.serve.service import Limits, Service


async def stay() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


def run(test: Callable[[Service], Awaitable[None]], limits: Limits | None = None, **predictors: FakePredictor) -> None:
    models = {name.replace("_at_", "@"): predictor for name, predictor in predictors.items()} or {"m": FakePredictor()}

    async def whole() -> None:
        service = Service(lambda: models, limits or Limits(), routes=())
        await service.open()
        try:
            await asyncio.wait_for(test(service), 20)
        finally:
            await service.drain()

    asyncio.run(whole())


def test_a_model_is_found_by_id_by_name_or_as_the_only_one() -> None:
    async def test(service: Service) -> None:
        assert [service.find(reference).version for reference in ("m@3", "m", None)] == ["3", "3", "3"]

    run(test, m_at_3=FakePredictor())


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    async def test(service: Service) -> None:
        with pytest.raises(ApiError) as refused:
            service.find("tickts@1")
        assert refused.value.status == 404 and "Did you mean 'tickets@1'" in refused.value.message

    run(test, tickets_at_1=FakePredictor())


def test_several_models_must_be_told_apart() -> None:
    async def test(service: Service) -> None:
        assert service.find("b").id == "b@1" and service.find("a@2").version == "2"
        for reference in (None, "a"):
            with pytest.raises(ApiError) as refused:
                service.find(reference)
            assert (refused.value.status, refused.value.code) == (400, "ambiguous_model")

    run(test, a_at_1=FakePredictor(), a_at_2=FakePredictor(), b_at_1=FakePredictor())


def test_each_model_answers_once_before_it_is_ready_and_in_a_worker() -> None:
    predictor = FakePredictor(columns_read=("subject", "body"))

    async def test(service: Service) -> None:
        assert service.state == "ready" and predictor.batches == [[("ready", "ready")]]
        await service.answer(service.find(None), [("a", "b")], stay)
        assert all(name.startswith("tunewright-batches-") for name in predictor.threads)

    run(test, m=predictor)


@pytest.mark.parametrize(
    ("parameters", "threads", "alone"), [(1000, 3, True), (1000, 1, False), (10**9, 3, False)]
)
def test_small_models_get_a_worker_a_thread_and_large_ones_all_threads(
    parameters: int, threads: int, alone: bool
) -> None:
    seen: set[tuple[str, int]] = set()

    class Watching(FakePredictor):
        def outputs_of_rows(self, rows: Any) -> np.ndarray:
            seen.add((threading.current_thread().name, torch.get_num_threads()))
            time.sleep(0.02)
            return super().outputs_of_rows(rows)

    async def test(service: Service) -> None:
        served = service.find(None)
        await asyncio.gather(*(service.answer(served, [("word " * 200,)], stay) for _ in range(12)))

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        run(test, m=Watching(parameters=parameters))
        assert {count for _, count in seen} == {1 if alone else threads}
        assert len({name for name, _ in seen}) == (threads if alone else 1)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_client_that_leaves_takes_its_waiting_rows_along() -> None:
    predictor = FakePredictor(seconds_per_batch=0.05)

    async def test(service: Service) -> None:
        async def leave_soon() -> dict[str, Any]:
            await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        served = service.find(None)
        first = asyncio.create_task(service.answer(served, [("stays",)], stay))
        await asyncio.sleep(0.005)
        with pytest.raises(ClientLeft):
            await service.answer(served, [("leaves",)], leave_soon)
        assert asyncio.current_task().cancelling() == 0
        await first
        assert [("leaves",)] not in predictor.batches

    run(test, m=predictor)


def test_a_refusal_of_the_model_is_the_clients_error_and_a_failure_is_ours() -> None:
    class Refusing(FakePredictor):
        def outputs_of_rows(self, rows: Any) -> np.ndarray:
            if rows == [("long",)]:
                raise DataRefusal("The text is too long.")
            return super().outputs_of_rows(rows)

    async def test(service: Service) -> None:
        with pytest.raises(ApiError) as refused:
            await service.answer(service.find(None), [("long",)], stay)
        assert refused.value.status == 400 and "too long" in refused.value.message
        with pytest.raises(ValueError, match="secret"):
            await service.answer(service.find(None), [("explode",)], stay)

    run(test, m=Refusing())


def test_a_full_queue_is_429_with_retry_after() -> None:
    async def test(service: Service) -> None:
        served = service.find(None)
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(service.answer(served, [("word " * 20,)], stay)))
            await asyncio.sleep(0.005)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers[:2]] == [np.ndarray, np.ndarray]
        assert answers[2].status == 429 and int(answers[2].headers["retry-after"]) >= 1

    run(test, Limits(queue_tokens=40), m=FakePredictor(seconds_per_batch=0.1))


def test_a_model_that_cannot_be_loaded_leaves_the_service_failed() -> None:
    def load() -> dict[str, FakePredictor]:
        raise DataRefusal("no such model")

    async def whole() -> None:
        service = Service(load, Limits(), routes=())
        with pytest.raises(DataRefusal):
            await service.open()
        assert service.state == "failed" and isinstance(service.failure, DataRefusal)
        await service.drain()

    asyncio.run(whole())
