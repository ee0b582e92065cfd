"""The calls of functions that an answer spells, read the way its chat template writes them. Must not know HTTP.

A template says by what it renders where a call stands: between which marks, as one JSON object or a list of them, with
the arguments under which key. An answer is read by that, and by nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.data.chat_template import ChatTemplate
from tunewright.model.answers import certain
from tunewright.recipe.errors import DataRefusal
from tunewright.values import Turn

_NAME, _KEY, _VALUE = "look_up_probe", "probed_key", "probed value"
_ARGUMENTS = ("arguments", "parameters")
_JSON = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Call:
    """A function by its name, and its arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallForm:
    """The marks before and after the JSON of a call, without special tokens; "" where there are none."""

    opening: str = ""
    closing: str = ""

    @classmethod
    def of(cls, template: ChatTemplate | None, special: Collection[str]) -> CallForm | None:
        """The form in which `template` writes calls; None where it writes none that can be read.

        Who learned without a template learned the bare JSON. `special` are the tokens that no answer's text shows.
        """
        if template is None:
            return cls()
        call = json.dumps([{"name": _NAME, "arguments": {_KEY: _VALUE}}])
        try:
            rendered = template.conversation((Turn("a", "user"), Turn(call, "call")))
        except DataRefusal:
            return None
        if not rendered.trained:
            return None
        start, end = rendered.trained[-1]
        written = rendered.text[start:end]
        for place in (found.start() for found in re.finditer(r"[\[{]", written)):
            value, stop = _json_at(written, place)
            if [call.name for call in _calls_in(value) or ()] == [_NAME]:
                return cls(_without(written[:place], special), _without(written[stop:], special))
        return None

    def read(self, text: str, offered: Collection[str]) -> tuple[str, tuple[Call, ...]]:
        """What the answer says before it calls, and its calls.

        A text that is not, from the first mark to the end, calls of `offered` functions is no call: all of it is said.
        """
        start = self.begin(text)
        if start is None:
            return text, ()
        calls = self._read_all(text[start:])
        if not calls or any(call.name not in offered for call in calls):
            return text, ()
        return text[:start], tuple(calls)

    def begin(self, text: str) -> int | None:
        """Where a call may begin in `text`; None if nowhere."""
        if self.opening:
            place = text.find(self.opening)
            return None if place < 0 else place
        return 0 if text.lstrip()[:1] in ("{", "[") else None

    def _read_all(self, rest: str) -> list[Call]:
        calls: list[Call] = []
        while rest := rest.strip():
            rest = rest.removeprefix(self.opening).lstrip()
            value, stop = _json_at(rest, 0)
            found, rest = _calls_in(value), rest[stop:].lstrip()
            if not found or not rest.startswith(self.closing):
                return []
            calls += found
            rest = rest.removeprefix(self.closing)
        return calls


class CallWatch:
    """What of an answer may be shown while it grows: everything before a place where a call may begin."""

    def __init__(self, form: CallForm):
        self._form, self._text, self._shown = form, "", 0

    def add(self, piece: str) -> str:
        """The text that can be shown now that `piece` has come."""
        self._text += piece
        if not self._text.strip():
            return ""
        begin = self._form.begin(self._text)
        sure = begin if begin is not None else certain(self._text, [self._form.opening] if self._form.opening else [])
        return self._show(sure)

    def rest(self, said: str) -> str:
        """What is still to be shown of `said`, the part of the whole answer that is no call."""
        self._text = said
        return self._show(len(said))

    def _show(self, end: int) -> str:
        shown, self._shown = self._text[self._shown : end], max(end, self._shown)
        return shown


def _json_at(text: str, place: int) -> tuple[Any, int]:
    """The JSON value that begins at `place`, and where it ends; None and `place` where there is none."""
    try:
        return _JSON.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None, place


def _calls_in(value: Any) -> list[Call] | None:
    """The calls that a JSON object or list of objects is; None where it is something else."""
    found: Sequence[Any] = value if isinstance(value, list) else [value]
    calls = [_call_of(one) for one in found]
    return [call for call in calls if call is not None] if calls and None not in calls else None


def _call_of(value: Any) -> Call | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = next((value[key] for key in _ARGUMENTS if key in value), None)
    return Call(value["name"], arguments) if isinstance(arguments, dict) else None


def _without(text: str, special: Collection[str]) -> str:
    for token in special:
        text = text.replace(token, "")
    return text.strip()
