"""A run that is killed and started again ends as if nothing had happened: weights, optimiser, early stopping, log."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny_bases

from tunewright.pipeline import fit, judge
from tunewright.pipeline.run import Quiet, run
from tunewright.store import files
from tunewright.store.registry import Registry

pytestmark = pytest.mark.forks

UPDATES = 60  # three epochs of twenty updates
_TOPICS = {"card": "my card has not arrived yet", "refund": "i want a refund now", "pin": "how do i change the pin"}
_SENTENCE = "please tell me where it is and what you do about the late transfer of my top up at the shop"
_WORDS = tuple(re.findall(r"\w+", _SENTENCE))

Act = Callable[["Killer"], None]


class Killer(Quiet):
    """Kills its own process without warning after an update; an early stop would end the chain too soon to test it."""

    def __init__(self, at: int):
        self.at = at

    def update(self, fact: Any, *, expected: int | None, phase: int) -> None:
        if fact.update == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base and 160 training rows in three classes."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("resume")
    tiny_bases.make_tiny_base(folder / "base", "bert")
    draw = random.Random(3)
    for split, count in (("train", 160), ("validation", 24), ("test", 24)):
        rows = []
        for i in range(count):
            label = list(_TOPICS)[i % 3]
            words = draw.sample(_WORDS, draw.randint(4, 14))
            rows.append({"text": f"{_TOPICS[label]} {' '.join(words)}", "label": label})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def recipe_text(trainable: str, accumulate: int) -> str:
    return f"""
name: resume
task: {{kind: classification, input: text, output: label}}
base: base
data: {{train: train.jsonl, validation: validation.jsonl, test: test.jsonl, near_duplicates: keep}}
phases:
  - trainable: {trainable}
    budget: 3 epochs
    rows_per_update: 8
    accumulate: {accumulate}
    patience: 0
    evaluate_every: 10 updates
