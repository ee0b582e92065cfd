"""Which task a table's columns suggest. Guesses, and says why; where it cannot tell it refuses and asks.

Knows a table's values; must not know recipes' text, bases or tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from tunewright.pipeline.forms import Column, look_at_columns
from tunewright.pipeline.readings import Reading, find_plain_text, find_readings, is_readable
from tunewright.recipe.errors import DataRefusal, nearest
from tunewright.recipe.tasks import KINDS, TaskKind

__all__ = ["Column", "Guess", "guess_task", "look_at_columns"]
_ANSWERS = ("label", "labels", "intent", "intents", "class", "category", "categories", "target", "targets", "answer",
            "sentiment", "topic", "topics", "tag", "tags", "score", "rating", "stars", "grade", "y", "output")
_TEXTS = ("text", "body", "message", "content", "review", "sentence", "utterance", "question", "comment", "description",
          "input", "document")
_SECONDS = (("premise", "hypothesis"), ("question", "context"), ("query", "passage"), ("sentence1", "sentence2"),
            ("text_a", "text_b"), ("title", "body"), ("subject", "body"))
_GROUP = re.compile(r"(customer|user|author|client|account|document|doc|thread|conversation|session|patient|group)"
                    r"(_?(id|key|no|number|name))?$|.+_id$", re.IGNORECASE)
_ID = re.compile(r"^(id|uuid|guid|key|index|row)$|.*(_|\b)(id|uuid|key|no|number)$", re.IGNORECASE)
_MOST_LABELS = 200
_SEPARATORS = ("|", ";", ",")


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


def guess_task(
    columns: Sequence[Column], *, inputs: Sequence[str] = (), outputs: Sequence[str] = (), kind: str | None = None,
    where: str = "",
) -> Guess:  # fmt: skip
    """The task that the columns suggest, with `kind`, `inputs` and `outputs` taken as given where they are.

    Raises DataRefusal, naming the columns, for a name that is none of them and where nothing or too much fits.
    """
    _refuse_unknown(columns, inputs, outputs, kind, where)
    readings = [reading for reading in find_readings(columns) if _agrees(reading, inputs, outputs, kind)]
    asked = bool(inputs or outputs or kind)
    rivals = [] if asked or any(reading.certain for reading in readings) else _rivals(columns, readings)
    if len(readings) + len(rivals) > 1 and readings:
        ways = [*(reading.says for reading in readings), *(f"a task of labels (→ {name})" for name in rivals)]
        raise _cannot_tell(f"The columns can be read in several ways: {'; '.join(ways)}", columns, where, "")
    if readings:
        return _completed(readings[0], columns)
    if kind is None and not asked and not any(_could_answer(column) for column in columns):
        plain = find_plain_text(columns)
        if plain is not None:
            return _completed(plain, columns)
    if kind is not None and not KINDS[kind].labelled and kind != "regression":
        return _completed(_as_asked(KINDS[kind].name, columns, inputs, outputs, where), columns)
    return _guess_labels(columns, tuple(inputs), tuple(outputs), kind, where)


def _refuse_unknown(
    columns: Sequence[Column], inputs: Sequence[str], outputs: Sequence[str], kind: str | None, where: str
) -> None:
    known = [column.name for column in columns]
    for name in (*inputs, *outputs):
        if name not in known:
            raise DataRefusal(f"There is no column {name!r}.{nearest(name, known)}", where=where,
                              remedy=f"The columns are: {', '.join(known)}.")
    if kind is not None and kind not in KINDS:
        raise DataRefusal(f"There is no kind of task {kind!r}.{nearest(kind, KINDS)}", where=where,
                          remedy=f"The kinds are: {', '.join(KINDS)}.")


def _agrees(reading: Reading, inputs: Sequence[str], outputs: Sequence[str], kind: str | None) -> bool:
    return (kind in (None, reading.kind) and tuple(inputs) in ((), reading.inputs)
            and tuple(outputs) in ((), reading.outputs))  # fmt: skip


def _rivals(columns: Sequence[Column], readings: Sequence[Reading]) -> list[str]:
    """Columns that are named as answers are and that none of the readings uses."""
    used = {name for reading in readings for name in (*reading.inputs, *reading.outputs)}
    return [column.name for column in columns if column.name not in used and column.name.lower() in _ANSWERS
            and _could_answer(column)]  # fmt: skip


def _as_asked(
    kind: TaskKind, columns: Sequence[Column], inputs: Sequence[str], outputs: Sequence[str], where: str
) -> Reading:
    """The reading that was asked for by kind and columns, which names and forms did not suggest."""
    if kind == "pretraining" and not inputs:
        plain = find_plain_text(columns)
        inputs = plain.inputs if plain is not None else ()
    needs_answer = kind not in ("retrieval", "pretraining", "generation")
    missing = "--input" if not inputs else "--output" if needs_answer and not outputs else ""
    if missing:
        raise _cannot_tell(f"The columns do not tell what a {kind} would read or answer", columns, where, missing)
    reading = Reading(kind, tuple(inputs), tuple(outputs), "as asked", "as asked" if outputs else "", certain=True)
    try:
        readable = is_readable(reading.task, columns)
    except ValidationError as error:  # a task that such columns cannot make
        says = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise DataRefusal(f"This is no {kind}: {says}.", where=where,
                          remedy="Name other columns, or another kind.") from error
    if not readable:
        raise DataRefusal(f"The first rows cannot be read as {reading.says}.", where=where,
                          remedy="Name other columns, or another kind.")
    return reading


def _completed(reading: Reading, columns: Sequence[Column]) -> Guess:
    named, group = _id_and_group(columns, (*reading.inputs, *reading.outputs))
    return Guess(reading.kind, reading.inputs, reading.outputs, reading.why_inputs, reading.why_outputs, None, named,
                 group, Counter())  # fmt: skip


def _id_and_group(columns: Sequence[Column], used: Sequence[str]) -> tuple[str | None, str | None]:
    left = [column for column in columns if column.name not in used]
    rows = max(column.filled for column in columns)
    named = next((c.name for c in left if c.unique and _ID.match(c.name) and c.filled == rows), None)
    return named, next((c.name for c in left if c.name != named and _repeats(c) and _GROUP.match(c.name)), None)


def _guess_labels(
    columns: Sequence[Column], inputs: tuple[str, ...], outputs: tuple[str, ...], asked: str | None, where: str
) -> Guess:
    """A task whose answers are labels or numbers, or texts in a column that was named as the answer."""
    by_name = {column.name: column for column in columns}
    texts, why_inputs = _guess_inputs(columns, inputs, outputs, where)
    answers, why_outputs = _guess_outputs(columns, texts, outputs, where)
    kind, separator, why_kind = _kind_of([by_name[name] for name in answers])
    if asked is not None and asked != kind:
        kind, separator, why_kind = KINDS[asked].name, None, f"{asked}, as asked"
    labelled = KINDS[kind].labelled and len(answers) == 1
    labels = _labels(by_name[answers[0]], separator) if labelled else Counter()
    named, group = _id_and_group(columns, (*texts, *answers))
    return Guess(kind, texts, answers, why_inputs, f"{why_outputs}; {why_kind}", separator, named, group, labels)


def _repeats(column: Column) -> bool:
    return 1 < column.distinct < column.filled


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
    if column.is_prose and column.distinct > _MOST_LABELS:
        return "generation", None, f"texts of {column.words:.0f} words, too many to be labels"
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
    """A refusal that asks for a column by the command's `option`, or, where several tasks fit, for the kind."""
    ask = f"Name it: {option} COLUMN" if option else "Say which: --kind KIND, or --input COLUMN with --output COLUMN"
    also = ", or --kind pretraining to learn from the texts alone" if option == "--output" else ""
    return DataRefusal(
        f"{what}. The columns are: {'; '.join(column.says for column in columns)}.", where=where,
        remedy=f"{ask}{also}.",
    )  # fmt: skip
