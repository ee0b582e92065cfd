"""Spans as files write them: tags of tokens, objects with offsets, answers in a context. Must not know splits.

Offsets count characters from 0, the end exclusive. Where a file also writes the text of a span, the two must agree.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    refuse_written_gaps,
    shown,
    unfolded,
)
from tunewright.data.spans import is_tag, read_tags, scheme_of, tag_names
from tunewright.recipe.schema import Task
from tunewright.values import Span

_STARTS = ("start", "start_position", "start_offset", "begin", "answer_start")
_ENDS = ("end", "end_position", "end_offset", "stop")
_LABELS = ("label", "entity_type", "type", "entity", "entity_group", "tag")
_TEXTS = ("text", "entity_value", "value", "word", "answer")
_WORD = re.compile(r"\S+")


# ------------------------------------------------------------------------------- spans with a label


def read_spans(values: Mapping[str, Any], asked: Asked) -> Said:
    """One text and its spans, in order.

    The input column holds a text or a list of tokens, which are joined by single spaces. The output column holds a tag
    for each token (or word of the text), in a list or in a text with spaces; or a list of spans: objects with start,
    end and label, or [start, end, label]; or an object of labels with a text, or several, that each stand in the input
    exactly once.
    """
    (column,) = asked.task.inputs
    value = unfolded(values.get(column))
    words = _tokens(value, column) if isinstance(value, list) and _are_tokens(value, values.get(column)) else None
    text = " ".join(words) if words is not None else read_every_text(values, [column])[0]
    refuse_written_gaps([text], [column])
    if not asked.answers:
        return Said((text,))
    named = unfolded(values.get(asked.task.outputs[0]))
    if isinstance(named, dict):
        return Said((text,), _in_order(_looked_up(named, text, asked.task.outputs[0])))
    marks = _marks(values, asked.task)
    if _are_tags(marks) or (asked.scheme and not marks):
        return _read_tagged(text, words, marks, asked)
    if words is not None and marks:
        raise Unusable("bad_answer", f"{asked.task.outputs[0]} counts characters, and {column} is a list of tokens; "
                       "give the text itself, or a tag for each token")
    return Said((text,), _in_order(_read_span(mark, text, asked.task.outputs[0]) for mark in marks))


def find_scheme(rows: Iterable[Mapping[str, Any]], task: Task) -> str:
    """The scheme of the tags in the column of answers, judged by all rows together; "" where it holds no tags."""
    tagged = []
    for values in rows:
        try:
            marks = _marks(values, task)
        except Unusable:
            continue
        if marks and _are_tags(marks):
            tagged.append([tag for tag in _named_tags(marks, task) if is_tag(tag)])
    return scheme_of(tagged) if tagged else ""


def _are_tokens(value: Sequence[Any], written: Any) -> bool:
    """Whether a list is one of tokens; a text such as "[1]" that merely reads as a list is not."""
    return isinstance(written, list) or all(isinstance(token, str) for token in value)


def _tokens(value: Sequence[Any], column: str) -> list[str]:
    if not value:
        raise Unusable("no_input", f"{column} is empty")
    for place, token in enumerate(value, start=1):
        if isinstance(token, (list, dict, bytes)):
            raise Unusable("bad_input", f"token {place} of {column} is {kind_name(token)}, not a text")
        if is_missing(token):
            raise Unusable("bad_input", f"token {place} of {column} is empty")
    return [as_name(token) for token in value]


def _marks(values: Mapping[str, Any], task: Task) -> list[Any]:
    """The tags or spans that a row's column of answers lists."""
    column = task.outputs[0]
    value = unfolded(values.get(column))
    if is_missing(value):
        raise Unusable("no_answer", f"{column} is empty; for no spans write []")
    if isinstance(value, (dict, bytes)):
        raise Unusable("bad_answer", f"{column} is {kind_name(value)}, not a list of tags or spans")
    return value if isinstance(value, list) else as_text(value).split()


def _are_tags(marks: Sequence[Any]) -> bool:
    return bool(marks) and not any(isinstance(mark, (list, tuple, dict)) for mark in marks)


def _named_tags(marks: Sequence[Any], task: Task) -> list[str]:
    """The tags by name; numbers count O, then B and I of each of task.labels, as data sets of the hub do."""
    if not all(isinstance(mark, int) and not isinstance(mark, bool) for mark in marks):
        return [as_text(mark) for mark in marks]
    names = tag_names(tuple(task.labels or ()))
    return [names[mark] if 0 <= mark < len(names) else str(mark) for mark in marks]


