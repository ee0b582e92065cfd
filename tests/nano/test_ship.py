"""A finished run becomes the folder that the package carries."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
import torch
from nano.ship import ship
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

FIGURES = {"perplexity": {"value": 9.5}, "bits_per_byte": {"value": 1.25}}


@pytest.fixture
def run(base, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(base, folder / "model" / "trunk")
    rungs = {"rows": 40, "model": {"wright-nano": {"figures": FIGURES}},
             "others": {"untouched": {"figures": {"perplexity": {"value": 8192.0}, "bits_per_byte": {"value": 3.5}}}}}
    (folder / "evidence.json").write_text(json.dumps({"rungs": rungs}))
    (folder / "fit.json").write_text(json.dumps({"phases": [{"tokens": 9_000_000, "updates": 1100},
                                                            {"tokens": 1_000_000, "updates": 121}]}))
    return folder


def test_weights_are_those_of_the_run_rounded_once_and_every_file_is_hashed(run, corpus, tmp_path):
    out = tmp_path / "shipped"
    hashes = ship(run, out, corpus=corpus[0])
    before, after = (load_file(folder / "model.safetensors") for folder in (run / "model" / "trunk", out))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name].bfloat16(), after[name]) for name in before)
    assert hashes == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "LICENSE", "README.md"} <= hashes.keys()
    assert AutoModelForCausalLM.from_pretrained(out).dtype == torch.bfloat16
    text = "A word, 12."
    assert AutoTokenizer.from_pretrained(out)(text) == AutoTokenizer.from_pretrained(run / "model" / "trunk")(text)


def test_the_card_says_what_was_measured(run, corpus, tmp_path):
    ship(run, tmp_path / "shipped", corpus=corpus[0])
    text = (tmp_path / "shipped" / "README.md").read_text()
    assert "Trained on 10,000,000 tokens in 1,221 updates. On 40 texts" in text
    assert "| wright-nano | 9.5 | 1.250 |" in text and "| the random weights it began with | 8,192.0 | 3.500 |" in text


def test_what_was_there_before_is_gone(run, corpus, tmp_path):
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "old.bin").write_text("old")
    ship(run, tmp_path / "shipped", corpus=corpus[0])
    assert not (tmp_path / "shipped" / "old.bin").exists()


def test_a_run_without_a_model_is_an_error_and_changes_nothing(tmp_path, corpus):
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "old").write_text("old")
    with pytest.raises(OSError):
        ship(tmp_path / "nothing", tmp_path / "shipped", corpus=corpus[0])
    assert (tmp_path / "shipped" / "old").exists()
