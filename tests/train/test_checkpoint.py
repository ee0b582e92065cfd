"""Checkpoints: the newest valid one wins, whatever happens to the disk or the process."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from tunewright.recipe.errors import StoreRefusal
from tunewright.store import files
from tunewright.train import checkpoint as checkpoints
from tunewright.train.checkpoint import (
    Checkpoint,
    differences,
    drop_checkpoints,
    environment,
    load_newest_checkpoint,
    save_checkpoint,
)

NAMES = ("state.safetensors", "best.safetensors", "values.json", files.MANIFEST)


class Crash(BaseException):
    """The process is gone: nothing that runs may catch this."""


class Watched(files.Disk):
    """The real disk, without waiting for platters; step `at` (from 1) tears a write in half and then fails."""

    def __init__(self, at: int = 0, fail: Callable[[Path], None] | None = None):
        self.at, self.fail, self.steps = at, fail, 0

    def before(self, verb: str, path: Path, *rest: object) -> None:
        self.steps += 1
        if self.steps == self.at and self.fail is not None:
            if verb == "write":
                files.Disk.write(self, path, rest[0][: len(rest[0]) // 2])
            self.fail(path)


def _watch(verb: str) -> Callable[..., object]:
    def step(self: Watched, path: Path, *rest: object) -> object:
        self.before(verb, path, *rest)
        return None if verb == "sync" else getattr(files.Disk, verb)(self, path, *rest)

    return step


for _verb in [name for name in vars(files.Disk) if not name.startswith("_")]:
    setattr(Watched, _verb, _watch(_verb))


def crash(path: Path) -> None:
    raise Crash


def raises(number: int) -> Callable[[Path], None]:
    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    return fail


FAILURES = {"crash": crash, "EIO": raises(errno.EIO), "ENOSPC": raises(errno.ENOSPC)}


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    monkeypatch.setattr(files, "disk", Watched())


def made(update: int, *, phase: int = 0) -> Checkpoint:
    generator = torch.Generator().manual_seed(update)
    tensors = {"master": torch.randn(40, generator=generator), "steps": torch.tensor(update)}
    values = {"engine": {"cursor": {"update": update}}, "best": float("inf"), "rate": 0.1 + update}
    return Checkpoint(phase, update, tensors, {"head.weight": torch.randn(3, 4, generator=generator)}, values)


def assert_is(found: Checkpoint | None, update: int, *, phase: int = 0) -> None:
    expected = made(update, phase=phase)
    assert found is not None and (found.phase, found.update) == (phase, update)
    for seen, told in ((found.tensors, expected.tensors), (found.best, expected.best)):
        assert seen.keys() == told.keys()
        assert all(torch.equal(seen[name], told[name]) and seen[name].dtype == told[name].dtype for name in told)
    assert found.values["engine"] == expected.values["engine"] and found.values["rate"] == expected.values["rate"]


def names(parent: Path) -> list[int]:
    return sorted(int(path.name[-8:]) for path in parent.iterdir())


def test_what_was_saved_is_what_is_loaded(tmp_path):
    save_checkpoint(tmp_path, made(7, phase=2), keep=2)
    found, passed_over = load_newest_checkpoint(tmp_path)
    assert_is(found, 7, phase=2)
    assert passed_over == [] and float(found.values["best"]) == float("inf")


def test_loaded_tensors_are_aligned_and_lie_in_memory_of_their_own(tmp_path):
    folder = save_checkpoint(tmp_path, made(1), keep=1)
    found, _ = load_newest_checkpoint(tmp_path)
    shutil.rmtree(folder)
    assert_is(found, 1)
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found.tensors.values())


def test_no_checkpoint_is_none(tmp_path):
    assert load_newest_checkpoint(tmp_path) == (None, [])
    assert load_newest_checkpoint(tmp_path / "absent") == (None, [])


def test_without_a_best_so_far_there_is_none(tmp_path):
    plain = made(1)
    save_checkpoint(tmp_path, Checkpoint(0, 1, plain.tensors, {}, plain.values), keep=1)
    assert load_newest_checkpoint(tmp_path)[0].best == {}


def test_views_and_bfloat16_are_saved_as_they_are(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    save_checkpoint(tmp_path, Checkpoint(0, 1, {"a": whole.t(), "b": whole[1], "c": whole.bfloat16()}, {}, {}), keep=1)
    found = load_newest_checkpoint(tmp_path)[0].tensors
    assert torch.equal(found["a"], whole.t()) and torch.equal(found["b"], whole[1])
    assert found["c"].dtype == torch.bfloat16


def test_the_newest_is_that_of_the_latest_phase_and_update(tmp_path):
    for phase, update in ((0, 9), (1, 2), (0, 10)):
        save_checkpoint(tmp_path / "all", made(update, phase=phase), keep=5)
        save_checkpoint(tmp_path / "one", made(update, phase=phase), keep=1)
    save_checkpoint(tmp_path / "all", made(11, phase=1), keep=5)
    assert_is(load_newest_checkpoint(tmp_path / "all")[0], 11, phase=1)
    assert names(tmp_path / "one") == [10]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_as_many_are_kept_as_asked_for(tmp_path, keep):
    for update in range(1, 7):
        save_checkpoint(tmp_path, made(update), keep=keep)
        assert names(tmp_path) == list(range(max(1, update - keep + 1), update + 1))


def damages(path: Path) -> list[Callable[[], object]]:
    size = path.stat().st_size

    def flip(at: int) -> Callable[[], object]:
        def do() -> None:
            data = bytearray(path.read_bytes())
            data[at] ^= 0x10
            path.write_bytes(data)

        return do

    places = sorted({(size - 1) * i // 15 for i in range(16)})
    return [path.unlink, lambda: path.write_bytes(b""), lambda: os.truncate(path, size // 2), *map(flip, places)]


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_one_is_named_and_passed_over_for_the_one_before(tmp_path, name):
    for update in (3, 4):
        save_checkpoint(tmp_path, made(update), keep=2)
    newest, copy = tmp_path / "phase-00-update-00000004", tmp_path.parent / f"{tmp_path.name}-copy"
    shutil.copytree(newest, copy)
    for number in range(len(damages(newest / name))):
        damages(newest / name)[number]()
        found, passed_over = load_newest_checkpoint(tmp_path)
        assert_is(found, 3)
        assert len(passed_over) == 1 and "phase-00-update-00000004 is damaged and was passed over" in passed_over[0]
        assert name in passed_over[0] or name == files.MANIFEST
        shutil.rmtree(newest)
        shutil.copytree(copy, newest)
    assert_is(load_newest_checkpoint(tmp_path)[0], 4)


def test_when_all_are_damaged_each_is_named_and_none_is_loaded(tmp_path):
    for update in (3, 4):
        (save_checkpoint(tmp_path, made(update), keep=2) / "state.safetensors").write_bytes(b"rot")
    found, passed_over = load_newest_checkpoint(tmp_path)
    assert found is None and ["00000004" in passed_over[0], "00000003" in passed_over[1]] == [True, True]


def test_a_damaged_one_never_pushes_out_a_good_one(tmp_path):
    """Training resumed from 3 because 9 was damaged; saving 4 must leave 3 and 4, not 4 and the damaged 9."""
    for update in (3, 9):
        save_checkpoint(tmp_path, made(update), keep=2)
    (tmp_path / "phase-00-update-00000009" / "state.safetensors").write_bytes(b"rot")
    save_checkpoint(tmp_path, made(4), keep=2)
    assert names(tmp_path) == [3, 4]


def test_a_half_removed_one_is_removed_by_the_next_save_and_when_all_go(tmp_path):
    for update in (1, 2):
        save_checkpoint(tmp_path, made(update), keep=2)
    (tmp_path / "phase-00-update-00000001" / files.MANIFEST).unlink()
    save_checkpoint(tmp_path, made(3), keep=2)
    assert names(tmp_path) == [2, 3]
    (tmp_path / "phase-00-update-00000002" / files.MANIFEST).unlink()
    drop_checkpoints(tmp_path)
    assert names(tmp_path) == []


def test_the_older_one_stays_until_the_new_one_verifies(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, made(1), keep=1)
    monkeypatch.setattr(files, "verify_folder", lambda folder: ["state.safetensors has changed"])
    save_checkpoint(tmp_path, made(2), keep=1)
    assert names(tmp_path) == [1, 2]
    monkeypatch.undo()
    save_checkpoint(tmp_path, made(3), keep=1)
    assert names(tmp_path) == [3]


def test_room_is_looked_at_before_anything_is_written(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, made(1), keep=1)
    disk = Watched()
    disk.free_bytes = lambda path: 50
    monkeypatch.setattr(files, "disk", disk)
    with pytest.raises(StoreRefusal, match="are needed and .* are free"):
        save_checkpoint(tmp_path, made(2), keep=1)
    assert disk.steps == 0 and names(tmp_path) == [1]


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("again", [False, True], ids=["new", "again"])
def test_a_failure_at_every_step_of_saving_leaves_the_last_good_one(tmp_path, monkeypatch, failure, keep, again):
    """`again`: the update that is saved was saved before, as after a resume."""

    def prepare(folder: Path) -> Path:
        for update in (1, 2) if again else (1,):
            save_checkpoint(folder, made(update), keep=keep)
        return folder

    watched = Watched()
    folder = prepare(tmp_path / "count")
    monkeypatch.setattr(files, "disk", watched)
    save_checkpoint(folder, made(2), keep=keep)
    assert watched.steps >= 15
    for at in range(1, watched.steps + 1):
        monkeypatch.setattr(files, "disk", Watched())
        folder = prepare(tmp_path / f"{at}")
        monkeypatch.setattr(files, "disk", Watched(at, FAILURES[failure]))
        with suppress(Crash, StoreRefusal):  # a disk that fails while the new one is verified only keeps the old one
            save_checkpoint(folder, made(2), keep=keep)
        monkeypatch.setattr(files, "disk", Watched())
        found, _ = load_newest_checkpoint(folder)
        assert_is(found, found.update)
        assert found.update in ((2,) if again else (1, 2))
        save_checkpoint(folder, made(3), keep=keep)
        assert_is(load_newest_checkpoint(folder)[0], 3)
        assert names(folder) in ([3], [2, 3], [1, 3]) and len(names(folder)) <= keep


RUST = "Error while serializing: I/O error: No space left on device (os error 28)"


ERRORS = {"crash": Crash(), "EIO": OSError(errno.EIO, "broken"), "full": RuntimeError(RUST)}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("tear", [False, True])
def test_a_failure_while_tensors_are_written_leaves_the_last_good_one(tmp_path, monkeypatch, error, call, tear):
    save_checkpoint(tmp_path, made(1), keep=1)
    original, calls = checkpoints.save_file, []

    def failing(tensors, path):
        calls.append(path)
        if len(calls) == call:
            if tear:
                original(tensors, path)
                os.truncate(path, path.stat().st_size // 2)
            raise error
        original(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", failing)
    with pytest.raises(Crash if isinstance(error, Crash) else StoreRefusal):
        save_checkpoint(tmp_path, made(2), keep=1)
    assert_is(load_newest_checkpoint(tmp_path)[0], 1)
    monkeypatch.setattr(checkpoints, "save_file", original)
    save_checkpoint(tmp_path, made(2), keep=1)
    assert names(tmp_path) == [2]


def test_values_are_strict_json_with_every_bit_of_a_float(tmp_path):
    folder = save_checkpoint(tmp_path, made(3), keep=1)
    told = json.loads((folder / "values.json").read_text())
    assert told["rate"].hex() == (0.1 + 3).hex() and told["best"] == "inf"


def test_an_environment_that_differs_is_told_in_words():
    now = environment(2, "bfloat16")
    assert differences(now, environment(2, "bfloat16")) == []
    assert differences(now, environment(1, "float32")) == ["threads 2 → 1", "dtype bfloat16 → float32"]
    assert {"threads", "dtype", "torch", "cpu"} <= now.keys()
    assert differences({}, {"threads": 1}) == ["threads None → 1"]
