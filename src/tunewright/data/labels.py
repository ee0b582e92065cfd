"""The labels of a task, found in its rows: which there are, in which order, and those that nobody knows.

Knows clean rows and the recipe; must not know splits or files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tunewright.data.cells import Answer
from tunewright.data.clean import Cleaned, CleanRow, Source
from tunewright.recipe.errors import DataRefusal, nearest
from tunewright.recipe.schema import Recipe, Task
from tunewright.recipe.tasks import KINDS
from tunewright.values import Span

_NAMED = 5  # labels that a message lists


def has_labels(task: Task) -> bool:
    """Whether answers of this kind are labels, of rows or of spans."""
    return KINDS[task.kind].labelled or task.kind == "token_classification"


def labels_in(answer: Answer | None) -> tuple[str, ...]:
    """The labels of one answer; those of spans once for each span."""
    if isinstance(answer, tuple):
        return tuple(label.label if isinstance(label, Span) else label for label in answer)
    return () if answer is None else (str(answer),)


def count_labels(rows: Iterable[CleanRow]) -> Counter[str]:
    return Counter(label for row in rows for label in labels_in(row.answer))


def find_labels(recipe: Recipe, cleaned: Mapping[Source, Cleaned]) -> tuple[str, ...]:
    """The labels in the order of classes, () for a task without; refuses those that no row of train can teach."""
    task = recipe.task
    if not has_labels(task):
        return ()
    in_train = count_labels(cleaned["train"].rows)
    labels = tuple(task.labels) if task.labels else tuple(sorted(in_train))
    if task.kind == "multi_label" and len(task.outputs) > 1:
        labels = tuple(task.labels) if task.labels else task.outputs
        extra = sorted(set(labels) ^ set(task.outputs))
        if extra:
            raise DataRefusal(f"task.labels and the columns of task.output differ: {listed(extra)}.",
                              remedy="Name the same labels in both.")
    for split, part in cleaned.items():
        known_to = "task.labels" if task.labels else "train"
        refuse_unknown_labels(part.rows, labels, recipe, known_to=known_to, split=split)
    if task.kind == "classification":
        _refuse_hopeless_classes(labels, in_train, cleaned["train"])
    return labels


def find_unknown_labels(rows: Sequence[CleanRow], labels: Sequence[str], recipe: Recipe) -> dict[str, CleanRow]:
    """Each label that is not among `labels`, and the first row that has it."""
    known = set(labels)
    unknown: dict[str, CleanRow] = {}
    for row in rows if has_labels(recipe.task) else ():
        for label in labels_in(row.answer):
            if label not in known:
                unknown.setdefault(label, row)
    return unknown


def refuse_unknown_labels(
    rows: Sequence[CleanRow], labels: Sequence[str], recipe: Recipe, *, known_to: str, split: str = "the file"
) -> None:
    unknown = find_unknown_labels(rows, labels, recipe)
    if unknown:
        label, row = next(iter(unknown.items()))
        named = known_to == "train" and recipe.task.kind != "classification"
        or_named = ", or name all labels under task.labels: those in no row of train will not be found" if named else ""
        raise DataRefusal(
            f"{split} has labels that {known_to} does not have: {listed(list(unknown))}.{nearest(label, labels)}",
            where=row.origin, remedy=f"Correct them, or add them to {known_to}{or_named}.",
        )  # fmt: skip


def listed(names: Sequence[str]) -> str:
    """The first few names in quotation marks, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more


def _refuse_hopeless_classes(labels: Sequence[str], in_train: Counter[str], train: Cleaned) -> None:
    where = train.rows[0].origin.rpartition(":")[0]
    if len(in_train) < 2:
        raise DataRefusal(f"All {len(train.rows)} rows have the same answer, {next(iter(in_train))!r}.", where=where,
                          remedy="Give rows of at least two classes.")
    if len(train.rows) < len(labels):
        raise DataRefusal(f"There are fewer rows ({len(train.rows)}) than classes ({len(labels)}).", where=where,
                          remedy="Give more rows, or check that task.output names the column of answers.")
