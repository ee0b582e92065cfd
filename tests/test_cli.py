"""The command line as a person uses it, a careful one and a careless one."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests import tiny_tasks as tiny
from typer.testing import CliRunner

import tunewright
from tunewright import cli
from tunewright.store import files

ENTRY = [sys.executable, "-c", "from tunewright.cli import main; main()"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A home in which the tiny recipe has run once, its gate passed."""
    home = tmp_path_factory.mktemp("trained")
    recipe = tiny.write_task(home, extra="gate: {accuracy: {at_least: 0}}\n")
    done = in_process(home, "run", recipe, "--json")
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tunewright_says(*words, input: str | bytes | None = None):
    return CliRunner().invoke(cli.app, [str(word) for word in words], input=input)


def in_process(home: Path, *words, **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"TUNEWRIGHT_HOME": str(home)}
    return subprocess.run(
        [*ENTRY, *map(str, words)], env=environment, cwd=home, capture_output=True, text=True, timeout=300, **options
    )


def assert_refused(result, *parts: str) -> None:
    """Exit code 3, nothing on standard output, and one paragraph that holds all `parts`."""
    assert result.exit_code == 3, result.output
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


# ------------------------------------------------------------------------------------------ the door


def test_help_names_every_verb_and_imports_nothing_heavy():
    heavy = ("torch", "transformers", "pydantic", "numpy", "rich", "sqlalchemy", "yaml", "pyarrow")
    code = (
        "import sys\nsys.argv = ['tunewright', '--help']\nfrom tunewright.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print('HEAVY', [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    for verb in ("init", "check", "run", "evaluate", "predict", "serve", "bases", "schema", "models"):
        assert f"  {verb} " in done.stdout
    assert "HEAVY []" in done.stdout
    assert "..." not in done.stdout.partition("Commands:")[2], "a summary is cut short"


def test_version_is_the_packages():
    assert tunewright_says("--version").stdout == f"tunewright {tunewright.__version__}\n"


@pytest.mark.parametrize("words", [(), ("models",)])
def test_no_verb_shows_the_help(words):
    result = tunewright_says(*words)
    assert result.exit_code == 0 and result.stdout.startswith("Usage:")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("rnu", "x.yaml"), "Did you mean 'run'?"),
        (("run",), "RECIPE"),
        (("run", "x.yaml", "--jsn"), "--json"),
        (("serve", "m", "--port", "-1"), "--port"),
        (("serve", "m", "--port", "http"), "--port"),
    ],
)
def test_a_mistyped_command_is_refused_in_one_paragraph(home, words, part):
    assert_refused(tunewright_says(*words), part, "--help")


def test_an_unforeseen_error_says_where_its_trace_is(home, monkeypatch):
    import tunewright.pipeline.check

    def broken(*_, **__):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(tunewright.pipeline.check, "check", broken)
    result = tunewright_says("check", "x.yaml")
    assert result.exit_code == 1 and "Traceback" not in result.stderr
    trace = next(word for word in result.stderr.split() if word.endswith(".trace."))[:-1]
    assert "no such luck" in Path(trace).read_text()
    Path(trace).unlink()


