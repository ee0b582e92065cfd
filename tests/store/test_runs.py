"""Run folders: facts that only grow, stages done by content, and one writer at a time."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.recipe.errors import StoreRefusal
from tunewright.store import files
from tunewright.store.runs import Metrics, list_runs, open_run

HOLD = """
import os, sys, time
from tunewright.store.runs import open_run
run = open_run("tickets", "abc")
run.metrics.append({"update": 1})
if sys.argv[1] == "with a child":
    if os.fork() == 0:
        sys.stdout.close(); sys.stderr.close(); os.close(1); os.close(2)
        time.sleep(20); os._exit(0)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))


def holder(mode: str = "alone") -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, mode], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_run_keeps_json_facts_and_stages(tmp_path):
    with open_run("tickets", "abc") as run:
        assert run.folder == tmp_path / "runs/tickets/abc" and run.interrupted_pid is None
        run.write_json("recipe.resolved.json", {"rank": 16})
        run.metrics.append({"update": 1, "loss": 0.1})
        run.done("prepare", "hash1")
    with open_run("tickets", "abc") as run:
        assert run.read_json("recipe.resolved.json") == {"rank": 16}
        assert list(run.metrics.facts()) == [{"update": 1, "loss": 0.1}]
        assert run.is_done("prepare", "hash1")
        assert not run.is_done("prepare", "hash2") and not run.is_done("train", "hash1")
        run.done("prepare", "hash2")
        assert run.is_done("prepare", "hash2") and not run.is_done("prepare", "hash1")


def test_what_is_not_there_or_not_json_is_refused_with_its_place():
    with open_run("tickets", "abc") as run:
        with pytest.raises(StoreRefusal, match="no evidence.json yet"):
            run.read_json("evidence.json")
        (run.folder / "evidence.json").write_text("{")
        with pytest.raises(StoreRefusal, match="not JSON.*evidence.json"):
            run.read_json("evidence.json")


def test_another_process_is_refused_and_told_the_pid():
    process = holder()
    try:
        with pytest.raises(StoreRefusal, match=f"open in process {process.pid}"):
            open_run("tickets", "abc")
        with open_run("tickets", "other") as run:
            assert run.held
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("mode", ["alone", "with a child"])
def test_the_lock_of_a_killed_process_is_taken_over_at_once(mode):
    process = holder(mode)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open_run("tickets", "abc") as run:
        assert run.interrupted_pid == process.pid
        assert list(run.metrics.facts()) == [{"update": 1}]
    with open_run("tickets", "abc") as run:
        assert run.interrupted_pid is None, "it was closed properly this time"


def test_many_processes_that_open_one_run_take_turns():
    code = """
import os, sys, time
from tunewright.store.runs import open_run
from tunewright.recipe.errors import StoreRefusal
entered = 0
while entered < 8:
    try:
        run = open_run("tickets", "abc")
    except StoreRefusal:
        time.sleep(0.001)
        continue
    with run:
        mark = run.folder / "inside"
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        time.sleep(0.002)
        mark.unlink()
    entered += 1
"""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]


def test_the_same_process_cannot_open_a_run_twice_and_can_after_closing():
    run = open_run("tickets", "abc")
    with pytest.raises(StoreRefusal, match=f"open in process {os.getpid()}"):
        open_run("tickets", "abc")
    assert run.held
    run.close()
    run.close()
    with open_run("tickets", "abc") as again:
        assert again.held


def test_a_forked_child_neither_holds_the_run_nor_frees_it():
    run = open_run("tickets", "abc")
    child = os.fork()
    if child == 0:
        told = 0
        try:
            open_run("tickets", "abc")
        except StoreRefusal:
            told = 10
        run.close()
        os._exit(told + (1 if run.held else 0))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10
    probe = subprocess.run(
        [sys.executable, "-c", "from tunewright.store.runs import open_run; open_run('tickets', 'abc')"],
        capture_output=True,
        text=True,
    )
    assert probe.returncode == 1 and f"open in process {os.getpid()}" in probe.stderr
    run.close()


