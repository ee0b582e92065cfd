"""Files as people leave them: broken lines are named one by one, broken files are refused as a whole."""

import json
from pathlib import Path

import openpyxl
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tunewright.data.read import FORMATS, TABLE_FORMATS, TEXT_FORMATS, read_table
from tunewright.recipe.errors import DataRefusal

ROWS = [{"text": "no, \"really\"", "n": "1"}, {"text": "two\nlines", "n": "2"}, {"text": "žluťoučký 🐎", "n": "3"}]


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_rows(folder: Path, suffix: str) -> Path:
    path = folder / f"rows{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif suffix == ".xlsx":
        book = openpyxl.Workbook()
        for cells in (("text", "n"), *(tuple(row.values()) for row in ROWS)):
            book.active.append(cells)
        book.save(path)
    elif suffix == ".json":
        path.write_text(json.dumps(ROWS, indent=1))
    elif suffix in (".csv", ".tsv"):
        mark = "," if suffix == ".csv" else "\t"
        quoted = ['"' + row["text"].replace('"', '""') + '"' + mark + row["n"] for row in ROWS]
        path.write_text("\r\n".join([f"text{mark}n", *quoted]), newline="")
    else:
        path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


@pytest.mark.parametrize("suffix", sorted(TABLE_FORMATS))
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    table = read_table([write_rows(tmp_path, suffix)])
    assert table.rows == ROWS
    assert table.columns == ("text", "n")
    assert len(set(table.origins)) == 3 and not table.malformed


def test_a_record_is_named_by_the_line_it_begins_on(tmp_path):
    assert read_table([write_rows(tmp_path, ".csv")]).origins == ["rows.csv:2", "rows.csv:3", "rows.csv:5"]
    path = write(tmp_path, "a.json", '[\n {"a": 1},\n\n {"a":\n 2}, {"a": 3}]')
    assert read_table([path]).origins == ["a.json:2", "a.json:4", "a.json:5"]


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (b'{"text": "a', 10, "not JSON"), (b'["a"]', 1, "a list"), (b"null", 1, "null"),
        (b'{"text": "caf\xe9"}', 14, "0xe9"), (b'{"text": "a", "text": "b"}', None, "twice"),
        (b'{"text": "a\\u0000b"}', None, "NUL"), (b'{"text": "a\x00b"}', 12, "not JSON"),
        (b'{"text": "\\ud83d"}', None, "surrogate"), (b"[" * 100_000, None, "not JSON"),
    ],
)  # fmt: skip
def test_a_broken_json_line_is_named_and_its_neighbours_survive(tmp_path, line, column, reason):
    path = write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"text": "first"}\r\n\r\n' + line + b'\n{"text": "last"}\n')
    table = read_table([path])
    assert [row["text"] for row in table.rows] == ["first", "last"]
    assert table.origins == ["a.jsonl:1", "a.jsonl:4"]
    (bad,) = table.malformed
    assert (bad.origin, bad.column, bad.readable_before) == ("a.jsonl:3", column, 1)
    assert reason in bad.reason
    bad.text.encode("utf-8")


def test_broken_rows_of_a_csv_are_named(tmp_path):
    content = b'text,n\nfine,1\nshort\nlong,1,2\n"torn"x,3\ncaf\xe9,4\nnul\x00,5\n\nlast,6\n'
    table = read_table([write(tmp_path, "a.csv", content)])
    assert [row["n"] for row in table.rows] == ["1", "6"]
    assert [bad.origin for bad in table.malformed] == [f"a.csv:{line}" for line in (3, 4, 5, 6, 7)]
    assert table.malformed[3].column == 4
    assert table.rows_in == 7


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "text,n\nfine,1\n\"open,2\nrest,3\n", "never closes"), ("a.csv", "a,a\n1,2\n", "same name"),
        ("a.csv", "text\n", "no rows"), ("a.csv", b"caf\xe9\nx\n", "columns cannot be read"),
        ("a.csv", ",\n1,2\n", "name"),
        ("a.jsonl", " \n\n", "empty"), ("a.jsonl", "a\n".encode("utf-16"), "UTF-16"),
        ("a.json", '{"a": 1}', "list of objects"), ("a.json", '[{"a": 1}', "list of objects"),
        ("a.json", '[{"a": 1}] x', "Extra data"), ("a.json", "[]", "no rows"),
        ("a.json", b'[{"a": "\xe9"}]', "not UTF-8"),
        ("a.parquet", "no parquet", "parquet"), ("a.xlsx", "no workbook", "workbook"), ("a.doc", "x", "suffix"),
    ],
)  # fmt: skip
def test_a_file_that_is_broken_as_a_whole_is_refused_with_a_remedy(tmp_path, name, content, says):
    with pytest.raises(DataRefusal, match=says) as refused:
        read_table([write(tmp_path, name, content)])
    assert refused.value.remedy and name in refused.value.where


def test_a_missing_file_a_folder_and_a_closed_file_are_refused(tmp_path):
    write(tmp_path, "tickets.jsonl", "{}")
    with pytest.raises(DataRefusal, match="Did you mean 'tickets.jsonl'"):
        read_table([tmp_path / "ticket.jsonl"])
    with pytest.raises(DataRefusal, match="folder"):
        read_table([tmp_path])


