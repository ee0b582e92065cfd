"""Summaries of long texts, piece by piece: the same in judging, predicting and serving, and said by check."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests import tiny_bases
from tests.tiny_tasks import write_rows

from tunewright.pipeline.check import check
from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.run import run
from tunewright.recipe.errors import DataRefusal, RecipeRefusal
from tunewright.serve.service import Limits, Service

CHUNKS = "encode.long={kind: chunks, train: truncate}"


@pytest.fixture(params=["t5", "llama"])
def recipe(tmp_path, request):
    """Texts of which some are far longer than 48 tokens, summarised in three words."""
    tiny_bases.make_tiny_base(tmp_path / "base", request.param)
    chance, words = random.Random(1), sorted(set(tiny_bases.WORDS.split()))
    rows = [{"text": ". ".join(" ".join(chance.choices(words, k=6)) for _ in range(2 + 10 * (i % 5 == 0))),
             "summary": " ".join(chance.choices(words, k=3))} for i in range(60)]  # fmt: skip
    write_rows(tmp_path / "rows.jsonl", rows)
    template = ", chat_template: plain" if request.param == "llama" else ""
    (tmp_path / "recipe.yaml").write_text(
        "name: tiny-pieces\n"
        "task: {kind: summarisation, input: text, output: summary, prompts: ['the fee {text} now']}\n"
        f"base: base\ndata: {{train: rows.jsonl}}\nencode: {{max_length: 48{template}}}\n"
        "phases: [{budget: 2 updates}]\n"
        "evaluate: {resamples: 200, baselines: [lead], writing: {kind: greedy, max_new_tokens: 8}}\n", encoding="utf-8",
    )  # fmt: skip
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize(
    ("overrides", "refusal", "says"),
    [
        (["encode.long=chunks"], DataRefusal, "cannot be read in pieces"),
        ([CHUNKS, "task.kind=generation", "evaluate.baselines=[copy]"], RecipeRefusal, "cannot be put together"),
        ([CHUNKS, "evaluate.writing={kind: greedy, max_new_tokens: 17}"], RecipeRefusal, "would not get short enough"),
    ],
)
def test_what_cannot_be_read_in_pieces_is_refused(recipe, overrides, refusal, says):
    with pytest.raises(refusal, match=says):
        make_plan(read_recipe(recipe, overrides))


def test_rows_to_learn_from_may_be_left_out_and_those_that_judge_stay(recipe):
    plan = make_plan(read_recipe(recipe, ["encode.long={kind: chunks, train: drop}"]))
    assert all((entry.fate, entry.reason) != ("dropped", "drawn") for entry in plan.prepared.ledger.entries)
    assert plan.prepared.ledger.counts()["dropped_because"]["too_long"] > 0
    assert not plan.encoded["train"].cut_r.any() and plan.encoded["test"].cut_r.any()


def test_a_long_text_is_summarised_alike_wherever_it_is_asked(recipe):
    lines = {line.title: line for line in check(recipe, overrides=[CHUNKS]).lines}
    assert "test rows are read in pieces" in lines["lengths"].says and lines["lengths"].state == "look"
    done = run(recipe, overrides=[CHUNKS])
    model = done.model
    text = ". ".join(f"my card has not arrived yet and i want to know {word}" for word in ("where", "it", "is")) * 4
    rows = model.rows([text, "hello"])
    condensing = model.orders.condensing(rows)
    pieces = next(condensing)
    assert len(pieces) > 2 and all(len(order.prompt) <= model.encoder.most_before_answers for order in pieces)
    parts = ("the fee", "now")
    prefix, suffix = (model.orders.tokenizer(part, add_special_tokens=False)["input_ids"] for part in parts)
    for order in pieces:
        ids = list(order.prompt)
        assert any(ids[at : at + len(prefix)] == prefix for at in range(3)) and suffix[0] in ids[-4:]
    final = None
    try:
        condensing.send(["hello card"] * len(pieces))
    except StopIteration as stop:
        final = stop.value
    assert final is not None and len(final) == 2 and final[1].prompt == model.orders.of_rows(rows[1:])[0].prompt
    predicted = [said.text for said in model.predict([text, "hello"])]

    async def served() -> list[str]:
        service = Service(lambda: {"m@1": model}, Limits(), routes=())
        await service.open()
        try:
            return list(await service.answer(service.find("m"), rows, asyncio.Event().wait))
        finally:
            await service.drain()

    assert asyncio.run(served()) == predicted
