"""From files to splits: planted defects are found as their key says, and every row is accounted for."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tunewright.data.prepare import prepare, read_rows
from tunewright.recipe.errors import DataRefusal
from tunewright.recipe.schema import Recipe

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
DEFECTS = SAMPLES / "tickets-defects.jsonl"
KEY = json.loads((SAMPLES / "tickets-defects.key.json").read_text())


def recipe(kind="classification", *, output="intent", labels=None, seed=17, **data):
    return Recipe(name="t", base="minilm", task={"kind": kind, "input": "text", "output": output, "labels": labels},
                  data={"train": "train.jsonl", **data}, seed=seed)  # fmt: skip


def defects(**data):
    return recipe(**{"train": "tickets-defects.jsonl", "malformed": "drop", **data})


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def tickets(count, *, start=0, labels="ab"):
    """Rows whose texts have nothing in common."""
    rng = np.random.default_rng(start)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
    return [{"text": "".join(rng.choice(letters, 40)).strip(), "intent": labels[i % len(labels)]} for i in range(count)]


def lines(origins):
    return [int(origin.rpartition(":")[2]) for origin in origins]


@pytest.mark.parametrize("check", ["malformed", "empty_input", "missing_answer", "conflicts", "encoding"])
def test_the_planted_defects_are_found_and_no_others(check):
    findings = {finding.check: finding for finding in prepare(defects(), root=SAMPLES).findings}
    assert lines(findings[check].origins) == KEY[check]


@pytest.mark.parametrize(("check", "reason"), [("duplicates", "duplicate"), ("near_duplicates", "near_duplicate")])
def test_planted_copies_are_found_with_their_originals(check, reason):
    prepared = prepare(defects(near_duplicates="drop"), root=SAMPLES)
    dropped = {entry.origin: entry.detail for entry in prepared.ledger.entries if entry.reason == reason}
    assert {str(lines([a])[0]): lines([b])[0] for a, b in dropped.items()} == KEY[check]
    found = next(finding for finding in prepared.findings if finding.check == check)
    assert lines(found.origins) == list(map(int, KEY[check]))


def test_the_ledger_accounts_for_every_line_of_the_defective_file():
    prepared = prepare(defects(conflicts="drop", near_duplicates="drop"), root=SAMPLES)
    counts = prepared.ledger.counts()
    assert counts["rows"] == KEY["rows"] == len(DEFECTS.read_bytes().splitlines())
    assert counts["dropped_because"] == {
        "malformed": len(KEY["malformed"]), "no_input": len(KEY["empty_input"]),
        "no_answer": len(KEY["missing_answer"]),
        "duplicate": len(KEY["duplicates"]), "near_duplicate": len(KEY["near_duplicates"]),
        "conflict": len(KEY["conflicts"]),
    }  # fmt: skip
    assert [lines([entry.origin])[0] for entry in prepared.ledger.entries] == list(range(1, KEY["rows"] + 1))
    for split in ("train", "validation", "test"):
        rows = getattr(prepared, split)
        assert len(rows) == counts[split] > 0
        assert set(rows.ids) == {entry.id for entry in prepared.ledger.entries if entry.fate == split}


def test_a_defective_file_is_refused_by_default_with_what_is_wrong_and_where():
    with pytest.raises(DataRefusal, match=r"8 of 129 rows of train \(6.2%\) cannot be used") as refused:
        prepare(defects(malformed="refuse"), root=SAMPLES)
    assert "tickets-defects.jsonl:23" in refused.value.where and "data.malformed" in refused.value.remedy


def test_below_the_limit_unusable_rows_are_dropped_visibly(tmp_path):
    write(tmp_path / "train.jsonl", [*tickets(199), {"text": "", "intent": "a"}])
    assert prepare(recipe(), root=tmp_path).ledger.counts()["dropped_because"] == {"no_input": 1}


@pytest.mark.parametrize("check", ["duplicates", "conflicts"])
def test_copies_and_conflicts_are_refused_where_the_recipe_says_so(check):
    with pytest.raises(DataRefusal, match="rows") as refused:
        prepare(defects(**{check: "refuse"}), root=SAMPLES)
    assert check in refused.value.remedy


def test_splits_are_stratified_disjoint_and_frozen(tmp_path):
    write(tmp_path / "train.jsonl", tickets(300, labels="abc"))
    first, again = prepare(recipe(), root=tmp_path), prepare(recipe(), root=tmp_path)
    assert [len(part) for part in (first.train, first.validation, first.test)] == [210, 30, 60]
    assert Counter(first.test.targets.tolist()) == {0: 20, 1: 20, 2: 20}
    assert not set(first.train.inputs) & set(first.test.inputs)
    assert again.manifest == first.manifest and again.ledger == first.ledger
    assert prepare(recipe(seed=18), root=tmp_path).manifest["split_sha256"] != first.manifest["split_sha256"]


def test_copies_groups_and_near_copies_never_straddle_splits(tmp_path):
    rows = tickets(200)
    near = [{**row, "text": row["text"].upper() + "!"} for row in rows[:50]]
    grouped = [{**row, "customer": i % 80} for i, row in enumerate(rows + near)]
    write(tmp_path / "train.jsonl", grouped)
    prepared = prepare(recipe(group="customer"), root=tmp_path)
    fates = {}
    for entry, row in zip(prepared.ledger.entries, grouped, strict=True):
        for key in (row["customer"], row["text"].lower().strip("!")):
            assert fates.setdefault(key, entry.fate) == entry.fate
    assert set(fates.values()) == {"train", "validation", "test"}


def test_given_files_are_kept_and_what_leaks_into_them_is_dropped_from_train(tmp_path):
    rows = tickets(120)
    write(tmp_path / "test.jsonl", [{**rows[0], "c": 1}, {**rows[0], "c": 1}, {**tickets(1, start=9)[0], "c": 2}])
    near = {**rows[0], "text": rows[0]["text"] + "?"}
    own = [{**row, "c": i + 5} for i, row in enumerate(rows)]
    write(tmp_path / "train.jsonl", [*own, near, {**rows[0], "text": "x", "c": 2}])
    prepared = prepare(recipe(test="test.jsonl", group="c"), root=tmp_path)
    assert len(prepared.test) == 3
    assert prepared.ledger.counts()["dropped_because"] == {"leaks_into_test": 2, "shares_group_with_test": 1}
    leaks = [entry.detail for entry in prepared.ledger.entries if entry.reason == "leaks_into_test"]
    assert leaks == ["test.jsonl:1"] * 2
    assert [entry["split"] for entry in prepared.manifest["files"]] == ["train", "test"]


def test_labels_stand_in_the_order_of_the_recipe_or_sorted(tmp_path):
    write(tmp_path / "train.jsonl", tickets(60))
    assert prepare(recipe(), root=tmp_path).labels == ("a", "b")
    prepared = prepare(recipe(labels={"b": "second", "a": "first"}), root=tmp_path)
    rows = {row["text"]: row["intent"] for row in tickets(60)}
    assert prepared.labels == ("b", "a")
    assert [("b", "a")[i] for i in prepared.train.targets] == [rows[text] for (text,) in prepared.train.inputs]


def test_multi_label_and_regression_targets(tmp_path):
    sets = [["a"], ["a", "b"], []]
    rows = tickets(90)
    write(tmp_path / "train.jsonl", [{**row, "intent": sets[i % 3]} for i, row in enumerate(rows)])
    prepared = prepare(recipe("multi_label"), root=tmp_path)
    wanted = {row["text"]: [float("a" in sets[i % 3]), float("b" in sets[i % 3])] for i, row in enumerate(rows)}
    assert prepared.train.targets.dtype == np.float32
    assert prepared.train.targets.tolist() == [wanted[text] for (text,) in prepared.train.inputs]
    write(tmp_path / "train.jsonl", [{**row, "intent": i / 2} for i, row in enumerate(rows)])
    prepared = prepare(recipe("regression"), root=tmp_path)
    assert prepared.labels == () and prepared.test.targets.shape == (len(prepared.test),)
    assert 10 < prepared.test.targets.mean() < 35


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        (tickets(40, labels="a"), {}, "same answer"),
        (tickets(5, labels="abcdefg"), {"labels": dict.fromkeys("abcdefg", "")}, "fewer rows"),
        (tickets(40) + tickets(2, start=7, labels="c"), {}, r"1 classes have too few .* c \(2 rows\)"),
        (tickets(40) + [{"text": f"Same old tale{end}", "intent": "c"} for end in ".!?"], {}, r"c \(3 rows, all alike"),
        (tickets(40), {"labels": {"a": "", "bb": ""}}, "does not have: 'b'"),
        ([{"text": "", "intent": "a"}], {}, "None of the 1"),
        (tickets(40), {"output": "intend"}, "Did you mean 'intent'"),
        (tickets(40), {"test": "missing.jsonl"}, "does not exist"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_trained_on_is_refused(tmp_path, rows, options, says):
    write(tmp_path / "train.jsonl", rows)
    with pytest.raises(DataRefusal, match=says) as refused:
        prepare(recipe(**options), root=tmp_path)
    assert refused.value.remedy


def test_labels_that_only_the_test_file_has_are_refused(tmp_path):
    write(tmp_path / "train.jsonl", tickets(40))
    write(tmp_path / "test.jsonl", tickets(6, start=3, labels="abc"))
    with pytest.raises(DataRefusal, match="test has labels that train does not have: 'c'") as refused:
        prepare(recipe(test="test.jsonl"), root=tmp_path)
    assert "test.jsonl:3" in refused.value.where


def test_rows_to_predict_need_no_answers_and_rows_to_judge_do(tmp_path):
    bare = write(tmp_path / "bare.jsonl", [{"text": "one"}, {"text": "two"}, {"text": "one"}])
    rows, ledger = read_rows(recipe(id="key"), bare, root=tmp_path, labels="ab", answers="if_present")
    assert rows.targets is None and len(set(rows.ids)) == 3 == ledger.counts()["test"]
    with pytest.raises(DataRefusal, match="No column 'intent'"):
        read_rows(recipe(), bare, root=tmp_path, labels="ab", answers="required")
    full = write(tmp_path / "full.jsonl", tickets(6))
    for answers in ("required", "if_present"):
        assert read_rows(recipe(), full, root=tmp_path, labels="ba", answers=answers)[0].targets.tolist() == [1, 0] * 3
    with pytest.raises(DataRefusal, match="labels that the model does not have: 'a'"):
        read_rows(recipe(), full, root=tmp_path, labels="xb", answers="required")
    assert read_rows(recipe(), full, root=tmp_path, labels="xb", answers="if_present")[0].targets is None
