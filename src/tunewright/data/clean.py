"""Values become inputs and answers, or a named fault. Knows the task's columns; must not know splits or policies.

A text is never changed here: what is a text stays as it is, a number is written out, and what is neither is a fault.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunewright.data.read import Table
from tunewright.recipe.errors import DataRefusal, nearest
from tunewright.recipe.schema import Recipe, Task

Answer = str | tuple[str, ...] | float
Source = Literal["train", "validation", "test"]
FAULTS = ("malformed", "no_input", "bad_input", "no_answer", "bad_answer", "no_id")


@dataclass(frozen=True, slots=True)
class CleanRow:
    """A usable row. `place` counts all rows of its table from 0; `answer` is None where none was asked for."""

    place: int
    origin: str
    id: str
    inputs: tuple[str, ...]
    answer: Answer | None
    group: str | None
    source: Source


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be used, and why: `reason` is one of FAULTS."""

    place: int
    origin: str
    id: str
    reason: str
    detail: str
    source: Source


@dataclass(frozen=True, slots=True)
class Cleaned:
    """One file's (or train's files') rows: `rows` and `faults` together are every row of the table."""

    columns: tuple[str, ...]
    rows_in: int
    rows: list[CleanRow]
    faults: list[Fault]


class _Unusable(Exception):
    """Raised and caught within this file: a value that no input or answer can be made of."""

    def __init__(self, reason: str, detail: str):
        self.reason, self.detail = reason, detail
        super().__init__(reason)


def clean_rows(table: Table, recipe: Recipe, *, source: Source, answers: bool) -> Cleaned:
    """Inputs, answer, id and group of every row of `table`; answers are left alone where `answers` is False.

    Raises DataRefusal for a column that is missing, or an id that names two rows.
    """
    task, data = recipe.task, recipe.data
    wanted = {*task.inputs, *(task.outputs if answers else ())}
    wanted |= {data.id} if data.id else set()
    wanted |= {data.group} if data.group and source == "train" else set()
    _refuse_missing_columns(table, wanted)
    places = _places(table)
    faults = [Fault(place, bad.origin, "", "malformed", _explained(bad.reason, bad.column, bad.text), source)
              for place, bad in zip(places.malformed, table.malformed, strict=True)]  # fmt: skip
    rows: list[CleanRow] = []
    seen: Counter[str] = Counter()
    for place, origin, values in zip(places.readable, table.origins, table.rows, strict=True):
        try:
            identity = _id_of(values, data.id) if data.id else ""
            inputs = read_inputs(values, task)
            answer = read_answer(values, task) if answers else None
        except _Unusable as unusable:
            faults.append(Fault(place, origin, _as_text(values.get(data.id)) if data.id else "", unusable.reason,
                                unusable.detail, source))  # fmt: skip
            continue
        identity = identity or _counted(content_hash(inputs, answer)[:16], seen)
        group = _as_text(values[data.group]) if data.group and data.group in values else ""
        rows.append(CleanRow(place, origin, identity, inputs, answer, group or None, source))
    if data.id:
        _refuse_repeated_ids(rows, data.id)
    return Cleaned(table.columns, table.rows_in, rows, faults)


