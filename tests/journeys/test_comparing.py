"""Texts that are compared, from a file of pairs to the answers of a server, and vectors that others make alike."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from tests import tiny_tasks as tiny
from tests.serve.fakes import opened

from tunewright import asking
from tunewright.pipeline.check import check
from tunewright.pipeline.evaluate import evaluate_model, load
from tunewright.pipeline.run import RunResult, run
from tunewright.pipeline.start import propose_recipe
from tunewright.recipe.errors import Refusal
from tunewright.serve.app import create_app
from tunewright.serve.predictor import Predictor

KINDS = ("retrieval", "similarity")
METRIC = {"retrieval": "mrr", "similarity": "spearman"}


@pytest.fixture(scope="module", params=KINDS)
def journey(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[tuple[str, RunResult]]:
    """A kind of task and its finished run, the folder of which is home."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWRIGHT_HOME", str(folder))
        recipe = tiny.write_pairs_task(folder, request.param)
        assert check(recipe).ok
        yield request.param, run(recipe)


def evidence(result: RunResult, name: str) -> dict:
    return json.loads((result.folder / name).read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_init_recognises_pairs_and_check_accepts_what_it_writes(kind, tmp_path):
    tiny.write_pairs_task(tmp_path, kind)
    written = propose_recipe(tmp_path / "rows.jsonl", base="base", folder=tmp_path)
    (tmp_path / "init.yaml").write_text(written)
    report = check(tmp_path / "init.yaml")
    assert f"kind: {kind}" in written and report.ok
    says = {line.title: line.says for line in report.lines}
    assert ("contrastive" if kind == "retrieval" else "supervised") in says["pieces"]


def test_training_beats_every_rung_on_the_same_rows(journey):
    kind, result = journey
    rungs = evidence(result, "evidence.json")["rungs"]
    named = {name: rung["figures"] for part in ("model", "others") for name, rung in rungs[part].items()}
    figures = {name: figure[METRIC[kind]]["value"] for name, figure in named.items()}
    assert set(figures) == {"model", "untouched", "bm25" if kind == "retrieval" else "majority"}
    assert figures["model"] > figures["untouched"] + 0.05
    if kind == "similarity":
        assert figures["majority"] == "UNMEASURED", "a constant has no order"
        assert named["model"]["rmse"]["value"] < named["untouched"]["rmse"]["value"]


def test_nothing_but_the_trunk_trained_and_what_is_kept_is_what_was_trained(journey):
    kind, result = journey
    effect, parity = evidence(result, "effect.json"), evidence(result, "parity.json")
    assert effect["changed"] is True and effect["frozen_identical"] is True and effect["frozen"] == 0
    assert parity["same_token_ids"] and parity["reloaded"]["holds"] and parity["served"]["holds"]
    assert "head.safetensors" not in {path.name for path in (result.folder / "model").iterdir()}


def test_the_report_shows_the_figures_and_the_rows(journey):
    kind, result = journey
    page = (result.folder / "report.html").read_text()
    assert METRIC[kind] in page and "untouched" in page
    assert ("at place" in page) is (kind == "retrieval")


def test_sentence_transformers_opens_the_model_and_makes_its_vectors(journey):
    _, result = journey
    predictor = Predictor.load(result.folder / "model", dtype="float32")
    texts = ["my card is late", "where is the refund"]
    theirs = SentenceTransformer(str(result.folder / "model"), device="cpu", local_files_only=True)
    value = predictor.logits([tuple(texts)])[0]
    vectors = theirs.encode(texts)
    cosine = float(vectors[0] @ vectors[1])
    shape = predictor.model.shape
    if predictor.task == "retrieval":
        np.testing.assert_allclose(value, vectors, atol=2e-6)
    else:
        assert value == pytest.approx(shape.zero + shape.unit * cosine, abs=1e-5)
        assert (shape.zero, shape.unit) == (1.0, 4.0), "the least answer of training and the range"


def test_a_file_is_judged_as_the_test_rows_were(journey):
    kind, result = journey
    splits = json.loads((result.folder / "data" / "splits.json").read_text())
    said = evaluate_model(str(result.folder), result.folder.parents[2] / "rows.jsonl")
    assert said.kind == kind and said.rows == 90 and said.trained_on == 90 - len(splits["test"])
    assert said.figures[METRIC[kind]].value > 0.1


def test_pairs_given_by_hand_get_a_number_each(journey):
    kind, result = journey
    columns = load(str(result.folder)).columns
    pair = dict(zip(columns, ("card late money", "late card money"), strict=True))
    (said,) = asking.answer(str(result.folder), [json.dumps(pair)], file=None, stdin=sys.stdin).predictions
    other = dict(zip(columns, ("card late money", "please refund this"), strict=True))
    (less,) = asking.answer(str(result.folder), [json.dumps(other)], file=None, stdin=sys.stdin).predictions
    assert said.value > less.value
    with pytest.raises(Refusal, match=f"{columns[1]} is empty"):
        asking.answer(str(result.folder), [json.dumps(pair | {columns[1]: " "})], file=None, stdin=io.StringIO())


def test_of_a_file_of_queries_and_passages_the_nearest_passages_are_found(journey):
    kind, result = journey
    path = result.folder.parents[2] / "rows.jsonl"
    answered = asking.answer(str(result.folder), [], file=path, stdin=sys.stdin)
    said = answered.to_json()["predictions"]
    assert len(said) == 90
    if kind == "similarity":
        assert set(said[0]) == {"id", "value"}
        return
    passages = [json.loads(line)["passage"] for line in path.read_text().splitlines()]
    for one, own in zip(said, passages, strict=True):
        nearest = [found["passage"] for found in one["nearest"]]
        values = [found["value"] for found in one["nearest"]]
        assert len(set(nearest)) == 5 and values == sorted(values, reverse=True) and set(nearest) <= set(passages)
        assert (one["place"] <= 5) is (own in nearest)
        if own in nearest:
            assert nearest.index(own) + 1 == one["place"]
            assert values[one["place"] - 1] == pytest.approx(one["value"], abs=1e-5)


def test_a_server_says_what_the_predictor_says(journey):
    _, result = journey
    predictor = load(str(result.folder))
    rows = [("card late money", "late card money"), ("hello", "please refund this order")]
    inputs = [dict(zip(predictor.columns, row, strict=True)) for row in rows]

    async def asked() -> dict:
        async with opened(create_app({"pairs@1": predictor}, token="secret")) as client:
            response = await client.post("/v1/predict", json={"input": inputs})
            return response.json()

    served = asyncio.run(asked())["predictions"]
    assert [one["value"] for one in served] == pytest.approx([said.value for said in predictor.predict(rows)], abs=1e-5)


def test_a_head_is_refused_where_there_is_none(tmp_path: Path):
    recipe = tiny.write_pairs_task(tmp_path, "retrieval")
    report = check(recipe, overrides=["phases.0.trainable=head"])
    refused = [line for line in report.lines if line.state == "refused"]
    assert len(refused) == 1 and "has no new head" in refused[0].says
