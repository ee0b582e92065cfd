"""What the columns of a table hold: how they are filled, by what, in which form. Guesses nothing about a task."""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.data.cells import Unusable, is_missing, unfolded
from tunewright.data.read import Table
from tunewright.data.spans import is_tag

SAMPLED_ROWS = 200  # rows by which the form of a column is told
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?$")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how it is filled, by what, and how often values recur.

    `form` says what its lists and objects are (tags, tokens, spans, answers, conversations), "" where they are none of
    these or no such values; `first` holds its values in the first `SAMPLED_ROWS` rows of the table.
    """

    name: str
    filled: int
    distinct: int
    kind: str  # text, number, whole number, yes or no, date, list, other
    words: float  # mean words of its texts
    values: Counter[str]  # every value as a text, each item of a list of its own
    form: str = ""
    first: tuple[Any, ...] = ()

    @property
    def unique(self) -> bool:
        return self.filled > 1 and self.distinct == self.filled

    @property
    def is_prose(self) -> bool:
        """Whether it is read rather than counted: words that hardly recur."""
        return self.kind == "text" and self.distinct > 0.5 * self.filled and self.words >= 3

    @property
    def says(self) -> str:
        """The column in a few words."""
        size = f"{self.distinct:,} different in {self.filled:,} rows"
        words = f", {self.words:.0f} words" if self.kind == "text" else ""
        return f"{self.name} ({self.form or self.kind}, {size}{words})"


def look_at_columns(table: Table) -> tuple[Column, ...]:
    """Every column of `table`, in its order."""
    return tuple(_column(name, [row.get(name) for row in table.rows]) for name in table.columns)


def _column(name: str, values: Sequence[Any]) -> Column:
    filled = [value for value in values if not is_missing(value)]
    texts = [item for value in filled for item in (value if isinstance(value, list) else [value])]
    counted = Counter(_written(item) for item in texts)
    whole = counted if not any(isinstance(value, list) for value in filled) else Counter(map(str, filled))
    words = float(np.mean([len(str(item).split()) for item in texts])) if texts else 0.0
    form = find_form(filled[:SAMPLED_ROWS])
    kind = "other" if form and form != "tokens" else _value_kind(filled)
    return Column(name, len(filled), len(whole), kind, words, counted, form, tuple(values[:SAMPLED_ROWS]))


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


# --------------------------------------------------------------------------------------------- forms


def find_form(values: Sequence[Any]) -> str:
    """What all of `values` are in form, "" where they are none of FORMS or differ."""
    try:
        found = [unfolded(value) for value in values]
    except Unusable:
        return ""
    return next((form for form, holds in FORMS.items() if found and holds(found)), "")


def _are_tags(values: Sequence[Any]) -> bool:
    lists = [value.split() if isinstance(value, str) else value for value in values]
    if not all(isinstance(one, list) and all(isinstance(tag, str) and is_tag(tag) for tag in one) for one in lists):
        return False
    return any(tag != "O" for one in lists for tag in one)


def _are_conversations(values: Sequence[Any]) -> bool:
    return all(_holds(value, dict) and value and all(_has(turn, "role", "from") for turn in value) for value in values)


def _are_spans(values: Sequence[Any]) -> bool:
    if not all(isinstance(value, list) for value in values) or not any(values):
        return False
    return all(_is_span(mark) for value in values for mark in value)


def _is_span(mark: Any) -> bool:
    if isinstance(mark, (list, tuple)):
        return len(mark) == 3 and all(isinstance(offset, int) for offset in mark[:2]) and isinstance(mark[2], str)
    return _has(mark, "label", "entity_type", "type", "entity", "entity_group", "tag") and _has(
        mark, "start", "start_position", "start_offset", "begin")


def _are_answers(values: Sequence[Any]) -> bool:
    parts = [part for value in values for part in (value if isinstance(value, list) else [value])]
    return bool(parts) and all(_has(part, "answer_start", "start") and _has(part, "text") for part in parts)


def _are_tokens(values: Sequence[Any]) -> bool:
    return all(_holds(value, str) for value in values) and any(values)


def _holds(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _has(value: Any, *keys: str) -> bool:
    return isinstance(value, dict) and any(key in value for key in keys)


FORMS: dict[str, Callable[[Sequence[Any]], bool]] = {
    "tags": _are_tags,
    "conversations": _are_conversations,
    "spans": _are_spans,
    "answers": _are_answers,
    "tokens": _are_tokens,
}
