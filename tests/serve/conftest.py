"""A small model folder of each kind of task, for the tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny_bases import make_tiny_base

from tunewright.data.encode import Encoder
from tunewright.model.bases import find_base
from tunewright.model.build import build_model
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.weights import save_model

KIND_LABELS = {
    "classification": ("card", "refund", "other"), "multi_label": ("late", "angry"), "regression": (),
    "token_classification": ("place", "thing"), "question_answering": (),
}  # fmt: skip
KIND_OUTPUTS = {"token_classification": 5, "question_answering": 2}  # else one a label, or one
LOCATED = {"token_classification": 0, "question_answering": 1}


def make_model_folder(folder: Path, *, kind: str, columns: tuple[str, ...] = ("text",), long: str = "truncate") -> Path:
    """A saved model of `kind` on a tiny base, its head scaled up so that texts differ in what they get."""
    base = find_base(str(make_tiny_base(folder / "base", "bert")), root=folder)
    description = describe(base)
    labels = KIND_LABELS[kind]
    outputs = KIND_OUTPUTS.get(kind, max(len(labels), 1))
    model = build_model(base, description, kind=kind, outputs=outputs, pooling="mean", seed=3)
    model.head.weight.data.mul_(50)
    join = "pair" if len(columns) == 2 else "lines" if len(columns) > 2 else None
    encoder = Encoder(32, long, 4, join, columns, load_tokenizer(base.folder), LOCATED.get(kind))
    save_model(
        model, folder / "model", encoder_json=encoder.to_json(), labels=labels, base=base, description=description
    )
    return folder / "model"


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model folder by kind of task, and `pair` for a classification of two columns."""
    columns = {"question_answering": ("question", "context")}
    folders = {
        kind: make_model_folder(tmp_path_factory.mktemp(kind), kind=kind, columns=columns.get(kind, ("text",)))
        for kind in KIND_LABELS
    }
    pair = make_model_folder(tmp_path_factory.mktemp("pair"), kind="classification", columns=("subject", "body"))
    return folders | {"pair": pair}
