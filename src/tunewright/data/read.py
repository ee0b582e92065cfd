"""Files become rows of named values. Knows file formats; must not know tasks, labels or what a row is good for.

Nothing is guessed: the suffix names the format, text is UTF-8, the first line of a table is its header. A row that
cannot be read becomes a `Malformed` with its place and the reason; a file that cannot be read at all is refused.
Files that are no tables become one too: plain text has the column `text`, tagged tokens have `tokens` and `tags`.
"""

from __future__ import annotations

import codecs
import csv
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
from openpyxl.utils.exceptions import InvalidFileException
from pyarrow import parquet

from tunewright.data.corpora import cut_documents, cut_sentences, flatten_squad, is_squad, read_sentence
from tunewright.recipe.errors import DataRefusal, nearest

_EXCERPT_CHARACTERS = 120
_OTHER_ENCODINGS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that could not be read.

    `origin` is file:line (the first of a row of several), `column` the place in that line in characters from 1 (None if
    the whole line is meant), `text` the beginning of what stands there, `readable_before` the number of readable rows
    that come before it.
    """

    origin: str
    column: int | None
    reason: str
    text: str
    readable_before: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one or more files, in order; row i stands at `origins[i]` ("tickets.jsonl:17", its first line)."""

    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    origins: list[str]
    malformed: list[Malformed]

    @property
    def rows_in(self) -> int:
        """Every row met in the files, readable or not."""
        return len(self.rows) + len(self.malformed)