def test_debug_shows_the_trace(home, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_DEBUG", "1")
    result = tunewright_says("run", "nowhere.yaml")
    assert result.exit_code == 3 and "Traceback" in result.stderr


# ------------------------------------------------------------------------------------- careless users


def test_a_recipe_that_is_not_there(home):
    assert_refused(tunewright_says("run", "nowhere.yaml"), "nowhere.yaml", "tunewright init")


def test_a_recipe_that_is_a_folder(home):
    assert_refused(tunewright_says("run", home), str(home))


def test_an_unknown_key_names_the_nearest_with_file_and_line(home):
    recipe = tiny.write_task(home, extra="evalute: {}\n")
    assert_refused(tunewright_says("run", recipe), "evalute", "evaluate", "recipe.yaml:7")


@pytest.mark.parametrize("override", ["nonsense", "phases.0.budgt=3 epochs", "phases.7.budget=1 epochs", "seed=blue"])
def test_an_override_that_makes_no_sense(home, override):
    assert_refused(tunewright_says("run", tiny.write_task(home), "--set", override), override.partition("=")[0])


def test_a_missing_column_lists_those_present(home):
    recipe = tiny.write_task(home)
    result = tunewright_says("run", recipe, "--set", "task.output=topc")
    assert_refused(result, "topc", "Did you mean 'topic'?", "customer_id")


def test_an_empty_file(home):
    recipe = tiny.write_task(home, rows=[])
    assert_refused(tunewright_says("run", recipe), "empty", "rows.jsonl")


def test_a_binary_file_as_data(home):
    recipe = tiny.write_task(home)
    (home / "rows.jsonl").write_bytes(bytes(range(256)) * 40)
    assert_refused(tunewright_says("run", recipe), "rows.jsonl")


def test_one_class_only(home):
    rows = [row | {"topic": "card"} for row in tiny.make_rows(30)]
    assert_refused(tunewright_says("run", tiny.write_task(home, rows=rows)), "same answer", "'card'")


def test_fewer_rows_than_classes(home):
    rows = [row | {"topic": f"topic {i}"} for i, row in enumerate(tiny.make_rows(6))]
    assert_refused(tunewright_says("run", tiny.write_task(home, rows=rows)), "topic 0")


def test_labels_in_test_that_train_lacks(home):
    recipe = tiny.write_task(home)
    tiny.write_rows(home / "test.jsonl", [{"text": "a new thing", "topic": "weather"}])
    assert_refused(tunewright_says("run", recipe, "--set", "data.test=test.jsonl"), "weather", "test.jsonl:1")


def test_a_base_that_does_not_exist(home, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert_refused(tunewright_says("run", tiny.write_task(home), "--set", "base=./nowhere"), "nowhere", "minilm")


def test_a_folder_that_may_not_be_written(home):
    closed = home / "home"
    closed.mkdir()
    (closed / "runs").write_text("in the way")
    assert_refused(tunewright_says("run", tiny.write_task(home)), str(closed))


@pytest.fixture
def bound_by_permissions():
    """Takes from root, where that is who runs this, the capability to write where permissions forbid it (capset(2))."""
    if os.geteuid() != 0:
        yield
        return
    libc, header, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    effective = sets[0]
    sets[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0
    yield
    sets[0] = effective
    assert libc.capset(header, sets) == 0


def test_no_permission(home, bound_by_permissions):
    closed = home / "home"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert_refused(tunewright_says("run", tiny.write_task(home)), str(closed))


def test_a_full_disk_is_a_cross_in_check(home, monkeypatch):
    recipe = tiny.write_task(home)
    monkeypatch.setattr(files.disk, "free_bytes", lambda path: 1000)
    result = tunewright_says("check", recipe, "--json")
    crossed = [line for line in json.loads(result.stdout)["lines"] if line["state"] == "refused"]
    assert result.exit_code == 3 and [line["title"] for line in crossed] == ["disk"]
    assert not (home / "home" / "runs").exists()


def test_nothing_is_written_for_what_is_refused(home):
    for words in (["--set", "task.output=none"], ["--set", "base=nowhere/at-all"], ["--set", "seed=-1"]):
        assert tunewright_says("run", tiny.write_task(home), *words).exit_code == 3
    assert not (home / "home").exists() or not list((home / "home").rglob("*.json*"))


def test_an_unknown_model_makes_no_database(home):
    assert_refused(tunewright_says("predict", "nobody", "hello"), "nobody")
    assert_refused(tunewright_says("models", "promote", "nobody@1"))
    assert not (home / "home" / "tunewright.db").exists()


def test_a_refusal_is_one_json_object_with_json(home):
    result = tunewright_says("run", "nowhere.yaml", "--json")
    assert result.exit_code == 3
    assert "nowhere.yaml" in json.loads(result.stdout)["error"]["what"]


# ------------------------------------------------------------------------------------------ the verbs


def test_init_writes_a_recipe_that_check_accepts_and_never_replaces_one(home):
    tiny.write_task(home)
    (home / "recipe.yaml").unlink()
    first = tunewright_says("init", "rows.jsonl", "--base", "base")
    assert first.exit_code == 0, first.stderr
    text = (home / "recipe.yaml").read_text()
    assert "id: row_id" in text and "group: customer_id" in text and "output: topic" in text
    assert_refused(tunewright_says("init", "rows.jsonl", "--base", "base"), "recipe.yaml", "--force")
    assert (home / "recipe.yaml").read_text() == text
    checked = tunewright_says("check", "recipe.yaml")
    assert checked.exit_code == 0, checked.stdout


def test_run_ends_with_verdict_ladder_and_report_on_standard_output(trained):
    done = in_process(trained, "run", trained / "recipe.yaml")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.split()[0] == "PASSED"
    for part in ("accuracy at least 0", "tiny@1", "report.html", "majority", "●"):
        assert part in done.stdout
    assert not any(line != line.rstrip() and len(line) > 120 for line in done.stdout.splitlines())


def test_run_json_is_one_object_and_a_gate_not_passed_exits_2(trained):
    done = in_process(trained, "run", trained / "recipe.yaml", "--set", "gate.accuracy.at_least=1.1", "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == 2 and facts["outcome"] == "failed" and facts["version"] == "tiny@2"
    assert done.stderr == ""


def test_evaluate_gives_figures_with_intervals_and_says_what_was_trained_on(trained, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(trained))
    facts = json.loads(tunewright_says("evaluate", "tiny@1", trained / "rows.jsonl", "--json").stdout)
    figure = facts["figures"]["accuracy"]
    assert figure["interval"]["low"] <= figure["value"] <= figure["interval"]["high"]
    assert facts["rows"] == 90 and 0 < facts["trained_on"] < 90
    assert "were used in training" in tunewright_says("evaluate", "tiny@1", trained / "rows.jsonl").stdout


def test_predict_reads_words_files_and_standard_input_alike(trained, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(trained))
    text = "where is my card"
    lines = trained / "lines.txt"
    lines.write_text(f"{text}\n\n")
    said = [
        json.loads(tunewright_says("predict", "tiny@1", *words, "--json", input=given).stdout)["predictions"]
        for words, given in (((text,), None), (("--file", lines), None), (("-",), text), ((), text))
    ]
    assert said[0][0]["label"] in tiny.TOPICS and all(one == said[0] for one in said)
    rows = json.loads(tunewright_says("predict", "tiny", "-f", trained / "rows.jsonl", "--json").stdout)["predictions"]
    assert len(rows) == 90 and "id" in rows[0]


@pytest.mark.parametrize(
    ("words", "given", "part"),
    [
        (("-",), "", "no text"),
        (("-",), "\n \n", "no text"),
        (("-",), b"\xff\xfe\x00", "UTF-8"),
        (("",), None, "empty"),
        (("--file", "gone.txt"), None, "gone.txt"),
        (("--file", "gone.csv"), None, "gone.csv"),
        (("a", "--file", "gone.txt"), None, "both"),
    ],
)
def test_nothing_to_predict(trained, monkeypatch, words, given, part):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(trained))
    assert_refused(tunewright_says("predict", "tiny@1", *words, input=given), part)


def test_a_model_is_named_by_version_alias_and_folder(trained, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(trained))
    folder = json.loads(tunewright_says("models", "show", "tiny@1", "--json").stdout)["folder"]
    assert tunewright_says("models", "promote", "tiny@1", "--reason", "first").stdout.startswith("tiny@champion")
    for reference in ("tiny@1", "tiny@champion", "tiny", folder, Path(folder).parent):
        result = tunewright_says("predict", reference, "card", "--json")
        assert result.exit_code == 0 and json.loads(result.stdout)["model"] == "tiny", reference
    assert_refused(tunewright_says("models", "delete", "tiny@1"), "champion")
    assert_refused(tunewright_says("models", "rollback", "tiny"), "no earlier")
    assert "first" in tunewright_says("models", "show", "tiny@1").stdout
    listed = tunewright_says("models", "list").stdout
    assert "tiny@1" in listed and "champion" in listed and "passed" in listed


def test_a_champion_must_have_passed_its_gate(trained, monkeypatch):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(trained))
    in_process(trained, "run", trained / "recipe.yaml", "--set", "gate.accuracy.at_least=1.2", "--json")
    versions = json.loads(tunewright_says("models", "list", "tiny", "--json").stdout)["versions"]
    failed = next(version["reference"] for version in versions if version["gate_passed"] is False)
    assert_refused(tunewright_says("models", "promote", failed), "gate")


def test_no_models_yet_is_said_without_an_error(home):
    result = tunewright_says("models", "list")
    assert result.exit_code == 0 and "No model" in result.stdout


def test_bases_are_ranked_and_one_that_cannot_be_used_says_why(home):
    tiny.write_task(home)
    ranked = json.loads(tunewright_says("bases", "rows.jsonl", "./nowhere", "base", "--json").stdout)
    assert [base["name"] for base in ranked["bases"]] == ["base", "./nowhere"]
    assert ranked["bases"][0]["rows_per_second"] > 0 and "nowhere" in ranked["bases"][1]["reason"]


@pytest.mark.parametrize(("token", "part"), [("short", "16"), ("has a space in it, see", "spaces"), (None, "16")])
def test_serve_refuses_a_token_that_anybody_could_guess(trained, monkeypatch, token, part):
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(trained))
    if token is not None:
        monkeypatch.setenv("THE_TOKEN", token)
    assert_refused(tunewright_says("serve", "tiny@1", "--token-env", "THE_TOKEN"), part, "THE_TOKEN")


def test_serve_refuses_a_model_that_is_not_there(home):
    assert_refused(tunewright_says("serve", "nobody@3"), "nobody@3")


# -------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_training_writes_a_checkpoint_and_the_next_run_goes_on(tmp_path, number, code):
    recipe = tiny.write_task(tmp_path)
    words = [*ENTRY, "run", str(recipe), "--set", "phases.0.budget=3000 updates", "--set", "phases.0.patience=0"]
    environment = os.environ | {"TUNEWRIGHT_HOME": str(tmp_path)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 120
        while not (found := list(tmp_path.glob("runs/tiny/*/metrics.jsonl"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found, "training never began"
        running.send_signal(number)
        said = running.communicate(timeout=120)[1]
    assert running.returncode == code and "checkpoint is written" in said
    assert list(tmp_path.glob("runs/tiny/*/checkpoints/phase-00-update-*"))
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as running:
        line = running.stderr.readline()
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=120)
    assert line.startswith("note: resumed, bit-exact")
