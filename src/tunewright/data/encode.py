"""Texts become token ids, the same way in training, evaluation and serving. Knows a tokenizer; must not know a model.

Texts are tokenised once, whole and without special tokens; sequences are then cut from the result and framed by the
special tokens that the tokenizer itself was seen to put around one text and around a pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tunewright.recipe.errors import DataRefusal
from tunewright.values import Encoded

_TEXTS_PER_CALL = 8192  # bounds the Python lists that a tokenizer returns
_PROBES = (("a", "b"), ("one", "two"), ("0", "1"))  # texts by which the special tokens are found


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens around one text (`middle` empty) or a pair, and each part's type (all 0 without types)."""

    before: np.ndarray  # int32
    middle: np.ndarray
    after: np.ndarray
    types: tuple[int, int, int, int, int]  # of before, first text, middle, second text, after

    @property
    def tokens(self) -> int:
        return len(self.before) + len(self.middle) + len(self.after)


@dataclass(frozen=True, slots=True)
class Ragged:
    """Lists of token ids laid end to end, list i at `starts[i]` to `starts[i + 1]`; perhaps with their characters."""

    tokens_n: np.ndarray  # int32
    starts: np.ndarray  # int64 [lists + 1]
    offsets_n2: np.ndarray | None = None  # int32

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)