@dataclass(slots=True)
class _Reading:
    """A table in the making."""

    name: str
    columns: dict[str, None] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)

    def keep(self, line: int | str, row: dict[str, Any], text: str) -> None:
        fault = _fault_in(row)
        if fault:
            self.refuse_row(line, None, fault, text)
            return
        if row.keys() - self.columns.keys():
            self.columns.update(dict.fromkeys(row))
        self.rows.append(row)
        self.origins.append(f"{self.name}:{line}")

    def refuse_row(self, line: int | str, column: int | None, reason: str, text: str) -> None:
        shown = text[:_EXCERPT_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
        self.malformed.append(Malformed(f"{self.name}:{line}", column, reason, shown, len(self.rows)))


def read_table(sources: Sequence[Path], *, written: Sequence[str] | None = None) -> Table:
    """All rows of `sources`, in order. Columns are those of any row, in order of first appearance.

    `written` says how the user wrote each source; origins name files after that, by default after the paths.

    Raises DataRefusal for a file that is missing, empty, a folder, closed to us, of an unknown suffix or broken as a
    whole. Rows that are broken one by one are collected in `malformed`.
    """
    assert sources, "no file to read"
    written = [str(source) for source in sources] if written is None else written
    names = [Path(text).name for text in written]
    whole = _Reading("")
    for source, text, short in zip(sources, written, names, strict=True):
        name = short if names.count(short) == 1 else text
        whole.name = name
        rows_before = len(whole.rows) + len(whole.malformed)
        _read_file(source, whole)
        if len(whole.rows) + len(whole.malformed) == rows_before:
            raise DataRefusal("The file holds no rows.", where=name, remedy="Give a file with at least one row.")
    return Table(tuple(whole.columns), whole.rows, whole.origins, whole.malformed)


def _read_file(source: Path, reading: _Reading) -> None:
    read = (FORMATS | TEXT_FORMATS).get(source.suffix.lower())
    if source.is_dir():
        raise DataRefusal("This is a folder, not a file.", where=str(source), remedy="Name the files inside it.")
    if not source.exists():
        beside = [other.name for other in source.parent.iterdir()] if source.parent.is_dir() else []
        raise DataRefusal(f"The file does not exist.{nearest(source.name, beside)}", where=str(source),
                          remedy="Correct the path; it counts from the folder of the recipe.")
    if read is None:
        raise DataRefusal(f"The suffix {source.suffix!r} names no format that can be read.", where=str(source),
                          remedy=f"Give one of {', '.join(sorted(FORMATS | TEXT_FORMATS))}.")
    try:
        content = source.read_bytes()
    except OSError as error:
        raise DataRefusal(f"The file cannot be read: {error.strerror}.", where=str(source),
                          remedy="Give this user permission to read it.") from error
    if not content.strip():
        raise DataRefusal("The file is empty.", where=str(source), remedy="Give a file with at least one row of data.")
    read(source, content, reading)


def _fault_in(row: Mapping[str, Any]) -> str:
    """Why no text of this row may reach a tokenizer, or an empty string."""
    for column, value in row.items():
        fault = find_unfit_text(value)
        if fault:
            return f"the value of {column!r} {fault}"
    return ""


def find_unfit_text(value: Any) -> str:
    """What a text in `value`, at any depth of lists and objects, holds that no tokenizer may see, or ""."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            if "\0" in part:
                return "holds a NUL character"
            if not part.isascii() and any("\ud800" <= character <= "\udfff" for character in part):
                return "holds half a character (a lone surrogate)"
        elif isinstance(part, dict):
            left += [*part, *part.values()]
        elif isinstance(part, (list, tuple)):
            left += part
    return ""


# -------------------------------------------------------------------------------------- text formats


def _text_of(source: Path, content: bytes) -> bytes:
    """`content` without its byte order mark; refuses what is not meant to be UTF-8."""
    for mark, encoding in _OTHER_ENCODINGS.items():
        if content.startswith(mark):
            raise DataRefusal(f"The file is {encoding}, not UTF-8.", where=str(source), remedy="Save it as UTF-8.")
    return content.removeprefix(codecs.BOM_UTF8)


def _decode(line: bytes) -> tuple[str, int | None, str]:
    """The text of a line, and where and why it is not UTF-8 (None and an empty string if it is)."""
    try:
        return line.decode("utf-8"), None, ""
    except UnicodeDecodeError as error:
        column = len(line[: error.start].decode("utf-8")) + 1
        return line.decode("utf-8", "replace"), column, f"byte 0x{line[error.start]:02x} is not UTF-8"


def _read_json_lines(source: Path, content: bytes, reading: _Reading) -> None:
    for number, line in enumerate(_text_of(source, content).split(b"\n"), start=1):
        if line.strip():
            _read_json_line(number, line.rstrip(b"\r"), reading)


def _read_json_line(number: int, line: bytes, reading: _Reading) -> None:
    text, column, reason = _decode(line)
    if reason:
        reading.refuse_row(number, column, reason, text)
        return
    try:
        value = json.loads(text, object_pairs_hook=_object_of)
    except json.JSONDecodeError as error:
        reading.refuse_row(number, error.pos + 1, f"not JSON: {error.msg}", text)
    except (ValueError, RecursionError) as error:
        reading.refuse_row(number, None, f"not JSON: {error}", text)
    else:
        _keep_object(number, value, text, reading)


def _keep_object(number: int, value: Any, text: str, reading: _Reading) -> None:
    if isinstance(value, dict):
        reading.keep(number, value, text)
    else:
        reading.refuse_row(number, 1, f"a row must be a JSON object, this is {_JSON_NAMES[type(value)]}", text)


_JSON_NAMES = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "true or false",
               type(None): "null"}  # fmt: skip


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return found


def _read_json(source: Path, content: bytes, reading: _Reading) -> None:
    """A list of objects, each element's origin being the line it begins on; or a nest of SQuAD's."""
    try:
        text = _text_of(source, content).decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataRefusal(f"Byte 0x{content[error.start]:02x} is not UTF-8.", where=f"{source}:{line}",
                          remedy="Save the file as UTF-8.") from error
    if text.lstrip()[:1] == "{" and _read_squad(source, text, reading):
        return
    try:
        for line, value, element in _json_elements(text):
            _keep_object(line, value, element, reading)
    except json.JSONDecodeError as error:
        raise DataRefusal(f"This is not a JSON list of objects: {error.msg}.",
                          where=f"{source}:{error.lineno}, column {error.colno}",
                          remedy="Write [{...}, {...}], or one object a line in a .jsonl file.") from error
    except (ValueError, RecursionError) as error:
        raise DataRefusal(f"This is not a JSON list of objects: {error}.", where=str(source),
                          remedy="Write [{...}, {...}], or one object a line in a .jsonl file.") from error


def _read_squad(source: Path, text: str, reading: _Reading) -> bool:
    """Read the questions of a file of SQuAD's; False, and nothing read, where `text` is none."""
    try:
        value = json.loads(text, object_pairs_hook=_object_of)
    except (ValueError, RecursionError):
        return False  # said better, with its place, by whoever reads a list
    if not is_squad(value):
        return False
    try:
        for place, row in flatten_squad(value):
            reading.keep(place, row, str(row.get("question", "")))
    except ValueError as error:
        raise DataRefusal(f"This is not SQuAD's form: {error}.", where=str(source),
                          remedy='Write {"data": [{"paragraphs": [{"context", "qas": [...]}]}]}.') from error
    return True


def _json_elements(text: str) -> Iterator[tuple[int, Any, str]]:
    """Line, value and source text of each element of the list that `text` is; JSONDecodeError where it is none."""
    decoder = json.JSONDecoder(object_pairs_hook=_object_of)

    def skip(position: int) -> int:
        while position < len(text) and text[position] in " \t\r\n":
            position += 1
        return position

    def demand(characters: str, position: int) -> str:
        if position >= len(text) or text[position] not in characters:
            raise json.JSONDecodeError(f"Expecting {' or '.join(map(repr, characters))}", text, position)
        return text[position]

    position = skip(0)
    demand("[", position)
    position, line, counted = skip(position + 1), 1, 0
    if text[position : position + 1] != "]":
        while True:
            line, counted = line + text.count("\n", counted, position), position
            value, end = decoder.raw_decode(text, position)
            yield line, value, text[position:end]
            position = skip(end)
            if demand(",]", position) == "]":
                break
            position = skip(position + 1)
    if skip(position + 1) < len(text):
        raise json.JSONDecodeError("Extra data", text, skip(position + 1))


def _read_plain_text(source: Path, content: bytes, reading: _Reading) -> None:
    _read_stretches(source, content, reading, cut_documents, lambda lines: {"text": "\n".join(lines)})


def _read_tagged_columns(source: Path, content: bytes, reading: _Reading) -> None:
    _read_stretches(source, content, reading, cut_sentences, read_sentence)


def _read_stretches(
    source: Path, content: bytes, reading: _Reading,
    cut: Callable[[Sequence[str]], Iterable[tuple[int, int]]], read: Callable[[Sequence[str]], dict[str, Any]],
) -> None:  # fmt: skip
    """Rows made of stretches of lines; one with a line that is not UTF-8, or that cannot be read, is malformed."""
    decoded = [_decode(line.rstrip(b"\r")) for line in _text_of(source, content).split(b"\n")]
    lines = [text for text, _, _ in decoded]
    for start, end in cut(lines):
        number = start + 1
        damaged = next((i for i in range(start, end) if decoded[i][2]), None)
        if damaged is not None:
            text, column, why = decoded[damaged]
            reading.refuse_row(number, column, why if damaged == start else f"{why} (line {damaged + 1})", text)
            continue
        try:
            row = read(lines[start:end])
        except ValueError as error:
            reading.refuse_row(number, None, str(error), lines[start])
        else:
            reading.keep(number, row, lines[start])


def _read_comma_separated(source: Path, content: bytes, reading: _Reading) -> None:
    _read_delimited(source, content, reading, delimiter=",")


def _read_tab_separated(source: Path, content: bytes, reading: _Reading) -> None:
    _read_delimited(source, content, reading, delimiter="\t")


class _Lines:
    """Lines for the csv module that remember where the record being read began."""

    def __init__(self, content: bytes):
        self.lines = content.split(b"\n")
        if not self.lines[-1]:
            self.lines.pop()
        self.number = 0
        self.damage: tuple[int, int, str] | None = None  # line, column, reason of the first undecodable byte

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.number >= len(self.lines):
            raise StopIteration
        text, column, reason = _decode(self.lines[self.number])
        self.number += 1
        if column is not None and self.damage is None:
            self.damage = (self.number, column, reason)
        return text + "\n"


def _read_delimited(source: Path, content: bytes, reading: _Reading, *, delimiter: str) -> None:
    csv.field_size_limit(2**31 - 1)
    lines = _Lines(_text_of(source, content))
    records = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header_of(next(_records(records, lines, source))[1], source)
    if lines.damage is not None:
        line, column, reason = lines.damage
        raise DataRefusal(f"The names of the columns cannot be read: {reason}.",
                          where=f"{source}:{line}, column {column}", remedy="Save the file as UTF-8.")
    reading.columns.update(dict.fromkeys(header))
    for begun, cells in _records(records, lines, source):
        text = delimiter.join(cells) if cells else lines.lines[begun - 1].decode("utf-8", "replace")
        if lines.damage is not None:
            line, column, reason = lines.damage
            reading.refuse_row(begun, column, reason if line == begun else f"{reason} (line {line})", text)
            lines.damage = None
        elif isinstance(cells, _Unparsed):
            reading.refuse_row(begun, None, cells.reason, text)
        elif len(cells) != len(header):
            reading.refuse_row(begun, None, f"{len(cells)} cells where the header names {len(header)}", text)
        else:
            reading.keep(begun, dict(zip(header, cells, strict=True)), text)


class _Unparsed(list):  # type: ignore[type-arg]
    """The cells, none, of a record that the csv module could not take apart."""

    def __init__(self, reason: str):
        super().__init__()
        self.reason = reason


def _records(records: Any, lines: _Lines, source: Path) -> Iterator[tuple[int, list[str]]]:
    """Each record and the line it begins on, blank lines left out; refuses a quote that never closes."""
    while True:
        begun = lines.number + 1
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):
                raise DataRefusal("A quotation mark opens here and never closes, so all that follows is one cell.",
                                  where=f"{source}:{begun}", remedy='Close it, or write "" for a mark within a cell.'
                                  ) from error
            cells = _Unparsed(f"not a row of cells: {error}")
        if cells or isinstance(cells, _Unparsed):
            yield begun, cells