evaluate: {{baselines: [majority], resamples: 200}}
keep: {{every: 1 updates, checkpoints: 100}}
compute: {{threads: 1, dtype: float32}}
"""


def in_a_child(act: Callable[[], None], home: Path) -> int:
    """Run `act` in a forked process with imports done; its exit status, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            os.environ["TUNEWRIGHT_HOME"] = str(home)
            fit.drop_checkpoints = lambda parent: None  # kept, to be compared
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def trail(home: Path) -> dict[str, Any]:
    """All that must be equal: every checkpoint, the outcome, and the log without its clock."""
    (folder,) = (home / "runs" / "resume").iterdir()
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("checkpoints/*/*.safetensors")) + sorted(folder.glob("phases/*/*.safetensors")):
        found[str(path.relative_to(folder))] = files.disk.digest(path)
    for path in sorted(folder.glob("checkpoints/*/values.json")):
        found[str(path.relative_to(folder))] = without_clock(json.loads(path.read_text()))
    found["metrics"] = [without_clock(json.loads(line)) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found["model"] = files.disk.digest(folder / "model" / "trunk" / "model.safetensors")
    found["figures"] = json.loads((folder / "verdict.json").read_text())["figures"]
    return found


def without_clock(value: Any) -> Any:
    """A recorded value without what a clock decides, without notes, and without byte counts of lines with times."""
    if isinstance(value, Mapping):
        dropped = ("clock", "seconds", "notes", "metrics_bytes")
        return {name: without_clock(inner) for name, inner in value.items() if name not in dropped}
    return value


def undisturbed(ground: Path, home: Path, recipe: Path) -> dict[str, Any]:
    assert in_a_child(lambda: void(run(recipe)), home) == 0
    return trail(home)


def void(_: object) -> None:
    """Drop a result."""


def write_recipe(ground: Path, trainable: str, accumulate: int) -> Path:
    path = ground / f"{trainable}-{accumulate}.yaml"
    path.write_text(recipe_text(trainable, accumulate))
    return path


def kill_and_resume(ground: Path, tmp_path: Path, trainable: str, accumulate: int, points: list[int]) -> None:
    recipe = write_recipe(ground, trainable, accumulate)
    expected = undisturbed(ground, tmp_path / "whole", recipe)
    assert sum(fact["event"] == "update" for fact in expected["metrics"]) == UPDATES
    broken = tmp_path / "broken"
    for point in points:
        status = in_a_child(lambda at=point: void(run(recipe, watcher=Killer(at))), broken)
        assert status == -signal.SIGKILL, f"the run was to die at update {point}, its status is {status}"
    assert in_a_child(lambda: void(run(recipe)), broken) == 0
    assert trail(broken) == expected


METHODS = [("everything", 1), ("everything", 4), ("lora", 1), ("lora", 4)]


@pytest.mark.parametrize(("trainable", "accumulate"), METHODS)
def test_a_chain_of_eight_kills_changes_nothing(
    ground: Path, tmp_path: Path, trainable: str, accumulate: int
) -> None:
    points = sorted(random.Random(f"{trainable}{accumulate}").sample(range(1, UPDATES + 1), 8))
    kill_and_resume(ground, tmp_path, trainable, accumulate, points)


@pytest.mark.heavy
@pytest.mark.parametrize(("trainable", "accumulate"), METHODS)
def test_a_chain_of_kills_at_every_update_changes_nothing(
    ground: Path, tmp_path: Path, trainable: str, accumulate: int
) -> None:
    kill_and_resume(ground, tmp_path, trainable, accumulate, list(range(1, UPDATES + 1)))


def die_after(calls: int, target: Any, name: str) -> None:
    """Let the process die just before call number `calls` of `target.name`."""
    original, count = getattr(target, name), [0]

    def counted(*arguments: Any, **options: Any) -> Any:
        count[0] += 1
        if count[0] == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(target, name, counted)


PLACES = {
    "inside a checkpoint's writes": (files.disk, "write", 30),
    "between a checkpoint's file and its manifest": (files.disk, "sync", 41),
    "just before a checkpoint gets its name": (files.disk, "rename", 12),
    "in an evaluation": (fit, "value_of", 3),
    "after training, while predictions are judged": (judge, "assess", 1),
    "while the report is written": (judge, "write_report", 1),
    "in registration": (Registry, "register", 1),
    "while the records of the training are written": (files, "write_atomically", 6),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_a_delicate_place_changes_nothing(ground: Path, tmp_path: Path, place: str) -> None:
    recipe = write_recipe(ground, "everything", 1)
    expected = undisturbed(ground, tmp_path / "whole", recipe)
    target, name, calls = PLACES[place]

    def act() -> None:
        die_after(calls, target, name)
        run(recipe)

    assert in_a_child(act, tmp_path / "broken") == -signal.SIGKILL
    versions: list[str] = []
    assert in_a_child(lambda: versions.append(run(recipe).version), tmp_path / "broken") == 0
    assert trail(tmp_path / "broken") == expected


def test_sigterm_leaves_a_checkpoint_and_the_next_call_goes_on_from_it(ground: Path, tmp_path: Path) -> None:
    recipe = write_recipe(ground, "everything", 1)
    expected = undisturbed(ground, tmp_path / "whole", recipe)

    class Asked(Quiet):
        seen = 0

        def update(self, fact: Any, *, expected: int | None, phase: int) -> None:
            self.seen = fact.update

        def stop_requested(self) -> bool:
            return self.seen == 33

    def stopped() -> None:
        with pytest.raises(fit.Interrupted):
            run(recipe, watcher=Asked())

    assert in_a_child(stopped, tmp_path / "broken") == 0
    assert in_a_child(lambda: void(run(recipe)), tmp_path / "broken") == 0
    assert trail(tmp_path / "broken") == expected


def test_a_damaged_checkpoint_is_named_and_passed_over(ground: Path, tmp_path: Path) -> None:
    recipe = write_recipe(ground, "everything", 1)
    expected = undisturbed(ground, tmp_path / "whole", recipe)
    broken = tmp_path / "broken"
    assert in_a_child(lambda: void(run(recipe, watcher=Killer(40))), broken) == -signal.SIGKILL
    (folder,) = (broken / "runs" / "resume").iterdir()
    newest = max(folder.glob("checkpoints/*/state.safetensors"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    notes = tmp_path / "notes"

    class Noting(Quiet):
        def note(self, text: str) -> None:
            with notes.open("a") as file:
                file.write(text + "\n")

    assert in_a_child(lambda: void(run(recipe, watcher=Noting())), broken) == 0
    said = notes.read_text().splitlines()
    assert any("phase-00-update-00000039 is damaged" in line for line in said)
    assert any("resumed, bit-exact (phase 0, update 38)" in line for line in said)
    assert trail(broken) == expected


def test_another_thread_count_is_said_not_hidden(ground: Path, tmp_path: Path) -> None:
    recipe = write_recipe(ground, "everything", 1)
    broken = tmp_path / "broken"
    assert in_a_child(lambda: void(run(recipe, watcher=Killer(20))), broken) == -signal.SIGKILL
    notes = tmp_path / "notes"

    class Noting(Quiet):
        def note(self, text: str) -> None:
            with notes.open("a") as file:
                file.write(f"{text}\n")

    def elsewhere() -> None:
        original = fit.environment
        fit.environment = lambda threads, dtype: original(2, dtype)
        run(recipe, watcher=Noting())

    assert in_a_child(elsewhere, broken) == 0
    assert "resumed, not bit-exact: threads 1 → 2" in notes.read_text()
