"""How a recipe wants its model to write. Knows recipes, rows and forms; must not know weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.data.prepare import Prepared
from tunewright.model.writing import Greedy, Writing
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS
from tunewright.train.assemble import VOCABULARY

_WHERE = "evaluate.writing"
_MOST_LABELS = 1000


def chosen_writing(recipe: Recipe) -> Greedy:
    """The recipe's choice, with its options."""
    if recipe.evaluate.writing is None:
        return Greedy()
    chosen: Greedy = VOCABULARY.build("writing", recipe.evaluate.writing, where=_WHERE)
    return chosen


def plan_writing(recipe: Recipe, prepared: Prepared, tokenizer: Any, *, room: int, root: Path) -> Writing | None:
    """How the model of `recipe` writes answers of at most `room` tokens; None of a task that is not answered by texts.

    Raises RecipeRefusal for a schema that cannot be read or kept to, and for answers that are no labels.
    """
    if KINDS[recipe.task.kind].answers != "texts":
        return None
    chosen = chosen_writing(recipe)
    labels = _labels_of(prepared) if chosen.labels == "task" else ()
    schema = None if chosen.schema is None else _read_schema(chosen.schema, root)
    writing = Writing(chosen.sampling(room), schema, labels)
    writing.constraint(tokenizer)  # what cannot be kept to is refused before training
    return writing


def unsayable(writing: Writing, prepared: Prepared) -> int:
    """Test rows whose right answer is none of the labels that the model may write."""
    targets = prepared.test.targets
    if not writing.labels or targets is None:
        return 0
    return sum(str(answer) not in writing.labels for answer in targets)


def _labels_of(prepared: Prepared) -> tuple[str, ...]:
    """The different answers of training rows, in alphabetical order."""
    targets = prepared.train.targets
    assert targets is not None
    labels = tuple(sorted({str(answer) for answer in targets}))
    if len(labels) > _MOST_LABELS:
        raise RecipeRefusal(
            f"Training rows have {len(labels):,} different answers, which are no labels.", where=_WHERE,
            remedy="Leave out labels: task; it is for tasks whose answers are a few fixed texts.",
        )  # fmt: skip
    return labels


def _read_schema(written: str, root: Path) -> Mapping[str, Any]:
    path = root / written if (root / written).exists() else Path(written)
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecipeRefusal(f"The JSON schema {written!r} cannot be read: {error}.", where=_WHERE) from None
    if not isinstance(schema, dict):
        raise RecipeRefusal(f"The file {written!r} holds no JSON schema, which is an object.", where=_WHERE)
    return schema
