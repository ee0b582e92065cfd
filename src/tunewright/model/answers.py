"""An answer while it grows: tokens, the text that they certainly mean, and where it ends. Must not know models.

A token is not a text: a character may take several tokens, and a stop string may begin in one token and end in another.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedTokenizerBase

Finish = Literal["stop", "length", "cancelled"]
_BROKEN = "\ufffd"  # what a decoder writes for bytes that are no character, or not yet one


@dataclass(frozen=True, slots=True)
class Generated:
    """An answer.

    `ids` are all tokens that were generated, the end token or those of the stop string included; `text` is what comes
    before either, special tokens left out. `log_probability` is the sum of log p(token) of all `ids` by the model
    itself: at temperature 1, before anything was cut off or forbidden.
    """

    ids: tuple[int, ...]
    text: str
    finish: Finish
    log_probability: float


class Words:
    """The text of tokens that come one at a time, in work that does not grow with the text.

    Tokens are decoded together with those before them, since a decoder may join them; `settled` never changes again.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer, self.settled = tokenizer, ""
        self._ids: list[int] = []  # those that `_known` is the text of, then those that have no text yet
        self._fixed = 0
        self._known = ""

    def add(self, token: int) -> None:
        self._ids = [*self._ids, token]  # a new list, so that a copy of this shares nothing that changes
        text = self._decoded(self._ids)
        if len(text) > len(self._known) and not text.endswith(_BROKEN):
            self.settled += text[len(self._known) :]
            self._ids = self._ids[self._fixed :]
            self._fixed, self._known = len(self._ids), self._decoded(self._ids)

    @property
    def whole(self) -> str:
        """The settled text, and what the last tokens mean if nothing follows."""
        return self.settled + self._decoded(self._ids)[len(self._known) :]

    def _decoded(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def text_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of `ids`, special tokens left out, as `Words` would tell it."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True)
    if _BROKEN not in text:
        return text
    words = Words(tokenizer)  # where bytes are broken, what they are read as may depend on those that follow
    for token in ids:
        words.add(token)
    return words.whole


def first_stop(text: str, stops: Collection[str], start: int = 0) -> int | None:
    """Where the first of the stop strings begins in `text`, at `start` or later; None if there is none."""
    places = [place for stop in stops if (place := text.find(stop, start)) >= 0]
    return min(places, default=None)


def certain(text: str, stops: Collection[str]) -> int:
    """How many characters of `text` no stop string can still swallow, whatever comes next."""
    for length in range(min(len(text), max(map(len, stops), default=1) - 1), 0, -1):
        tail = text[-length:]
        if any(len(stop) > length and stop.startswith(tail) for stop in stops):
            return len(text) - length
    return len(text)


class Growth:
    """Tokens so far and whether they are complete.

    `ends` are the tokens that end an answer; `told` says whether the text is wanted while it grows.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, ends: Collection[int], stops: Sequence[str], longest: int,
        told: bool = False,
    ):  # fmt: skip
        self.ids: list[int] = []
        self.log_probability = 0.0
        self.finish: Finish | None = None
        self._tokenizer, self._ends, self._stops, self._longest = tokenizer, ends, stops, longest
        self._words = Words(tokenizer) if stops or told else None
        self._stopped: int | None = None

    def add(self, token: int, log_probability: float) -> bool:
        """One token more; returns whether it is one that ends an answer."""
        assert self.finish is None
        self.ids.append(token)
        self.log_probability += log_probability
        if token in self._ends:
            self.finish = "stop"
            return True
        if self._words is not None:
            before = len(self._words.settled)
            self._words.add(token)
            longest_stop = max(map(len, self._stops), default=0)
            self._stopped = first_stop(self._words.settled, self._stops, max(0, before - longest_stop + 1))
        if self._stopped is not None:
            self.finish = "stop"
        elif len(self.ids) == self._longest:
            self.finish = "length"
        return False

    def cancel(self) -> None:
        """No more tokens, unless it is complete already."""
        self.finish = self.finish or "cancelled"

    def copied(self) -> Growth:
        """The same so far, to go on apart from it."""
        other = copy.copy(self)
        other.ids, other._words = list(self.ids), copy.copy(self._words)
        return other

    @property
    def certain_text(self) -> str:
        """The text that will be part of the answer whatever follows; asked for only where it is `told`."""
        assert self._words is not None
        if self.finish is not None:
            return self.text
        return self._words.settled[: certain(self._words.settled, self._stops)]

    @property
    def text(self) -> str:
        if self._words is None:
            ended = bool(self.ids) and self.ids[-1] in self._ends
            return text_of(self._tokenizer, self.ids[:-1] if ended else self.ids)
        return self._words.whole if self._stopped is None else self._words.settled[: self._stopped]

    @property
    def generated(self) -> Generated:
        assert self.finish is not None
        return Generated(tuple(self.ids), self.text, self.finish, self.log_probability)
