"""How a command that went wrong ends: one paragraph and an exit code. Knows kinds of errors; must not know any verb."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable
from typing import Any

import typer

from tunewright.recipe.errors import Refusal

ERROR, REFUSED, INTERRUPTED = 1, 3, 130
DEBUG = "TUNEWRIGHT_DEBUG"
_UsageError: Any = typer.BadParameter.__base__  # typer shows no other name for what a person typed wrongly
_ClickError: Any = _UsageError.__base__


def exit_code_of(command: Callable[[], Any], *, as_json: bool) -> int:
    """Run `command` and return its exit code, telling on standard error what stopped it.

    With `as_json`, what was refused also goes to standard output as `{"error": {...}}`. With TUNEWRIGHT_DEBUG set,
    errors keep their trace.
    """
    try:
        code = command()
        sys.stdout.flush()
        return int(code or 0)
    except KeyboardInterrupt:
        _tell("Interrupted.")
        return INTERRUPTED
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the reader is gone, and Python flushes at exit
        return ERROR
    except Exception as error:
        return _refused(error, as_json) if _is_addressed(error) else _failed(error)
    except BaseException as stop:
        return _stopped(stop)


def _is_addressed(error: Exception) -> bool:
    """Whether the error speaks of something the user gave."""
    return isinstance(error, Refusal | _ClickError) or _of_disk(error) is not None


def _of_disk(error: Exception) -> Refusal | None:
    """What the operating system says about a full, closed or missing disk, as a refusal; None for other errors."""
    if not isinstance(error, OSError):
        return None
    from tunewright.store.files import refusing

    try:
        with refusing(str(error.filename or "the disk")):
            raise error
    except Refusal as refusal:
        return refusal
    except OSError:
        return None


def _refused(error: Exception, as_json: bool) -> int:
    if os.environ.get(DEBUG):
        traceback.print_exc()
    refusal = error if isinstance(error, Refusal) else _of_disk(error) or _of_usage(error)
    if as_json:
        parts = {"what": refusal.what, "where": refusal.where, "remedy": refusal.remedy, "exit_code": REFUSED}
        print(json.dumps({"error": parts}))
    _tell(str(refusal))
    return REFUSED


def _of_usage(error: Any) -> Refusal:
    """A mistyped command as a refusal."""
    what = error.format_message()
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tunewright"
    return Refusal(what if what.endswith((".", "?")) else f"{what}.", remedy=f"See {command} --help.")


def _failed(error: Exception) -> int:
    """An error that nobody foresaw, or that training itself raised; its trace goes into a file."""
    if os.environ.get(DEBUG):
        traceback.print_exc()
        return ERROR
    if type(error).__name__ == "NotFinite":  # known by name, because importing the engine for it takes seconds
        _tell(str(error))
        return ERROR
    with tempfile.NamedTemporaryFile("w", prefix="tunewright-", suffix=".trace", delete=False) as file:
        file.write("".join(traceback.format_exception(error)))
    summary = (str(error).strip().splitlines() or [""])[0]
    said = f"{type(error).__name__}: {summary}" if summary else type(error).__name__
    _tell(
        f"Tunewright made a mistake that it did not foresee: {said.rstrip('.')}. Where: the trace is in {file.name}. "
        "Remedy: run the same command again, which goes on where it stopped; if it fails again, report the trace."
    )
    return ERROR


def _stopped(stop: BaseException) -> int:
    """The end by a signal or by sys.exit."""
    if isinstance(stop, SystemExit):
        return int(stop.code or 0) if isinstance(stop.code, int | None) else ERROR
    number = getattr(stop, "signal", None)
    if number is None:
        raise stop
    _tell("Stopped. The same command goes on where it was.")
    return 128 + int(number)


def _tell(paragraph: str) -> None:
    """One paragraph on standard error: folded to a terminal's width, one line elsewhere."""
    if not sys.stderr.isatty():
        print(f"tunewright: {paragraph}", file=sys.stderr)
        return
    width = min(100, shutil.get_terminal_size().columns)
    folded = textwrap.fill(paragraph, width, break_long_words=False, break_on_hyphens=False)
    print(f"\033[31m{folded}\033[0m" if not os.environ.get("NO_COLOR") else folded, file=sys.stderr)
