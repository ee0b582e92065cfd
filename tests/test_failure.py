"""Errors end as one paragraph and the right exit code."""

from __future__ import annotations

import errno
import json

import pytest

from tunewright.failure import exit_code_of
from tunewright.progress import Stopped
from tunewright.recipe.errors import DataRefusal


def raising(error: BaseException):
    def command():
        raise error

    return command


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (2, 2)])
def test_what_a_command_returns_is_the_exit_code(returned, code, capsys):
    assert exit_code_of(lambda: returned, as_json=False) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataRefusal("What.", where="where", remedy="Do."), 3, "tunewright: What. Where: where. Remedy: Do."),
        (OSError(errno.ENOSPC, "full", "/some/file"), 3, "/some/file"),
        (PermissionError(errno.EACCES, "closed", "/some/file"), 3, "/some/file"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (Stopped(15), 143, "Stopped"),
        (SystemExit(5), 5, ""),
    ],
)
def test_each_kind_of_end_has_its_code_and_paragraph(error, code, said, capsys):
    assert exit_code_of(raising(error), as_json=False) == code
    out, err = capsys.readouterr()
    assert out == "" and said in err and len(err.splitlines()) <= 1


def test_an_error_of_the_system_that_is_not_of_the_disk_keeps_its_trace(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert exit_code_of(raising(OSError(errno.ECONNRESET, "reset")), as_json=False) == 1
    (trace,) = tmp_path.glob("tunewright-*.trace")
    assert "reset" in trace.read_text() and str(trace) in capsys.readouterr().err


def test_training_that_is_not_finite_says_so_without_a_trace(capsys, tmp_path, monkeypatch):
    from tunewright.train.engine import NotFinite

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert exit_code_of(raising(NotFinite(["r7"], 12)), as_json=False) == 1
    assert "r7" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_json_tells_a_refusal_as_an_object(capsys):
    assert exit_code_of(raising(DataRefusal("What.", where="here")), as_json=True) == 3
    said = json.loads(capsys.readouterr().out)
    assert said == {"error": {"what": "What.", "where": "here", "remedy": "", "exit_code": 3}}


def test_a_reader_that_left_is_no_mistake(capsys):
    assert exit_code_of(raising(BrokenPipeError()), as_json=False) == 1
    assert capsys.readouterr().err == ""
