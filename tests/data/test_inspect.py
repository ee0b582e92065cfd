"""Each check sees its defect, and nothing else."""

import pytest

from tunewright.data.clean import CleanRow, Fault
from tunewright.data.inspect import compare_rows, inspect_rows, looks_misread
from tunewright.recipe.schema import Recipe
from tunewright.values import Span, Turn

LONG = "the parcel was left in the rain behind the house of our neighbours at number fourteen"


def row(i, text, answer="a", *, source="train"):
    inputs = text if isinstance(text, tuple) else (text,)
    return CleanRow(i, f"{source}:{i}", f"id{i}", inputs, answer, None, source)


def findings(rows, *, faults=(), kind="classification", **data):
    recipe = Recipe(name="t", base="minilm", task={"kind": kind, "input": "text", "output": "label"},
                    data={"train": "t.jsonl", **data})  # fmt: skip
    found = inspect_rows(rows, comparison=compare_rows(rows), faults=faults, recipe=recipe)
    return {finding.check: finding for finding in found}


def test_clean_rows_pass_every_check():
    words = ["apple", "river", "stone", "cloud", "tiger", "piano", "lemon", "chair", "table", "horse", "train",
             "glass", "bread", "mouse", "knife", "plant", "shirt", "clock", "phone", "beach"]  # fmt: skip
    rows = [row(i, word, "ab"[i % 2]) for i, word in enumerate(words)]
    found = findings(rows)
    assert all(finding.severity == "ok" for finding in found.values()), found
    assert found["lengths"].count == 20


def test_duplicates_need_an_equal_answer_and_conflicts_another():
    found = findings([row(0, LONG), row(1, LONG), row(2, LONG, "b"), row(3, "short")])
    assert found["duplicates"].origins == ("train:1",)
    assert "train:0" in found["duplicates"].examples[0]
    assert found["conflicts"].origins == ("train:0", "train:1", "train:2")
    assert found["near_duplicates"].count == 0


def test_the_order_of_several_labels_makes_no_conflict():
    found = findings([row(0, LONG, ("a", "b")), row(1, LONG, ("b", "a"))], kind="multi_label")
    assert found["duplicates"].count == 1 and found["conflicts"].count == 0


def test_near_duplicates_name_their_elder_and_count_other_answers():
    found = findings([row(0, LONG), row(1, LONG + "!"), row(2, LONG.replace("fourteen", "forty"), "b")])
    assert found["near_duplicates"].origins == ("train:1", "train:2")
    assert "1 with another answer" in found["near_duplicates"].says
    assert found["near_duplicates"].severity == "warn"


@pytest.mark.parametrize(("check", "text", "answer"), [("duplicates", LONG, "a"), ("conflicts", LONG, "b")])
def test_a_policy_of_refusal_shows_as_such_for_train_only(check, text, answer):
    assert findings([row(0, LONG), row(1, text, answer)], **{check: "refuse"})[check].severity == "refuse"
    test = [row(i, LONG, each, source="test") for i, each in enumerate(("a", answer))]
    assert findings(test, **{check: "refuse"})[check].severity != "refuse"


def test_leaks_into_given_files_are_exact_or_near():
    rows = [row(0, LONG), row(1, LONG.title()), row(2, "other"), row(3, "judged", source="validation"),
            row(4, LONG, "b", source="test"), row(5, "judged", source="test")]  # fmt: skip
    comparison = compare_rows(rows)
    assert [(leak.row, leak.partner, leak.into, leak.exact) for leak in comparison.leaks] == [
        (0, 4, "test", True), (1, 4, "test", False), (3, 5, "test", True)
    ]  # fmt: skip
    assert findings(rows)["leakage"].origins == ("train:0", "train:1", "validation:3")


def test_unusable_rows_count_against_the_limit_of_their_own_file():
    rows = [row(i, f"text {i}") for i in range(99)] + [row(0, "judged", source="test")]
    fault = Fault(99, "train:99", "", "no_answer", "label is empty", "train")
    assert findings(rows, faults=[fault])["unusable"].severity == "warn"
    found = findings(rows, faults=[fault, Fault(1, "test:1", "", "malformed", "not JSON", "test")])
    assert found["unusable"].severity == "refuse"
    assert found["unusable"].origins == ("train:99", "test:1")
    assert found["malformed"].origins == ("test:1",) and found["missing_answer"].origins == ("train:99",)
    assert findings(rows, faults=[fault], malformed=0)["unusable"].severity == "refuse"
    assert findings(rows, faults=[fault], malformed="refuse")["unusable"].severity == "refuse"
    assert findings(rows, faults=[fault], malformed="drop")["unusable"].severity == "warn"


@pytest.mark.parametrize("text", ["café, naïve, “quoted” – £5 … 50°", "SÃO PAULO", "Привет", "日本語", "🐎", "ΕΛΛΑΔΑ"])
def test_text_in_any_language_is_not_suspected_until_it_is_misread(text):
    assert not looks_misread(text)
    assert looks_misread(text.encode("utf-8").decode("latin-1"))


@pytest.mark.parametrize("text", ["it’s £5", "café", "“so”", "Привет"])
def test_the_windows_reading_of_utf8_is_seen(text):
    assert looks_misread(text.encode("utf-8").decode("cp1252", "replace"))


def test_rare_and_look_alike_labels_are_named():
    rows = [row(i, f"t{i}", "late") for i in range(30)] + [row(30, "x", "Late "), row(31, "y", "broken")]
    found = findings(rows)["classes"]
    assert found.severity == "warn"
    assert "'Late ' and 'late'" in found.examples and "broken: 1 rows" in found.examples


def test_lengths_are_words_over_all_inputs():
    rows = [row(0, ("one two", "three")), row(1, ("one", ""))]
    assert "longest 3" in findings(rows)["lengths"].says
    assert findings([])["lengths"].count == 0


def test_several_good_answers_to_one_prompt_are_no_contradiction():
    rows = [row(0, LONG, Turn("one way", "assistant")), row(1, LONG, Turn("another", "assistant")),
            row(2, LONG + "!", Turn("a third", "assistant"))]  # fmt: skip
    found = findings(rows, kind="generation")
    assert found["conflicts"].count == 2 and found["near_duplicates"].count == 1
    assert {found["conflicts"].severity, found["near_duplicates"].severity} == {"note"}
    assert findings(rows, kind="generation", conflicts="refuse")["conflicts"].severity == "refuse"


def test_spans_are_shown_with_their_places():
    rows = [row(0, LONG, (Span(4, 10, "thing"),)), row(1, LONG, ())]
    found = findings(rows, kind="token_classification")
    assert found["conflicts"].examples[0].startswith("train:0: 4-10 thing: the parcel")


def test_conversations_are_alike_by_what_is_said_in_them():
    tools = Turn("a long list of tools that all conversations share " * 20, "tools")
    rows = [row(0, (tools, Turn(LONG, "user")), Turn("x", "assistant")),
            row(1, (tools, Turn("entirely other words", "user")), Turn("x", "assistant")),
            row(2, (Turn(LONG, "user"), Turn("hm", "assistant"), Turn("!", "user")), Turn("x", "assistant"))]
    near = compare_rows(rows, kind="generation").near
    assert near.like_r.tolist() == [-1, -1, 0]


def test_what_is_shared_is_found_for_kinds_that_share():
    rows = [row(0, ("q?", LONG), ()), row(1, ("r?", LONG), ())]
    assert len(set(compare_rows(rows, kind="question_answering").kin.names_r)) == 1
    assert compare_rows(rows).kin.names_r == (None, None)
