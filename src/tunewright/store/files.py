"""Files and folders that are either whole or not there. Knows the disk; must not know what is kept on it.

Every step that changes or reads the disk goes through `disk`, one small object, so that a test can make the k-th
step crash or fail. A folder is committed by filling `<name>.tmp-<pid>-<random>` beside it, syncing every file, writing
`MANIFEST.json` last, and renaming. Where a folder of that name exists it steps aside to `<name>.old-<pid>-<random>`
between two renames; `settle_folder` puts it back if the process died there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunewright.recipe.errors import StoreRefusal

MANIFEST = "MANIFEST.json"
CHUNK_BYTES = 1 << 20

_FULL = "free space on that disk, or point TUNEWRIGHT_HOME to another one, and run the same command again"
_CLOSED = "give this user permission to read and write there, or point TUNEWRIGHT_HOME to a folder that it owns"
_BROKEN = "the device reports an error: check the disk (cables, SMART, `dmesg`) before trusting what is on it"
_WRONG = "move the file that is in the way, or choose another path"
REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EROFS: _CLOSED,
    errno.EIO: _BROKEN,
    errno.ENOTDIR: _WRONG,
    errno.EISDIR: _WRONG,
    errno.EEXIST: _WRONG,
    errno.ENAMETOOLONG: "choose a shorter name",
}


class Disk:
    """The steps that the store takes on the disk; a crash falls between two of them, or tears a write."""

    def make_folder(self, path: Path) -> None:
        path.mkdir()

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def append(self, path: Path, data: bytes) -> None:
        with path.open("ab", buffering=0) as file:
            written = 0
            while written < len(data):
                written += file.write(data[written:])

    def cut(self, path: Path, length_bytes: int) -> None:
        os.truncate(path, length_bytes)

    def sync(self, path: Path) -> None:
        """Make a file's bytes, or a folder's names, survive a loss of power."""
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def digest(self, path: Path) -> str:
        """sha256 of a file's bytes, in hexadecimal."""
        found = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                found.update(chunk)
        return found.hexdigest()

    def rename(self, path: Path, to: Path) -> None:
        os.replace(path, to)

    def remove_file(self, path: Path) -> None:
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        path.rmdir()

    def free_bytes(self, path: Path) -> int:
        return shutil.disk_usage(path).free


disk = Disk()

_in_progress: set[str] = set()  # tokens of what this process is writing now; a leftover's token is not among them
_TOKEN = re.compile(r"\.(?:tmp|old)-(?P<pid>\d+)-(?P<random>[0-9a-f]{8})$")


def home() -> Path:
    """The folder under which everything is kept: TUNEWRIGHT_HOME, or else the current folder. Absolute."""
    return Path(os.environ.get("TUNEWRIGHT_HOME") or ".").expanduser().resolve()


