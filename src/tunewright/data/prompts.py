"""Columns of a row become the turn in which a user asks. Knows the task's prompts; must not know files or splits.

A prompt is a text with the names of columns in braces; a brace that means itself is doubled.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tunewright.recipe.errors import RecipeRefusal, nearest
from tunewright.recipe.schema import Task
from tunewright.values import Turn

_PIECE = re.compile(r"(?P<doubled>\{\{|\}\})|\{(?P<column>[^{}]*)\}|(?P<alone>[{}])|(?P<text>[^{}]+)")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template: texts, and numbers of input columns in their place."""

    pieces: tuple[str | int, ...]

    def filled(self, texts: Sequence[str]) -> str:
        return "".join(texts[piece] if isinstance(piece, int) else piece for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Prompting:
    """How the inputs of a row become turns: what training, judging and serving have in common.

    `prompts` are those that training uses, `unseen` those that only test rows use (equal where none are held out);
    both empty where columns are joined as they are.
    """

    prompts: tuple[Prompt, ...]
    unseen: tuple[Prompt, ...]
    system: str

    @classmethod
    def of(cls, task: Task) -> Prompting:
        """The prompts of `task`. Raises RecipeRefusal for one that names no input column or one that is not there."""
        found = cls.read(task.prompts or (), columns=task.inputs, system=task.system or "")
        unseen = tuple(_prompts(task.unseen_prompts or (), "task.unseen_prompts", task.inputs))
        return replace(found, unseen=unseen or found.prompts)

    @classmethod
    def read(cls, written: Sequence[str], *, columns: Sequence[str], system: str) -> Prompting:
        """The prompts as a recipe writes them, none held out. Raises as `of`."""
        prompts = tuple(_prompts(written, "task.prompts", columns))
        return cls(prompts, prompts, system)

    def turns(self, inputs: Sequence[str], *, row_id: str, prompts: Sequence[Prompt] | None = None) -> tuple[Turn, ...]:
        """The turns up to the answer; of a conversation its own, of columns the text that a prompt makes of them.

        Which of `prompts` (by default those of training) a row has is a matter of its id alone. Without prompts, the
        columns that have something in them are joined by blank lines, and a single one is taken as it is.
        """
        if inputs and all(isinstance(text, Turn) for text in inputs):
            turns = tuple(text for text in inputs if isinstance(text, Turn))
        else:
            turns = (Turn(self._asked(inputs, row_id, self.prompts if prompts is None else prompts), "user"),)
        if not self.system or any(turn.role == "system" for turn in turns):
            return turns
        tools = sum(turn.role == "tools" for turn in turns)
        return (*turns[:tools], Turn(self.system, "system"), *turns[tools:])

    def _asked(self, texts: Sequence[str], row_id: str, prompts: Sequence[Prompt]) -> str:
        if prompts:
            drawn = int.from_bytes(hashlib.blake2b(row_id.encode(), digest_size=8).digest(), "big")
            return prompts[drawn % len(prompts)].filled(texts)
        return texts[0] if len(texts) == 1 else "\n\n".join(text for text in texts if text.strip())


def _prompts(written: Sequence[str], key: str, columns: Sequence[str]) -> Iterator[Prompt]:
    for number, template in enumerate(written):
        where = f"{key}.{number}"
        pieces = tuple(_pieces(template, where, columns))
        if not any(isinstance(piece, int) for piece in pieces):
            raise RecipeRefusal(f"The prompt {template!r} uses no input column.", where=where,
                                remedy=f"Name one in braces: {{{columns[0]}}}.")
        yield Prompt(pieces)


def _pieces(template: str, where: str, columns: Sequence[str]) -> Iterator[str | int]:
    for match in _PIECE.finditer(template):
        column = match["column"]
        if match["alone"]:
            raise RecipeRefusal(f"A brace stands alone in the prompt {template!r}.", where=where,
                                remedy="Put the name of a column between braces; double a brace that means itself.")
        if column is None:
            yield match["text"] or match["doubled"][0]
        elif column in columns:
            yield list(columns).index(column)
        else:
            raise RecipeRefusal(f"The prompt {template!r} names {column!r}, which is no input column."
                                f"{nearest(column, columns)}", where=where,
                                remedy=f"The input columns are {', '.join(columns)}.")  # fmt: skip
