"""What a person asks a model for: texts from anywhere, a token, models by name. Knows predictors; prints nothing."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tunewright.data.prepare import read_rows
from tunewright.data.read import FORMATS
from tunewright.pipeline.evaluate import find, load, recipe_of
from tunewright.recipe.errors import DataRefusal, Refusal
from tunewright.serve.app import new_token
from tunewright.serve.predictor import Input, Prediction, Predictor, Row
from tunewright.store.registry import Version

_SHORTEST_TOKEN = 16  # characters


@dataclass(frozen=True, slots=True)
class Answered:
    """Texts and what a model says of each; `ids` names the rows of a file (empty otherwise)."""

    model: str
    version: str
    texts: tuple[str, ...]
    ids: tuple[str, ...]
    predictions: tuple[Prediction, ...]

    def to_json(self) -> dict[str, Any]:
        said = [dataclasses.asdict(prediction) for prediction in self.predictions]
        if self.ids:
            said = [{"id": row_id, **one} for row_id, one in zip(self.ids, said, strict=True)]
        return {"model": self.model, "version": self.version, "predictions": said}


def answer(model: str, texts: Sequence[str], *, file: Path | None, stdin: TextIO) -> Answered:
    """Predict texts given as words, as `-` for the lines of standard input, or in a file of rows or lines.

    Without texts and file, standard input is read unless it is a terminal. Raises Refusal where there is nothing to
    read, and for what cannot be read; the model is looked for first.
    """
    found = find(model)
    if file is not None and texts:
        raise DataRefusal("There are both texts and a file.", where=str(file), remedy="Give one of them.")
    if file is not None and file.suffix.lower() in FORMATS:
        predictor = load(model)
        rows, _ = read_rows(recipe_of(found.folder), file, root=Path(), labels=predictor.labels, answers="if_present")
        shown = tuple(" | ".join(row) for row in rows.inputs)
        return _answered(predictor, list(rows.inputs), shown, rows.ids)
    given = list(_lines(file, stdin) if file is not None or list(texts) in ([], ["-"]) else texts)
    if not given:
        where = str(file) if file is not None else "standard input"
        raise DataRefusal("There is no text to predict.", where=where, remedy="Give at least one line of text.")
    predictor = load(model)
    rows_given = predictor.rows([_input(text, predictor) for text in given])
    return _answered(predictor, rows_given, tuple(given), ())


def _answered(predictor: Predictor, rows: list[Row], texts: tuple[str, ...], ids: tuple[str, ...]) -> Answered:
    predictions: Sequence[Prediction] = (
        predictor.search(rows) if ids and predictor.task == "retrieval"  # the passages of a file are what is searched
        else predictor.answers(predictor.outputs_of_rows(rows), rows)
    )  # fmt: skip
    return Answered(predictor.name, predictor.version, texts, ids, tuple(predictions))


def _lines(file: Path | None, stdin: TextIO) -> Iterator[str]:
    """The lines that hold something. Raises DataRefusal for a file that cannot be read, and for a silent terminal."""
    where = str(file) if file is not None else "standard input"
    if file is None and stdin.isatty():
        raise DataRefusal("There is no text to predict.", where=where,
                          remedy="Give texts as words, a file with --file, or lines on standard input.")
    try:
        content = file.read_bytes() if file is not None else stdin.buffer.read()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataRefusal(f"This is not text in UTF-8: {error.reason} at byte {error.start}.", where=where,
                          remedy=f"Save it as UTF-8, or give one of {', '.join(sorted(FORMATS))}.") from None
    except OSError as error:
        what = f"The file cannot be read: {error.strerror}."
        raise DataRefusal(what, where=where, remedy="Correct the path, or its permissions.") from None
    return (line.strip() for line in text.splitlines() if line.strip())


def _input(text: str, predictor: Predictor) -> Input:
    """A line as the model reads it: a text, or for a model of several columns a JSON object with a text for each."""
    if len(predictor.columns) == 1:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        example = json.dumps(dict.fromkeys(predictor.columns, "..."))
        raise DataRefusal(f"The model reads {len(predictor.columns)} columns, and {text[:40]!r} is one text.",
                          remedy=f"Give a JSON object: {example}")
    return value


def read_token(file: Path | None, variable: str | None) -> tuple[str, bool]:
    """The bearer token from a file or an environment variable, or a new one; and whether it is new. Raises Refusal."""
    if file is None and variable is None:
        return new_token(), True
    if file is not None and variable is not None:
        raise Refusal("The token has two sources.", remedy="Give --token-file or --token-env, not both.")
    where = str(file) if file is not None else f"environment variable {variable}"
    try:
        token = file.read_text("utf-8").strip() if file is not None else os.environ.get(str(variable), "").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"The token cannot be read: {error}.", where=where) from None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or any(c.isspace() for c in token):
        raise Refusal(f"A token has at least {_SHORTEST_TOKEN} ASCII characters and no spaces.", where=where,
                      remedy="Make one, as in: openssl rand -hex 24.")
    return token, False


def find_models(references: Sequence[str]) -> Mapping[str, Version]:
    """The models to serve, under the id that requests ask for. Raises Refusal for one that is not there."""
    found = [find(reference) for reference in references]
    for version in found:
        recipe_of(version.folder)
    return {version.name if version.number is None else version.reference: version for version in found}


def load_models(found: Mapping[str, Version]) -> Mapping[str, Predictor]:
    """Predictors of the models that `find_models` found."""
    return {
        id: Predictor.load(version.folder, name=version.name,
                           version=None if version.number is None else str(version.number))
        for id, version in found.items()
    }  # fmt: skip
