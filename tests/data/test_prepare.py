"""From files to splits: planted defects are found as their key says, and every row is accounted for."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tunewright.data.prepare import prepare, read_rows
from tunewright.recipe.errors import DataRefusal, RecipeRefusal
from tunewright.recipe.schema import Recipe
from tunewright.values import Span, Turn

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


@pytest.mark.parametrize("malformed", ["refuse", 0.01, 0.05])
def test_a_defective_file_is_refused_by_default_with_what_is_wrong_and_where(malformed):
    with pytest.raises(DataRefusal, match=r"8 of 129 rows of train \(6.2%\) cannot be used") as refused:
        prepare(defects(malformed=malformed), root=SAMPLES)
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


def test_every_split_may_be_several_files(tmp_path):
    rows = tickets(90)
    for number, name in enumerate(("train", "more", "test", "none")):
        write(tmp_path / f"{name}.jsonl", rows[20 * number : 20 * number + 20])
    prepared = prepare(recipe(train=["train.jsonl", "more.jsonl"], test=["test.jsonl", "none.jsonl"]), root=tmp_path)
    files = [(entry["split"], entry["path"]) for entry in prepared.manifest["files"]]
    assert files == [("train", "train.jsonl"), ("train", "more.jsonl"), ("test", "test.jsonl"), ("test", "none.jsonl")]
    assert len(prepared.test) == 40 and len(prepared.train) + len(prepared.validation) == 40
    assert {origin.rpartition(":")[0] for origin in prepared.test.origins} == {"test.jsonl", "none.jsonl"}


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


# ------------------------------------------------------------------------------------------ all kinds


def made(kind, *, input, output=None, task=None, **data):
    return Recipe(name="t", base="minilm", task={"kind": kind, "input": input, "output": output, **(task or {})},
                  data={"train": "train.jsonl", **data})  # fmt: skip


def findings_of(prepared):
    return {finding.check: finding for finding in prepared.findings}


def adds_up(prepared):
    counts = prepared.ledger.counts()
    assert counts["rows"] == sum(counts[fate] for fate in ("train", "validation", "test", "dropped"))
    assert [len(getattr(prepared, split)) for split in ("train", "validation", "test")] == [
        counts[split] for split in ("train", "validation", "test")]
    json.dumps(prepared.manifest)


def questions(contexts, each=4):
    words = [row["text"] for row in tickets(contexts, start=5)]
    return [{"question": f"Which {text[i:i + 6]} of {i}?", "context": text,
             "answers": [] if i == 3 else {"text": [text[2:9]], "answer_start": [2]}}
            for text in words for i in range(each)]  # fmt: skip


QA = {"input": ["question", "context"], "output": "answers"}


def test_all_questions_about_a_context_are_in_one_split(tmp_path):
    rows = questions(50)
    write(tmp_path / "train.jsonl", rows)
    prepared = prepare(made("question_answering", **QA), root=tmp_path)
    adds_up(prepared)
    splits = ("train", "validation", "test")
    contexts = {split: {context for _, context in getattr(prepared, split).inputs} for split in splits}
    assert sum(map(len, contexts.values())) == 50 == len(set.union(*contexts.values()))
    assert all(sum(not answers for answers in getattr(prepared, split).targets) > 0 for split in splits)


def test_questions_about_the_contexts_of_a_given_test_file_are_dropped_from_train(tmp_path):
    rows = questions(50)
    write(tmp_path / "train.jsonl", [*rows[:-4], {**rows[-4], "context": rows[-4]["context"].upper(), "answers": []}])
    write(tmp_path / "test.jsonl", rows[-3:])
    prepared = prepare(made("question_answering", **QA, test="test.jsonl"), root=tmp_path)
    assert prepared.ledger.counts()["dropped_because"] == {"shares_context_with_test": 1}


def test_passages_for_one_query_are_in_one_split(tmp_path):
    rows = [{"q": row["text"], "p": f"{row['text'][::-1]} {i}"} for row in tickets(60) for i in range(2)]
    write(tmp_path / "train.jsonl", rows)
    prepared = prepare(made("retrieval", input=["q", "p"]), root=tmp_path)
    queries = [{query for query, _ in getattr(prepared, split).inputs} for split in ("train", "validation", "test")]
    assert sum(map(len, queries)) == 60 and prepared.train.targets.tolist() == [1.0] * len(prepared.train)


def test_prompts_that_are_held_out_are_met_in_test_only(tmp_path):
    write(tmp_path / "train.jsonl", tickets(60))
    task = {"prompts": ["What is {text}?", "Sort: {text}"], "unseen_prompts": ["{text} Which kind?"], "system": "S"}
    recipe = made("generation", input="text", output="intent", task=task)
    prepared = prepare(recipe, root=tmp_path)
    for split, endings in (("train", ("?", "")), ("validation", ("?", "")), ("test", ("Which kind?",))):
        for system, user in getattr(prepared, split).inputs:
            assert system == Turn("S", "system") and user.role == "user"
            assert user.endswith(endings) and ("Which kind" in user) == (split == "test")
    assert set(prepared.train.targets) == {Turn("a", "assistant"), Turn("b", "assistant")} and prepared.labels == ()
    path = write(tmp_path / "new.jsonl", tickets(3, start=8))
    judged, _ = read_rows(recipe, path, root=tmp_path, labels=(), answers="required")
    asked, _ = read_rows(recipe, path, root=tmp_path, labels=(), answers="if_present")
    assert all("Which kind?" in row[1] for row in judged.inputs)
    assert not any("Which kind?" in row[1] for row in asked.inputs)


def test_prompts_that_cannot_be_filled_are_refused_before_anything_is_read(tmp_path):
    recipe = made("generation", input="text", output="intent", task={"prompts": ["{txet}"]})
    with pytest.raises(RecipeRefusal, match="Did you mean 'text'"):
        prepare(recipe, root=tmp_path)


def test_texts_to_be_answered_need_no_answers_and_conversations_may_end_with_the_user(tmp_path):
    turns = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    recipe = made("generation", input="said")
    open_ended = write(tmp_path / "open.jsonl", [{"said": turns}, {"said": turns[:1]}])
    rows, _ = read_rows(recipe, open_ended, root=tmp_path, labels=(), answers="if_present")
    assert rows.targets is None and rows.inputs == ((Turn("u", "user"),),) * 2
    whole = write(tmp_path / "whole.jsonl", [{"said": turns}])
    for answers in ("required", "if_present"):
        rows, _ = read_rows(recipe, whole, root=tmp_path, labels=(), answers=answers)
        assert list(rows.targets) == [Turn("a", "assistant")]
    with pytest.raises(DataRefusal, match="ends with user, not with an answer"):
        read_rows(recipe, write(tmp_path / "asks.jsonl", [{"said": turns[:1]}]), root=tmp_path, labels=(),
                  answers="required")  # fmt: skip


def test_spans_to_be_found_need_no_answers_and_unknown_labels_are_none(tmp_path):
    recipe = made("token_classification", input="text", output="spans")
    bare = write(tmp_path / "bare.jsonl", [{"text": "Ada King"}])
    assert read_rows(recipe, bare, root=tmp_path, labels=("per",), answers="if_present")[0].targets is None
    full = write(tmp_path / "full.jsonl", [{"text": "Ada King", "spans": [[0, 3, "per"]]}])
    rows, _ = read_rows(recipe, full, root=tmp_path, labels=("per",), answers="if_present")
    assert list(rows.targets) == [(Span(0, 3, "per"),)]
    assert read_rows(recipe, full, root=tmp_path, labels=("loc",), answers="if_present")[0].targets is None


@pytest.mark.parametrize(
    ("kind", "columns", "row"),
    [
        ("token_classification", {"input": "text", "output": "spans"}, {"spans": []}),
        ("question_answering", {"input": ["more", "text"], "output": "spans"}, {"spans": [], "more": "q?"}),
    ],
)
def test_rows_without_any_span_teach_nothing_and_are_refused(tmp_path, kind, columns, row):
    write(tmp_path / "train.jsonl", [{**ticket, **row} for ticket in tickets(40)])
    with pytest.raises(DataRefusal, match="No row of train has a span"):
        prepare(made(kind, **columns), root=tmp_path)


def test_labels_that_judge_and_never_train_are_found(tmp_path):
    rows = [{**row, "tags": ["a"]} for row in tickets(60)]
    write(tmp_path / "train.jsonl", [*rows, {**tickets(1, start=3)[0], "tags": ["a", "rare"]}])
    write(tmp_path / "test.jsonl", [{**row, "tags": ["a", "rare"]} for row in tickets(5, start=4)])
    recipe = made("multi_label", input="text", output="tags", test="test.jsonl")
    assert findings_of(prepare(recipe, root=tmp_path))["untaught_labels"].count == 0
    named = {"labels": {"a": "", "rare": "", "never": ""}}
    write(tmp_path / "train.jsonl", rows)
    recipe = made("multi_label", input="text", output="tags", test="test.jsonl", task=named)
    assert findings_of(prepare(recipe, root=tmp_path))["untaught_labels"].examples == ("rare",)


def test_a_folder_of_texts_is_its_files_and_they_stay_whole(tmp_path):
    (tmp_path / "texts" / "more").mkdir(parents=True)
    for i, row in enumerate(tickets(12)):
        sub = "more" if i % 2 else "."
        (tmp_path / "texts" / sub / f"{i}.txt").write_text("\n\n".join([f"{row['text']} {j} " * 500 for j in range(6)]))
    prepared = prepare(made("pretraining", input="text", train="texts/"), root=tmp_path)
    adds_up(prepared)
    assert prepared.manifest["files"][0]["path"] == "texts/0.txt" and len(prepared.manifest["files"]) == 12
    files = [{origin.rpartition(":")[0] for origin in getattr(prepared, split).origins}
             for split in ("train", "validation", "test")]  # fmt: skip
    assert sum(map(len, files)) == 12 == len(set.union(*files))


# ------------------------------------------------------------------------------------------ real data


ENTITIES = ("algorithm", "conference", "country", "field", "location", "metrics", "misc", "organisation", "person",
            "product", "programlang", "researcher", "task", "university")  # fmt: skip

@pytest.mark.parametrize(("name", "labels"), [("wnut17", 6), ("crossner_ai", 14)])
def test_tagged_tokens_of_public_data(public_data, name, labels):
    recipe = made("token_classification", input="tokens", output="ner_tags", validation="validation.jsonl",
                  test="test.jsonl")  # fmt: skip
    prepared = prepare(recipe, root=public_data(name))
    adds_up(prepared)
    found = findings_of(prepared)
    assert len(prepared.labels) == labels and found["stray_tags"].count == found["unusable"].count == 0
    written = [json.loads(line) for line in (public_data(name) / "test.jsonl").read_text("utf-8").splitlines()]
    assert sum(map(len, prepared.test.targets)) == sum(tag[0] == "B" for row in written for tag in row["ner_tags"])
    for (text,), spans in zip(prepared.test.inputs, prepared.test.targets, strict=True):
        assert all(text[span.start : span.end].strip() for span in spans)


@pytest.mark.parametrize("suffix", [".conll", ".csv"])
def test_tagged_tokens_say_the_same_in_every_format(public_data, tmp_path, suffix):
    lines = (public_data("crossner_ai") / "test.jsonl").read_text("utf-8").splitlines()
    written = [json.loads(line) for line in lines]
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("tokens", "tags"), *((row["tokens"], row["ner_tags"]) for row in written)])
    else:
        sentences = ("\n".join(map("\t".join, zip(row["tokens"], row["ner_tags"], strict=True))) for row in written)
        path.write_text("\n\n".join(sentences), encoding="utf-8")
    wanted, _ = read_rows(made("token_classification", input="tokens", output="ner_tags"), Path("test.jsonl"),
                          root=public_data("crossner_ai"), labels=ENTITIES, answers="required")  # fmt: skip
    found, _ = read_rows(made("token_classification", input="tokens", output="tags"), path, root=tmp_path,
                         labels=ENTITIES, answers="required")  # fmt: skip
    assert found.inputs == wanted.inputs and list(found.targets) == list(wanted.targets) and len(found) == 431


def test_instructions_of_public_data_with_several_prompts(public_data, tmp_path):
    lines = (public_data("self_instruct") / "seed_tasks.jsonl").read_text("utf-8").splitlines()
    rows = [{"instruction": task["instruction"], **task["instances"][0]} for task in map(json.loads, lines)]
    write(tmp_path / "train.jsonl", rows)
    task = {"prompts": ["{instruction}\n\n{input}", "### Task\n{instruction}\n### Input\n{input}\n### Answer\n"]}
    prepared = prepare(made("generation", input=["instruction", "input"], output="output", task=task), root=tmp_path)
    adds_up(prepared)
    heads = Counter(turns[0].startswith("### Task") for turns in prepared.train.inputs)
    assert min(heads.values()) > 0.35 * len(prepared.train)
    answers = {row["output"] for row in rows}
    assert all(str(answer) in answers for answer in prepared.test.targets)


def test_spans_of_public_data_agree_with_their_texts(public_data):
    recipe = made("token_classification", input="full_text", output="spans", train="generated_large.jsonl")
    prepared = prepare(recipe, root=public_data("presidio_pii"))
    adds_up(prepared)
    assert findings_of(prepared)["unusable"].count == 0 and "PERSON" in prepared.labels


def test_questions_of_public_data_are_split_by_context(public_data):
    prepared = prepare(made("question_answering", **QA, train="test_en.jsonl", id="id"), root=public_data("xquad_en"))
    adds_up(prepared)
    splits = [getattr(prepared, split) for split in ("train", "validation", "test")]
    contexts = [{context for _, context in rows.inputs} for rows in splits]
    assert sum(map(len, contexts)) == len(set.union(*contexts))
    for rows in splits:
        for (_, context), spans in zip(rows.inputs, rows.targets, strict=True):
            assert spans and all(context[span.start : span.end] == span.label for span in spans)


def test_conversations_with_tools_of_public_data(public_data):
    prepared = prepare(made("generation", input="conversations"), root=public_data("glaive_toolcall_300"))
    adds_up(prepared)
    rows = [row for split in ("train", "validation", "test") for row in getattr(prepared, split).inputs]
    assert any(row[0].role == "tools" for row in rows) and {turn.role for row in rows for turn in row} == {
        "tools", "user", "assistant", "call", "tool"}
    assert all(isinstance(json.loads(turn), list) for row in rows for turn in row if turn.role in ("tools", "call"))
    assert findings_of(prepared)["refusals"].count > 0 == findings_of(prepared)["unusable"].count


@pytest.mark.parametrize(
    ("name", "kind", "columns", "files"),
    [
        ("dialogsum", "summarisation", ("dialogue", "summary"), {"train": "dev.jsonl"}),
        ("multi30k_en_de", "translation", ("en", "de"), {"train": "validation.jsonl"}),
        ("gsm8k", "generation", ("question", "answer"), {"train": "test.jsonl"}),
        ("bitext_customer_support", "generation", ("instruction", "response"), {"train": "train_v2.jsonl"}),
        ("oa_mine", "generation", ("input", "attributes"), {"test": "test.jsonl"}),
    ],
)
def test_texts_that_answer_texts_of_public_data(public_data, name, kind, columns, files):
    prepared = prepare(made(kind, input=columns[0], output=columns[1], **files), root=public_data(name))
    adds_up(prepared)
    assert findings_of(prepared)["unusable"].count == 0
    assert all(isinstance(turn, Turn) and turn.role == "assistant" for turn in prepared.test.targets)
    assert all(len(turns) == 1 and turns[0].role == "user" for turns in prepared.train.inputs)


def test_answers_become_passages_of_public_data(public_data):
    recipe = made("retrieval", input=["question", "answer"], train="all.jsonl", malformed="drop")
    prepared = prepare(recipe, root=public_data("medquad"))
    adds_up(prepared)
    assert findings_of(prepared)["shared_queries"].count > 0 and len(prepared.test) > 3000


def test_plain_text_of_public_data_becomes_documents(public_data):
    prepared = prepare(made("pretraining", input="text", train="input.txt"), root=public_data("tiny_shakespeare"))
    adds_up(prepared)
    texts = [text for split in ("train", "validation", "test") for (text,) in getattr(prepared, split).inputs]
    words = len((public_data("tiny_shakespeare") / "input.txt").read_text().split())
    assert sum(len(text.split()) for text in texts) == words and len(texts) == 100
