"""A small corpus of the generated themes, and a base whose tokenizer was trained on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from nano.base import write_base
from nano.corpus import Row, write_corpus
from transformers import AutoTokenizer, PreTrainedTokenizerBase

SCALE = 0.02
VOCABULARY = 900


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Row]]]:
    folder = tmp_path_factory.mktemp("corpus")
    return folder, write_corpus(folder, data=None, seed=3, scale=SCALE)


@pytest.fixture(scope="session")
def base(corpus: tuple[Path, dict[str, list[Row]]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_base(folder, corpus=corpus[0], seed=5, vocabulary=VOCABULARY)
    return folder


@pytest.fixture(scope="session")
def tokenizer(base: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(base)
