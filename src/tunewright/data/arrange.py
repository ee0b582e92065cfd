"""Clean rows of a split become the columns that the other rooms read. Knows kinds of task; must not know files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tunewright.data.clean import CleanRow
from tunewright.data.labels import labels_in
from tunewright.data.prompts import Prompting
from tunewright.recipe.schema import Task
from tunewright.recipe.tasks import KINDS, TaskKind
from tunewright.values import Rows


def arrange_rows(rows: Sequence[CleanRow], task: Task, labels: Sequence[str], *, judged: bool) -> Rows:
    """The rows as `Rows` describes them; targets are None where a row has no answer.

    Rows that are `judged` (those of the test split, and of a file that a model is judged on) are asked by
    task.unseen_prompts where the recipe holds some out; all others by task.prompts. Raises RecipeRefusal for a prompt
    that cannot be filled.
    """
    inputs, columns = tuple(row.inputs for row in rows), None
    if KINDS[task.kind].answers == "texts":
        prompting = Prompting.of(task)
        prompts = prompting.unseen if judged else prompting.prompts
        columns = inputs if task.outputs else None
        inputs = tuple(prompting.turns(row.inputs, row_id=row.id, prompts=prompts) for row in rows)
    answered = all(row.answer is not None for row in rows)
    return Rows(
        ids=tuple(row.id for row in rows), origins=tuple(row.origin for row in rows), inputs=inputs,
        targets=_TARGETS[task.kind](rows, labels) if answered else None, columns=columns,
    )  # fmt: skip


def _class_numbers(rows: Sequence[CleanRow], labels: Sequence[str]) -> np.ndarray:
    index = {label: i for i, label in enumerate(labels)}
    return np.array([index[str(row.answer)] for row in rows], dtype=np.int64)


def _class_flags(rows: Sequence[CleanRow], labels: Sequence[str]) -> np.ndarray:
    index = {label: i for i, label in enumerate(labels)}
    flags_rc = np.zeros((len(rows), len(labels)), dtype=np.float32)
    for i, row in enumerate(rows):
        flags_rc[i, [index[label] for label in labels_in(row.answer)]] = 1
    return flags_rc


def _numbers(rows: Sequence[CleanRow], labels: Sequence[str]) -> np.ndarray:
    return np.array([row.answer for row in rows], dtype=np.float32)


def _objects(rows: Sequence[CleanRow], labels: Sequence[str]) -> np.ndarray:
    """One object a row; filled one by one, because numpy would make a matrix of tuples that are equally long."""
    answers_r = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        answers_r[i] = row.answer
    return answers_r


_TARGETS: dict[TaskKind, Callable[[Sequence[CleanRow], Sequence[str]], np.ndarray]] = {
    "classification": _class_numbers,
    "multi_label": _class_flags,
    "regression": _numbers,
    "token_classification": _objects,
    "question_answering": _objects,
    "similarity": _numbers,
    "retrieval": _numbers,
    "generation": _objects,
    "summarisation": _objects,
    "translation": _objects,
    "pretraining": _numbers,
}
