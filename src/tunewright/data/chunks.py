"""A long text in pieces that each fit, cut where a turn or a sentence ends. Knows texts; must not know models.

What is read with the text, such as the instruction of a prompt, is kept beside every piece.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunewright.data.prompts import Prompting
from tunewright.values import Turn

_SENTENCE = re.compile(r"\S.*?(?:[.!?…。！？]+[\"'”’)\]]*(?=\s|$)|$)", re.DOTALL)
_WORD = re.compile(r"\S+")
_SHARED = 4  # of a piece at most one part in so many is shared with the one before


@dataclass(frozen=True, slots=True)
class Around:
    """Turns, and in one of them a long text between what stands before and after it."""

    turns: tuple[str, ...]
    place: int
    before: str
    text: str
    after: str

    def around(self, text: str) -> tuple[str, ...]:
        """The same turns with another text."""
        role = getattr(self.turns[self.place], "role", "user")
        return (*self.turns[: self.place], Turn(self.before + text + self.after, role), *self.turns[self.place + 1 :])


def find_long_text(turns: Sequence[str], prompts: Sequence[str], columns: Sequence[str], *, system: str) -> Around:
    """The longest text that was said to the model; where a prompt made it of columns, the longest of these."""
    said = [i for i, turn in enumerate(turns) if getattr(turn, "role", "user") in ("user", "tool")]
    place = max(said, key=lambda i: len(turns[i]))
    whole = str(turns[place])
    for prompt in Prompting.read(prompts, columns=columns, system=system).prompts:
        pattern = "".join("(.*)" if isinstance(piece, int) else re.escape(piece) for piece in prompt.pieces)
        found = re.fullmatch(pattern, whole, re.DOTALL)
        if found:
            longest = max(range(1, len(found.groups()) + 1), key=lambda group: len(found[group]))
            start, end = found.span(longest)
            return Around(tuple(turns), place, whole[:start], whole[start:end], whole[end:])
    return Around(tuple(turns), place, "", whole, "")


def pieces_of(text: str, fits: Callable[[str], bool], *, overlap: int) -> list[str]:
    """`text` in pieces for which `fits` holds, each as long as that allows, cut between lines, else between sentences.

    Neighbours share `overlap` of these, fewer where they would be more than a quarter of a piece. What alone is too
    long is cut between words. Nothing is left out; a word that does not fit is a piece of its own.
    """
    parts = [smaller for part in _parts(text) for smaller in _fitting(part, fits)]
    joint = "\n" if "\n" in text.strip() else " "
    pieces: list[list[str]] = [[]]
    for part in parts:
        if pieces[-1] and not fits(joint.join([*pieces[-1], part])):
            shared = pieces[-1][-min(overlap, len(pieces[-1]) // _SHARED) :] if overlap else []
            shared = shared if len(pieces[-1]) >= _SHARED and fits(joint.join([*shared, part])) else []
            pieces.append(list(shared))
        pieces[-1].append(part)
    return [joint.join(piece) for piece in pieces if piece]


def _parts(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines if len(lines) > 1 else [match.group() for match in _SENTENCE.finditer(text)]


def _fitting(part: str, fits: Callable[[str], bool]) -> list[str]:
    """A part that fits, or such smaller ones: its sentences, else as many words at a time as fit."""
    if fits(part):
        return [part]
    sentences = [match.group() for match in _SENTENCE.finditer(part)]
    if len(sentences) > 1:
        return [smaller for sentence in sentences for smaller in _fitting(sentence, fits)]
    words = _WORD.findall(part)
    if len(words) < 2:
        return [part]
    half = len(words) // 2
    return [*_fitting(" ".join(words[:half]), fits), *_fitting(" ".join(words[half:]), fits)]