def test_a_run_that_is_only_listed_is_not_written():
    open_run("tickets", "abc").close()
    (listed,) = list_runs("tickets")
    with pytest.raises(AssertionError, match="opened"):
        listed.write_json("evidence.json", {})


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "a\n", "x" * 129, "ä"])
def test_a_name_that_is_no_plain_file_name_is_refused(name):
    with pytest.raises(StoreRefusal, match="letters, digits"):
        open_run(name, "abc")
    with pytest.raises(StoreRefusal, match="letters, digits"):
        open_run("tickets", name)
    with open_run("tickets", "abc") as run, pytest.raises(StoreRefusal, match="letters, digits"):
        run.done(name, "hash")


def test_runs_are_listed_the_one_opened_last_first():
    assert list_runs() == []
    for at, id in enumerate(["one", "two", "three"]):
        open_run("tickets", id).close()
        os.utime(files.home() / "runs/tickets" / id / "lock", (1000 + at, 1000 + at))
    open_run("reviews", "four").close()
    assert [run.id for run in list_runs("tickets")] == ["three", "two", "one"]
    assert [run.id for run in list_runs()] == ["four", "three", "two", "one"]
    os.utime(files.home() / "runs/tickets/one/lock", (2000, 2000))
    assert [run.id for run in list_runs("tickets")] == ["one", "three", "two"]
    with pytest.raises(StoreRefusal, match="no run named 'ticket'. Did you mean 'tickets'"):
        list_runs("ticket")


def test_a_disk_that_fails_on_opening_leaves_the_run_free(monkeypatch):
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        with pytest.raises(StoreRefusal, match="No space left"):
            open_run("tickets", "abc")
    with open_run("tickets", "abc") as run:
        assert run.held


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
facts = st.dictionaries(st.text(), numbers | st.text() | st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(facts, min_size=1, max_size=8), st.data())
def test_the_log_gives_back_what_was_appended_and_cuts_at_any_fact(tmp_path_factory, told, data):
    metrics = Metrics(tmp_path_factory.mktemp("log") / "metrics.jsonl")
    lengths = [metrics.length]
    for fact in told:
        metrics.append(fact)
        lengths.append(metrics.length)
    assert list(metrics.facts()) == told
    keep = data.draw(st.integers(0, len(told)))
    metrics.truncate(lengths[keep])
    assert list(metrics.facts()) == told[:keep]
    metrics.append({"again": 1})
    assert list(metrics.facts()) == [*told[:keep], {"again": 1}]


def test_a_cut_that_does_not_fit_the_log_is_refused_and_nothing_changes(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.truncate(0)
    assert not metrics.path.exists()
    metrics.append({"update": 1})
    with pytest.raises(StoreRefusal, match="it has 14 bytes and 99 are expected"):
        metrics.truncate(99)
    with pytest.raises(StoreRefusal, match="no line ends at byte 5"):
        metrics.truncate(5)
    assert list(metrics.facts()) == [{"update": 1}]


@pytest.mark.parametrize("torn", ['{"update": 2', '{"update": 2}', "\x00\x00"])
def test_a_torn_last_line_is_not_a_fact_and_goes_when_the_run_is_opened(tmp_path, torn):
    path = tmp_path / "runs/tickets/abc/metrics.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"update": 1}\n' + torn)
    assert list(Metrics(path).facts()) == [{"update": 1}]
    with open_run("tickets", "abc") as run:
        run.metrics.append({"update": 3})
        assert list(run.metrics.facts()) == [{"update": 1}, {"update": 3}]


def test_a_damaged_line_is_named_with_its_number(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 1}\n[2]\n')
    with pytest.raises(StoreRefusal, match="metrics.jsonl:2"):
        list(Metrics(path).facts())
    path.write_text('{"update": 1}\n{"upd\n')
    with pytest.raises(StoreRefusal, match="metrics.jsonl:2"):
        list(Metrics(path).facts())


def test_a_disk_that_fills_in_mid_line_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    class Filling(files.Disk):
        def append(self, path: Path, data: bytes) -> None:
            super().append(path, data[:5])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.append({"update": 1})
    with monkeypatch.context() as patch:
        patch.setattr(files, "disk", Filling())
        with pytest.raises(StoreRefusal, match="No space left"):
            metrics.append({"update": 2})
    metrics.append({"update": 3})
    assert [json.loads(line) for line in metrics.path.read_text().splitlines()] == [{"update": 1}, {"update": 3}]
