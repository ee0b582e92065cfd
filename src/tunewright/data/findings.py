"""What one check of the data saw, and how it is shown. Knows no check and no kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tunewright.data.clean import CleanRow
from tunewright.values import Turn

Severity = Literal["ok", "note", "warn", "refuse"]
EXAMPLES = 5
_EXAMPLE_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw: `count` rows, said in a sentence, a few of them shown; `origins` names every one of them."""

    check: str
    severity: Severity
    count: int
    says: str
    examples: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


def find_rows(check: str, severity: Severity, says: str, found: Sequence[tuple[str, str]]) -> Finding:
    """A finding about rows, given as (origin, what to show); `ok` where there are none."""
    return Finding(
        check, severity if found else "ok", len(found), says,
        tuple(show(origin, text) for origin, text in found[:EXAMPLES]), tuple(origin for origin, _ in found),
    )  # fmt: skip


def show(origin: str, text: str) -> str:
    cut = text if len(text) <= _EXAMPLE_CHARACTERS else text[:_EXAMPLE_CHARACTERS] + "…"
    return f"{origin}: {' '.join(cut.split())}"


def all_text(row: CleanRow) -> str:
    """What a row's inputs say, as examples show it; of a conversation without tools and system."""
    return " | ".join(said_in(row.inputs))


def said_in(inputs: Sequence[str]) -> list[str]:
    """The inputs without what surrounds a conversation and is often the same for many: tools and system."""
    return [text for text in inputs if not (isinstance(text, Turn) and text.role in ("tools", "system"))]