@dataclass(frozen=True)
class Encoder:
    """How inputs become sequences of at most `max_length` tokens, special tokens included.

    `long` says what happens to longer ones: `truncate` cuts them exactly as the tokenizer's own truncation does,
    `windows` reads them in pieces that share `overlap` tokens (of a pair, the longer text), `refuse` raises.
    `inputs` are the names of the input columns; several are joined as a `pair` (two) or as `lines` of one text.
    `located` is the number of the text whose tokens keep the characters they stand for, white space at their ends left
    out, None where none do.
    """

    max_length: int
    long: Literal["truncate", "windows", "refuse"]
    overlap: int
    join: Literal["pair", "lines"] | None
    inputs: tuple[str, ...]
    tokenizer: Any = field(compare=False, repr=False)
    located: int | None = None

    def __post_init__(self) -> None:
        if self.located is not None and not self.tokenizer.is_fast:
            raise DataRefusal(f"{type(self.tokenizer).__name__} does not say which characters a token stands for.",
                              where="base", remedy="Use a base whose tokenizer has a tokenizer.json.")
        if self.join == "pair" and len(self.inputs) != 2:
            raise DataRefusal(f"A pair has two input columns, this task has {len(self.inputs)}.", where="task.join",
                              remedy="Set task.join: lines.")
        if self.join is None and len(self.inputs) != 1:
            raise DataRefusal("Several input columns need to be joined.", where="task.join",
                              remedy="Set task.join to pair (two columns) or lines.")
        room = self.max_length - self._frame.tokens
        if room < 1:
            raise DataRefusal(f"Of {self.max_length} tokens, special ones take {self._frame.tokens}.",
                              where="encode.max_length", remedy="Raise encode.max_length.")
        if self.long == "windows" and not 0 <= self.overlap < room:
            raise DataRefusal(f"Windows of {room} tokens of text cannot share {self.overlap}.", where="encode.long",
                              remedy=f"Set its overlap below {room}.")

    def encode(self, inputs: Sequence[tuple[str, ...]]) -> Encoded:
        """Token ids of all rows. Under `refuse`, raises DataRefusal if any row is longer than max_length."""
        first, second = self._tokenise(inputs)
        room = self.max_length - self._frame.tokens
        if self.long == "refuse":
            self._refuse_long(first.lengths + second.lengths + self._frame.tokens)
        if self.long == "windows":
            cuts = _windows(first.lengths, second.lengths, room, self.overlap)
        else:
            cuts = _truncation(first.lengths, second.lengths, room, keep_end=self._keeps_end)
        return self._assemble(first, second, cuts)

    def measure(self, inputs: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Tokens of each row uncut, special tokens included, int64 [r]."""
        first, second = self._tokenise(inputs)
        return first.lengths + second.lengths + self._frame.tokens

    def decode_sample(self, encoded: Encoded, *, row: int) -> list[str]:
        """The sequences of one row as text, special tokens shown: what the model really reads."""
        places = np.flatnonzero(encoded.owner_s == row)
        return [
            self.tokenizer.decode(encoded.tokens_n[encoded.starts_s[j] : encoded.starts_s[j + 1]].tolist())
            for j in places
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything but the tokenizer, which is saved by its own means."""
        return {"max_length": self.max_length, "long": self.long, "overlap": self.overlap, "join": self.join,
                "inputs": list(self.inputs), "located": self.located}  # fmt: skip

    @classmethod
    def from_json(cls, written: Mapping[str, Any], tokenizer: Any) -> Encoder:
        """The encoder that `to_json` described, with its tokenizer."""
        return cls(max_length=written["max_length"], long=written["long"], overlap=written["overlap"],
                   join=written["join"], inputs=tuple(written["inputs"]), tokenizer=tokenizer,
                   located=written.get("located"))  # fmt: skip

    @property
    def _keeps_end(self) -> bool:
        return bool(self.tokenizer.truncation_side == "left")

    @cached_property
    def _frame(self) -> Frame:
        return find_frame(self.tokenizer, pair=self.join == "pair")

    @cached_property
    def _has_types(self) -> bool:
        return "token_type_ids" in self.tokenizer("a")

    def _tokenise(self, inputs: Sequence[tuple[str, ...]]) -> tuple[Ragged, Ragged]:
        """The tokens of each row's text, or of both texts of a pair (the second is empty otherwise)."""
        assert all(len(row) == len(self.inputs) for row in inputs), f"each row needs {len(self.inputs)} texts"
        if self.join == "pair":
            return self._ragged([row[0] for row in inputs], 0), self._ragged([row[1] for row in inputs], 1)
        none = None if self.located is None else np.empty((0, 2), dtype=np.int32)
        empty = Ragged(np.empty(0, dtype=np.int32), np.zeros(len(inputs) + 1, dtype=np.int64), none)
        return self._ragged(["\n".join(row) for row in inputs], 0), empty

    def _ragged(self, texts: Sequence[str], number: int) -> Ragged:
        """The tokens of texts that are the first (`number` 0) or second of their rows."""
        lengths: list[int] = []
        pieces, places = [np.empty(0, dtype=np.int32)], [np.empty((0, 2), dtype=np.int32)]
        for ids, offsets in self._lists_of_ids(texts, located=number == self.located):
            lengths += map(len, ids)
            pieces.append(np.fromiter((token for one in ids for token in one), dtype=np.int32))
            places += [np.array(one, dtype=np.int32).reshape(-1, 2) for one in offsets]
        tokens_n = np.concatenate(pieces)
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        if self.located is None:
            return Ragged(tokens_n, starts)
        offsets_n2 = np.concatenate(places) if number == self.located else np.zeros((len(tokens_n), 2), dtype=np.int32)
        return Ragged(tokens_n, starts, offsets_n2)

    def _lists_of_ids(
        self, texts: Sequence[str], *, located: bool
    ) -> Iterator[tuple[list[list[int]], list[list[tuple[int, int]]]]]:
        for start in range(0, len(texts), _TEXTS_PER_CALL):
            found = self.tokenizer(
                list(texts[start : start + _TEXTS_PER_CALL]), add_special_tokens=False, return_attention_mask=False,
                return_token_type_ids=False, return_offsets_mapping=located, truncation=False, padding=False,
                verbose=False,
            )  # fmt: skip
            offsets = found["offset_mapping"] if located else []
            yield found["input_ids"], [_visible(one, text) for one, text in zip(offsets, texts[start:], strict=False)]

    def _refuse_long(self, lengths_r: np.ndarray) -> None:
        over = int((lengths_r > self.max_length).sum())
        if over:
            raise DataRefusal(
                f"{over} of {len(lengths_r)} texts are longer than {self.max_length} tokens (the longest has "
                f"{lengths_r.max()}).", where="encode.long",
                remedy="Set encode.long: truncate to cut them, windows to read them in overlapping pieces, or drop to "
                "leave them out; or raise encode.max_length if the base takes more.",
            )  # fmt: skip

    def _assemble(self, first: Ragged, second: Ragged, cuts: _Cuts) -> Encoded:
        frame, pool = self._frame, [first.tokens_n, second.tokens_n]
        specials = [frame.before, frame.middle, frame.after]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in (*pool, *specials)])])
        sequences = len(cuts.owner_s)
        starts_s5 = np.stack([
            np.full(sequences, offsets[2]), first.starts[cuts.owner_s] + cuts.first_start_s,
            np.full(sequences, offsets[3]), offsets[1] + second.starts[cuts.owner_s] + cuts.second_start_s,
            np.full(sequences, offsets[4]),
        ], axis=1)  # fmt: skip
        lengths_s5 = np.stack([
            np.full(sequences, len(frame.before)), cuts.first_length_s, np.full(sequences, len(frame.middle)),
            cuts.second_length_s, np.full(sequences, len(frame.after)),
        ], axis=1)  # fmt: skip
        types_n = None
        if self._has_types:
            types_n = np.repeat(np.tile(np.array(frame.types, dtype=np.int8), sequences), lengths_s5.ravel())
        offsets_n2 = None
        if first.offsets_n2 is not None and second.offsets_n2 is not None:
            nowhere = np.zeros((frame.tokens, 2), dtype=np.int32)
            located = np.concatenate([first.offsets_n2, second.offsets_n2, nowhere])
            offsets_n2 = _gather(located, starts_s5.ravel(), lengths_s5.ravel())
        return Encoded(
            tokens_n=_gather(np.concatenate([*pool, *specials]), starts_s5.ravel(), lengths_s5.ravel()),
            starts_s=np.concatenate([[0], np.cumsum(lengths_s5.sum(axis=1))]), owner_s=cuts.owner_s, types_n=types_n,
            cut_r=cuts.cut_r, offsets_n2=offsets_n2,
        )  # fmt: skip


