"""Conversations as one text, by a chat template, and which parts of it the model shall learn to write.

Knows templates (Jinja, as tokenizers carry them) and turns; must not know token ids, models or files of rows.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from tunewright.recipe.errors import DataRefusal, RecipeRefusal, nearest
from tunewright.values import Turn

_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
_ANSWERS = ("assistant", "call")

TEMPLATES: dict[str, str] = {
    "instruction": (
        "{%- for message in messages %}"
        "{%- if message.role == 'assistant' %}"
        "{{- '### Response:\\n' }}{% generation %}{{- message.content + eos_token }}{% endgeneration %}{{- '\\n\\n' }}"
        "{%- elif message.role == 'system' %}{{- message.content + '\\n\\n' }}"
        "{%- else %}{{- '### Instruction:\\n' + message.content + '\\n\\n' }}{%- endif %}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '### Response:\\n' }}{%- endif %}"
    ),
    "plain": (
        "{%- for message in messages %}"
        "{%- if message.role == 'assistant' %}"
        "{% generation %}{{- message.content + eos_token }}{% endgeneration %}{{- '\\n' }}"
        "{%- else %}{{- message.content + '\\n' }}{%- endif %}"
        "{%- endfor %}"
    ),
}
"""Templates that a recipe may name for a base that has none: instruction and response, or the bare texts."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text; `trained` are the character ranges of it that the model shall write, in order."""

    text: str
    trained: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ChatTemplate:
    """How turns become text. `special` are the tokenizer's special tokens by name, as templates read them."""

    source: str
    special: Mapping[str, str]

    def prompt(self, turns: Sequence[Turn]) -> str:
        """The text after which the model writes its answer."""
        return self._render(turns, ask=True)[0]

    def conversation(self, turns: Sequence[Turn]) -> Rendered:
        """The whole text with what is trained: the assistant's turns.

        By the template's own marks of what is generated; without marks by rendering every beginning of the
        conversation, which must then be a beginning of the text. Raises DataRefusal where it is not.
        """
        assert turns and turns[-1].role in _ANSWERS, "a conversation to learn from ends with an answer"
        text, ranges = self._render(turns, ask=False)
        if not _MARK.search(self.source):
            ranges = list(self._by_beginnings(turns, text))
        return Rendered(text, tuple((start, end) for start, end in ranges if start < end))

    def _by_beginnings(self, turns: Sequence[Turn], text: str) -> Iterator[tuple[int, int]]:
        for place, turn in enumerate(turns):
            if turn.role not in _ANSWERS:
                continue
            before = self._render(turns[:place], ask=True)[0]
            until = self._render(turns[: place + 1], ask=False)[0]
            if not (text.startswith(before) and text.startswith(until) and len(before) <= len(until)):
                raise DataRefusal(
                    f"The chat template renders {place} turns otherwise than as a beginning of all {len(turns)}, so "
                    "what the model shall write cannot be told from what it reads.", where="encode.chat_template",
                    remedy="Name a template that only appends "
                           f"({', '.join(TEMPLATES)}), or put {{% generation %}} marks into the base's.",
                )  # fmt: skip
            closed = until.rstrip()
            # white space behind what closes a turn is the template's; where nothing else closes it, it is the end
            yield len(before), len(until) if closed.endswith(str(turn).rstrip()) else len(closed)

    def _render(self, turns: Sequence[Turn], *, ask: bool) -> tuple[str, list[tuple[int, int]]]:
        marked = bool(_MARK.search(self.source)) and not ask
        tools = [tool for turn in turns if turn.role == "tools" for tool in json.loads(turn)]
        try:
            texts, ranges = render_jinja_template(
                [as_messages(turns)], tools=tools or None, chat_template=self.source,
                return_assistant_tokens_mask=marked, add_generation_prompt=ask, **self.special,
            )  # fmt: skip
        except (TemplateError, TypeError, ValueError, KeyError) as problem:
            raise DataRefusal(
                f"The chat template cannot render this conversation: {problem}.", where="encode.chat_template",
                remedy=f"Its turns are {', '.join(turn.role for turn in turns)}; name another template, or correct it.",
            ) from problem
        return texts[0], ranges[0] if marked else []


def find_template(named: str | None, tokenizer: Any, *, root: Any = None) -> ChatTemplate:
    """The template that a recipe names (one of TEMPLATES, or a .jinja file beside it), or the base's own.

    Raises RecipeRefusal where there is none.
    """
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    if named is None:
        source = tokenizer.chat_template
        if not isinstance(source, str):
            raise RecipeRefusal(
                "The base has no chat template, so how a conversation is written is not known.",
                where="encode.chat_template", remedy=f"Name one: {', '.join(TEMPLATES)}, or a .jinja file.",
            )  # fmt: skip
        return ChatTemplate(source, special)
    if named in TEMPLATES:
        return ChatTemplate(TEMPLATES[named], special)
    path = None if root is None else root / named
    if path is None or not path.is_file():
        raise RecipeRefusal(
            f"There is no chat template {named!r}.{nearest(named, TEMPLATES)}", where="encode.chat_template",
            remedy=f"Give one of {', '.join(TEMPLATES)}, or the path of a .jinja file.",
        )  # fmt: skip
    return ChatTemplate(path.read_text(encoding="utf-8"), special)


def as_messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Turns as the messages that chat templates and chat APIs read; the list of tools is given beside them."""
    return [_message(turn) for turn in turns if turn.role != "tools"]


def _message(turn: Turn) -> dict[str, Any]:
    if turn.role != "call":
        return {"role": turn.role, "content": str(turn)}
    calls = [{"type": "function", "function": call} for call in json.loads(turn)]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def overlapping(ranges: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> list[bool]:
    """Whether each token, by its characters, touches one of the ranges; both in order."""
    touched, following = [], list(ranges)
    for start, end in offsets:
        while following and following[0][1] <= start:
            following.pop(0)
        touched.append(bool(following) and start < end and following[0][0] < end and start < following[0][1])
    return touched


def first_difference(a: Sequence[int], b: Sequence[int]) -> int:
    """Where two sequences part; the length of the shorter one where that is a beginning of the other."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    return sum(1 for _ in pairs)
