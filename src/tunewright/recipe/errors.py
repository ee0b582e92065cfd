"""What a refusal is. Knows nothing of any room; every room raises these.

A refusal is addressed to the user: one paragraph with what is wrong, where it is and what to do about it.
Our own mistakes are `assert`s; they are not refusals.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Refusal(ValueError):
    """Something the user gave cannot be used; nothing was changed. Exit code 3 on the command line.

    `what` is one sentence; `where` a file with line, a recipe key or a column; `remedy` what to do next.
    """

    exit_code = 3

    def __init__(self, what: str, *, where: str = "", remedy: str = ""):
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"Where: {self.where}.")
        if self.remedy:
            parts.append(f"Remedy: {self.remedy[0].upper()}{self.remedy[1:]}")
        return " ".join(parts)


class RecipeRefusal(Refusal):
    """A recipe that does not say something sensible."""


class DataRefusal(Refusal):
    """Rows that cannot be trained or judged on."""


class BaseRefusal(Refusal):
    """A base model that cannot be loaded or cannot do the task."""


class StoreRefusal(Refusal):
    """A run, version or alias that does not exist or may not be changed so; a disk that is full or closed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, as a hint for a message: " Did you mean 'x'?", or an empty string."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]!r}?" if found else ""
