"""How a recipe's model writes: planned from rows and files, kept with the model, and the same when asked again."""

from __future__ import annotations

import json

import pytest
from tests import tiny_bases
from tests.tiny_tasks import write_rows

from tunewright.model.weights import WRITING
from tunewright.pipeline.check import check
from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.run import run
from tunewright.recipe.errors import RecipeRefusal
from tunewright.serve.orders import Wanted
from tunewright.values import Turn

LABELS = ("my card", "a refund", "the rate")


@pytest.fixture
def recipe(tmp_path):
    """Texts answered by one of three labels, on a tiny decoder."""
    tiny_bases.make_tiny_base(tmp_path / "base", "llama")
    words = sorted(set(tiny_bases.WORDS.split()))
    texts = [f"{words[i]} {words[(7 * i + 3) % len(words)]} {words[(i * i) % len(words)]}" for i in range(45)]
    rows = [{"text": text, "answer": LABELS[i % 3]} for i, text in enumerate(texts)]
    write_rows(tmp_path / "rows.jsonl", rows)
    (tmp_path / "form.json").write_text(json.dumps({"type": "object", "properties": {"a": {"type": "boolean"}}}))
    (tmp_path / "recipe.yaml").write_text(
        "name: tiny-writer\ntask: {kind: generation, input: text, output: answer}\nbase: base\n"
        "data: {train: rows.jsonl}\nencode: {chat_template: plain}\nphases: [{budget: 2 updates}]\n"
        "evaluate: {resamples: 200, baselines: [untouched], writing: greedy}\n", encoding="utf-8",
    )  # fmt: skip
    return tmp_path / "recipe.yaml"


def planned(recipe, written):
    return make_plan(read_recipe(recipe, [f"evaluate.writing={written}"]))


def test_the_room_for_answers_is_what_the_recipe_says_or_what_training_takes(recipe):
    decided = planned(recipe, "greedy")
    assert decided.writing.sampling.max_new_tokens == decided.encoder.room == 2 + 1 + 8
    said = planned(recipe, "{kind: beams, beams: 2, max_new_tokens: 5}")
    assert said.writing.sampling.max_new_tokens == said.encoder.room == 5 and said.writing.sampling.beams == 2
    assert said.id != decided.id


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{kind: greedy, max_new_tokens: 64}", "leaves nothing"),
        ("{kind: greedy, schema: absent.json}", "absent.json"),
        ("{kind: sample, temperatur: 1}", "Did you mean 'temperature'"),
        ("gready", "Did you mean 'greedy'"),
        ("{kind: greedy, schema: rows.jsonl}", "cannot be read"),
        ("{kind: greedy, schema: form.json}", "vocabulary of .* cannot write"),
    ],
)
def test_what_cannot_be_written_so_is_refused_before_training(recipe, written, says):
    with pytest.raises(RecipeRefusal, match=says):
        planned(recipe, written)


def test_writing_belongs_to_tasks_that_are_answered_by_texts(tiny_task, tmp_path):
    with pytest.raises(RecipeRefusal, match="answers are texts"):
        read_recipe(tiny_task(tmp_path), ["evaluate.writing=greedy"])


def test_a_model_held_to_labels_says_nothing_else_in_judging_predicting_and_chatting(recipe):
    overrides = ["evaluate.writing={kind: sample, temperature: 2.0, seed: 5, labels: task}"]
    report = check(recipe, overrides=overrides)
    (line,) = [line for line in report.lines if line.title == "supervision"]
    assert "Written drawn at temperature 2" in line.says and "one of 3 labels" in line.says
    done = run(recipe, overrides=overrides)
    model = done.model
    assert (done.folder / "model" / WRITING).is_file() and model.orders.writing.labels == tuple(sorted(LABELS))
    texts = ["where is it", "the fee", "hello", "cancel this order now"]
    predicted = [said.text for said in model.predict(texts)]
    assert set(predicted) <= set(LABELS) and predicted == [said.text for said in model.predict(texts)]
    order = model.orders.of_turns((Turn(texts[0], "user"),), Wanted())
    row = model.orders.of_rows(model.rows(texts[:1]))[0]
    assert (order.prompt, order.sampling) == (row.prompt, row.sampling) and order.constraint is row.constraint
    asked = model.orders.of_turns((Turn(texts[0], "user"),), Wanted(temperature=0.0)).sampling
    assert asked.temperature == 0 and asked.max_new_tokens == row.sampling.max_new_tokens
    assert "Written drawn at temperature 2" in done.report.read_text(encoding="utf-8")
