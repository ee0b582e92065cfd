"""Texts from anywhere, and tokens."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tests.serve.chatters import UNICODE, chatter

from tunewright import asking
from tunewright.recipe.errors import Refusal


class Reader:
    """A predictor as far as reading goes."""

    def __init__(self, *columns: str):
        self.columns = columns


def stdin_of(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")


def test_blank_lines_and_a_byte_order_mark_are_no_texts():
    assert list(asking._lines(None, stdin_of(b"\xef\xbb\xbfone\r\n\n  \ntwo"))) == ["one", "two"]


def test_a_line_for_one_column_is_the_text_itself_even_if_it_looks_like_json():
    assert asking._input('{"a": "b"}', Reader("text")) == '{"a": "b"}'


def test_a_line_for_two_columns_is_an_object():
    assert asking._input('{"a": "x", "b": "y"}', Reader("a", "b")) == {"a": "x", "b": "y"}
    with pytest.raises(Refusal, match="JSON object"):
        asking._input("x and y", Reader("a", "b"))


def test_what_is_answered_is_said_with_the_ids_of_its_rows():
    predictor = chatter()
    rows = predictor.rows(["hello"])
    answered = asking._answered(predictor, rows, ("hello",), ("r1",)).to_json()
    assert answered == {"model": "chatter", "version": "1", "predictions": [{"id": "r1", "text": UNICODE}]}


def test_a_token_is_read_without_its_line_end(tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\n")
    assert asking.read_token(path, None) == ("0123456789abcdef", False)
    monkeypatch.setenv("TOKEN", "fedcba9876543210")
    assert asking.read_token(None, "TOKEN") == ("fedcba9876543210", False)


def test_a_new_token_is_never_the_same():
    (one, is_new), (other, _) = asking.read_token(None, None), asking.read_token(None, None)
    assert is_new and one != other and len(one) >= 24


def test_a_token_with_two_sources_or_none_is_refused(tmp_path):
    with pytest.raises(Refusal, match="not both"):
        asking.read_token(tmp_path / "token", "TOKEN")
    with pytest.raises(Refusal, match="cannot be read"):
        asking.read_token(Path(tmp_path / "gone"), None)
