"""Rows whose answers are labels, numbers, passages or texts of columns. Knows columns; must not know splits.

Each reader takes a row's values and what is asked for, and returns what the row says or raises Unusable.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tunewright.data.cells import (
    Asked,
    Said,
    Unusable,
    as_name,
    as_text,
    is_missing,
    kind_name,
    read_every_text,
    read_texts,
    refuse_written_gaps,
    shown,
)
from tunewright.recipe.schema import Task
from tunewright.values import Turn

Values = Mapping[str, Any]


def read_label(values: Values, asked: Asked) -> Said:
    """Texts and the name of one label."""
    inputs = read_texts(values, asked.task.inputs)
    return Said(inputs, as_name(_scalar(values, asked.task.outputs[0])) if asked.answers else None)


def read_labels(values: Values, asked: Asked) -> Said:
    """Texts and any number of labels: of a list, of a text with separators, or of columns of 0 and 1."""
    task = asked.task
    inputs = read_texts(values, task.inputs)
    if not asked.answers:
        return Said(inputs)
    return Said(inputs, _labels_in_columns(values, task) if len(task.outputs) > 1 else _labels_in_cell(values, task))


def read_number(values: Values, asked: Asked) -> Said:
    """Texts and a finite number."""
    inputs = read_texts(values, asked.task.inputs)
    return Said(inputs, _number(values, asked.task.outputs[0]) if asked.answers else None)


def read_likeness(values: Values, asked: Asked) -> Said:
    """Two texts, both there, and a finite number."""
    inputs = read_every_text(values, asked.task.inputs)
    refuse_written_gaps(inputs, asked.task.inputs)
    return Said(inputs, _number(values, asked.task.outputs[0]) if asked.answers else None)


def read_passages(values: Values, asked: Asked) -> Said:
    """A query, its passage, and perhaps a passage that does not answer it; the answer is always 1."""
    columns = asked.task.inputs
    texts = read_every_text(values, columns)
    refuse_written_gaps(texts, columns)
    if len(texts) == 3 and texts[1].strip() == texts[2].strip():
        raise Unusable("bad_input", f"{columns[1]} and {columns[2]} are the same text; one answers, the other must not")
    return Said(texts, 1.0 if asked.answers else None)


def read_text_answer(values: Values, asked: Asked) -> Said:
    """Texts to be put into a prompt, and the text that answers; for generation a list or an object is written as JSON.

    One of several input columns may be empty, as `input` of Alpaca's rows is.
    """
    task = asked.task
    inputs = read_texts(values, task.inputs)
    refuse_written_gaps(inputs, task.inputs)
    if not asked.answers:
        return Said(inputs)
    value = values.get(task.outputs[0])
    if task.kind == "generation" and isinstance(value, (list, dict)):
        return Said(inputs, Turn(json.dumps(value, ensure_ascii=False, default=as_text), "assistant"))
    return Said(inputs, Turn(as_name(_scalar(values, task.outputs[0])), "assistant"))


def read_document(values: Values, asked: Asked) -> Said:
    """One text: the columns that have something in them, a blank line between them; the answer is always 0."""
    texts = read_texts(values, asked.task.inputs)
    refuse_written_gaps(texts, asked.task.inputs)
    text = texts[0] if len(texts) == 1 else "\n\n".join(text for text in texts if text.strip())
    return Said((text,), 0.0 if asked.answers else None)


def _scalar(values: Values, column: str) -> Any:
    value = values.get(column)
    if isinstance(value, (list, dict, bytes)):
        raise Unusable("bad_answer", f"{column} is {kind_name(value)}")
    if is_missing(value):
        raise Unusable("no_answer", f"{column} is empty")
    return value


def _number(values: Values, column: str) -> float:
    value = _scalar(values, column)
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Unusable("bad_answer", f"{column} is {shown(value)}, not a finite number")
    return number


def _labels_in_cell(values: Values, task: Task) -> tuple[str, ...]:
    column = task.outputs[0]
    value = values.get(column)
    if isinstance(value, list):
        cells = value
        if any(isinstance(cell, (list, dict, bytes)) or is_missing(cell) for cell in cells):
            raise Unusable("bad_answer", f"{column} is a list of something else than labels")
    elif isinstance(value, (dict, bytes)):
        raise Unusable("bad_answer", f"{column} is {kind_name(value)}")
    elif is_missing(value):
        raise Unusable("no_answer", f"{column} is empty; for no labels write [] or {task.separator!r} alone")
    else:
        cells = [part.strip() for part in as_name(value).split(task.separator) if part.strip()]
    return tuple(dict.fromkeys(map(as_name, cells)))


_ZERO_OR_ONE = {"0": False, "1": True, "false": False, "true": True}


def _labels_in_columns(values: Values, task: Task) -> tuple[str, ...]:
    found = []
    for column in task.outputs:
        value = values.get(column)
        if not as_text(value).strip():
            raise Unusable("no_answer", f"{column} is empty")
        written = as_name(value).strip().lower()
        if written not in _ZERO_OR_ONE:
            raise Unusable("bad_answer", f"{column} is {shown(value)}, neither 0 nor 1")
        if _ZERO_OR_ONE[written]:
            found.append(column)
    return tuple(found)