def find_frame(tokenizer: Any, *, pair: bool) -> Frame:
    """The special tokens and types that `tokenizer` puts around one text, or a pair, found by encoding a known one."""
    for texts in _PROBES:
        a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
        whole = tokenizer(*texts) if pair else tokenizer(texts[0])
        ids, types = list(whole["input_ids"]), list(whole.get("token_type_ids", ()))
        start = _place_of(a, ids, 0)
        other = _place_of(b, ids, start + len(a)) if pair and start >= 0 else start + len(a)
        if not a or not b or start < 0 or other < 0:
            continue
        end = other + (len(b) if pair else 0)
        before, middle, after = ids[:start], ids[start + len(a) : other], ids[end:]
        types = types or [0] * len(ids)
        bounds = (0, start, start + len(a), other, end, len(ids))
        first = [types[low] if low < high else 0 for low, high in itertools.pairwise(bounds)]
        return Frame(
            np.array(before, dtype=np.int32), np.array(middle, dtype=np.int32), np.array(after, dtype=np.int32),
            types=(first[0], first[1], first[2], first[3], first[4]),
        )  # fmt: skip
    raise DataRefusal("The tokenizer tears the tokens of a text apart, so its special tokens cannot be told.",
                      where=type(tokenizer).__name__, remedy="Use a base with another tokenizer.")


def _visible(offsets: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """The characters of tokens without white space at their ends: many tokenizers count the one before a word to it."""
    found = []
    for start, end in offsets:
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        found.append((start, end))
    return found


def _place_of(wanted: list[int], ids: list[int], start: int) -> int:
    """Where `wanted` stands in `ids` from `start` on, or -1."""
    return next((i for i in range(start, len(ids) - len(wanted) + 1) if ids[i : i + len(wanted)] == wanted), -1)


# ----------------------------------------------------------------------------- which tokens are kept


@dataclass(frozen=True, slots=True)
class _Cuts:
    """What each sequence takes: from its row's first text and second text a start and a length, all int64 [s]."""

    owner_s: np.ndarray
    first_start_s: np.ndarray
    first_length_s: np.ndarray
    second_start_s: np.ndarray
    second_length_s: np.ndarray
    cut_r: np.ndarray


def _truncation(first_r: np.ndarray, second_r: np.ndarray, room: int, *, keep_end: bool) -> _Cuts:
    """One sequence a row: the longer text is cut first, then both to half the room (`longest_first` of tokenizers)."""
    shorter, longer = np.minimum(first_r, second_r), np.maximum(first_r, second_r)
    fits = first_r + second_r <= room
    short = np.where(shorter > room // 2, room // 2, shorter)
    long = np.where(fits, longer, room - short)
    short = np.where(fits, shorter, short)
    swapped = first_r > second_r
    first, second = np.where(swapped, long, short), np.where(swapped, short, long)
    return _Cuts(
        np.arange(len(first_r), dtype=np.int64), (first_r - first) * keep_end, first, (second_r - second) * keep_end,
        second, first_r + second_r - first - second,
    )  # fmt: skip


def _windows(first_r: np.ndarray, second_r: np.ndarray, room: int, overlap: int) -> _Cuts:
    """As many sequences as the longer text needs, each with the whole shorter one; that one gets at most half the room
    less the overlap, and what is beyond is cut.
    """
    swapped = first_r < second_r
    shorter, longer = np.minimum(first_r, second_r), np.maximum(first_r, second_r)
    short = np.minimum(shorter, np.maximum((room - overlap) // 2, 0))
    short = np.where(first_r + second_r <= room, shorter, short)
    width, step = room - short, room - short - overlap
    windows_r = 1 + np.maximum(0, -((width - longer) // step))
    owner_s = np.repeat(np.arange(len(first_r), dtype=np.int64), windows_r)
    index_s = np.arange(len(owner_s)) - np.repeat(np.cumsum(windows_r) - windows_r, windows_r)
    start_s = index_s * step[owner_s]
    length_s = np.minimum(width[owner_s], longer[owner_s] - start_s)
    none, short_s, swapped_s = np.zeros_like(start_s), short[owner_s], swapped[owner_s]
    return _Cuts(
        owner_s, np.where(swapped_s, none, start_s), np.where(swapped_s, short_s, length_s),
        np.where(swapped_s, start_s, none), np.where(swapped_s, length_s, short_s), shorter - short,
    )  # fmt: skip


def _gather(pool: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """`pool[start:start + length]` of every segment, end to end."""
    ends = np.cumsum(lengths)
    shift = np.repeat(starts - (ends - lengths), lengths)
    return pool[shift + np.arange(int(ends[-1]) if len(ends) else 0)]
