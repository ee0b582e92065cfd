"""Rows of every kind have the inputs and targets that `Rows` describes."""

from __future__ import annotations

import numpy as np
import pytest

from tunewright.data.arrange import arrange_rows
from tunewright.data.clean import CleanRow
from tunewright.recipe.schema import Task
from tunewright.recipe.tasks import KINDS
from tunewright.values import Span, Turn

SPANS = (Span(0, 1, "a"), Span(2, 3, "b"))
ANSWERS = {  # of two rows, by kind: as cleaned, and the targets
    "classification": (["b", "a"], np.array([1, 0])),
    "multi_label": ([("a", "b"), ()], np.array([[1, 1], [0, 0]], dtype=np.float32)),
    "regression": ([1.5, 2.0], np.array([1.5, 2.0], dtype=np.float32)),
    "similarity": ([1.5, 2.0], np.array([1.5, 2.0], dtype=np.float32)),
    "token_classification": ([SPANS, SPANS], [SPANS, SPANS]),
    "question_answering": ([(), SPANS[:1]], [(), SPANS[:1]]),
    "retrieval": ([1.0, 1.0], np.ones(2, dtype=np.float32)),
    "generation": ([Turn("x", "assistant"), Turn("[]", "call")], [Turn("x", "assistant"), Turn("[]", "call")]),
    "summarisation": ([Turn("x", "assistant")] * 2, [Turn("x", "assistant")] * 2),
    "translation": ([Turn("x", "assistant")] * 2, [Turn("x", "assistant")] * 2),
    "pretraining": ([0.0, 0.0], np.zeros(2, dtype=np.float32)),
}


def task(kind, **more):
    two = kind in ("question_answering", "similarity", "retrieval")
    return Task(kind=kind, input=["one", "two"] if two else "one",
                output=None if kind in ("retrieval", "pretraining") else "y", **more)  # fmt: skip


def rows(answers, inputs=("p", "q")):
    return [CleanRow(i, f"a.jsonl:{i + 1}", f"row {i}", inputs, answer, None, "train")
            for i, answer in enumerate(answers)]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_as_the_kind_of_task_says(kind):
    answers, targets = ANSWERS[kind]
    made = arrange_rows(rows(answers), task(kind), ("a", "b"), judged=False)
    if isinstance(targets, list):
        assert made.targets.dtype == object and made.targets.shape == (2,) and list(made.targets) == targets
    else:
        assert made.targets.dtype == targets.dtype and np.array_equal(made.targets, targets)
    wanted = (Turn("p\n\nq", "user"),) if KINDS[kind].answers == "texts" else ("p", "q")
    assert made.inputs == (wanted, wanted) and made.take(np.array([1])).ids == ("row 1",)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_answers_have_no_targets(kind):
    answers, _ = ANSWERS[kind]
    assert arrange_rows(rows([answers[0], None]), task(kind), ("a", "b"), judged=True).targets is None


def test_only_rows_that_are_judged_meet_prompts_that_were_held_out():
    asking = task("translation", prompts=("seen {one}",), unseen_prompts=("unseen {one}",))
    made = rows([Turn("x", "assistant")], inputs=("p",))
    assert arrange_rows(made, asking, (), judged=False).inputs == ((Turn("seen p", "user"),),)
    assert arrange_rows(made, asking, (), judged=True).inputs == ((Turn("unseen p", "user"),),)
