"""What happens to texts that are longer than a model reads. Knows the choices; must not know tokenizers or rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Refuse:
    """Nothing is trained while a text is too long; how many are, and how long the longest is, is said."""


@dataclass(frozen=True)
class Truncate:
    """What is beyond is cut and counted, as the tokenizer's own truncation cuts it.

    Of a conversation, or of what is summarised or translated, the longest text that was said to the model loses its
    end: what is read gives way, an answer never does.
    """


@dataclass(frozen=True)
class Windows:
    """A text is read in pieces that share `overlap` tokens (default: a quarter of a piece); of a pair, the longer text.

    For labels, numbers, spans and vectors of texts; what is written has no pieces to be read in.
    """

    overlap: int | None = None

    def __post_init__(self) -> None:
        if self.overlap is not None and self.overlap < 0:
            raise ValueError(f"overlap must be at least 0, not {self.overlap}")


@dataclass(frozen=True)
class Drop:
    """Rows that are too long are left out, of training and of judging, and counted under `too_long` in the ledger.

    Of a task that writes text a row is too long where prompt and answer together are, and, where it judges, where its
    prompt leaves no room for an answer. The figures then say nothing of such rows, and a model that is asked about one
    refuses it.
    """


@dataclass(frozen=True)
class Chunks:
    """Of a summarisation: a text that is too long is summarised piece by piece, and the summaries are summarised again
    until they fit; the same way in judging, `predict` and `serve`.

    Pieces end where a line ends (of a dialogue, a turn), else where a sentence does; neighbours share `overlap` of
    these, at most a quarter of a piece. `train` says what happens to rows to learn from, which cannot be read in
    pieces: `refuse`, `drop` or `truncate`. The perplexity of a long row that judges is that of its text cut. An answer
    must take at most a third of what is read, or summaries would not get shorter.
    """

    overlap: int = 1
    train: Literal["refuse", "drop", "truncate"] = "refuse"

    def __post_init__(self) -> None:
        if self.overlap < 0:
            raise ValueError(f"overlap must be at least 0, not {self.overlap}")


LONG: dict[str, type] = {"refuse": Refuse, "truncate": Truncate, "windows": Windows, "drop": Drop, "chunks": Chunks}
