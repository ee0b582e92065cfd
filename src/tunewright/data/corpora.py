"""Files that are no tables: plain text, columns of tagged tokens, SQuAD's nest. Knows their forms; opens no file.

Plain text and tagged columns are cut into stretches of lines, so that whoever reads the file can say where one stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

DOCUMENT_WORDS = 2000
_TAGLESS = "-DOCSTART-"


def cut_documents(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First line and end (exclusive) of each document of a plain text, blank lines at its ends left out.

    Paragraphs, which blank lines part, are put together until they have `DOCUMENT_WORDS` words: long enough to learn
    from, short enough that a share of them can be held out and that one which occurs twice is seen. Text that goes on
    for twice as long without a blank line is cut at the end of a line.
    """
    start, end, words = -1, 0, 0
    for place, line in enumerate(lines):
        blank = not line.strip()
        if start >= 0 and (words >= 2 * DOCUMENT_WORDS or (blank and words >= DOCUMENT_WORDS)):
            yield start, end
            start, words = -1, 0
        if not blank:
            start, end = place if start < 0 else start, place + 1
            words += len(line.split())
    if start >= 0:
        yield start, end


def cut_sentences(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First line and end (exclusive) of each sentence of tagged columns; blank lines and -DOCSTART- part them."""
    start = -1
    for place, line in enumerate((*lines, "")):
        if line.strip() and not line.startswith(_TAGLESS):
            start = place if start < 0 else start
        elif start >= 0:
            yield start, place
            start = -1


def read_sentence(lines: Sequence[str]) -> dict[str, Any]:
    """The first column of the lines as `tokens`, the last as `tags`. Raises ValueError for a line of one column.

    Columns are parted by tabs where a line has any, else by spaces. A first line that begins with "# " and does not end
    in a tag describes the sentence (as MultiCoNER's do) and is no part of it.
    """
    described = lines[0].startswith("# ") and not _ends_in_tag(lines[0])
    cells = [line.split("\t") if "\t" in line else line.split() for line in lines[described:]]
    for line, row in zip(lines[described:], cells, strict=True):
        if len(row) < 2:
            raise ValueError(f"the line {line.strip()!r} has a token and no tag")
    if not cells:
        raise ValueError("a sentence without tokens")
    return {"tokens": [row[0].strip() for row in cells], "tags": [row[-1].strip() for row in cells]}


def _ends_in_tag(line: str) -> bool:
    last = line.split()[-1]
    return last == "O" or last[1:2] == "-"


def is_squad(value: Any) -> bool:
    """Whether a JSON value is a file of SQuAD's: {"data": [{"paragraphs": [...]}]}."""
    data = value.get("data") if isinstance(value, dict) else None
    return isinstance(data, list) and bool(data) and all(isinstance(one, dict) and "paragraphs" in one for one in data)


def flatten_squad(value: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place of each question in the file, and its row: id, title, context, question, answers, is_impossible.

    Raises ValueError, naming the place, where the nest is broken.
    """
    for i, article in enumerate(value["data"]):
        for j, paragraph in enumerate(_list_in(article, "paragraphs", f"data[{i}]")):
            place = f"data[{i}].paragraphs[{j}]"
            for k, question in enumerate(_list_in(paragraph, "qas", place)):
                if not isinstance(question, dict):
                    raise ValueError(f"{place}.qas[{k}] is no object")
                about = {"title": article.get("title", ""), "context": paragraph.get("context")}
                asked = {key: question[key] for key in ("question", "answers", "is_impossible") if key in question}
                yield f"{place}.qas[{k}]", {"id": question.get("id"), **about, **asked}


def _list_in(value: Any, key: str, place: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"{place} has no list {key!r}")
    return found
