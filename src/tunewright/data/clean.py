"""Values become inputs and answers, or a named fault. Knows the task's columns; must not know splits or policies.

How the rows of each kind of task are read stands in READERS; what the values of cells mean, in the files it names.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunewright.data.annotations import find_scheme, read_answers, read_spans
from tunewright.data.answers import (
    read_document,
    read_label,
    read_labels,
    read_likeness,
    read_number,
    read_passages,
    read_text_answer,
)
from tunewright.data.cells import Answer, Asked, Said, Unusable, as_name, as_text
from tunewright.data.conversations import read_conversation
from tunewright.data.read import Table
from tunewright.recipe.errors import DataRefusal, nearest
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import TaskKind
from tunewright.values import Span, Turn

Source = Literal["train", "validation", "test"]
FAULTS = ("malformed", "no_input", "bad_input", "no_answer", "bad_answer", "no_id")


@dataclass(frozen=True, slots=True)
class CleanRow:
    """A usable row. `place` counts all rows of its table from 0; `answer` is None where none was asked for.

    Texts that a prompt is yet to be put around are as their columns hold them; `remark` says what is odd about the row.
    """

    place: int
    origin: str
    id: str
    inputs: tuple[str, ...]
    answer: Answer | None
    group: str | None
    source: Source
    remark: str = ""


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


def _read_generation(values: Mapping[str, Any], asked: Asked) -> Said:
    return read_text_answer(values, asked) if asked.task.outputs else read_conversation(values, asked)


Reader = Callable[[Mapping[str, Any], Asked], Said]
READERS: dict[TaskKind, Reader] = {
    "classification": read_label,
    "multi_label": read_labels,
    "regression": read_number,
    "token_classification": read_spans,
    "question_answering": read_answers,
    "similarity": read_likeness,
    "retrieval": read_passages,
    "generation": _read_generation,
    "summarisation": read_text_answer,
    "translation": read_text_answer,
    "pretraining": read_document,
}


def clean_rows(table: Table, recipe: Recipe, *, source: Source, answers: bool) -> Cleaned:
    """Inputs, answer, id and group of every row of `table`; answers are left alone where `answers` is False.

    Raises DataRefusal for a column that is missing, or an id that names two rows.
    """
    task, data = recipe.task, recipe.data
    wanted = {*task.inputs, *(task.outputs if answers else ())}
    wanted |= {data.id} if data.id else set()
    wanted |= {data.group} if data.group and source == "train" else set()
    _refuse_missing_columns(table, wanted)
    scheme = find_scheme(table.rows, task) if answers and task.kind == "token_classification" else ""
    read, asked = READERS[task.kind], Asked(task, answers, scheme)
    places = _places(table)
    faults = [Fault(place, bad.origin, "", "malformed", _explained(bad.reason, bad.column, bad.text), source)
              for place, bad in zip(places.malformed, table.malformed, strict=True)]  # fmt: skip
    rows: list[CleanRow] = []
    seen: Counter[str] = Counter()
    for place, origin, values in zip(places.readable, table.origins, table.rows, strict=True):
        try:
            identity = _id_of(values, data.id) if data.id else ""
            said = read(values, asked)
        except Unusable as unusable:
            faults.append(Fault(place, origin, as_text(values.get(data.id)) if data.id else "", unusable.reason,
                                unusable.detail, source))  # fmt: skip
            continue
        identity = identity or _counted(content_hash(said.inputs, said.answer)[:16], seen)
        group = as_text(values[data.group]) if data.group and data.group in values else ""
        rows.append(CleanRow(place, origin, identity, said.inputs, said.answer, group or None, source, said.remark))
    if data.id:
        _refuse_repeated_ids(rows, data.id)
    return Cleaned(table.columns, table.rows_in, rows, faults)


def content_hash(inputs: tuple[str, ...], answer: Answer | None) -> str:
    """sha256 of what a row says, in hexadecimal; the roles of turns and the places of spans are part of it."""
    written = json.dumps([_plain(inputs), _plain(answer)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(written.encode("utf-8")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Turn):
        return {value.role: str(value)}
    if isinstance(value, Span):
        return [value.start, value.end, value.label]
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _id_of(values: Mapping[str, Any], column: str) -> str:
    text = as_name(values[column]) if column in values else ""
    if not text.strip():
        raise Unusable("no_id", f"{column} is empty")
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
