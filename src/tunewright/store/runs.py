"""A run on disk: its folder, its facts, its finished stages, its lock. Must not know what a stage does.

`home()/runs/<name>/<id>/` holds JSON files written atomically, `metrics.jsonl` which only grows or is cut back to a
checkpoint's length, `stages/<stage>.json` with the content hash that the stage was done for, and `lock`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.recipe.errors import StoreRefusal, nearest
from tunewright.store import files

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Metrics:
    """`metrics.jsonl`: one JSON object per line, appended whole, cut back on resume."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def length(self) -> int:
        """Bytes of the log now; 0 where there is none yet."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, fact: dict[str, Any]) -> None:
        """Add one line. Raises StoreRefusal where the disk is full or closed; the log then ends where it did before."""
        length_before = self.length
        try:
            with files.refusing(self.path):
                files.disk.append(self.path, files.to_json(fact).encode() + b"\n")
        except StoreRefusal:
            if self.length > length_before:
                self.truncate(length_before)
            raise

    def sync(self) -> None:
        """Make the log survive a loss of power; call it before a checkpoint that records `length`."""
        if self.path.exists():
            with files.refusing(self.path):
                files.disk.sync(self.path)

    def truncate(self, length_bytes: int) -> None:
        """Cut the log to its first `length_bytes`. Raises StoreRefusal where it is shorter or that is inside a line."""
        self._refuse_unless_boundary(length_bytes)
        if length_bytes < self.length:
            with files.refusing(self.path):
                files.disk.cut(self.path, length_bytes)
                files.disk.sync(self.path)

    def _refuse_unless_boundary(self, length_bytes: int) -> None:
        if length_bytes > self.length:
            why = f"it has {self.length} bytes and {length_bytes} are expected"
        elif length_bytes and self._bytes_at(length_bytes - 1, length_bytes) != b"\n":
            why = f"no line ends at byte {length_bytes}"
        else:
            return
        raise StoreRefusal(
            f"The metrics log does not fit its checkpoint: {why}.",
            where=str(self.path),
            remedy="resume from an earlier checkpoint, or remove the run's folder and start again.",
        )

    def _bytes_at(self, start: int, stop: int) -> bytes:
        with files.refusing(self.path), self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def drop_torn_line(self) -> None:
        """Cut away a last line that a dying process did not finish."""
        length = self.length
        if length and self._bytes_at(length - 1, length) != b"\n":
            whole = self._bytes_at(0, length).rfind(b"\n") + 1
            with files.refusing(self.path):
                files.disk.cut(self.path, whole)

    def facts(self) -> Iterator[dict[str, Any]]:
        """The lines in order; a torn last line is left out. Raises StoreRefusal naming a line that is no object."""
        if not self.path.exists():
            return
        with files.refusing(self.path), self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                yield _object(line, where=f"{self.path}:{number}")


def _object(text: bytes, *, where: str) -> dict[str, Any]:
    value = _json(text, where=where)
    if not isinstance(value, dict):
        raise StoreRefusal("A fact is a JSON object.", where=where, remedy="remove the run's folder and start again.")
    return value


def _json(text: bytes, *, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise StoreRefusal(
            f"What is kept there is not JSON: {error}.", where=where, remedy="remove the run's folder and start again."
        ) from error


@dataclass(eq=False)
class Run:
    """One run's folder. Reading needs nothing; writing needs the lock that `open_run` takes and `close` gives back.

    `interrupted_pid` is the process that held this run before and died without closing it, or None.
    """

    name: str
    id: str
    folder: Path
    interrupted_pid: int | None = None
    metrics: Metrics = field(init=False)
    _lock: int | None = None
    _owner_pid: int | None = None

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.folder / "metrics.jsonl")

    def write_json(self, name: str, value: Any) -> None:
        """Write `<folder>/<name>` atomically, name with its suffix. Raises StoreRefusal."""
        assert self.held, "a run is written only by the process that opened it"
        files.write_atomically(self.folder / name, files.to_json(value, indent=1) + "\n")

    def read_json(self, name: str) -> Any:
        """What `write_json` wrote. Raises StoreRefusal where the file is absent, unreadable or not JSON."""
        path = self.folder / name
        if not path.exists():
            raise StoreRefusal(f"The run has no {name} yet.", where=str(path), remedy="let the run finish that stage.")
        with files.refusing(path):
            return _json(files.disk.read(path), where=str(path))

    def done(self, stage: str, key: str) -> None:
        """Record that a stage was finished for the content whose hash is `key`."""
        refuse_unless_name(stage, what="A stage")
        self.write_json(f"stages/{stage}.json", {"key": key})

    def is_done(self, stage: str, key: str) -> bool:
        """Whether the stage was finished for exactly that content."""
        marker = f"stages/{stage}.json"
        return (self.folder / marker).exists() and self.read_json(marker).get("key") == key

    @property
    def held(self) -> bool:
        """Whether this object holds the lock, in this process (a forked child does not)."""
        return self._lock is not None and self._owner_pid == os.getpid()

    def close(self) -> None:
        """Give the lock back; closing twice is fine."""
        if self._lock is not None and self.held:
            _open_here.pop(self.folder, None)
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
        self._lock = self._owner_pid = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


_open_here: dict[Path, int] = {}  # folder -> pid; a forked child inherits the entry but not the lock


def open_run(name: str, id: str) -> Run:
    """Make or reopen `home()/runs/<name>/<id>/` for writing, locked against every other process.

    The lock dies with its process, so one that was killed is taken over at once (see `Run.interrupted_pid`), also
    where children that it forked live on. Raises StoreRefusal naming the process that holds the run, for a name that
    is no plain file name, and for a disk that is full or closed.
    """
    refuse_unless_name(name, what="A run's name")
    refuse_unless_name(id, what="A run's id")
    folder = files.home() / "runs" / name / id
    if _open_here.get(folder) == os.getpid():
        raise _busy(folder, pid=os.getpid())
    files.make_folders(folder)
    with files.refusing(folder / "lock"):
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            before = _lock_for_this_process(lock, folder=folder)
            run = Run(name, id, folder, interrupted_pid=before, _lock=lock, _owner_pid=os.getpid())
            run.metrics.drop_torn_line()
        except BaseException:
            os.close(lock)
            raise
    _open_here[folder] = os.getpid()
    return run


def _lock_for_this_process(lock: int, *, folder: Path) -> int | None:
    """Take the lock and write this pid into it; the pid that a holder who died left there. Raises StoreRefusal.

    A POSIX record lock belongs to one process: forked children do not keep it alive after a kill, unlike `flock`.
    """
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise _busy(folder, pid=_pid_in(lock)) from error
    before = _pid_in(lock)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return before


def list_runs(name: str | None = None) -> list[Run]:
    """The runs of that name, or all, the one opened last first; for reading only.

    Raises StoreRefusal where there is none of that name, naming the nearest.
    """
    parent = files.home() / "runs"
    with files.refusing(parent):
        names = sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
        if name is not None and name not in names:
            raise StoreRefusal(
                f"There is no run named {name!r}.{nearest(name, names)}",
                where=str(parent),
                remedy=f"choose one of: {', '.join(names)}." if names else "start one with `tunewright run RECIPE`.",
            )
        chosen = names if name is None else [name]
        locks = [lock for each in chosen for lock in (parent / each).glob("*/lock")]
        locks.sort(key=lambda lock: (lock.stat().st_mtime_ns, lock.parent.name), reverse=True)
    return [Run(lock.parent.parent.name, lock.parent.name, lock.parent) for lock in locks]


def _pid_in(lock: int) -> int | None:
    text = os.pread(lock, 32, 0)
    return int(text) if text.isdigit() else None


def _busy(folder: Path, *, pid: int | None) -> StoreRefusal:
    who = f"process {pid}" if pid is not None else "another process"
    return StoreRefusal(
        f"The run is open in {who}.", where=str(folder), remedy="wait for it to end, or end it, then run again."
    )


def refuse_unless_name(text: str, *, what: str) -> None:
    """Raise StoreRefusal for a text that cannot safely name a folder or a registered model."""
    if not NAME.fullmatch(text):
        raise StoreRefusal(
            f"{what} is made of letters, digits, '.', '_' and '-' and starts with a letter or digit, unlike {text!r}.",
            remedy="choose another name.",
        )
