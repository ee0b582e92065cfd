"""Versions that do not change, aliases that do, and a history of both, on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.recipe.errors import StoreRefusal
from tunewright.store import files
from tunewright.store.database import open_database
from tunewright.store.registry import Registry, Version

FACTS = {"run": "abc", "metrics": {"macro_f1": 0.9}, "verdict": {"passed": True}, "base": "minilm"}
FACTS["task"] = "classification"


@pytest.fixture(autouse=True)
def _folders_are_not_synced(monkeypatch):
    monkeypatch.setattr(files.Disk, "sync", lambda self, path: None)


@pytest.fixture
def registry(opened):
    return Registry(opened())


def model(name: str, *, text: str = "") -> Path:
    """A committed model folder under home."""
    folder = files.home() / "runs" / name / "model"
    files.commit_folder(folder, lambda temporary: (temporary / "weights").write_text(text or name) and None)
    return folder


def register(registry: Registry, *, folder: str, gate_passed: bool | None = True, name: str = "tickets") -> Version:
    return registry.register(name, folder=model(folder), gate_passed=gate_passed, **FACTS)


def actions(registry: Registry) -> list[tuple[str, int, str | None, int | None]]:
    return [(event.action, event.number, event.alias, event.previous) for event in registry.history("tickets")]


def test_versions_are_numbered_and_keep_what_was_said(registry):
    first, second = register(registry, folder="a"), register(registry, folder="b", gate_passed=None)
    assert (first.number, second.number, first.reference) == (1, 2, "tickets@1")
    other = register(registry, folder="a", name="reviews")
    assert other.number == 1
    found = registry.resolve("tickets@1")
    assert found == first and found.folder == files.home() / "runs/a/model"
    assert (found.run, found.base, found.task, found.gate_passed) == ("abc", "minilm", "classification", True)
    assert found.metrics == {"macro_f1": 0.9} and found.verdict == {"passed": True}
    assert registry.versions("tickets") == [first, second]
    assert registry.versions() == [other, first, second]


def test_a_resumed_registration_gives_the_version_that_is_there(registry):
    first = register(registry, folder="a")
    assert register(registry, folder="a") == first
    assert actions(registry) == [("register", 1, None, None)]
    assert register(registry, folder="a", gate_passed=False).number == 2, "another verdict is another version"


def test_a_name_means_its_champion_else_its_newest(registry):
    for folder in "ab":
        register(registry, folder=folder)
    assert registry.resolve("tickets").number == 2
    registry.promote("tickets", 1, by="ada")
    assert registry.resolve("tickets").number == 1
    assert registry.resolve("tickets@champion").aliases == ("champion",)


@pytest.mark.parametrize(("gate_passed", "why"), [(None, "has no gate"), (False, "did not pass its gate")])
def test_a_champion_must_have_passed_its_gate_and_a_challenger_need_not(registry, gate_passed, why):
    register(registry, folder="a", gate_passed=gate_passed)
    with pytest.raises(StoreRefusal, match=why):
        registry.promote("tickets", 1, by="ada")
    assert registry.promote("tickets", 1, alias="challenger", by="ada").aliases == ("challenger",)
    assert actions(registry) == [("register", 1, None, None), ("promote", 1, "challenger", None)]


def test_promotion_is_recorded_with_who_and_why_and_once(registry):
    register(registry, folder="a")
    for _ in range(2):
        registry.promote("tickets", 1, by="ada", reason="better on refunds")
    event = registry.history("tickets")[-1]
    assert (event.action, event.by, event.reason, event.number) == ("promote", "ada", "better on refunds", 1)
    assert len(actions(registry)) == 2
    times = [event.at for event in registry.history("tickets")]
    assert times == sorted(times) and times[0].endswith("+00:00")


def test_rollback_goes_back_one_holder_at_a_time(registry):
    for folder in "abc":
        version = register(registry, folder=folder)
        registry.promote("tickets", version.number, by="ada")
    assert registry.rollback("tickets", by="bob").number == 2
    assert registry.rollback("tickets").number == 1
    with pytest.raises(StoreRefusal, match="no earlier champion of tickets"):
        registry.rollback("tickets")
    assert actions(registry)[-2:] == [("rollback", 2, "champion", 3), ("rollback", 1, "champion", 2)]
    registry.promote("tickets", 3, by="ada")
    assert registry.rollback("tickets").number == 1


def test_rollback_passes_over_what_was_deleted(registry):
    for folder in "abc":
        version = register(registry, folder=folder)
        registry.promote("tickets", version.number, by="ada")
    registry.delete("tickets", 2)
    assert registry.rollback("tickets").number == 1


def test_rollback_of_an_alias_that_never_was_is_refused(registry):
    register(registry, folder="a")
    with pytest.raises(StoreRefusal, match="no alias 'champion'"):
        registry.rollback("tickets")


def test_rollback_to_a_folder_that_changed_is_refused_and_moves_nothing(registry):
    for folder in "ab":
        registry.promote("tickets", register(registry, folder=folder).number or 0, by="ada")
    (files.home() / "runs/a/model/weights").write_text("other")
    with pytest.raises(StoreRefusal, match="tickets@1 has changed"):
        registry.rollback("tickets")
    assert registry.resolve("tickets@champion").number == 2


def test_what_an_alias_points_to_cannot_be_deleted(registry):
    for folder in "ab":
        register(registry, folder=folder)
    registry.promote("tickets", 1, by="ada")
    registry.promote("tickets", 1, alias="challenger", by="ada")
    with pytest.raises(StoreRefusal, match="challenger and champion|champion and challenger"):
        registry.delete("tickets", 1)
    registry.promote("tickets", 2, by="ada")
    registry.promote("tickets", 2, alias="challenger", by="ada")
    registry.delete("tickets", 1, by="ada", reason="old")
    assert [version.number for version in registry.versions("tickets")] == [2]
    assert registry.history("tickets")[-1].action == "delete"
    assert (files.home() / "runs/a/model/weights").exists(), "the folder stays"


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(registry):
    register(registry, folder="a")
    registry.delete("tickets", 1)
    for call in (lambda: registry.resolve("tickets@1"), lambda: registry.promote("tickets", 1, by="ada")):
        with pytest.raises(StoreRefusal, match="tickets@1 was deleted"):
            call()
    with pytest.raises(StoreRefusal, match="All versions of tickets were deleted"):
        registry.resolve("tickets")
    with pytest.raises(StoreRefusal, match="was deleted"):
        registry.delete("tickets", 1)
    assert register(registry, folder="a").number == 2


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("tickte", "No model is named 'tickte'. Did you mean 'tickets'"),
        ("tickets@9", "tickets@9 does not exist. .*Choose one of: tickets@1"),
        ("tickets@99999999999999999999", "does not exist"),
        ("tickets@champoin", "no alias 'champoin', it has champion. Did you mean 'champion'"),
        ("tickets@", "no alias ''"),
        ("@champion", "No model is named ''"),
        ("./nowhere", "no such folder"),
        ("", "No model is named ''"),
    ],
)
def test_what_does_not_exist_is_refused_naming_what_does(registry, reference, said):
    register(registry, folder="a")
    registry.promote("tickets", 1, by="ada")
    with pytest.raises(StoreRefusal, match=said):
        registry.resolve(reference)


def test_every_method_refuses_an_unknown_name(registry):
    register(registry, folder="a")
    for call in (registry.versions, registry.history, registry.rollback):
        with pytest.raises(StoreRefusal, match="No model is named 'ticket'. Did you mean 'tickets'"):
            call("ticket")
    for call in (lambda: registry.promote("ticket", 1, by=""), lambda: registry.delete("ticket", 1)):
        with pytest.raises(StoreRefusal, match="No model is named 'ticket'"):
            call()


@pytest.mark.parametrize("name", ["a@b", "a/b", "", "..", "a\x00"])
def test_a_name_that_cannot_be_one_is_refused(registry, name):
    with pytest.raises(StoreRefusal, match="letters, digits"):
        register(registry, folder="a", name=name)
    register(registry, folder="a")
    with pytest.raises(StoreRefusal, match="letters, digits"):
        registry.promote("tickets", 1, alias=name, by="ada")
    with pytest.raises(StoreRefusal, match="not a number"):
        registry.promote("tickets", 1, alias="3", by="ada")


def test_resolving_refuses_a_folder_that_changed_or_is_gone(registry):
    folder = register(registry, folder="a").folder
    (folder / "weights").write_text("b")
    for reference in ("tickets@1", "tickets"):
        with pytest.raises(StoreRefusal, match="tickets@1 has changed since it was registered"):
            registry.resolve(reference)
    with pytest.raises(StoreRefusal, match="tickets@1 has changed"):
        registry.promote("tickets", 1, by="ada")
    (folder / files.MANIFEST).unlink()
    with pytest.raises(StoreRefusal, match="tickets@1 has changed"):
        registry.resolve(str(folder))
    shutil.rmtree(folder)
    with pytest.raises(StoreRefusal, match="tickets@1 is gone"):
        registry.resolve("tickets@1")


def test_a_damaged_or_absent_folder_is_not_registered(registry):
    folder = model("a")
    (folder / "weights").unlink()
    with pytest.raises(StoreRefusal, match="weights is missing"):
        registry.register("tickets", folder=folder, gate_passed=True, **FACTS)
    with pytest.raises(StoreRefusal, match="no such folder"):
        registry.register("tickets", folder=folder / "absent", gate_passed=True, **FACTS)
    assert registry.versions() == []


def test_a_folder_resolves_to_its_version_or_to_itself(registry, tmp_path, monkeypatch):
    version = register(registry, folder="a")
    assert registry.resolve(str(version.folder)) == version
    monkeypatch.chdir(version.folder.parent)
    assert registry.resolve("./model") == version and registry.resolve("model") == version
    stray = tmp_path / "stray"
    shutil.copytree(version.folder, stray)
    found = registry.resolve(str(stray))
    assert (found.number, found.name, found.folder) == (None, "stray", stray)
    assert found.content_hash == version.content_hash and found.reference == str(stray)
    (stray / "weights").write_text("b")
    with pytest.raises(StoreRefusal, match="stray is damaged: weights has"):
        registry.resolve(str(stray))


def test_home_may_move_and_folders_outside_it_are_found_where_they_are(database_url, tmp_path, monkeypatch):
    with open_database(database_url) as database:
        register(Registry(database), folder="a")
        outside = tmp_path / "outside"
        shutil.copytree(files.home() / "runs/a/model", outside)
        Registry(database).register("outside", folder=outside, gate_passed=None, **FACTS)
    shutil.move(tmp_path / "home", tmp_path / "moved")
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path / "moved"))
    with open_database(database_url.replace(f"{tmp_path}/home", f"{tmp_path}/moved")) as database:
        assert Registry(database).resolve("tickets@1").folder == tmp_path / "moved/runs/a/model"
        assert Registry(database).resolve("outside").folder == outside


def test_figures_that_are_not_numbers_are_kept_as_words(registry):
    facts = FACTS | {"metrics": {"auroc": float("nan")}}
    one = registry.register("tickets", folder=model("a"), gate_passed=None, **facts)
    assert registry.resolve("tickets@1").metrics == {"auroc": "nan"}
    assert registry.register("tickets", folder=model("a"), gate_passed=None, **facts) == one


RACE = """
import json, sys
from pathlib import Path
from tunewright.recipe.errors import StoreRefusal
from tunewright.store.database import open_database
from tunewright.store.registry import Registry
url, folder, worker = sys.argv[1:]
numbers = []
with open_database(url) as database:
    registry = Registry(database)
    for at in range(8):
        facts = dict(metrics={}, gate_passed=True, verdict={}, base="minilm", task="classification")
        version = registry.register("tickets", folder=Path(folder), run=f"{worker}-{at}", **facts)
        numbers.append(version.number)
        registry.promote("tickets", version.number, by=worker)
        try:
            registry.delete("tickets", version.number)
        except StoreRefusal:
            pass