def to_json(value: object, *, indent: int | None = None) -> str:
    """Strict JSON that keeps every float's bits; JSON has no nan or infinity, so they become "nan", "inf", "-inf"."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(float(value))
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


@contextmanager
def refusing(where: Path | str) -> Iterator[None]:
    """Turn what the operating system says about a full, closed or broken disk into a StoreRefusal.

    Libraries written in Rust (safetensors, tokenizers) raise classes of their own that carry the error's number in
    their text, "(os error 28)"; they are understood too. Anything else passes through unchanged.
    """
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number is None or number not in REMEDIES:
            raise
        named = getattr(error, "filename", None) or where
        raise StoreRefusal(
            f"The disk refused: {os.strerror(number)}.", where=str(named), remedy=REMEDIES[number] + "."
        ) from error


def _error_number(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    told = re.search(r"\(os error (\d+)\)", str(error))
    return int(told.group(1)) if told else None


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each name synced into the one above. Raises StoreRefusal."""
    with refusing(folder):
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            with suppress(FileExistsError):  # another process made it meanwhile; if it is a file, the next step says so
                disk.make_folder(path)
            disk.sync(path.parent)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace the file at `path` by `data` (text as UTF-8): readers and survivors of a crash see the old or the new.

    Raises StoreRefusal where the disk is full, closed or broken; the old file is then unchanged.
    """
    make_folders(path.parent)
    content = data.encode() if isinstance(data, str) else data
    hidden = path.with_name(f".{path.name}")
    with refusing(path):
        _remove_leftovers(hidden)
    with refusing(path), _temporary(hidden) as temporary:
        disk.write(temporary, content)
        disk.sync(temporary)
        disk.rename(temporary, path)
        disk.sync(path.parent)


def commit_folder(final: Path, write: Callable[[Path], None]) -> None:
    """Fill a folder by `write(temporary_folder)` and give it the name `final`, wholly or not at all.

    A folder that has that name is replaced, and kept until the new one is in place and verified. What `write` raises
    passes through after the temporary folder is removed. One writer per `final` at a time (a run's lock sees to it).
    Raises StoreRefusal where the disk is full, closed or broken, or where `write` leaves a link or a device.
    """
    make_folders(final.parent)
    settle_folder(final)
    with refusing(final), _temporary(final) as temporary:
        disk.make_folder(temporary)
        write(temporary)
        _seal(temporary)
        if not final.exists():
            disk.rename(temporary, final)
            disk.sync(final.parent)
        elif final.is_dir():
            _replace(final, temporary)
        else:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(final))


def _seal(folder: Path) -> None:
    """Sync everything in the folder, then write the manifest, then sync that."""
    files, others = _contents(folder)
    assert MANIFEST not in files, f"{MANIFEST} is written by commit_folder"
    if others:
        raise StoreRefusal(
            f"Only files and folders can be kept, not {', '.join(others)}.",
            where=str(folder),
            remedy="write a copy of what a link points to.",
        )
    for name in files:
        disk.sync(folder / name)
    for inner in _folders_within(folder):
        disk.sync(inner)
    listed = {name: {"bytes": (folder / name).stat().st_size, "sha256": disk.digest(folder / name)} for name in files}
    disk.write(folder / MANIFEST, to_json({"format": 1, "files": listed}, indent=1).encode())
    disk.sync(folder / MANIFEST)
    disk.sync(folder)


def _replace(final: Path, temporary: Path) -> None:
    """Swap a sealed folder in for `final`; the old one leaves only after the new one verified where it lies."""
    if problems := verify_folder(temporary):
        raise StoreRefusal(
            f"What was written does not read back: {'; '.join(problems)}.", where=str(temporary), remedy=_BROKEN + "."
        )
    aside = final.with_name(temporary.name[: len(final.name)] + temporary.name[len(final.name) :].replace("tmp", "old"))
    disk.rename(final, aside)
    try:
        disk.rename(temporary, final)
    except OSError:
        disk.rename(aside, final)
        raise
    disk.sync(final.parent)
    remove_tree(aside)


def settle_folder(final: Path) -> None:
    """Finish what a process that died in `commit_folder(final, ...)` left: put an old folder back, remove leftovers.

    Does nothing where nothing was left. Call it before reading a folder that may be replaced. Raises StoreRefusal.
    """
    with refusing(final):
        if not final.parent.is_dir():
            return
        for aside in _leftovers(final, kind="old"):
            if final.exists():
                remove_tree(aside)
            else:
                disk.rename(aside, final)
                disk.sync(final.parent)
        _remove_leftovers(final)


def committed_folders(parent: Path) -> list[Path]:
    """The folders in `parent` that carry a manifest, sorted by name, interrupted replacements settled first.

    They are not verified: `verify_folder` does that. An absent `parent` has none. Raises StoreRefusal.
    """
    with refusing(parent):
        if not parent.is_dir():
            return []
        for name in {_TOKEN.sub("", path.name) for path in parent.iterdir() if _TOKEN.search(path.name)}:
            settle_folder(parent / name)
        found = (path for path in parent.iterdir() if not _TOKEN.search(path.name))
        return sorted(path for path in found if (path / MANIFEST).is_file())


def verify_folder(folder: Path) -> list[str]:
    """What is wrong with a committed folder, one sentence each; an empty list where it is as it was committed.

    Finds missing, extra, resized and altered files, links, and a manifest that is absent or damaged. Never raises for
    what it finds, and reads nothing outside the folder.
    """
    try:
        if folder.is_symlink() or not folder.is_dir():
            return [f"{folder} is not a folder"]
        listed = _read_manifest(folder)
        files, others = _contents(folder)
    except (OSError, ValueError) as error:
        return [f"{MANIFEST} cannot be read: {error}"]
    present = set(files) - {MANIFEST}
    problems = [f"{name} is a link or a device" for name in others]
    problems += [f"{name} is missing" for name in sorted(set(listed) - present)]
    problems += [f"{name} is not in the manifest" for name in sorted(present - set(listed))]
    for name in sorted(present & set(listed)):
        problems += _problems_of_file(folder / name, name=name, expected=listed[name])
    return problems


def _read_manifest(folder: Path) -> dict[str, tuple[int, str]]:
    """Name -> (bytes, sha256). Raises OSError, or ValueError where it is not a manifest."""
    if (folder / MANIFEST).is_symlink():
        raise ValueError("it is a link")
    told = json.loads(disk.read(folder / MANIFEST))
    try:
        if told["format"] != 1:
            raise ValueError(f"its format is {told['format']!r}, this version reads 1")
        return {name: (facts["bytes"], facts["sha256"]) for name, facts in told["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it does not list files with bytes and sha256") from error


def _problems_of_file(path: Path, *, name: str, expected: tuple[int, str]) -> list[str]:
    expected_bytes, expected_sha256 = expected
    try:
        seen_bytes = path.stat().st_size
        if seen_bytes != expected_bytes:
            return [f"{name} has {seen_bytes} bytes, not {expected_bytes}"]
        return [] if disk.digest(path) == expected_sha256 else [f"{name} has changed: its sha256 differs"]
    except OSError as error:
        return [f"{name} cannot be read: {error.strerror}"]


def hash_folder(folder: Path) -> str:
    """sha256 over the names, sizes and contents of all files but the manifest: equal for equal content anywhere.

    Raises StoreRefusal where the folder is absent, holds a link or a device, or cannot be read.
    """
    if not folder.is_dir():
        raise StoreRefusal("There is no such folder.", where=str(folder), remedy="give the path of a model folder.")
    with refusing(folder):
        files, others = _contents(folder)
        if others:
            raise StoreRefusal(
                f"A kept folder holds files and folders only, not {', '.join(others)}.",
                where=str(folder),
                remedy="replace each link by a copy of what it points to.",
            )
        listed = [[name, (folder / name).stat().st_size, disk.digest(folder / name)] for name in files]
    return hashlib.sha256(json.dumps([row for row in listed if row[0] != MANIFEST]).encode()).hexdigest()


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise StoreRefusal unless the disk of `folder` (which need not exist yet) has `needed_bytes` free."""
    with refusing(folder):
        existing = folder.absolute()
        while not existing.exists():
            existing = existing.parent
        free = disk.free_bytes(existing)
    if free < needed_bytes:
        raise StoreRefusal(
            f"{needed_bytes / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB are free.",
            where=str(folder),
            remedy=_FULL + ".",
        )


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A free name beside `path`; what was written there is removed after a failure."""
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f"{path.name}.tmp-{token}")
    _in_progress.add(token)
    try:
        yield temporary
    except Exception:
        with suppress(OSError):  # the failure itself is what the caller must hear; the next writer removes the rest
            remove_tree(temporary)
        raise
    finally:
        _in_progress.discard(token)


def _remove_leftovers(path: Path) -> None:
    for leftover in _leftovers(path, kind="tmp"):
        remove_tree(leftover)


def _leftovers(path: Path, *, kind: str) -> list[Path]:
    """What dead writers of `path` left of that kind ("tmp" or "old"), newest first."""
    beside = [other for other in path.parent.iterdir() if other.name.startswith(f"{path.name}.{kind}-")]
    dead = [other for other in beside if _TOKEN.sub("", other.name) == path.name and not _is_being_written(other)]
    return sorted(dead, key=_modified, reverse=True)


def _modified(path: Path) -> int:
    """When it was last written, in nanoseconds; 0 where another thread has just finished it and moved it away."""
    try:
        return path.lstat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _is_being_written(path: Path) -> bool:
    told = _TOKEN.search(path.name)
    assert told is not None
    pid = int(told["pid"])
    if pid == os.getpid():
        return f"{pid}-{told['random']}" in _in_progress
    return is_alive(pid)


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def remove_tree(path: Path) -> None:
    """Remove a file or a whole folder, one step at a time, never following a link. Absent is fine."""
    if path.is_dir() and not path.is_symlink():
        for inner in sorted(path.iterdir()):
            remove_tree(inner)
        disk.remove_folder(path)
    elif path.exists() or path.is_symlink():
        disk.remove_file(path)


def _contents(folder: Path) -> tuple[list[str], list[str]]:
    """Relative names below a folder, with `/`, sorted: its files; and what is neither file nor folder."""
    files, others = [], []
    for inner in _folders_within(folder):
        for path in inner.iterdir():
            mode, name = path.lstat().st_mode, path.relative_to(folder).as_posix()
            if stat.S_ISREG(mode):
                files.append(name)
            elif not stat.S_ISDIR(mode):
                others.append(name)
    return sorted(files), sorted(others)


def _folders_within(folder: Path) -> list[Path]:
    """All folders below and the folder itself, deepest first, no link followed."""
    found = [folder]
    for path in found:
        found += [inner for inner in sorted(path.iterdir()) if inner.is_dir() and not inner.is_symlink()]
    return found[::-1]
