"""What the cells of a table hold: texts, numbers, lists, nothing. Knows no kind of task; splits and policies neither.

A text is never changed: what is a text stays as it is, a number is written out, and what is neither is a fault.
"""

from __future__ import annotations

import ast
import datetime
import io
import itertools
import json
import math
import tokenize
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.data.read import find_unfit_text
from tunewright.recipe.schema import Task
from tunewright.values import Span

Answer = str | tuple[str, ...] | float | tuple[Span, ...]
_SHOWN_CHARACTERS = 40


class Unusable(Exception):
    """Raised by readers of rows and caught by `clean`: no input or no answer can be made of a value."""

    def __init__(self, reason: str, detail: str):
        self.reason, self.detail = reason, detail
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader of a row looks for: the columns of `task`, and its answer where `answers` is True.

    `scheme` is the scheme of the tags in the column of answers, "" where that column holds no tags.
    """

    task: Task
    answers: bool = True
    scheme: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What a row says: its inputs, its answer (None where none was asked for), and what is odd about it, or ""."""

    inputs: tuple[str, ...]
    answer: Answer | None = None
    remark: str = ""


def as_text(value: Any) -> str:
    """The value as a text, "" where it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return value if isinstance(value, str) else str(value)


def as_name(value: Any) -> str:
    """The name of a label; 3.0 is written as 3, because a table with gaps turns whole numbers into fractions."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else as_text(value)


def is_missing(value: Any) -> bool:
    """Whether the cell is empty; an empty list or object is not."""
    return not isinstance(value, (list, dict, bytes)) and not as_text(value).strip()


def kind_name(value: list[Any] | dict[str, Any] | bytes) -> str:
    return {list: "a list", dict: "an object", bytes: "raw bytes"}[type(value)]


def shown(value: Any) -> str:
    """The value as a message quotes it: short, in quotation marks."""
    text = as_text(value)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def unfolded(value: Any) -> Any:
    """The list or object that a text cell writes, as JSON or else as Python does; any other value as it is.

    Tables without types (CSV) hold lists so. Only literals are read, nothing is evaluated. Raises Unusable for a list
    without commas, which Python would read as one long text, and for text that no tokenizer may see.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{", "("):
        return value
    for read in (json.loads, _python_literal):
        try:
            found = read(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, (list, tuple, dict)):
            fault = find_unfit_text(found)
            if fault:
                raise Unusable("bad_input", f"{shown(value)} {fault}")
            return list(found) if isinstance(found, tuple) else found
    return value


def _python_literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a backslash in somebody's data is no fault of this code
        found = ast.literal_eval(text.strip())
    tokens = [token.type for token in tokenize.generate_tokens(io.StringIO(text.strip()).readline)]
    marks = [kind for kind in tokens if kind not in (tokenize.NL, tokenize.NEWLINE)]
    if (tokenize.STRING, tokenize.STRING) in itertools.pairwise(marks):
        raise Unusable("bad_input", f"{shown(text)} lists texts without commas, as numpy prints them")
    return found


def read_texts(values: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, ...]:
    """One text per column. One column of several may be empty, not all of them."""
    texts = tuple(_text_in(values, column) for column in columns)
    if not any(text.strip() for text in texts):
        raise Unusable("no_input", f"{' and '.join(columns)} {'is' if len(texts) == 1 else 'are'} empty")
    return texts


def read_every_text(values: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, ...]:
    """One text per column, none of them empty."""
    texts = tuple(_text_in(values, column) for column in columns)
    for column, text in zip(columns, texts, strict=True):
        if not text.strip():
            raise Unusable("no_input", f"{column} is empty")
    return texts


def refuse_written_gaps(texts: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse the text "nan", which a table once wrote where it had nothing."""
    for column, text in zip(columns, texts, strict=True):
        if text.strip().lower() == "nan":
            raise Unusable("no_input", f"{column} is {text!r}, as tables write what is missing")


def _text_in(values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    if isinstance(value, (list, dict, bytes)):
        raise Unusable("bad_input", f"{column} is {kind_name(value)}, not a text")
    return as_text(value)
