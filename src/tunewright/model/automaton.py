"""A regular language over bytes, and which tokens may follow in it. Knows bytes; must not know JSON, labels or models.

Steps from state to state are worked out when they are first asked for (Thompson 1968): most of what a large form could
say is never said. A mask over the vocabulary walks all tokens at once, byte by byte.

Shapes: v tokens, l bytes of the longest, n of them at once, c classes of bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

_UNKNOWN, _DEAD = -2, -1


class Paths:
    """A language being written: places, and the bytes that lead from one to another.

    Whoever adds a step sees to it that the end can be reached from where it leads.
    """

    def __init__(self) -> None:
        self.steps: list[list[tuple[frozenset[int], int]]] = []
        self.shortcuts: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.steps)

    def place(self) -> int:
        """A new place."""
        self.steps.append([])
        self.shortcuts.append([])
        return len(self.steps) - 1

    def shortcut(self, start: int, end: int) -> None:
        """`end` can be reached from `start` by writing nothing."""
        self.shortcuts[start].append(end)

    def one_of(self, start: int, choices: Iterable[int], end: int | None = None) -> int:
        """Where one of the bytes leads: `end`, or a new place."""
        end = self.place() if end is None else end
        self.steps[start].append((frozenset(choices), end))
        return end

    def text(self, start: int, text: str) -> int:
        """Where writing `text` leads."""
        for byte in text.encode():
            start = self.one_of(start, (byte,))
        return start

    def closure(self, places: Iterable[int]) -> frozenset[int]:
        """The places, and all that can be reached from them by writing nothing."""
        seen, open_places = set(places), list(places)
        while open_places:
            for there in self.shortcuts[open_places.pop()]:
                if there not in seen:
                    seen.add(there)
                    open_places.append(there)
        return frozenset(seen)


class Automaton:
    """The language of `paths` from place `start` to place `end`; state 0 is before the first byte."""

    def __init__(self, paths: Paths, *, start: int, end: int):
        self._paths, self._end = paths, end
        self._class_of_byte, self._byte_of_class = _classes(choices for steps in paths.steps for choices, _ in steps)
        self._places: list[frozenset[int]] = []
        self._number: dict[frozenset[int], int] = {}
        self._next_sc = np.empty((0, len(self._byte_of_class)), dtype=np.int64)
        self._state(paths.closure([start]))

    def is_complete(self, state: int) -> bool:
        """Whether the text so far is in the language."""
        return self._end in self._places[state]

    def after(self, state: int, text: bytes) -> int | None:
        """The state after `text`; None where no text of the language goes on so."""
        for byte in text:
            self._explore([state])
            state = int(self._next_sc[state, self._class_of_byte[byte]])
            if state == _DEAD:
                return None
        return state

    def may_follow(self, state: int, bytes_vl: np.ndarray, lengths_v: np.ndarray) -> np.ndarray:
        """Which texts may follow, bool [v]; a text of no bytes may not."""
        states_v = np.full(len(lengths_v), state)
        live_n = np.flatnonzero(lengths_v > 0)
        for place in range(bytes_vl.shape[1]):
            live_n = live_n[lengths_v[live_n] > place]
            if not len(live_n):
                break
            here_n = states_v[live_n]
            self._explore(np.unique(here_n))
            there_n = self._next_sc[here_n, self._class_of_byte[bytes_vl[live_n, place]]]
            states_v[live_n] = there_n
            live_n = live_n[there_n != _DEAD]
        return (states_v != _DEAD) & (lengths_v > 0)

    def _explore(self, states: Collection[int]) -> None:
        for state in states:
            if self._next_sc[state, 0] == _UNKNOWN:
                found = [self._step(int(state), byte) for byte in self._byte_of_class]
                self._next_sc[state] = found

    def _step(self, state: int, byte: int) -> int:
        places = {
            there for place in self._places[state] for choices, there in self._paths.steps[place] if byte in choices
        }  # fmt: skip
        return self._state(self._paths.closure(places)) if places else _DEAD

    def _state(self, places: frozenset[int]) -> int:
        number = self._number.setdefault(places, len(self._places))
        if number == len(self._places):
            self._places.append(places)
            if number == len(self._next_sc):
                more = np.full((max(64, number), self._next_sc.shape[1]), _UNKNOWN, dtype=np.int64)
                self._next_sc = np.concatenate([self._next_sc, more])
        return number


def _classes(choices: Iterable[frozenset[int]]) -> tuple[np.ndarray, list[int]]:
    """Bytes that no step tells apart, in one class: the class of each byte, int64 [256], and a byte of each class."""
    different = list(set(choices))
    member = np.zeros((256, len(different) + 1), dtype=bool)
    for column, one in enumerate(different):
        member[list(one), column] = True
    _, examples, class_of_byte = np.unique(member, axis=0, return_index=True, return_inverse=True)
    return class_of_byte.reshape(-1), examples.tolist()