def content_hash(inputs: tuple[str, ...], answer: Answer | None) -> str:
    """sha256 of what a row says, in hexadecimal."""
    written = json.dumps([inputs, answer], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(written.encode("utf-8")).hexdigest()


def read_inputs(values: Mapping[str, Any], task: Task) -> tuple[str, ...]:
    """One text per input column. One column of several may be empty, not all of them."""
    texts = []
    for column in task.inputs:
        value = values.get(column)
        if isinstance(value, (list, dict, bytes)):
            raise _Unusable("bad_input", f"{column} is {_kind_name(value)}, not a text")
        texts.append(_as_text(value))
    if not any(text.strip() for text in texts):
        raise _Unusable("no_input", f"{' and '.join(task.inputs)} {'is' if len(texts) == 1 else 'are'} empty")
    return tuple(texts)


def read_answer(values: Mapping[str, Any], task: Task) -> Answer:
    """The row's label, labels or number."""
    if task.kind == "multi_label":
        return _labels_in_columns(values, task) if len(task.outputs) > 1 else _labels_in_cell(values, task)
    value = values.get(task.outputs[0])
    if isinstance(value, (list, dict, bytes)):
        raise _Unusable("bad_answer", f"{task.outputs[0]} is {_kind_name(value)}")
    if not _as_text(value).strip():
        raise _Unusable("no_answer", f"{task.outputs[0]} is empty")
    return _number(value, task.outputs[0]) if task.kind == "regression" else _label(value)


def _label(value: Any) -> str:
    """A label's name; 3.0 is written as 3, because a table with gaps turns whole numbers into fractions."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else _as_text(value)


def _number(value: Any, column: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _Unusable("bad_answer", f"{column} is {str(value)[:40]!r}, not a finite number")
    return number


def _labels_in_cell(values: Mapping[str, Any], task: Task) -> tuple[str, ...]:
    column = task.outputs[0]
    value = values.get(column)
    if isinstance(value, list):
        cells = value
        if any(isinstance(cell, (list, dict, bytes)) or not _as_text(cell).strip() for cell in cells):
            raise _Unusable("bad_answer", f"{column} is a list of something else than labels")
    elif isinstance(value, (dict, bytes)):
        raise _Unusable("bad_answer", f"{column} is {_kind_name(value)}")
    elif not _as_text(value).strip():
        raise _Unusable("no_answer", f"{column} is empty; for no labels write [] or {task.separator!r} alone")
    else:
        cells = [part.strip() for part in _label(value).split(task.separator) if part.strip()]
    return tuple(dict.fromkeys(map(_label, cells)))


_ZERO_OR_ONE = {"0": False, "1": True, "false": False, "true": True}


def _labels_in_columns(values: Mapping[str, Any], task: Task) -> tuple[str, ...]:
    found = []
    for column in task.outputs:
        value = values.get(column)
        if not _as_text(value).strip():
            raise _Unusable("no_answer", f"{column} is empty")
        written = _label(value).strip().lower()
        if written not in _ZERO_OR_ONE:
            raise _Unusable("bad_answer", f"{column} is {str(value)[:40]!r}, neither 0 nor 1")
        if _ZERO_OR_ONE[written]:
            found.append(column)
    return tuple(found)


def _as_text(value: Any) -> str:
    """The value as a text, "" where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return value if isinstance(value, str) else str(value)


def _kind_name(value: list[Any] | dict[str, Any] | bytes) -> str:
    return {list: "a list", dict: "an object", bytes: "raw bytes"}[type(value)]


def _id_of(values: Mapping[str, Any], column: str) -> str:
    text = _label(values[column]) if column in values else ""
    if not text.strip():
        raise _Unusable("no_id", f"{column} is empty")
    return text


def _counted(name: str, seen: Counter[str]) -> str:
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"


def _explained(reason: str, column: int | None, text: str) -> str:
    return f"{reason} at column {column}: {text}" if column else f"{reason}: {text}"


@dataclass(frozen=True, slots=True)
class _Places:
    readable: list[int]
    malformed: list[int]


def _places(table: Table) -> _Places:
    """The number of each row among all rows of the table, readable or not."""
    malformed = [bad.readable_before + i for i, bad in enumerate(table.malformed)]
    taken = set(malformed)
    return _Places([place for place in range(table.rows_in) if place not in taken], malformed)


def _refuse_missing_columns(table: Table, wanted: set[str]) -> None:
    if not table.rows:
        bad = table.malformed[0]
        raise DataRefusal(f"None of the {table.rows_in} rows can be read; the first: {bad.reason}.", where=bad.origin,
                          remedy="Correct the file.")
    missing = sorted(wanted - set(table.columns))
    if missing:
        hint = "".join(nearest(name, table.columns) for name in missing[:1])
        raise DataRefusal(
            f"No column {', '.join(map(repr, missing))}.{hint}", where=table.origins[0].rpartition(":")[0],
            remedy=f"The columns present are {', '.join(table.columns)}; name one of them in the recipe.",
        )  # fmt: skip


def _refuse_repeated_ids(rows: Sequence[CleanRow], column: str) -> None:
    first: dict[str, CleanRow] = {}
    for row in rows:
        if row.id in first:
            raise DataRefusal(
                f"The id {row.id!r} names two rows.", where=f"{first[row.id].origin} and {row.origin}",
                remedy=f"Make {column} unique, or leave data.id out: rows are then named by a hash of their content.",
            )  # fmt: skip
        first[row.id] = row