def _header_of(cells: Sequence[Any], source: Path) -> list[str]:
    header = ["" if cell is None else str(cell) for cell in cells]
    if isinstance(cells, _Unparsed) or not any(header):
        raise DataRefusal("The first line does not name the columns.", where=f"{source}:1",
                          remedy="Put the names of the columns on the first line.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataRefusal(f"Several columns have the same name: {', '.join(map(repr, twice))}.", where=f"{source}:1",
                          remedy="Give each column a name of its own.")
    return header


# ------------------------------------------------------------------------------------ binary formats


def _read_parquet(source: Path, content: bytes, reading: _Reading) -> None:
    try:
        table = parquet.read_table(pyarrow.BufferReader(content))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataRefusal(f"This is not a parquet file that can be read: {str(error).splitlines()[0]}.",
                          where=str(source), remedy="Write the file anew.") from error
    reading.columns.update(dict.fromkeys(_header_of(table.column_names, source)))
    for number, row in enumerate(table.to_pylist(), start=1):
        reading.keep(number, row, str(row))


def _read_workbook(source: Path, content: bytes, reading: _Reading) -> None:
    """The one sheet of a workbook: values, not formulas; the first row names the columns."""
    try:
        book = openpyxl.load_workbook(source, read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DataRefusal(f"This is not a workbook that can be read: {error}.", where=str(source),
                          remedy="Save it anew as .xlsx.") from error
    if len(book.sheetnames) > 1:
        raise DataRefusal(f"The workbook has several sheets: {', '.join(book.sheetnames)}.", where=str(source),
                          remedy="Save the sheet with the rows as a workbook of its own.")
    rows = book.worksheets[0].iter_rows(values_only=True)
    header = _header_of(_until_last_value(next(rows, ())), source)
    reading.columns.update(dict.fromkeys(header))
    for number, cells in enumerate(map(_until_last_value, rows), start=2):
        if len(cells) > len(header):
            reading.refuse_row(number, None, f"{len(cells)} cells where the header names {len(header)}", str(cells))
        elif cells:
            padded = [*cells, *[None] * (len(header) - len(cells))]
            reading.keep(number, dict(zip(header, padded, strict=True)), str(cells))
    book.close()


def _until_last_value(cells: Sequence[Any]) -> Sequence[Any]:
    filled = [i for i, cell in enumerate(cells) if cell is not None]
    return cells[: filled[-1] + 1] if filled else ()


_Read = Callable[[Path, bytes, _Reading], None]
TABLE_FORMATS: dict[str, _Read] = {
    ".csv": _read_comma_separated,
    ".tsv": _read_tab_separated,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".xlsx": _read_workbook,
}
FORMATS: dict[str, _Read] = TABLE_FORMATS | dict.fromkeys((".conll", ".bio", ".iob"), _read_tagged_columns)
TEXT_FORMATS: dict[str, _Read] = {".txt": _read_plain_text}
