"""The masked objective against transformers' own loss, and a whole run: it learns, and its trunk is a base."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests import tiny_bases
from tests.tiny_tasks import make_rows, write_rows
from transformers import BertForMaskedLM

from tunewright.data.masked import MaskedEncoder
from tunewright.model.bases import find_base
from tunewright.model.build import build_model
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.predict import judge_tokens
from tunewright.model.weights import load_model
from tunewright.pipeline.check import check
from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.run import run
from tunewright.recipe.errors import RecipeRefusal
from tunewright.train.material import MaskedTokens
from tunewright.train.objectives.masked import Masked
from tunewright.values import Context

TEXTS = [(row["text"],) for row in make_rows(30)]


def model_of(folder):
    base = find_base(str(folder), root=folder)
    return build_model(base, describe(base), kind="pretraining", outputs=200, pooling="mean", seed=4)


def material_of(folder, texts=TEXTS):
    encoder = MaskedEncoder(32, ("text",), 0.3, False, 1, load_tokenizer(folder))
    encoded = encoder.encode(texts)
    names = tuple(map(str, range(encoded.rows)))
    return MaskedTokens(encoded, None, np.ones(encoded.rows, np.float32), names, 0, encoder)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_the_loss_is_that_of_transformers_and_a_missing_head_is_new(tmp_path, family):
    folder = tiny_bases.make_tiny_base(tmp_path / family, family)
    model, material = model_of(folder), material_of(folder)
    assert model.new.tensors and not any("embedding" in name for name in model.new.tensors)
    batch = material.batch(np.arange(4), epoch=1)
    with torch.no_grad():
        values = Masked().values(Context(batch=batch, outputs=model(batch), kind="pretraining"))
        labels = torch.full_like(batch.ids_st, -100)
        labels.view(-1)[batch.at_m] = batch.targets
        theirs = model.trunk(input_ids=batch.ids_st, attention_mask=batch.mask_st.long(), labels=labels).loss
    assert float(values.mean()) == pytest.approx(float(theirs), rel=1e-4)
    again = model_of(folder)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_head_that_the_base_has_is_kept(tmp_path):
    folder = tiny_bases.make_tiny_base(tmp_path / "base", "bert")
    plain = BertForMaskedLM.from_pretrained(folder)
    plain.save_pretrained(folder)
    model = model_of(folder)
    assert not model.new.tensors
    assert torch.equal(model.trunk.cls.predictions.transform.dense.weight, plain.cls.predictions.transform.dense.weight)


def test_other_words_are_hidden_in_each_epoch_and_none_as_for_judging(tmp_path):
    material = material_of(tiny_bases.make_tiny_base(tmp_path / "base", "bert"))
    rows = np.arange(material.encoded.rows)
    first, same, second = (material.batch(rows, epoch=epoch).targets.tolist() for epoch in (0, 0, 1))
    assert first == same != second
    assert first != material.encoded.answers_n[material.encoded.answers_n >= 0].tolist()
    part = material.batch(rows[2:4], epoch=1)
    assert part.row_indices_b.tolist() == [2, 3] and len(part.targets) < len(second)


@pytest.fixture
def recipe(tmp_path):
    tiny_bases.make_tiny_base(tmp_path / "base", "bert")
    words = tiny_bases.WORDS.split()
    phrases = [" ".join(words[start : start + 5]) for start in range(0, 50, 5)]  # after one word comes always the same
    texts = [" ".join(chosen) for chosen in itertools.islice(itertools.permutations(phrases, 3), 0, 720, 6)]
    write_rows(tmp_path / "texts.jsonl", [{"text": text} for text in texts])
    (tmp_path / "recipe.yaml").write_text(
        "name: tiny-domain\ntask: {kind: pretraining, input: text}\nbase: base\ndata: {train: texts.jsonl}\n"
        "encode: {max_length: 32}\nphases: [{budget: 4 epochs, rows_per_update: 8, patience: 0, "
        "optimizer: {kind: adamw, rate: 0.01}}]\nevaluate: {resamples: 200}\n", encoding="utf-8",
    )  # fmt: skip
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("phases.0.objective=supervised", "sees what it would be asked for"),
        ("phases=[{objective: {kind: masked, share: 0.2}}, {objective: masked}]", "in different ways"),
        ("phases.0.objective={kind: masked, share: 0}", "share must be above 0"),
    ],
)
def test_what_an_encoder_cannot_learn_is_refused(recipe, override, says):
    with pytest.raises(RecipeRefusal, match=says):
        make_plan(read_recipe(recipe, [override]))


def test_a_decoder_has_no_words_hidden(recipe, tmp_path):
    tiny_bases.make_tiny_base(tmp_path / "decoder", "llama")
    with pytest.raises(RecipeRefusal, match="reads from one side"):
        make_plan(read_recipe(recipe, ["base=decoder", "phases.0.objective=masked"]))


def test_a_run_learns_the_texts_and_its_trunk_is_the_base_of_another(recipe, tmp_path):
    report = check(recipe)
    lines = {line.title: line for line in report.lines}
    assert report.ok and "masked" in lines["pieces"].says
    assert any("no base has trained" in detail for detail in lines["architecture"].details)
    done = run(recipe)
    ladder = {step["rung"]: step["value"] for step in done.judged.ladder}
    assert set(ladder) == {"model", "untouched", "unigram"}
    assert ladder["model"] < ladder["untouched"]
    parity = json.loads((done.folder / "parity.json").read_text())
    assert parity["same_token_ids"] and parity["reloaded"]["holds"]
    plan = make_plan(read_recipe(recipe))
    judged = judge_tokens(done.model.model, plan.encoded["test"])
    assert np.exp(-judged[:, 0].mean()) == pytest.approx(ladder["model"], rel=0.05)
    trunk = done.folder / "model" / "trunk"
    next_base = find_base(str(trunk), root=tmp_path)
    assert describe(next_base).family == "encoder"
    built = build_model(next_base, describe(next_base), kind="classification", outputs=3, pooling="mean", seed=1)
    words = load_model(trunk.parent).model.trunk.get_input_embeddings().weight
    assert torch.equal(built.trunk.get_input_embeddings().weight, words)
    written = subprocess.run([sys.executable, str(trunk.parent / "load_model.py"), "my [MASK] has not arrived"],
                             capture_output=True, text=True, check=True)  # fmt: skip
    assert len(json.loads(written.stdout.splitlines()[0])) == 5
