"""A model found by name or folder, and judged on a file of rows. Knows registry, rows and figures; trains nothing."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.data.encoders import encode_rows, rows_of_encoded, too_long
from tunewright.data.prepare import TOO_LONG, read_rows
from tunewright.evaluate.evidence import plain
from tunewright.evaluate.metrics import ClassScore, measure, per_class
from tunewright.evaluate.results import Figure
from tunewright.evaluate.statistics import intervals
from tunewright.model.bases import read_json
from tunewright.model.weights import ENCODER
from tunewright.pipeline.rungs import predictions_of
from tunewright.recipe.errors import DataRefusal, StoreRefusal
from tunewright.recipe.schema import Recipe
from tunewright.serve.predictor import Predictor
from tunewright.store import files
from tunewright.store.database import open_database
from tunewright.store.registry import Registry, Version

RECIPE = "recipe.resolved.json"
_MODEL = "model"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model shows on the rows of a file: every figure with its interval, and each class.

    `dropped` counts by reason the rows that could not be judged, `trained_on` those that the model was trained on (None
    where its run's folder does not say); `seconds` is the time to answer all rows.
    """

    model: str
    data: str
    kind: str
    metric: str
    rows: int
    dropped: Mapping[str, int]
    trained_on: int | None
    figures: Mapping[str, Figure]
    classes: tuple[ClassScore, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; a figure that could not be measured has the value UNMEASURED."""
        return plain(dataclasses.asdict(self) | {"dropped": dict(self.dropped)})


def find(reference: str) -> Version:
    """What `name@version`, `name@alias`, `name`, a run's folder or a model's folder means. Raises StoreRefusal."""
    folder = _model_folder(Path(reference).expanduser())
    if not os.environ.get("TUNEWRIGHT_DATABASE") and not (files.home() / "tunewright.db").exists():
        if folder is None:
            raise StoreRefusal(
                f"No model is named {reference!r}: none is registered here, and there is no such folder.",
                where=str(files.home()),
                remedy="run a recipe first, or point TUNEWRIGHT_HOME to where it was run.",
            )
        return Version(_name_of(folder), None, folder.resolve(), "")
    with open_database() as database:
        registry = Registry(database)
        if folder is not None and ("/" in reference or not _is_registered(registry, reference)):
            reference = str(folder.resolve())
        found = registry.resolve(reference)
    return found if found.number is not None else dataclasses.replace(found, name=_name_of(found.folder))


def load(reference: str) -> Predictor:
    """The model that a reference names (see `find`), ready to predict. Raises StoreRefusal, BaseRefusal."""
    found = find(reference)
    _refuse_without_model(found)
    number = None if found.number is None else str(found.number)
    return Predictor.load(found.folder, name=found.name, version=number)


def evaluate_model(model: str, data: str | Path) -> Evaluation:
    """Judge a model on the rows of a file, which must have the columns and answers of its recipe.

    Raises StoreRefusal for a model that is not there, DataRefusal for rows that cannot be judged.
    """
    found = find(model)
    _refuse_without_model(found)
    recipe = recipe_of(found.folder)
    predictor = Predictor.load(found.folder, name=found.name)
    rows, ledger = read_rows(recipe, Path(data), root=Path(), labels=predictor.labels, answers="required")
    dropped = Counter(ledger.counts()["dropped_because"])
    if recipe.encode.long is not None and recipe.encode.long.kind == "drop":
        over = too_long(predictor.encoder, rows, judged=True)
        rows = rows.take(np.array([row for row in range(len(rows)) if row not in over], dtype=np.int64))
        dropped += Counter({TOO_LONG: len(over)})
        if not len(rows):
            raise DataRefusal("Every row is longer than the model reads.", where=str(data),
                              remedy=f"Give texts of at most {predictor.encoder.max_length} tokens.")
    encoded = encode_rows(predictor.encoder, rows, kind=recipe.task.kind, labels=predictor.labels)
    judged = rows_of_encoded(predictor.encoder, rows, encoded, "given")
    said = predictions_of(predictor, judged, encoded, rung="model", split="given")
    kind, options = recipe.task.kind, recipe.evaluate
    values = measure(said, kind)
    spans = intervals(
        said, kind, resamples=options.resamples, confidence=options.confidence, seed=recipe.seed,
        labels=predictor.labels or None,
    )  # fmt: skip
    return Evaluation(
        model=found.reference, data=str(data), kind=kind, metric=str(options.metric), rows=len(judged),
        dropped=dict(dropped), trained_on=_count_trained_on(found.folder, rows.ids),
        figures={m: Figure(values[m], spans[m]) for m in values},
        classes=tuple(per_class(said, predictor.labels)) if predictor.labels else (), seconds=said.seconds,
    )  # fmt: skip


def recipe_of(folder: Path) -> Recipe:
    """The resolved recipe that lies beside the weights in a model's folder. Raises StoreRefusal."""
    path = folder / RECIPE
    if not path.is_file():
        raise StoreRefusal(
            f"The model's folder holds no {RECIPE}, so its task is not known.", where=str(path),
            remedy="use a model that `tunewright run` made.",
        )  # fmt: skip
    return Recipe.model_validate(read_json(path)["recipe"])


def _count_trained_on(folder: Path, row_ids: Sequence[str]) -> int | None:
    """How many rows, by id, are among those that the run around a model's folder trained on or chose by."""
    path = folder.parent / "data" / "splits.json"
    if not path.is_file():
        return None
    splits = read_json(path)
    return len({*splits["train"], *splits["validation"]} & set(row_ids))


def _model_folder(path: Path) -> Path | None:
    """The folder of weights that a path means: itself, or `model/` within a run's folder; None if it is no folder."""
    if not path.is_dir():
        return None
    inside = path / _MODEL
    return inside if not (path / ENCODER).is_file() and (inside / ENCODER).is_file() else path


def _is_registered(registry: Registry, reference: str) -> bool:
    return any(version.name == reference.partition("@")[0] for version in registry.versions())


def _name_of(folder: Path) -> str:
    """A folder's own name; for `runs/<name>/<id>/model` that of the run."""
    folder = folder.resolve()
    return folder.parent.parent.name if folder.name == _MODEL and len(folder.parts) > 3 else folder.name


def _refuse_without_model(found: Version) -> None:
    if not (found.folder / ENCODER).is_file():
        raise StoreRefusal(
            f"The folder holds no model: {ENCODER} is missing.", where=str(found.folder),
            remedy="name a run's folder, the model/ folder in it, or a registered model.",
        )  # fmt: skip
