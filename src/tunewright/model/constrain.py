"""Answers that must keep to a form: one of some labels, or JSON of a schema. Knows tokens; must not know models.

A form says of each state which tokens may follow and whether the answer may end there. From every state that it leads
to the end can be reached, so an answer with room enough always keeps to it.

Shapes: v tokens of the vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tunewright.model.automaton import Automaton, Paths
from tunewright.model.json_form import write_schema
from tunewright.model.token_bytes import TokenBytes
from tunewright.recipe.errors import RecipeRefusal

_MASKS_KEPT = 512  # of one schema; 64 MB with the largest vocabularies
_BEGUN = -1


class Constraint(ABC):
    """A form. States are numbers; `start` is the one before the first token. One may serve many answers at once."""

    start: int

    @abstractmethod
    def allowed(self, state: int) -> Tensor:
        """Which tokens may follow, bool [v]; tokens that end an answer are not among them."""

    @abstractmethod
    def may_end(self, state: int) -> bool:
        """Whether the answer is whole."""

    @abstractmethod
    def after(self, state: int, token: int) -> int:
        """The state after an allowed token."""


class OneOf(Constraint):
    """One of some labels, in the tokens that the tokenizer gives it, with or without a space before it.

    A label that another begins with is told from it by where the answer ends. `label_of` says which one an answer is,
    since a decoder may write it otherwise than it was given. Raises RecipeRefusal where there are no labels, or two
    that have the same tokens, or one that has none of its own.
    """

    start = 0

    def __init__(self, labels: Sequence[str], tokenizer: PreTrainedTokenizerBase):
        if not labels:
            raise RecipeRefusal("There are no labels to choose from.", remedy="name at least one.")
        self._children: list[dict[int, int]] = [{}]
        self._label: dict[int, str] = {}
        self._size = len(tokenizer)
        for label in dict.fromkeys(labels):
            for ids in _spellings(label, tokenizer):
                self._insert(label, ids)

    def _insert(self, label: str, ids: Sequence[int]) -> None:
        node = 0
        for token in ids:
            if token not in self._children[node]:
                self._children[node][token] = len(self._children)
                self._children.append({})
            node = self._children[node][token]
        known = self._label.setdefault(node, label)
        if known != label:
            raise RecipeRefusal(
                f"The tokenizer cannot tell the labels {known!r} and {label!r} apart.",
                where="labels", remedy="rename one of them.",
            )  # fmt: skip

    def allowed(self, state: int) -> Tensor:
        allowed_v = torch.zeros(self._size, dtype=torch.bool)
        allowed_v[list(self._children[state])] = True
        return allowed_v

    def may_end(self, state: int) -> bool:
        return state in self._label

    def after(self, state: int, token: int) -> int:
        return self._children[state][token]

    def label_of(self, ids: Sequence[int]) -> str | None:
        """The label that these tokens are, end token or not; None where they stop before they are one."""
        node = 0
        for token in ids:
            if token not in self._children[node]:
                break
            node = self._children[node][token]
        return self._label.get(node)


class JsonOf(Constraint):
    """JSON of a schema, on one line: at most one space after a comma or colon and before the whole, none elsewhere.

    What of JSON Schema is understood, `json_form` says; anything else is refused by name. Raises RecipeRefusal also
    where the vocabulary cannot write what the schema needs. Steps and masks are kept: one object should serve all
    answers.
    """

    start = _BEGUN

    def __init__(self, schema: dict, written: TokenBytes):
        paths = Paths()
        begin, end, needed = write_schema(schema, paths)
        missing = ", ".join(map(repr, written.unwritable(needed)))
        if missing:
            raise RecipeRefusal(
                f"The vocabulary of {written.name} cannot write {missing}, which this schema needs.",
                where="schema", remedy="use another base, or have it answer in plain text.",
            )  # fmt: skip
        self._written = written
        self._automaton = Automaton(paths, start=begin, end=end)
        self._masks: dict[int, Tensor] = {}

    def allowed(self, state: int) -> Tensor:
        if state not in self._masks:
            table = self._written.first_table if state == _BEGUN else self._written.later_table
            if len(self._masks) == _MASKS_KEPT:
                del self._masks[next(iter(self._masks))]
            self._masks[state] = torch.from_numpy(self._automaton.may_follow(max(state, 0), *table))
        return self._masks[state]

    def may_end(self, state: int) -> bool:
        return self._automaton.is_complete(max(state, 0))

    def after(self, state: int, token: int) -> int:
        text = (self._written.first if state == _BEGUN else self._written.later)[token]
        assert text is not None
        there = self._automaton.after(max(state, 0), text)
        assert there is not None
        return there


def _spellings(label: str, tokenizer: PreTrainedTokenizerBase) -> set[tuple[int, ...]]:
    """The tokens of a label at the beginning of a text, after a space and after a new line."""

    def encoded(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    found = [encoded(label), encoded(f" {label}")]
    line = encoded("\n")
    continued = encoded(f"\n{label}")
    if line and continued[: len(line)] == line:
        found.append(continued[len(line) :])
    spelled = {tuple(ids) for ids in found if ids and tokenizer.unk_token_id not in ids}
    if not spelled:
        raise RecipeRefusal(
            f"The tokenizer has no tokens for the label {label!r}.",
            where="labels", remedy="rename it, or use another base.",
        )  # fmt: skip
    return spelled
