"""Whole or not there: folders and files under every crash and every error that the disk can give."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.recipe.errors import StoreRefusal
from tunewright.store import files


class Crash(BaseException):
    """The process is gone: nothing that runs may catch this."""


class Quick(files.Disk):
    """The real disk without waiting for the platters: thousands of commits in seconds."""

    def sync(self, path: Path) -> None:
        assert path.exists()


class Watched(Quick):
    """A disk that notes every step as (verb, path)."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, Path]] = []

    def before(self, verb: str, path: Path) -> None:
        self.steps.append((verb, path))


class Failing(Watched):
    """A disk on which step number `at` (from 1) does what `fail(path, data)` does, after tearing a write in half."""

    def __init__(self, at: int, fail: Callable[[Path], None], *, and_after: bool = False):
        super().__init__()
        self.at, self.fail, self.and_after = at, fail, and_after

    def before(self, verb: str, path: Path, data: bytes = b"") -> None:
        super().before(verb, path)
        if len(self.steps) == self.at or (self.and_after and len(self.steps) > self.at):
            if verb == "write":
                files.Disk.write(self, path, data[: len(data) // 2])
            self.fail(path)


def _watch(verb: str) -> Callable[..., object]:
    def step(self: Watched, path: Path, *rest: object) -> object:
        self.before(verb, path, *(rest if verb == "write" and isinstance(self, Failing) else ()))
        return getattr(Quick, verb)(self, path, *rest)

    return step


VERBS = [name for name in vars(files.Disk) if not name.startswith("_")]
for _verb in VERBS:
    setattr(Watched, _verb, _watch(_verb))


def crash(path: Path) -> None:
    raise Crash


def leave_the_process(path: Path) -> None:
    os._exit(77)


def raises(number: int) -> Callable[[Path], None]:
    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    return fail


def writer(text: str, *, names: tuple[str, ...] = ("weights.bin", "inner/encoder.json")) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            if not (folder / name).parent.exists():
                files.disk.make_folder((folder / name).parent)
            files.disk.write(folder / name, f"{name} of {text}".encode())

    return write


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != files.MANIFEST
    }


def expected(text: str) -> dict[str, bytes]:
    return {name: f"{name} of {text}".encode() for name in ("weights.bin", "inner/encoder.json")}


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    monkeypatch.setattr(files, "disk", Quick())


def use(monkeypatch: pytest.MonkeyPatch, disk: files.Disk) -> None:
    monkeypatch.setattr(files, "disk", disk)


def steps_of(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> list[tuple[str, Path]]:
    watched = Watched()
    use(monkeypatch, watched)
    work()
    use(monkeypatch, Quick())
    return watched.steps


def prepare(folder: Path, *, situation: str) -> Path:
    """A parent with an older committed folder beside, and `second` as the situation says; the path of `second`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files.commit_folder(folder / "first", writer("first"))
    if situation != "new":
        files.commit_folder(folder / "second", writer("old"))
    if situation == "damaged":
        (folder / "second/weights.bin").write_bytes(b"rot")
    return folder / "second"


def assert_last_good_survived(final: Path, *, situation: str) -> None:
    first = final.parent / "first"
    assert files.verify_folder(first) == [] and content(first) == expected("first")
    found = {path.name for path in files.committed_folders(final.parent)}
    assert found <= {"first", "second"}
    if situation == "old":
        assert files.verify_folder(final) == []
    if final.exists() and not files.verify_folder(final):
        assert content(final) in (expected("new"), expected("old"))
    if situation == "new" and final.exists():
        assert files.verify_folder(final) == [] and content(final) == expected("new")


def assert_next_commit_is_clean(final: Path) -> None:
    files.commit_folder(final, writer("next"))
    assert files.verify_folder(final) == [] and content(final) == expected("next")
    assert sorted(path.name for path in final.parent.iterdir()) == ["first", "second"]


SITUATIONS = ["new", "old", "damaged"]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_crash_at_every_step_leaves_the_last_good_folder(tmp_path, monkeypatch, situation):
    final = prepare(tmp_path / "r", situation=situation)
    total = len(steps_of(monkeypatch, lambda: files.commit_folder(final, writer("new"))))
    assert total >= 14
    for at, somebody_looks_first in product(range(1, total + 1), (True, False)):
        final = prepare(tmp_path / "r", situation=situation)
        use(monkeypatch, Failing(at, crash))
        with pytest.raises(Crash):
            files.commit_folder(final, writer("new"))
        use(monkeypatch, Quick())
        if somebody_looks_first:  # looking settles; the next commit must do so by itself too
            assert_last_good_survived(final, situation=situation)
        assert_next_commit_is_clean(final)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("and_after", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES], ids=errno.errorcode.get)
def test_an_error_at_every_step_refuses_and_leaves_the_last_good_folder(
    tmp_path, monkeypatch, situation, and_after, number
):
    final = prepare(tmp_path / "r", situation=situation)
    total = len(steps_of(monkeypatch, lambda: files.commit_folder(final, writer("new"))))
    for at in range(1, total + 1):
        final = prepare(tmp_path / "r", situation=situation)
        use(monkeypatch, Failing(at, raises(number), and_after=and_after))
        with pytest.raises(StoreRefusal) as refusal:
            files.commit_folder(final, writer("new"))
        use(monkeypatch, Quick())
        assert refusal.value.remedy and refusal.value.where
        assert_last_good_survived(final, situation=situation)
        assert_next_commit_is_clean(final)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_process_that_dies_at_any_step_leaves_the_last_good_folder(tmp_path, monkeypatch, situation):
    final = prepare(tmp_path / "r", situation=situation)
    total = len(steps_of(monkeypatch, lambda: files.commit_folder(final, writer("new"))))
    for at in range(1, total + 1):
        final = prepare(tmp_path / "r", situation=situation)
        child = os.fork()
        if child == 0:
            files.disk = Failing(at, leave_the_process)
            files.commit_folder(final, writer("new"))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77
        assert_last_good_survived(final, situation=situation)
        assert_next_commit_is_clean(final)


def test_a_crash_at_every_step_of_settling_is_settled_by_the_next(tmp_path, monkeypatch):
    def die_between_the_renames() -> Path:
        final = prepare(tmp_path / "r", situation="old")
        names = [verb for verb, _ in steps_of(monkeypatch, lambda: files.commit_folder(final, writer("new")))]
        final = prepare(tmp_path / "r", situation="old")
        second_rename = [at for at, verb in enumerate(names, start=1) if verb == "rename"][1]
        use(monkeypatch, Failing(second_rename, crash))
        with pytest.raises(Crash):
            files.commit_folder(final, writer("new"))
        use(monkeypatch, Quick())
        assert not final.exists()
        return final

    final = die_between_the_renames()
    total = len(steps_of(monkeypatch, lambda: files.settle_folder(final)))
    assert files.verify_folder(final) == [] and content(final) == expected("old")
    for at in range(1, total + 1):
        final = die_between_the_renames()
        use(monkeypatch, Failing(at, crash))
        with pytest.raises(Crash):
            files.settle_folder(final)
        use(monkeypatch, Quick())
        assert_last_good_survived(final, situation="old")
        assert content(final) == expected("old")
        assert sorted(path.name for path in final.parent.iterdir()) == ["first", "second"]


@pytest.mark.parametrize("fail", [crash, raises(errno.ENOSPC), raises(errno.EIO)], ids=["crash", "ENOSPC", "EIO"])
def test_a_file_written_atomically_is_the_old_or_the_new_at_every_step(tmp_path, monkeypatch, fail):
    path = tmp_path / "evidence.json"
    path.write_text("old")
    total = len(steps_of(monkeypatch, lambda: files.write_atomically(path, "new")))
    assert total == 4
    for at in range(1, total + 1):
        path.write_text("old")
        use(monkeypatch, Failing(at, fail))
        with pytest.raises((Crash, StoreRefusal)):
            files.write_atomically(path, "new")
        use(monkeypatch, Quick())
        assert path.read_text() == ("new" if at == 4 else "old")
        files.write_atomically(path, b"next")
        assert [(other.name, other.read_text()) for other in tmp_path.iterdir()] == [("evidence.json", "next")]


def test_everything_is_synced_before_the_rename_and_the_manifest_is_written_last(tmp_path, monkeypatch):
    final = tmp_path / "made" / "checkpoint"
    steps = steps_of(monkeypatch, lambda: files.commit_folder(final, writer("new")))
    renamed_at = next(at for at, (verb, _) in enumerate(steps) if verb == "rename")
    temporary = steps[renamed_at][1]
    written = [path.relative_to(temporary).as_posix() for verb, path in steps if verb == "write"]
    assert written == ["weights.bin", "inner/encoder.json", files.MANIFEST]
    manifest_at = steps.index(("write", temporary / files.MANIFEST))
    for path in (temporary / "weights.bin", temporary / "inner/encoder.json", temporary / "inner"):
        assert steps.index(("sync", path)) < manifest_at
    assert manifest_at < steps.index(("sync", temporary / files.MANIFEST)) < renamed_at
    assert steps.index(("sync", temporary)) < renamed_at
    assert ("sync", tmp_path) in steps[:renamed_at], "the name of a folder made on the way is synced too"
    assert steps[renamed_at + 1] == ("sync", final.parent)


def test_what_the_writer_raises_passes_through_and_nothing_is_left(tmp_path):
    def write(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise KeyError("the writer's own")

    with pytest.raises(KeyError, match="the writer's own"):
        files.commit_folder(tmp_path / "final", write)
    assert list(tmp_path.iterdir()) == []


def test_an_error_number_in_a_rust_library_s_text_is_understood(tmp_path):
    def write(folder: Path) -> None:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(StoreRefusal, match="No space left") as refusal:
        files.commit_folder(tmp_path / "final", write)
    assert "free space" in refusal.value.remedy


def test_the_manifest_lists_every_file_with_its_size_and_sha256(tmp_path, monkeypatch):
    use(monkeypatch, files.Disk())
    files.commit_folder(tmp_path / "final", writer("x"))
    told = json.loads((tmp_path / "final" / files.MANIFEST).read_text())["files"]
    assert told == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in expected("x").items()
    }


def _damages() -> dict[str, tuple[Callable[[Path], object], str]]:
    return {
        "missing": (lambda folder: (folder / "weights.bin").unlink(), "weights.bin is missing"),
        "extra": (lambda folder: (folder / "more").write_text(""), "more is not in the manifest"),
        "size": (lambda folder: (folder / "weights.bin").write_text(""), "weights.bin has 0 bytes, not 16"),
        "hash": (lambda folder: (folder / "weights.bin").write_bytes(b"x" * 16), "weights.bin has changed"),
        "link": (lambda folder: (folder / "way").symlink_to("/"), "way is a link"),
        "pipe": (lambda folder: os.mkfifo(folder / "pipe"), "pipe is a link or a device"),
        "no manifest": (lambda folder: (folder / files.MANIFEST).unlink(), "cannot be read"),
        "manifest is a list": (lambda folder: (folder / files.MANIFEST).write_text("[]"), "cannot be read"),
        "manifest of strings": (
            lambda folder: (folder / files.MANIFEST).write_text('{"format": 1, "files": {"weights.bin": "x"}}'),
            "cannot be read",
        ),
        "manifest half written": (lambda folder: os.truncate(folder / files.MANIFEST, 40), "cannot be read"),
        "manifest of tomorrow": (
            lambda folder: (folder / files.MANIFEST).write_text('{"format": 2, "files": {}}'),
            "its format is 2",
        ),
        "manifest points outside": (
            lambda folder: (folder / files.MANIFEST).write_text(
                json.dumps({"format": 1, "files": {"../outside": {"bytes": 0, "sha256": ""}}})
            ),
            "../outside is missing",
        ),
        "a folder in place of a file": (
            lambda folder: ((folder / "weights.bin").unlink(), (folder / "weights.bin").mkdir()),
            "weights.bin is missing",
        ),
        "gone": (shutil.rmtree, "is not a folder"),
    }


@pytest.mark.parametrize("kind", _damages())
def test_each_kind_of_damage_is_named(tmp_path, kind):
    damage, sentence = _damages()[kind]
    files.commit_folder(tmp_path / "final", writer("x"))
    (tmp_path / "outside").write_text("")
    assert files.verify_folder(tmp_path / "final") == []
    damage(tmp_path / "final")
    assert any(sentence in problem for problem in files.verify_folder(tmp_path / "final"))


def test_a_file_that_cannot_be_read_back_is_a_problem_and_not_an_exception(tmp_path, monkeypatch):
    files.commit_folder(tmp_path / "final", writer("x"))
    total = len(steps_of(monkeypatch, lambda: files.verify_folder(tmp_path / "final") and None))
    assert total == 3
    for at in range(1, total + 1):
        use(monkeypatch, Failing(at, raises(errno.EIO)))
        assert len(problems := files.verify_folder(tmp_path / "final")) == 1 and "cannot be read" in problems[0]


def test_a_link_is_neither_committed_nor_hashed(tmp_path):
    with pytest.raises(StoreRefusal, match="not way"):
        files.commit_folder(tmp_path / "final", lambda folder: (folder / "way").symlink_to("/etc/hostname"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "model").mkdir()
    (tmp_path / "model/way").symlink_to("/etc/hostname")
    with pytest.raises(StoreRefusal, match="not way"):
        files.hash_folder(tmp_path / "model")


def test_a_file_in_the_way_of_a_folder_is_kept_and_refused(tmp_path):
    (tmp_path / "final").write_text("mine")
    with pytest.raises(StoreRefusal, match="Not a directory"):
        files.commit_folder(tmp_path / "final", writer("x"))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("final", "mine")]


def test_the_leftover_of_a_process_that_still_writes_is_left_alone(tmp_path):
    theirs = tmp_path / f"final.tmp-{os.getppid()}-0123abcd"
    theirs.mkdir()
    files.commit_folder(tmp_path / "final", writer("x"))
    assert theirs.is_dir()
    assert files.committed_folders(tmp_path) == [tmp_path / "final"]


def test_two_threads_that_write_one_file_do_not_tear_it(tmp_path):
    texts = [letter * 10_000 for letter in "ab"]

    def write(text: str) -> None:
        for _ in range(30):
            files.write_atomically(tmp_path / "shared", text)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "shared").exists():
            assert (tmp_path / "shared").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]


def test_the_hash_of_a_folder_depends_on_content_and_names_only(tmp_path):
    files.commit_folder(tmp_path / "a", writer("x"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / files.MANIFEST).unlink()
    assert files.hash_folder(tmp_path / "a") == files.hash_folder(tmp_path / "b")
    (tmp_path / "b/weights.bin").rename(tmp_path / "b/weights2.bin")
    assert files.hash_folder(tmp_path / "a") != files.hash_folder(tmp_path / "b")
    with pytest.raises(StoreRefusal, match="no such folder"):
        files.hash_folder(tmp_path / "absent")


def test_space_is_required_also_of_a_folder_that_is_not_there_yet(tmp_path):
    files.require_space(tmp_path / "a" / "b", 1)
    with pytest.raises(StoreRefusal, match="MB are needed and .* MB are free"):
        files.require_space(tmp_path / "a" / "b", 1 << 60)
    assert not (tmp_path / "a").exists()


def test_home_is_the_variable_or_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNEWRIGHT_HOME", raising=False)
    assert files.home() == tmp_path.resolve()
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path / "elsewhere"))
    assert files.home() == (tmp_path / "elsewhere").resolve()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_json_keeps_every_bit_of_a_float(number):
    assert json.loads(files.to_json({"x": [number]}))["x"][0].hex() == number.hex()


def test_json_says_what_is_not_a_number():
    told = files.to_json({"loss": float("nan"), "high": (float("inf"), -float("inf"))})
    assert json.loads(told) == {"loss": "nan", "high": ["inf", "-inf"]}