print(json.dumps(numbers))
"""


def test_processes_that_register_promote_and_delete_at_once_do_not_trip_each_other(registry, database_url):
    command = [sys.executable, "-c", RACE, database_url, str(model("a"))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen([*command, f"w{at}"], **pipes) for at in range(3)]
    numbers: list[int] = []
    for process in processes:
        told, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
        numbers += json.loads(told)
    assert sorted(numbers) == list(range(1, 25))
    history = registry.history("tickets")
    holder = None
    for event in history:
        if event.action == "promote":
            assert event.previous == holder
            holder = event.number
        assert not (event.action == "delete" and event.number == holder)
    assert registry.resolve("tickets@champion").number == holder
    deleted = {event.number for event in history if event.action == "delete"}
    assert {version.number for version in registry.versions("tickets")} == set(numbers) - deleted


_NUMBERS = itertools.count()
moves = st.lists(st.tuples(st.sampled_from(["promote", "rollback", "delete"]), st.integers(1, 4)), max_size=14)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves)
def test_any_sequence_of_moves_agrees_with_a_plain_stack(registry, moves):
    name = f"m{next(_NUMBERS)}"  # not the count of versions: a deleted one would lend its name to the next example
    folder = model("a")
    for run in "1234":
        registry.register(name, folder=folder, gate_passed=True, **FACTS | {"run": run})
    stack: list[int] = []
    deleted: set[int] = set()
    for action, number in moves:
        before = list(stack)
        try:
            if action == "promote":
                registry.promote(name, number, by="ada")
                assert number not in deleted
                stack += [number] if stack[-1:] != [number] else []
            elif action == "rollback":
                found = registry.rollback(name).number
                while stack and (stack[-1] in deleted or stack[-1] == before[-1]):
                    stack.pop()
                assert stack[-1:] == [found]
            else:
                registry.delete(name, number)
                assert number not in deleted and stack[-1:] != [number]
                deleted.add(number)
        except StoreRefusal:
            if action == "promote":
                assert number in deleted
            elif action == "rollback":
                assert not (set(stack) - deleted - set(stack[-1:]))
            else:
                assert number in deleted or stack[-1:] == [number]
    held = [version.number for version in registry.versions(name) if "champion" in version.aliases]
    assert held == stack[-1:]
