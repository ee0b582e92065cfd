from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tunewright.serve.batching import BatchFact
from tunewright.serve.counters import Counters
from tunewright.serve.writing import WriteFact


def samples(counters: Counters) -> dict[tuple, float]:
    families = text_string_to_metric_families(counters.exposition().decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def test_requests_are_counted_by_route_and_status_and_unknown_paths_together() -> None:
    counters = Counters(["/known"], tokens_waiting=lambda: 7)
    counters.count_request("/known", 200, 0.004)
    counters.count_request("/known", 200, 0.3)
    for number in range(100):
        counters.count_request(f"/guess/{number}", 404, 0.001)
    seen = samples(counters)
    assert seen["tunewright_requests_total", ("route", "/known"), ("status", "200")] == 2
    assert seen["tunewright_requests_total", ("route", "other"), ("status", "404")] == 100
    assert seen["tunewright_request_seconds_bucket", ("le", "0.005"), ("route", "/known")] == 1
    assert seen["tunewright_request_seconds_count", ("route", "/known")] == 2
    assert not any("/guess" in str(key) for key in seen)


def test_batches_queue_and_models_are_shown() -> None:
    waiting = 7
    counters = Counters([], tokens_waiting=lambda: waiting)
    counters.count_batch(BatchFact(rows=3, requests=2, tokens=30, seconds=0.01))
    counters.name_model("tickets", "4", "classification")
    seen = samples(counters)
    assert seen["tunewright_batch_rows_sum",] == 3 and seen["tunewright_batch_rows_bucket", ("le", "2.0")] == 0
    assert seen["tunewright_queue_tokens",] == 7
    assert seen["tunewright_model", ("name", "tickets"), ("task", "classification"), ("version", "4")] == 1
    waiting = 0
    assert samples(counters)["tunewright_queue_tokens",] == 0


def test_tokens_of_texts_and_the_time_to_the_first_are_counted_but_not_of_one_that_never_began() -> None:
    counters = Counters([], tokens_waiting=int)
    counters.count_text(WriteFact(prompt_tokens=10, tokens=4, seconds_to_first=0.3))
    counters.count_text(WriteFact(prompt_tokens=5, tokens=0, seconds_to_first=0.0))
    seen = samples(counters)
    assert seen["tunewright_text_tokens_total", ("direction", "in")] == 15
    assert seen["tunewright_text_tokens_total", ("direction", "out")] == 4
    assert seen["tunewright_first_token_seconds_count",] == 1 and seen["tunewright_first_token_seconds_sum",] == 0.3


def test_two_applications_count_apart() -> None:
    one, other = Counters(["/a"], tokens_waiting=int), Counters(["/a"], tokens_waiting=int)
    one.count_request("/a", 200, 0.1)
    assert "tunewright_requests_total{" not in other.exposition().decode()
