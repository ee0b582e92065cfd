"""A trained base as the package carries it: bfloat16 weights, tokenizer, card with what was measured. Knows runs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from nano.base import LICENCE
from nano.card import card, measured


def ship(run: Path, folder: Path, *, corpus: Path) -> dict[str, str]:
    """Write the base that `run` (a finished run's folder) trained into `folder`; returns the sha256 of its files.

    Raises FileNotFoundError where the run has no model yet.
    """
    trunk = run / "model" / "trunk"
    model = AutoModelForCausalLM.from_pretrained(trunk, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(trunk)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(trunk / name, folder / name)
    figures = read_figures(run)
    text = card(corpus, tokenizer, parameters=model.num_parameters()) + measured(**figures)
    (folder / "README.md").write_text(text, encoding="utf-8")
    shutil.copyfile(LICENCE, folder / "LICENSE")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def read_figures(run: Path) -> dict[str, Any]:
    """What the run's evidence says: perplexity and bits per byte of all rungs, tokens and updates of training."""
    rungs = json.loads((run / "evidence.json").read_text(encoding="utf-8"))["rungs"]
    phases = json.loads((run / "fit.json").read_text(encoding="utf-8"))["phases"]

    def figures(rung: Mapping[str, Any]) -> dict[str, float]:
        return {name: rung["figures"][name]["value"] for name in ("perplexity", "bits_per_byte")}

    (model,) = rungs["model"].values()
    return {
        "trained": figures(model), "others": {name: figures(rung) for name, rung in rungs["others"].items()},
        "rows": rungs["rows"], "tokens": sum(phase["tokens"] for phase in phases),
        "updates": sum(phase["updates"] for phase in phases),
    }  # fmt: skip
