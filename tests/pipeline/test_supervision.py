"""What training asks, counted and shown: of rows, of tags, of answers that are texts, of joined texts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests import tiny_bases
from tests.tiny_bases import make_tiny_base

from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.supervision import count_unsupervised, describe_supervision, samples

WORDS = tiny_bases.WORDS.split()


@pytest.fixture
def planned(tmp_path):
    """A plan for rows of a kind of task on a tiny base."""

    def plan(kind, rows, *, base, **keys):
        make_tiny_base(tmp_path / "base", base)
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        task = {"kind": kind, **keys.pop("task")}
        recipe = {"name": "r", "task": task, "base": "base", "data": {"train": "rows.jsonl"}, **keys}
        (tmp_path / "r.yaml").write_text(json.dumps(recipe), encoding="utf-8")
        return make_plan(read_recipe(tmp_path / "r.yaml"))

    return plan


def test_labels_of_rows_are_counted_and_shown(planned):
    rows = [{"text": f"my card {i} is {'late' if i % 2 else 'early'}", "label": "ab"[i % 2]} for i in range(60)]
    plan = planned("classification", rows, base="bert", task={"input": "text", "output": "label"})
    facts = describe_supervision(plan)
    assert facts["rows"] == facts["asked_per_epoch"] == len(plan.rows("train")) and facts["labels_per_row"] == 1.0
    assert "share_of_tokens_asked" not in facts
    first = next(samples(plan, 1))
    assert first.read.startswith("[CLS]") and first.answer in "ab" and not first.stretches[0][1]


def test_of_conversations_the_answers_and_their_ends_are_asked(planned):
    rows = [{"q": f"where is {word} {i}", "a": f"{word} is late"} for i, word in enumerate(WORDS)]
    plan = planned("generation", rows, base="llama", task={"input": "q", "output": "a"},
                   encode={"chat_template": "plain"})
    facts, encoded = describe_supervision(plan), plan.encoded["train"]
    assert facts["answers_whose_end_is_trained"] == facts["rows"] == encoded.rows
    assert facts["asked_per_epoch"] == (encoded.answers_n >= 0).sum() < facts["tokens_per_epoch"]
    shown = next(samples(plan, 1))
    learned = "".join(text for text, trained in shown.stretches if trained)
    assert "late" in learned and "where" not in learned and shown.answer == ""


def test_spans_that_no_token_touches_are_counted(planned):
    rows = [{"text": f"my card {i} is late", "spans": [{"start": 3, "end": 7, "label": "thing"}]} for i in range(60)]
    rows[:20] = [
        row | {"text": row["text"] + " x" * 80, "spans": [{"start": 150, "end": 151, "label": "thing"}]}
        for row in rows[:20]
    ]
    plan = planned("token_classification", rows, base="bert", task={"input": "text", "output": "spans"},
                   encode={"long": "truncate", "max_length": 16})
    cut = sum("x x" in text for (text,) in plan.rows("train").inputs)
    assert describe_supervision(plan)["spans_that_no_token_touches"] == cut > 0


def test_every_token_of_joined_texts_is_learned(planned):
    rows = [{"text": f"{word} {i} " * 8} for i, word in enumerate(WORDS)]
    plan = planned("pretraining", rows, base="llama", task={"input": "text"}, encode={"max_length": 16})
    facts = describe_supervision(plan)
    assert facts["share_of_tokens_asked"] == 1.0 and count_unsupervised(plan) == 0
    assert next(samples(plan, 1)).stretches[0][1]


def test_a_row_that_teaches_nothing_is_counted(tiny_plan):
    plan = tiny_plan()
    assert count_unsupervised(plan) == 0
    encoded = plan.encoded["train"]
    object.__setattr__(encoded, "starts_s", np.maximum(encoded.starts_s, encoded.starts_s[2]))  # two rows lose all
    assert count_unsupervised(plan) == 2
    targets = plan.rows("train").targets.astype(np.float64)
    targets[5] = np.nan
    object.__setattr__(plan.prepared.train, "targets", targets)
    assert count_unsupervised(plan) == 3
