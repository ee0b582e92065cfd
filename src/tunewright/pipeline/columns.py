"""What the columns of a table look like, and which of them a model could read and answer. Guesses, and says why.

Knows a table's values; must not know recipes' text, bases or tokens. Where it cannot tell it refuses and asks.
"""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.data.read import Table
from tunewright.recipe.errors import DataRefusal, nearest
from tunewright.recipe.tasks import TaskKind

_ANSWERS = ("label", "labels", "intent", "intents", "class", "category", "categories", "target", "targets", "answer",
            "sentiment", "topic", "topics", "tag", "tags", "score", "rating", "stars", "grade", "y", "output")
_TEXTS = ("text", "body", "message", "content", "review", "sentence", "utterance", "question", "comment", "description",
          "input", "document")
_SECONDS = (("premise", "hypothesis"), ("question", "context"), ("query", "passage"), ("sentence1", "sentence2"),
            ("text_a", "text_b"), ("title", "body"), ("subject", "body"))
_GROUP = re.compile(r"(customer|user|author|client|account|document|doc|thread|conversation|session|patient|group)"
                    r"(_?(id|key|no|number|name))?$|.+_id$", re.IGNORECASE)
_ID = re.compile(r"^(id|uuid|guid|key|index|row)$|.*(_|\b)(id|uuid|key|no|number)$", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?$")
_MOST_LABELS = 200
_SEPARATORS = ("|", ";", ",")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how it is filled, by what, and how often values recur."""

    name: str
    filled: int
    distinct: int
    kind: str  # text, number, whole number, yes or no, date, list, other
    words: float  # mean words of its texts
    values: Counter[str]  # every value as a text, each item of a list of its own

    @property
    def unique(self) -> bool:
        return self.filled > 1 and self.distinct == self.filled

    @property
    def says(self) -> str:
        """The column in a few words."""
        size = f"{self.distinct:,} different in {self.filled:,} rows"
        return f"{self.name} ({self.kind}, {size}{f', {self.words:.0f} words' if self.kind == 'text' else ''})"


@dataclass(frozen=True, slots=True)
class Guess:
    """A task read off columns: names, and for each choice why, and what else it could be."""

    kind: TaskKind
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    why_inputs: str
    why_outputs: str
    separator: str | None
    id: str | None
    group: str | None
    labels: Counter[str]


def look_at_columns(table: Table) -> tuple[Column, ...]:
    """Every column of `table`, in its order."""
    return tuple(_column(name, [row.get(name) for row in table.rows]) for name in table.columns)


def guess_task(
    columns: Sequence[Column], *, inputs: Sequence[str] = (), outputs: Sequence[str] = (), where: str = ""
) -> Guess:
    """The task that the columns suggest, with `inputs` and `outputs` taken as given where they are.

    Raises DataRefusal, naming the columns, for a name that is none of them and where nothing or too much fits.
    """
    for name in (*inputs, *outputs):
        if name not in [column.name for column in columns]:
            known = [column.name for column in columns]
            raise DataRefusal(f"There is no column {name!r}.{nearest(name, known)}", where=where,
                              remedy=f"The columns are: {', '.join(known)}.")
    by_name = {column.name: column for column in columns}
    texts, why_inputs = _guess_inputs(columns, tuple(inputs), tuple(outputs), where)
    answers, why_outputs = _guess_outputs(columns, texts, tuple(outputs), where)
    kind, separator, why_kind = _kind_of([by_name[name] for name in answers])
    left = [column for column in columns if column.name not in (*texts, *answers)]
    labels = _labels(by_name[answers[0]], separator) if kind != "regression" and len(answers) == 1 else Counter()
    rows = max(column.filled for column in columns)
    named = next((c.name for c in left if c.unique and _ID.match(c.name) and c.filled == rows), None)
    group = next((c.name for c in left if c.name != named and _repeats(c) and _GROUP.match(c.name)), None)
    return Guess(kind, texts, answers, why_inputs, f"{why_outputs}; {why_kind}", separator, named, group, labels)


# ---------------------------------------------------------------------------------------- one column


def _column(name: str, values: Sequence[Any]) -> Column:
    filled = [value for value in values if not _is_missing(value)]
    texts = [item for value in filled for item in (value if isinstance(value, list) else [value])]
    counted = Counter(_written(item) for item in texts)
    whole = counted if not any(isinstance(value, list) for value in filled) else Counter(map(str, filled))
    words = float(np.mean([len(str(item).split()) for item in texts])) if texts else 0.0
    return Column(name, len(filled), len(whole), _value_kind(filled), words, counted)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or (
        isinstance(value, str) and not value.strip())


def _written(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _value_kind(filled: Sequence[Any]) -> str:
    """What the values are; cells of text files that all read as numbers are numbers."""
    if not filled:
        return "empty"
    if all(isinstance(value, list) for value in filled):
        return "list"
    if all(isinstance(value, bool) or str(value).strip().lower() in ("true", "false") for value in filled):
        return "yes or no"
    if any(isinstance(value, (list, dict, bytes)) for value in filled):
        return "other"
    if all(isinstance(value, (datetime.date, datetime.datetime)) or _DATE.match(str(value)) for value in filled):
        return "date"
    numbers = [_number(value) for value in filled]
    if any(number is None for number in numbers):
        return "text"
    return "whole number" if all(float(number).is_integer() for number in numbers) else "number"  # type: ignore[arg-type]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _repeats(column: Column) -> bool:
    return 1 < column.distinct < column.filled


# ------------------------------------------------------------------------------------------- guesses


def _guess_inputs(
    columns: Sequence[Column], given: tuple[str, ...], outputs: tuple[str, ...], where: str
) -> tuple[tuple[str, ...], str]:
    if given:
        return given, "as asked"
    long = [c for c in columns if c.kind == "text" and c.name not in outputs and _is_prose(c)]
    names = {c.name.lower(): c.name for c in long}
    for pair in _SECONDS:
        if all(name in names for name in pair):
            return tuple(names[name] for name in pair), "two columns of text that belong together"
    if not long:
        raise _cannot_tell("No column looks like text that a model could read", columns, where, "--input")
    known = [c for c in long if c.name.lower() in _TEXTS]
    longest = max(known or long, key=lambda c: c.words)
    others = [c.name for c in long if c is not longest]
    if others and not known and max(c.words for c in long if c is not longest) > longest.words / 2:
        raise _cannot_tell(
            f"Several columns look like the text: {', '.join([longest.name, *others])}", columns, where, "--input")
    also = f"; it could also read {', '.join(others)}" if others else ""
    return (longest.name,), f"the column of text, {longest.words:.0f} words on average{also}"


def _is_prose(column: Column) -> bool:
    """Whether a text column is read rather than counted: words that hardly recur."""
    return column.distinct > 0.5 * column.filled and (column.words >= 3 or column.name.lower() in _TEXTS)


def _guess_outputs(
    columns: Sequence[Column], inputs: tuple[str, ...], given: tuple[str, ...], where: str
) -> tuple[tuple[str, ...], str]:
    if given:
        return given, "as asked"
    free = [c for c in columns if c.name not in inputs and _could_answer(c)]
    named = [c for c in free if c.name.lower() in _ANSWERS]
    if len(named) > 1:  # `label` beside `score`, which is then how sure somebody was
        named = [c for c in named if c.kind != "number"] or named
    flags = [c for c in free if set(c.values) <= {"0", "1"} and len(c.values) == 2]
    if not named and len(flags) >= 2 and len(flags) == len(free):
        return tuple(c.name for c in flags), "columns of 0 and 1, one a label"
    chosen = named or free
    if not chosen:
        raise _cannot_tell("No column looks like an answer", columns, where, "--output")
    if len(chosen) > 1:
        names = ", ".join(c.name for c in chosen)
        raise _cannot_tell(f"Several columns could be the answer: {names}", columns, where, "--output")
    others = [c.name for c in free if c is not chosen[0]]
    also = f"; {', '.join(others)} could be answers too" if others else ""
    why = "its name says so" if named else "the one column that could be an answer"
    return (chosen[0].name,), why + also


def _could_answer(column: Column) -> bool:
    if column.kind in ("empty", "other", "date") or column.distinct < 2 or _GROUP.match(column.name):
        return False
    if column.kind == "number":
        return True
    counts_rows = column.unique and column.kind != "list" and column.name.lower() not in _ANSWERS
    if counts_rows or _ID.match(column.name):
        return False
    few = len(column.values) <= min(_MOST_LABELS, max(2, column.filled // 2))
    return few or column.kind in ("list", "whole number")


def _kind_of(answers: Sequence[Column]) -> tuple[TaskKind, str | None, str]:
    if len(answers) > 1:
        return "multi_label", None, "any number of them may hold"
    column = answers[0]
    if column.kind == "list":
        return "multi_label", None, "each row has a list of labels"
    if column.kind == "number" or (column.kind == "whole number" and column.distinct > 20):
        return "regression", None, f"{column.distinct:,} different numbers"
    separator = next((mark for mark in _SEPARATORS if _is_separator(mark, column)), None)
    if separator is not None:
        return "multi_label", separator, f"cells such as {_example(column, separator)!r} hold several labels"
    return "classification", None, f"{column.distinct:,} different labels"


def _is_separator(mark: str, column: Column) -> bool:
    """Whether cells with `mark` in them are made of few labels that recur elsewhere."""
    several = [value for value in column.values if mark in value]
    if not several:
        return False
    parts = Counter(part.strip() for value in column.values for part in value.split(mark) if part.strip())
    return len(parts) < len(column.values) and all(count > 1 for count in parts.values())


def _example(column: Column, mark: str) -> str:
    return next(value for value in column.values if mark in value)


def _labels(column: Column, separator: str | None) -> Counter[str]:
    if separator is None:
        return column.values
    counts: Counter[str] = Counter()
    for value, times in column.values.items():
        counts.update({part.strip(): times for part in value.split(separator) if part.strip()})
    return counts


def _cannot_tell(what: str, columns: Iterable[Column], where: str, option: str) -> DataRefusal:
    return DataRefusal(
        f"{what}. The columns are: {'; '.join(column.says for column in columns)}.", where=where,
        remedy=f"Name it: {option} COLUMN.",
    )  # fmt: skip