def _read_tagged(text: str, words: list[str] | None, marks: Sequence[Any], asked: Asked) -> Said:
    column = asked.task.outputs[0]
    places = None if words is not None else [match.span() for match in _WORD.finditer(text)]
    tokens = words if words is not None else [text[start:end] for start, end in places or ()]
    if len(marks) != len(tokens):
        raise Unusable("bad_answer", f"{len(marks)} tags in {column} for {len(tokens)} "
                       f"{'tokens' if words is not None else 'words'}")
    tags = _named_tags(marks, asked.task)
    for place, tag in enumerate(tags, start=1):
        if not is_tag(tag):
            numbered = "; name the labels in their order with task.labels" if tag.isdigit() else ""
            raise Unusable("bad_answer", f"tag {place} of {column} is {shown(tag)}, a tag of no scheme{numbered}")
    read = read_tags(tokens, tags, scheme=asked.scheme)
    spans = read.spans if places is None else tuple(_placed(read.spans, tokens, places))
    remark = f"{read.stray_tags} tags of {column} break {asked.scheme}" if read.stray_tags else ""
    return Said((text,), spans, remark)


def _placed(spans: Iterable[Span], tokens: Sequence[str], places: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Spans of tokens joined by single spaces, moved to where the tokens stand in the text itself."""
    ends = list(itertools.accumulate((len(token) + 1 for token in tokens), initial=-1))[1:]
    start_of = {end - len(token): place[0] for end, token, place in zip(ends, tokens, places, strict=True)}
    end_of = {end: place[1] for end, place in zip(ends, places, strict=True)}
    for span in spans:
        yield Span(start_of[span.start], end_of[span.end], span.label)


def _read_span(mark: Any, text: str, column: str) -> Span:
    if isinstance(mark, (list, tuple)):
        if len(mark) != 3:
            raise Unusable("bad_answer", f"{column} has {shown(mark)}, not [start, end, label]")
        mark = dict(zip(("start", "end", "label"), mark, strict=True))
    if not isinstance(mark, dict):
        raise Unusable("bad_answer", f"{column} has {shown(mark)} among spans")
    label, wanted = _value_of(mark, _LABELS), _value_of(mark, _TEXTS)
    if isinstance(label, (list, dict)) or is_missing(label):
        raise Unusable("bad_answer", f"{column} has a span without a label: {shown(mark)}")
    start, end = (_offset(_value_of(mark, keys), column, mark) for keys in (_STARTS, _ENDS))
    if isinstance(wanted, str):
        _refuse_elsewhere(start, end, wanted, text, column)
    _refuse_outside(start, end, text, column)
    return Span(start, end, as_name(label))


def _looked_up(named: Mapping[str, Any], text: str, column: str) -> Iterator[Span]:
    """The places of texts that are given by their labels; one that is part of a longer word is not found there."""
    for label, values in named.items():
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str) or not value.strip():
                raise Unusable("bad_answer", f"{column} has for {label} {shown(value)}, which is no text")
            wanted = value.strip()
            found = [match.start() for match in re.finditer(re.escape(wanted), text)
                     if not _is_within_word(text, match.start(), match.end())]  # fmt: skip
            if len(found) != 1:
                times = f"{len(found)} times" if found else "nowhere"
                raise Unusable("bad_answer", f"{shown(wanted)}, which {column} calls {label}, stands {times} in the "
                               "text, not once")
            yield Span(found[0], found[0] + len(wanted), label)


def _is_within_word(text: str, start: int, end: int) -> bool:
    before, after = text[max(start - 1, 0) : start], text[end : end + 1]
    return (before.isalnum() and text[start].isalnum()) or (after.isalnum() and text[end - 1].isalnum())


def _in_order(spans: Iterable[Span]) -> tuple[Span, ...]:
    ordered = tuple(sorted(spans))
    for first, second in itertools.pairwise(ordered):
        if second.start < first.end:
            raise Unusable("bad_answer", f"the spans {_written(first)} and {_written(second)} overlap")
    return ordered


def _written(span: Span) -> str:
    return f"{span.start} to {span.end} ({span.label})"


# ------------------------------------------------------------------------------ answers in a context


def read_answers(values: Mapping[str, Any], asked: Asked) -> Said:
    """A question, a context, and the spans of the context that answer: none where it holds no answer.

    The output column holds SQuAD's {"text": [...], "answer_start": [...]}, one {"text", "start"} or a list of them, or
    the answer itself, which must then occur in the context exactly once. No answer is written as an empty list, or as
    `is_impossible` (a column that is read where it is there) being true. A span's label is its text.
    """
    columns = asked.task.inputs
    inputs = read_every_text(values, columns)
    refuse_written_gaps(inputs, columns)
    if not asked.answers:
        return Said(inputs)
    column, impossible = asked.task.outputs[0], _truth(values.get("is_impossible"))
    given = values.get(column)
    if is_missing(given):
        if impossible:
            return Said(inputs, ())
        raise Unusable("no_answer", f"{column} is empty; where the context has no answer write []")
    spans = tuple(dict.fromkeys(_answer(part, inputs[1], column) for part in _answers_in(given, column)))
    if impossible is not None and impossible == bool(spans):
        says = "true, and there is an answer" if impossible else "false, and there is no answer"
        raise Unusable("bad_answer", f"is_impossible is {says} in {column}")
    return Said(inputs, spans)


def _answers_in(given: Any, column: str) -> list[Any]:
    """The answers of a cell one by one, each a text or an object."""
    value = unfolded(given)
    if isinstance(given, str) and isinstance(value, list) and not all(isinstance(one, (dict, str)) for one in value):
        value = given  # an answer such as "[4]", not a list of answers
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        texts, starts = value["text"], next((value[key] for key in _STARTS if key in value), None)
        if starts is None:
            return list(texts)
        if not isinstance(starts, list) or len(starts) != len(texts):
            raise Unusable("bad_answer", f"{column} has {len(texts)} texts and not as many starts")
        return [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    return value if isinstance(value, list) else [value]


def _answer(part: Any, context: str, column: str) -> Span:
    if not isinstance(part, dict):
        return _only_place(part, context, column)
    wanted, start, end = (_value_of(part, keys) for keys in (_TEXTS, _STARTS, _ENDS))
    if start is None and wanted is not None:
        return _only_place(wanted, context, column)
    begun = _offset(start, column, part)
    if wanted is not None and is_missing(wanted):
        raise Unusable("bad_answer", f"{column} has an answer without text; where there is none write []")
    ended = _offset(end, column, part) if wanted is None else begun + len(as_text(wanted))
    if wanted is not None:
        _refuse_elsewhere(begun, ended, as_text(wanted), context, column)
    _refuse_outside(begun, ended, context, column)
    return Span(begun, ended, context[begun:ended])


def _only_place(wanted: Any, context: str, column: str) -> Span:
    """The one place of a text in the context."""
    text = as_text(wanted)
    if isinstance(wanted, (list, dict, bytes)) or not text.strip():
        raise Unusable("bad_answer", f"{column} has {shown(wanted)}, which is no answer")
    start = context.find(text)
    if start < 0:
        raise Unusable("bad_answer", f"{shown(text)} does not occur in the context")
    if context.find(text, start + 1) >= 0:
        raise Unusable("bad_answer", f"{shown(text)} occurs in the context more than once; say where it starts")
    return Span(start, start + len(text), text)


def _truth(value: Any) -> bool | None:
    """True or false as cells write them, None for anything else."""
    return {"true": True, "1": True, "false": False, "0": False}.get(as_name(value).strip().lower())


# ------------------------------------------------------------------------------------------- offsets


def _value_of(mark: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((mark[key] for key in keys if mark.get(key) is not None), None)


def _offset(value: Any, column: str, mark: Any) -> int:
    written = as_name(value).strip()
    if isinstance(value, (bool, list, dict)) or not re.fullmatch(r"-?\d{1,18}", written):
        raise Unusable("bad_answer", f"{column} has no start and end that are whole numbers: {shown(mark)}")
    return int(written)


def _refuse_outside(start: int, end: int, text: str, column: str) -> None:
    if start >= end:
        raise Unusable("bad_answer", f"{column} has an empty span, {start} to {end}")
    if start < 0 or end > len(text):
        raise Unusable("bad_answer", f"{column} has a span {start} to {end} outside the text of {len(text)} characters")


def _refuse_elsewhere(start: int, end: int, wanted: str, text: str, column: str) -> None:
    """Refuse offsets at which another text stands than the file says; name it, and what may have been meant."""
    found = text[start:end] if start >= 0 else ""
    if found != wanted:
        raise Unusable("bad_answer", f"{column}: at {start} to {end} stands {shown(found)}, not {shown(wanted)}"
                       f"{_probable_cause(start, wanted, text)}")


def _probable_cause(start: int, wanted: str, text: str) -> str:
    places = [match.start() for match in re.finditer(re.escape(wanted), text)]
    if not places:
        return "; it stands nowhere in the text"
    nearest = min(places, key=lambda place: abs(place - start))
    if nearest == start:
        return f"; the end is exclusive, so it is {start + len(wanted)}"
    for unit, encoding, width in (("bytes", "utf-8", 1), ("UTF-16 units", "utf-16-le", 2)):
        if any(len(text[:place].encode(encoding)) == start * width for place in places):
            return f"; the offsets count {unit}, and characters are meant"
    return f"; it stands at {nearest}"
