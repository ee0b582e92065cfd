"""Every refusal names the nearest key, the file and the line; `--set` reaches every key; secrets stay secret.

The components here are invented, because `recipe/` must not know the real ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.read import AXES, KEYED, RecipeFile, Vocabulary, read
from tunewright.recipe.schema import Component


@dataclass(frozen=True)
class Plain:
    """No options."""

    features_fixed: ClassVar[bool] = True


@dataclass(frozen=True)
class Rich:
    """Options of every type."""

    rank: int = 16
    rate: float | None = None
    decay: Literal["linear", "cosine"] = "linear"
    bare: bool = False
    secret: str = ""

    features_fixed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, not {self.rank}")


@dataclass(frozen=True)
class Required:
    """An option without a default."""

    layers: int
    features_fixed: ClassVar[bool] = True


TABLE = {"plain": Plain, "rich": Rich, "required": Required, "everything": Plain, "none": Plain, "supervised": Rich,
         "length_grouped": Plain, "adamw": Rich}  # fmt: skip
VOCABULARY = Vocabulary(dict.fromkeys((*AXES, *KEYED.values()), TABLE))
HEAD = """\
name: small
task: {kind: classification, input: text, output: intent}
base: minilm
data:
  train: tickets.jsonl
"""
OVERRIDES = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def write(tmp_path):
    """Reads a recipe from HEAD and what is added to it."""

    def read_text(text: str = "", *overrides: str, head: str = HEAD) -> RecipeFile:
        path = tmp_path / "r.yaml"
        path.write_text(head + text, encoding="utf-8")
        return read(path, VOCABULARY, overrides=overrides)

    return read_text


def refused(call, *arguments, **options) -> RecipeRefusal:
    with pytest.raises(RecipeRefusal) as caught:
        call(*arguments, **options)
    return caught.value


# ----------------------------------------------------------------------------------------------- the file


def test_a_recipe_is_read_with_its_folder_and_lines(write, tmp_path):
    file = write("phases:\n  - trainable: {kind: rich, rank: 8}\n    budget: 3 epochs\n")
    assert file.recipe.phases[0].trainable == Component(kind="rich", options={"rank": 8})
    assert file.root == tmp_path
    assert file.where("phases.0.budget") == f"{tmp_path / 'r.yaml'}:8, key phases.0.budget"
    assert file.where("phases.0.patience") == f"{tmp_path / 'r.yaml'}:7, key phases.0.patience"
    assert file.where("") == f"{tmp_path / 'r.yaml'}:1"


@pytest.mark.parametrize(
    ("added", "says", "line"),
    [
        ("sead: 3\n", "Unknown key 'sead'. Did you mean 'seed'?", 6),
        ("encode:\n  max_lenght: 3\n", "Unknown key 'encode.max_lenght'. Did you mean 'max_length'?", 7),
        ("phases:\n  - budget: 1 epoch\n    patiense: 1\n", "Did you mean 'patience'?", 8),
        ("gate:\n  macro_f1: {at_lest: 1}\n", "Did you mean 'at_least'?", 7),
        ("seed: many\n", "The key 'seed' cannot be 'many'", 6),
        ("seed: true\n", "The key 'seed' cannot be True: true and false mean nothing", 6),
        ("phases:\n  - budget: 5\n", "The key 'phases.0.budget' cannot be 5: write a number and a unit", 7),
        ("phases:\n  - objective: [supervised, 5]\n", "give a name, or a mapping with the key 'kind'", 7),
        ("gate:\n  macro_f1: {}\n", "The section 'gate.macro_f1' does not fit together: a bar needs", 7),
        ("encode: {overlap: 5}\n", "Unknown key 'encode.overlap'", 6),
        ("encode:\n  long: reach\n", "There is no long called 'reach'. Did you mean 'rich'?", 7),
        ("encode:\n  long: {kind: rich, ranks: 5}\n", "has no option 'ranks'. Did you mean 'rank'?", 7),
        ("encode:\n  long: {kind: rich, rank: -5}\n", "rank must be at least 1, not -5", 7),
        ("encode:\n  long: {kind: rich, weight: 2}\n", "A weight makes no sense for a long", 7),
        ("encode:\n  long: my:Own\n", "There is no long called 'my:Own'", 7),
        ("evaluate: {baselines: [zero_shot]}\n", "The recipe does not fit together: the baseline zero_shot", 1),
        ("evaluate: {baselines: [prob]}\n", "The key 'evaluate.baselines.0' cannot be 'prob'", 6),
        ("phases:\n  - trainable: reach\n", "There is no trainable called 'reach'. Did you mean 'rich'?", 7),
        ("phases:\n  - trainable: {kind: rich, rnak: 1}\n", "has no option 'rnak'. Did you mean 'rank'?", 7),
        ("phases:\n  - trainable: {kind: rich, rank: some}\n", "Option 'rank' of 'rich' cannot be 'some'", 7),
        ("phases:\n  - trainable: {kind: rich, rank: true}\n", "cannot be True: it is no switch", 7),
        ("phases:\n  - trainable: {kind: rich, rate: .nan}\n", "it must be a finite number", 7),
        ("phases:\n  - trainable: {kind: rich, decay: steps}\n", "'linear' or 'cosine'", 7),
        ("phases:\n  - trainable: {kind: rich, rank: 0}\n", "rank must be at least 1, not 0", 7),
        ("phases:\n  - trainable: required\n", "'required' needs the option 'layers'", 7),
        ("phases:\n  - schedule: {kind: plain, weight: 2}\n", "A weight makes no sense for a schedule", 7),
        ("a(b: 1\n", "Unknown key 'a(b'", 6),
        ("base: other\n", "The key 'base' stands twice", 6),
    ],
)
def test_a_refusal_names_the_key_the_nearest_one_the_file_and_the_line(write, tmp_path, added, says, line):
    refusal = refused(write, added)
    assert says in refusal.what
    assert refusal.where.startswith(f"{tmp_path / 'r.yaml'}:{line}")


def test_a_missing_section_is_named_with_its_meaning(write):
    refusal = refused(write, head=HEAD.replace("base: minilm\n", ""))
    assert refusal.what == "The key 'base' is missing." and "local folder" in refusal.remedy


def test_a_column_list_is_named_without_the_machinery_of_unions(write):
    refusal = refused(write, head=HEAD.replace("input: text", "input: [text, 5]"))
    assert "task.input" in refusal.what and "tuple" not in refusal.what + refusal.where


@pytest.mark.parametrize(("text", "says"), [("", "not a mapping"), ("- a\n", "not a mapping"), ("a: [", "not valid")])
def test_what_is_no_mapping_is_refused(write, text, says):
    assert says in refused(write, head=text).what


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    assert "tunewright init" in refused(read, tmp_path / "absent.yaml", VOCABULARY).remedy
    assert "cannot be read" in refused(read, tmp_path, VOCABULARY).what
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert "cannot be read" in refused(read, tmp_path / "latin.yaml", VOCABULARY).what


def test_a_byte_order_mark_and_windows_lines_are_no_obstacle(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())
    assert read(path, VOCABULARY).recipe.name == "small"


def test_labels_that_yaml_1_1_would_turn_into_switches_stay_words(write):
    file = write(head=HEAD.replace("output: intent", "output: intent, labels: {no: '', yes: '', 1: one, ~: x}"))
    assert file.recipe.task.labels == {"no": "", "yes": "", "1": "one", "~": "x"}


# ---------------------------------------------------------------------------------------------- components


def test_a_component_of_ones_own_is_imported(write, tmp_path, monkeypatch):
    (tmp_path / "my_pieces.py").write_text(
        "import dataclasses\n\n@dataclasses.dataclass(frozen=True)\nclass Mine:\n    depth: int = 1\n"
        "    features_fixed = False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    file = write("phases:\n  - trainable: {kind: 'my_pieces:Mine', depth: 3}\n")
    built = VOCABULARY.build("trainable", file.recipe.phases[0].trainable)
    assert (type(built).__name__, built.depth) == ("Mine", 3)
    assert "has no option 'dept'" in refused(write, "phases:\n  - trainable: {kind: 'my_pieces:Mine', dept: 3}\n").what


@pytest.mark.parametrize(
    ("kind", "says"),
    [("no_such_module:X", "cannot be imported"), ("json:NoSuch", "cannot be imported"), (":X", "cannot be imported"),
     ("json:JSONDecoder", "is not a dataclass"), ("json:loads", "is not a dataclass")],
)  # fmt: skip
def test_what_is_no_component_is_refused(kind, says):
    assert says in refused(VOCABULARY.find, "trainable", kind, where="here").what


def test_a_class_that_lacks_what_its_axis_needs_is_refused_before_anything_runs():
    refusal = refused(VOCABULARY.find, "trainable", "tunewright.recipe.tasks:KindOfTask")
    assert "it lacks features_fixed" in refusal.what


# --------------------------------------------------------------------------------------------------- --set


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("seed=5", "seed", 5),
        (" name =other", "name", "other"),
        ("data.test=0.3", "data.test", 0.3),
        ("encode={max_length: 32}", "encode.max_length", 32),
        ("phases.0.budget=3 epochs", "phases.0.budget", "3 epochs"),
        ("phases.0.patience=0", "phases.0.patience", 0),
        ("phases.0.trainable=rich", "phases.0.trainable", "rich"),
        ("phases.0.optimizer.rate=5e-5", "phases.0.optimizer", {"kind": "adamw", "rate": 5e-5}),
        ("phases.0.objective.rank=2", "phases.0.objective", {"kind": "supervised", "rank": 2}),
        ("phases.0.objective.0.rank=2", "phases.0.objective", {"kind": "supervised", "rank": 2}),
        ("phases.0.objective=[supervised, plain]", "phases.0.objective", ["supervised", "plain"]),
        ("gate.accuracy.at_least=0.5", "gate.accuracy.at_least", 0.5),
        ("evaluate.baselines=[knn]", "evaluate.baselines", ["knn"]),
        ("task.labels={a: x, no: y}", "task.labels", {"a": "x", "no": "y"}),
        ("encode.max_length=", "encode.max_length", None),
    ],
)
def test_set_reaches_every_key_also_one_that_the_file_leaves_out(write, override, key, value):
    found = write("", override).written()
    for step in key.split("."):
        found = found[int(step)] if step.isdecimal() else found[step]
    assert found == value


def test_set_reaches_into_lists_and_names_of_components(write):
    text = "phases:\n  - trainable: rich\n    objective: [supervised, plain]\n  - trainable: plain\n"
    file = write(text, "phases.0.objective.1.weight=0.5", "phases.0.trainable.rank=2", "phases.1.patience=7")
    assert file.recipe.phases[0].objective[1] == Component(kind="plain", weight=0.5)
    assert file.recipe.phases[0].trainable.options == {"rank": 2}
    assert file.recipe.phases[1].patience == 7


def test_the_last_of_several_counts_and_the_file_is_left_alone(write):
    file = write("seed: 1\n", "seed=2", "seed=3")
    assert file.recipe.seed == 3 and "seed: 1" in file.text


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed", "is not key=value"),
        ("=3", "is not key=value"),
        ("seed=[", "not valid YAML"),
        ("seed={a: 1, a: 2}", "stands twice"),
        ("sede=3", "Did you mean 'seed'?"),
        ("phases.1.patience=3", "item '1' of a list of 1"),
        ("phases.x.patience=3", "item 'x' of a list of 1"),
        ("phases.²=3", "item '²' of a list of 1"),
        ("seed.x=3", "holds a single value and has no key 'x'"),
        ("phases.0.budget.amount=3", "holds a single value"),
        ("phases.0.trainable.rank=8", "has no option 'rank'"),
        ("data.train.0.x=1", "holds a single value"),
    ],
)
def test_a_set_that_cannot_be_is_refused_and_named(write, override, says):
    refusal = refused(write, "seed: 1\nphases:\n  - budget: 1 epoch\n", override)
    assert says in str(refusal)
    assert override in str(refusal)


_KEYS = st.lists(
    st.sampled_from(["task", "data", "phases", "gate", "0", "1", "kind", "train", "trainable", "objective", "rank",
                     "seed", "labels", "weight", "budget", "", "²", "accuracy"]) | st.text(max_size=3),
    min_size=1, max_size=5,
).map(".".join)  # fmt: skip
_VALUES = st.sampled_from(["rich", "{kind: rich}", "[1, {a: 2}]", "~", "true", "5 epochs", "${HOME}", "${", "[plain]"])
_TEXTS = st.text(max_size=12).filter(lambda text: "${" not in text)


@OVERRIDES
@given(st.lists(st.tuples(_KEYS, _VALUES | _TEXTS).map("=".join), min_size=1, max_size=3))
def test_any_override_reads_or_refuses_and_never_crashes(tmp_path, overrides):
    path = tmp_path / "r.yaml"
    path.write_text(HEAD + "phases:\n  - trainable: rich\n")
    try:
        file = read(path, VOCABULARY, overrides=overrides)
    except RecipeRefusal as refusal:
        assert refusal.what
    else:
        json.dumps(file.written())


# --------------------------------------------------------------------------------------------- environment


def test_the_environment_is_read_and_never_written_back(write, monkeypatch):
    monkeypatch.setenv("FOLDER", "/mnt/hidden-place")
    monkeypatch.setenv("TOKEN", "hunter2-hunter2")
    file = write(
        "phases:\n  - objective: [{kind: rich, secret: '${TOKEN}'}]\n"
        "    trainable: {kind: rich, secret: 'x${TOKEN}y'}\n",
        "data.train=[a.csv, '${FOLDER}/b.csv']", "base=${FOLDER}",
    )  # fmt: skip
    assert file.recipe.base == "/mnt/hidden-place"
    assert file.recipe.data.train == ("a.csv", "/mnt/hidden-place/b.csv")
    assert file.recipe.phases[0].objective[0].options == {"secret": "hunter2-hunter2"}
    written = json.dumps(file.written())
    assert "hunter2" not in written and "hidden-place" not in written
    assert written.count("${TOKEN}") == 2 and written.count("${FOLDER}") == 2


def test_a_component_named_by_the_environment_is_written_as_the_file_says(write, monkeypatch):
    monkeypatch.setenv("KIND_OF", "plain")
    file = write("phases:\n  - trainable: {kind: '${KIND_OF}'}\n    schedule: ${KIND_OF}\n")
    phase = file.written()["phases"][0]
    assert (phase["trainable"], phase["schedule"]) == ("${KIND_OF}", "${KIND_OF}")


@pytest.mark.parametrize(
    "text",
    ["seed: ${TOKEN}\n", "sead: ${TOKEN}\n", "gate: {accuracy: {at_least: '${TOKEN}'}}\n",
     "phases:\n  - trainable: {kind: rich, rank: '${TOKEN}'}\n", "phases:\n  - trainable: ${TOKEN}\n",
     "phases:\n  - budget: ${TOKEN}\n"],
)  # fmt: skip
def test_a_refusal_does_not_tell_what_the_environment_holds(write, monkeypatch, text):
    monkeypatch.setenv("TOKEN", "hunter2'\"hunter2")
    assert "hunter2" not in str(refused(write, text))


def test_a_variable_that_is_not_set_is_named_with_its_place(write, tmp_path, monkeypatch):
    monkeypatch.delenv("NOT_THERE", raising=False)
    refusal = refused(write, "seed: ${NOT_THERE}\n")
    assert "'NOT_THERE', which is not set" in refusal.what and refusal.where == f"{tmp_path / 'r.yaml'}:6, key seed"


def test_reading_recipes_needs_no_torch():
    code = "import sys, tunewright.recipe.read, tunewright.recipe.resolve; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
