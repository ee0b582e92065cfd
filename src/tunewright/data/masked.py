"""Plain texts become blocks in which some words are hidden, for models that read from both sides.

Texts are laid end to end, each closed by the token that ends a text, cut into blocks and framed as the tokenizer frames
one text. In each block a share of the words is hidden, anew in every epoch of training (Liu et al. 2019, "RoBERTa",
section 4.1); which words those are is a pure function of seed, epoch and block, so that what judges never changes.
Must not know models.

Shape legend: n tokens, w words of a block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tunewright.data.blocks import lists_of_ids, named_blocks, spread
from tunewright.data.encode import find_frame
from tunewright.recipe.errors import DataRefusal
from tunewright.values import Encoded, Rows

_SHOWN_AS_MASK, _SHOWN_AS_ANOTHER = 0.8, 0.1  # of hidden tokens (Devlin et al. 2019, section 3.1); the others stay


@dataclass(frozen=True)
class MaskedEncoder:
    """How texts become blocks of `max_length` tokens, special ones included, of which `share` is hidden and asked for.

    With `whole_words` a word is hidden in all of its pieces or in none.
    """

    max_length: int
    inputs: tuple[str, ...]
    share: float
    whole_words: bool
    seed: int
    tokenizer: Any = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.tokenizer.mask_token_id is None or self._end is None:
            raise DataRefusal(
                "The tokenizer has no token that hides a word, or none that ends a text.", where="base",
                remedy="Use a base that was trained by filling in hidden words, or a decoder.",
            )  # fmt: skip
        if self._room < 1:
            raise DataRefusal(f"Of {self.max_length} tokens, special ones take {self.max_length - self._room}.",
                              where="encode.max_length", remedy="Raise encode.max_length.")
        if self.whole_words and self._begins_v is None:
            raise DataRefusal("The tokenizer does not show where a word begins.", where="phases.0.objective",
                              remedy="Leave out whole_words.")

    def encode(self, inputs: Sequence[tuple[str, ...]]) -> Encoded:
        """The blocks of all texts, in order, hidden as for judging; several columns of a row are lines of one text."""
        texts = ["\n".join(row) for row in inputs]
        lists = lists_of_ids(self.tokenizer, texts, end=self._end)
        ids_n = np.array([token for one in lists for token in one], dtype=np.int32)
        sizes = [spread(len(text.encode("utf-8", "surrogatepass")), len(one))
                 for text, one in zip(texts, lists, strict=True)]  # fmt: skip
        bytes_n = np.concatenate([np.zeros(0, dtype=np.int64), *sizes])
        cuts = np.arange(self._room, len(ids_n), self._room)
        blocks, parts = np.split(ids_n, cuts), np.split(bytes_n, cuts)
        before, after = self._frame.before, self._frame.after
        framed = [np.concatenate([before, block, after]) for block in blocks]
        sized_n = np.concatenate([np.concatenate([before * 0, part, after * 0]) for part in parts])
        whole = Encoded(
            tokens_n=np.concatenate(framed), starts_s=np.concatenate([[0], np.cumsum([len(one) for one in framed])]),
            owner_s=np.arange(len(blocks)), types_n=None, cut_r=np.zeros(len(blocks), dtype=np.int64),
            answers_n=np.full(sum(map(len, framed)), -1, dtype=np.int32),
        )  # fmt: skip
        hidden = self.hidden(whole, np.arange(len(blocks)), epoch=0)
        asked_n = hidden.answers_n >= 0 if hidden.answers_n is not None else np.zeros(0, dtype=bool)
        return replace(hidden, bytes_r=np.add.reduceat(sized_n * asked_n, whole.starts_s[:-1]))

    def hidden(self, encoded: Encoded, names_r: np.ndarray, *, epoch: int) -> Encoded:
        """`encoded` with other words hidden: those of `epoch`, for blocks of the numbers `names_r` in their split."""
        tokens_n = self.whole(encoded).copy()
        answers_n = np.full(len(tokens_n), -1, dtype=np.int32)
        for row, name in enumerate(names_r):
            part = slice(int(encoded.starts_s[row]), int(encoded.starts_s[row + 1]))
            key = hashlib.blake2b(f"{self.seed}/{epoch}/{name}".encode(), digest_size=16).digest()
            chance = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
            chosen = part.start + self._chosen(tokens_n[part], chance)
            answers_n[chosen] = tokens_n[chosen]
            tokens_n[chosen] = self._shown(tokens_n[chosen], chance)
        return replace(encoded, tokens_n=tokens_n, answers_n=answers_n)

    def whole(self, encoded: Encoded) -> np.ndarray:
        """The tokens of `encoded` with nothing hidden, int32 [n]."""
        assert encoded.answers_n is not None
        tokens_n: np.ndarray = np.where(encoded.answers_n >= 0, encoded.answers_n, encoded.tokens_n)
        return tokens_n

    def words(self, encoded: Encoded) -> np.ndarray:
        """Those of the whole tokens that may be hidden, which special ones may not."""
        tokens_n = self.whole(encoded)
        return tokens_n[~self._special_v[tokens_n]]

    def _chosen(self, tokens_n: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        """The places of a block that are hidden, at least one where there is a word."""
        open_k = np.flatnonzero(~self._special_v[tokens_n])
        wanted = max(1, round(self.share * len(open_k)))
        if not self.whole_words or not len(open_k):
            return np.sort(chance.permutation(open_k)[:wanted])
        assert self._begins_v is not None
        begins_k = self._begins_v[tokens_n[open_k]] | (np.diff(open_k, prepend=-2) > 1)
        word_k = np.cumsum(begins_k) - 1
        order_w = chance.permutation(word_k[-1] + 1)
        pieces_w = np.bincount(word_k)[order_w]
        taken = order_w[: int(np.searchsorted(np.cumsum(pieces_w), wanted)) + 1]
        return open_k[np.isin(word_k, taken)]

    def _shown(self, tokens_k: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        """What stands where tokens are hidden: mostly the mask, at times another word or the word itself."""
        draw_k = chance.random(len(tokens_k))
        others_k = self._words_v[chance.integers(len(self._words_v), size=len(tokens_k))]
        shown_k = np.where(draw_k < _SHOWN_AS_MASK + _SHOWN_AS_ANOTHER, others_k, tokens_k)
        return np.where(draw_k < _SHOWN_AS_MASK, self.tokenizer.mask_token_id, shown_k).astype(np.int32)

    def measure(self, inputs: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Tokens of each text, the closing one included, int64 [r]."""
        lists = lists_of_ids(self.tokenizer, ["\n".join(row) for row in inputs], end=self._end)
        return np.array([len(one) for one in lists], dtype=np.int64)

    def decode_sample(self, encoded: Encoded, *, row: int) -> list[str]:
        """One block as text, as the model reads it."""
        return [self.tokenizer.decode(encoded.tokens_n[encoded.starts_s[row] : encoded.starts_s[row + 1]].tolist())]

    def pieces(self, encoded: Encoded, *, row: int) -> list[tuple[str, bool]]:
        """One block's whole text in stretches, and of each whether it is hidden and asked for."""
        assert encoded.answers_n is not None
        part = slice(int(encoded.starts_s[row]), int(encoded.starts_s[row + 1]))
        ids, asked = self.whole(encoded)[part], encoded.answers_n[part] >= 0
        cuts = np.flatnonzero(np.diff(asked)) + 1
        return [(f"{self.tokenizer.decode(stretch.tolist())} ", bool(flags[0]))
                for stretch, flags in zip(np.split(ids, cuts), np.split(asked, cuts), strict=True)]  # fmt: skip

    def rows_of(self, encoded: Encoded, *, split: str) -> Rows:
        """The blocks as rows, named by their place; targets are 0, because the text is its own answer."""
        return named_blocks([self.decode_sample(encoded, row=i)[0] for i in range(encoded.rows)], split)

    def to_json(self) -> dict[str, Any]:
        """Everything but the tokenizer, which is saved by its own means."""
        return {"reads": "masked", "max_length": self.max_length, "inputs": list(self.inputs), "share": self.share,
                "whole_words": self.whole_words, "seed": self.seed}  # fmt: skip

    @classmethod
    def from_json(cls, written: Mapping[str, Any], tokenizer: Any) -> MaskedEncoder:
        """The encoder that `to_json` described, with its tokenizer."""
        kept = {name: written[name] for name in ("max_length", "share", "whole_words", "seed")}
        return cls(**kept, inputs=tuple(written["inputs"]), tokenizer=tokenizer)

    @property
    def _end(self) -> int | None:
        ends = (self.tokenizer.sep_token_id, self.tokenizer.eos_token_id)
        return next((int(end) for end in ends if end is not None), None)

    @cached_property
    def _frame(self) -> Any:
        return find_frame(self.tokenizer, pair=False)

    @property
    def _room(self) -> int:
        return self.max_length - int(self._frame.tokens)

    @cached_property
    def _special_v(self) -> np.ndarray:
        """Whether a token is a special one, bool [v]."""
        special_v = np.zeros(len(self.tokenizer), dtype=bool)
        special_v[[token for token in self.tokenizer.all_special_ids if token != self.tokenizer.unk_token_id]] = True
        return special_v

    @cached_property
    def _words_v(self) -> np.ndarray:
        return np.flatnonzero(~self._special_v)

    @cached_property
    def _begins_v(self) -> np.ndarray | None:
        """Whether a token begins a word, bool [v]; None where tokens do not show it."""
        written = self.tokenizer.convert_ids_to_tokens(range(len(self.tokenizer)))
        if any(token.startswith("##") for token in written):
            return np.array([not token.startswith("##") for token in written])
        for space in ("\u0120", "\u2581"):
            if any(token.startswith(space) for token in written):
                return np.array([token.startswith(space) for token in written])
        return None
