"""A registered model found by every name it has, and judged on rows of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sklearn import metrics as oracle
from tests import tiny_tasks as tiny

from tunewright.pipeline.evaluate import evaluate_model, find, load
from tunewright.pipeline.run import run
from tunewright.recipe.errors import DataRefusal, StoreRefusal


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWRIGHT_HOME", str(folder))
        run(tiny.write_task(folder))
    return folder


@pytest.fixture(autouse=True)
def here(home, monkeypatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(home))
    monkeypatch.chdir(home)


def test_all_names_mean_the_same_model(home):
    folder = find("tiny@1").folder
    names = ["tiny@1", "tiny", str(folder), str(folder.parent), str(folder.parent.relative_to(home))]
    assert {find(name).folder for name in names} == {folder}
    assert {(load(name).name, load(name).version) for name in names} == {("tiny", "1")}


def test_a_folder_without_a_registry_is_loaded_by_its_content(home, monkeypatch, tmp_path):
    folder = find("tiny@1").folder
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path))
    found = load(str(folder))
    assert found.name == "tiny" and len(found.version) == 12
    assert not (tmp_path / "tunewright.db").exists()


def test_what_is_no_model_is_refused(home, tmp_path, monkeypatch):
    for reference in ("nobody", "tiny@7", "tiny@best", str(tmp_path)):
        with pytest.raises(StoreRefusal):
            load(reference)


def test_figures_are_those_of_scikit_learn_on_what_the_model_says(home):
    found = evaluate_model("tiny@1", home / "rows.jsonl")
    rows = tiny.make_rows()
    said = [prediction.label for prediction in load("tiny@1").predict([row["text"] for row in rows])]
    answers = [row["topic"] for row in rows]
    assert found.rows == 90 and found.model == "tiny@1"
    assert found.figures["accuracy"].value == pytest.approx(oracle.accuracy_score(answers, said))
    assert found.figures["macro_f1"].value == pytest.approx(oracle.f1_score(answers, said, average="macro"))
    assert {score.label: score.rows for score in found.classes} == dict.fromkeys(tiny.TOPICS, 30)
    json.dumps(found.to_json())


def test_rows_used_in_training_are_counted_and_new_ones_are_not(home, tmp_path):
    assert evaluate_model("tiny@1", home / "rows.jsonl").trained_on == 72
    new = tiny.write_rows(tmp_path / "new.jsonl", tiny.make_rows(30, seed=99))
    assert evaluate_model("tiny@1", new).trained_on == 0


def test_unusable_rows_are_counted_by_reason_and_unknown_labels_refused(home, tmp_path):
    rows = [*tiny.make_rows(200, seed=5), {"text": "", "topic": "card"}]
    assert evaluate_model("tiny@1", tiny.write_rows(tmp_path / "a.jsonl", rows)).dropped == {"no_input": 1}
    rows[0]["topic"] = "weather"
    with pytest.raises(DataRefusal, match="weather"):
        evaluate_model("tiny@1", tiny.write_rows(tmp_path / "b.jsonl", rows))