def test_a_file_that_this_user_may_not_read_is_refused(tmp_path, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", deny)
    with pytest.raises(DataRefusal, match="cannot be read: Permission denied"):
        read_table([write(tmp_path, "closed.jsonl", "{}")])


def test_a_workbook_of_several_sheets_is_not_guessed_at(tmp_path):
    book = openpyxl.Workbook()
    book.create_sheet("more")
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(DataRefusal, match="several sheets: Sheet, more"):
        read_table([tmp_path / "a.xlsx"])


def test_files_of_one_name_are_told_apart_and_columns_united(tmp_path):
    (tmp_path / "more").mkdir()
    one, two = write(tmp_path, "a.jsonl", '{"x": 1}'), write(tmp_path / "more", "a.jsonl", '{"y": 2}')
    table = read_table([one, two])
    assert table.columns == ("x", "y")
    assert table.origins == [f"{one}:1", f"{two}:1"]


@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_a_refusal(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bytes")
    for name in ("a.jsonl", "a.csv", "a.json", "a.txt", "a.conll"):
        try:
            table = read_table([write(folder, name, content)])
        except DataRefusal:
            continue
        assert table.rows_in > 0 and len(table.rows) == len(table.origins)


def test_plain_text_becomes_documents_named_by_their_first_line(tmp_path):
    text = "\ufeff\n  one\n two\r\n\nthree\n\n" + "word " * 2000 + "\n\nnext\n"
    table = read_table([write(tmp_path, "a.txt", text)])
    assert table.columns == ("text",) and table.origins == ["a.txt:2", "a.txt:9"]
    assert table.rows[0]["text"] == "  one\n two\n\nthree\n\n" + "word " * 2000
    assert table.rows[1]["text"] == "next"


def test_a_document_with_a_broken_line_is_malformed_as_a_whole(tmp_path):
    table = read_table([write(tmp_path, "a.txt", b"fine\n\xff\n\nfine")])
    (bad,) = table.malformed
    assert (bad.origin, bad.column, bad.reason) == ("a.txt:1", 1, "byte 0xff is not UTF-8 (line 2)")


@pytest.mark.parametrize("suffix", sorted(FORMATS.keys() - TABLE_FORMATS.keys()))
def test_tagged_columns_become_sentences_named_by_their_first_line(tmp_path, suffix):
    text = "-DOCSTART- -X- O\n\nAda NNP B-per\nlives VBZ O\n\n\n# id 7 domain=train\nNew York\tB-loc\n\nalone\n"
    table = read_table([write(tmp_path, f"a{suffix}", text)])
    assert table.rows[0] == {"tokens": ["Ada", "lives"], "tags": ["B-per", "O"]}
    assert table.rows[1:] == [{"tokens": ["New York"], "tags": ["B-loc"]}]
    assert table.origins == [f"a{suffix}:3", f"a{suffix}:7"]
    assert [(bad.origin, bad.reason) for bad in table.malformed] == [
        (f"a{suffix}:10", "the line 'alone' has a token and no tag")]


SQUAD = {"version": "v2.0", "data": [{"title": "T", "paragraphs": [
    {"context": "C", "qas": [{"id": "1", "question": "Q?", "answers": [{"text": "C", "answer_start": 0}]},
                             {"id": "2", "question": "R?", "answers": [], "is_impossible": True}]}]}]}  # fmt: skip


def test_a_nest_of_squads_becomes_a_row_for_each_question(tmp_path):
    table = read_table([write(tmp_path, "dev.json", json.dumps(SQUAD))])
    assert table.columns == ("id", "title", "context", "question", "answers", "is_impossible")
    assert table.rows[1] == {"id": "2", "title": "T", "context": "C", "question": "R?", "answers": [],
                             "is_impossible": True}  # fmt: skip
    assert table.origins[1] == "dev.json:data[0].paragraphs[0].qas[1]"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"data": [{"paragraphs": {}}]}, r"not SQuAD's form: data\[0\] has no list 'paragraphs'"),
        ({"data": [{"paragraphs": [{"context": "x"}]}]}, r"data\[0\].paragraphs\[0\] has no list 'qas'"),
        ({"data": [{"paragraphs": [{"qas": [3]}]}]}, r"qas\[0\] is no object"),
        ({"rows": []}, r"not a JSON list of objects: Expecting '\['"),
    ],
)
def test_an_object_that_is_no_list_of_rows_is_refused(tmp_path, value, says):
    with pytest.raises(DataRefusal, match=says):
        read_table([write(tmp_path, "dev.json", json.dumps(value))])


def test_half_a_character_is_found_at_any_depth(tmp_path):
    line = '{"messages": [{"role": "user", "content": [{"text": "\\ud83d"}]}]}'
    (bad,) = read_table([write(tmp_path, "a.jsonl", line)]).malformed
    assert bad.reason == "the value of 'messages' holds half a character (a lone surrogate)"


def test_every_suffix_is_named_where_one_is_unknown(tmp_path):
    with pytest.raises(DataRefusal) as refused:
        read_table([write(tmp_path, "a.doc", "x")])
    assert all(suffix in refused.value.remedy for suffix in (*FORMATS, *TEXT_FORMATS))
