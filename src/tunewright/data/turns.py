"""Conversations become token ids, the same way in training, evaluation and serving. Must not know a model.

What a decoder reads is the rendered conversation; what it learns to write are the assistant's parts of it, the token
that ends a turn included. An encoder-decoder reads the turns before the answer as its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tunewright.data.chat_template import ChatTemplate, first_difference, overlapping
from tunewright.data.prompts import Prompting
from tunewright.recipe.errors import DataRefusal
from tunewright.values import Encoded, Turn

_SOURCE, _TARGET = 0, 1
_ROUNDS = 8  # of shortening a text until the whole fits


@dataclass(frozen=True, slots=True)
class _Sequence:
    """One conversation: what is read, what is asked at each token (−1: nothing), and which half a token belongs to."""

    ids: list[int]
    asked: list[int]
    types: list[int]
    cut: int
    answer_bytes: int


@dataclass(frozen=True)
class TurnEncoder:
    """How conversations become sequences of at most `max_length` tokens (an encoder-decoder's halves, each).

    `long` says what happens to longer ones: `refuse` raises, `truncate` shortens the longest text that was said to the
    model at its end, never an answer. All answers of a conversation are learned.
    With `chunks` what is learned is cut so as well, and `before_answers` refuses: who writes reads in pieces first,
    which share `overlap` lines or sentences. `start` is the token with which an encoder-decoder begins to write, None
    for a decoder. Who asks in columns instead of turns is understood by `prompts` and `system`, as the recipe writes
    them. `room` tokens are for an answer.
    """

    max_length: int
    long: Literal["truncate", "refuse", "chunks"]
    template: ChatTemplate | None
    start: int | None
    inputs: tuple[str, ...]
    prompts: tuple[str, ...]
    system: str
    room: int
    tokenizer: Any = field(compare=False, repr=False)
    overlap: int = 0

    def __post_init__(self) -> None:
        assert (self.template is None) == (self.start is not None), "a decoder has a template, the others a start"

    def encode(self, inputs: Sequence[tuple[str, ...]], answers: Sequence[Turn]) -> Encoded:
        """Token ids of conversations with their answers. Raises DataRefusal, naming the row, for what cannot be."""
        rows = [self._whole(*pair, row) for row, pair in enumerate(zip(inputs, answers, strict=True))]
        lengths = [len(row.ids) for row in rows]
        return Encoded(
            tokens_n=np.array([i for row in rows for i in row.ids], dtype=np.int32),
            starts_s=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), owner_s=np.arange(len(rows)),
            types_n=None if self.start is None else np.array([i for row in rows for i in row.types], dtype=np.int8),
            cut_r=np.array([row.cut for row in rows], dtype=np.int64),
            answers_n=np.array([i for row in rows for i in row.asked], dtype=np.int32),
            bytes_r=np.array([row.answer_bytes for row in rows], dtype=np.int64),
        )  # fmt: skip

    def before_answers(self, inputs: Sequence[tuple[str, ...]]) -> list[list[int]]:
        """What the model reads before it writes, one list of ids a conversation; a decoder is left `room` to write."""
        room = self.room if self.start is None else 0
        whole = replace(self, long="refuse") if self.long == "chunks" else self
        return [whole._prompt(tuple(turns), row, room)[0] for row, turns in enumerate(inputs)]

    @property
    def most_before_answers(self) -> int:
        """Tokens that may stand before an answer."""
        return self.max_length - (self.room if self.start is None else 0)

    def turns_of(self, columns: Sequence[str]) -> tuple[Turn, ...]:
        """What a row of columns says to the model, by the first of the prompts."""
        prompting = Prompting.read(self.prompts[:1], columns=self.inputs, system=self.system)
        return prompting.turns(columns, row_id="")

    def end_ids(self) -> frozenset[int]:
        """The tokens with which an answer ends: end of sequence, and what the template closes an answer with.

        Raises DataRefusal for a template that closes answers with nothing, so that no end could be learned.
        """
        ends = {self.tokenizer.eos_token_id, self.tokenizer.sep_token_id if self.start is not None else None} - {None}
        if self.template is not None:
            probe = self.encode([(Turn("a", "user"),)] * 2, [Turn("b", "assistant"), Turn("c", "assistant")])
            assert probe.answers_n is not None
            one, other = (int(part[part >= 0][-1]) for part in np.split(probe.answers_n, probe.starts_s[1:-1]))
            if one != other:
                raise DataRefusal(
                    "Nothing that the tokenizer reads ends an answer of this chat template.",
                    where="encode.chat_template", remedy="Let it write eos_token after each answer.",
                )
            ends.add(one)
        return frozenset(ends)

    def measure(self, inputs: Sequence[tuple[str, ...]], answers: Sequence[Turn]) -> np.ndarray:
        """Tokens of each conversation uncut (of an encoder-decoder, of its longer half), int64 [r]."""
        if self.template is None:
            source = [len(ids) for ids in self._ids(["\n".join(turns) for turns in inputs])]
            target = [len(ids) for ids in self._ids([str(answer) for answer in answers], target=True)]
            return np.maximum(np.array(source, dtype=np.int64), np.array(target, dtype=np.int64))
        texts = [self.template.conversation((*turns, answer)).text
                 for turns, answer in zip(inputs, answers, strict=True)]  # fmt: skip
        return np.array([len(ids) for ids in self._ids(texts)], dtype=np.int64)

    def measure_prompts(self, inputs: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Tokens of what is read before the answer, uncut, int64 [r]."""
        texts = [self._source(tuple(turns), row) for row, turns in enumerate(inputs)]
        return np.array([len(ids) for ids in self._ids(texts)], dtype=np.int64)

    def decode_sample(self, encoded: Encoded, *, row: int) -> list[str]:
        """The sequence of one row as text, special tokens shown: what the model really reads."""
        return ["".join(text for text, _ in self.pieces(encoded, row=row))]

    def pieces(self, encoded: Encoded, *, row: int) -> list[tuple[str, bool]]:
        """One row's text in stretches, and of each whether the model learns to write it."""
        assert encoded.answers_n is not None
        start, stop = int(encoded.starts_s[row]), int(encoded.starts_s[row + 1])
        ids, asked = encoded.tokens_n[start:stop].tolist(), encoded.answers_n[start:stop].tolist()
        if encoded.types_n is not None:
            source = [i for i, kind in zip(ids, encoded.types_n[start:stop], strict=True) if kind == _SOURCE]
            return [(self.tokenizer.decode(source), False), (self.tokenizer.decode([i for i in asked if i >= 0]), True)]
        written = [False, *(wanted >= 0 for wanted in asked)]
        ids = [*ids, *([asked[-1]] if asked and asked[-1] >= 0 else [])]
        stretches: list[tuple[list[int], bool]] = []
        for token, trained in zip(ids, written, strict=False):
            if not stretches or stretches[-1][1] != trained:
                stretches.append(([], trained))
            stretches[-1][0].append(token)
        return [(self.tokenizer.decode(part), trained) for part, trained in stretches]

    def to_json(self) -> dict[str, Any]:
        """Everything but the tokenizer, which is saved by its own means; `ends` are for readers without this class."""
        template = None if self.template is None else {"source": self.template.source, "special": self.template.special}
        return {"reads": "turns", "max_length": self.max_length, "long": self.long, "template": template,
                "start": self.start, "inputs": list(self.inputs), "prompts": list(self.prompts),
                "system": self.system, "room": self.room, "overlap": self.overlap,
                "ends": sorted(self.end_ids())}  # fmt: skip

    @classmethod
    def from_json(cls, written: Mapping[str, Any], tokenizer: Any) -> TurnEncoder:
        """The encoder that `to_json` described, with its tokenizer."""
        template = None if written["template"] is None else ChatTemplate(**written["template"])
        kept = {name: written[name] for name in ("max_length", "long", "start", "system", "room")}
        kept["overlap"] = written.get("overlap", 0)
        return cls(**kept, template=template, inputs=tuple(written["inputs"]), prompts=tuple(written["prompts"]),
                   tokenizer=tokenizer)  # fmt: skip

    def _whole(self, turns: tuple[str, ...], answer: Turn, row: int) -> _Sequence:
        self._refuse_special((answer,), row)
        if self.template is None:
            return self._halves(turns, answer, row)
        said = tuple(turns)
        cut = 0
        for _ in range(_ROUNDS):
            rendered = self.template.conversation((*said, answer))
            ids, offsets = self._with_offsets(rendered.text)
            over = len(ids) - 1 - self.max_length  # the last token is only asked for, never read
            if over <= 0:
                break
            said, cut = self._shortened(said, over, row), cut + over
        else:
            raise self._too_long(row, len(ids))
        written = overlapping(rendered.trained, offsets)
        prompt, _ = self._prompt(said, row, 0)
        self._refuse_other_beginning(prompt, ids, row)
        asked = [token if trained else -1 for token, trained in zip(ids[1:], written[1:], strict=True)]
        trained_bytes = sum(len(rendered.text[a:b].encode("utf-8", "surrogatepass")) for a, b in rendered.trained)
        return _Sequence(ids[:-1], asked, [], cut, trained_bytes)

    def _halves(self, turns: tuple[str, ...], answer: Turn, row: int) -> _Sequence:
        """Source and target of an encoder-decoder; what the decoder reads is the target, one token later."""
        assert self.start is not None
        source, cut = self._prompt(turns, row, 0)
        (target,) = self._ids([str(answer)], target=True)
        if len(target) > self.max_length:
            raise self._too_long(row, len(target))
        read = [self.start, *target[:-1]]
        return _Sequence(
            source + read, [-1] * len(source) + target, [_SOURCE] * len(source) + [_TARGET] * len(read), cut,
            len(answer.encode("utf-8", "surrogatepass")),
        )  # fmt: skip

    def _prompt(self, turns: tuple[str, ...], row: int, room: int) -> tuple[list[int], int]:
        """Ids before the answer, and how many tokens were cut to leave `room` below max_length."""
        limit, said, cut = self.max_length - room, turns, 0
        for _ in range(_ROUNDS):
            (ids,) = self._ids([self._source(said, row)])
            over = len(ids) - limit
            if over <= 0:
                return ids, cut
            said, cut = self._shortened(said, over, row, room), cut + over
        raise self._too_long(row, len(ids), room)

    def _source(self, turns: tuple[str, ...], row: int) -> str:
        self._refuse_special(turns, row)
        if self.template is not None:
            return self.template.prompt([Turn(str(turn), turn.role) for turn in turns if isinstance(turn, Turn)])
        return "\n".join(turns)

    def _shortened(self, turns: tuple[str, ...], tokens: int, row: int, room: int = 0) -> tuple[str, ...]:
        """The turns with `tokens` fewer at the end of the longest one that was said to the model."""
        if self.long == "refuse":
            raise self._too_long(row, self.max_length - room + tokens, room)
        open_to_cuts = [i for i, turn in enumerate(turns) if getattr(turn, "role", "user") in ("user", "tool")]
        if not open_to_cuts:
            raise self._too_long(row, self.max_length - room + tokens, room)
        place = max(open_to_cuts, key=lambda i: len(turns[i]))
        ids, offsets = self._with_offsets(str(turns[place]))
        if len(ids) <= tokens:
            raise self._too_long(row, self.max_length - room + tokens, room)
        shorter = Turn(str(turns[place])[: offsets[len(ids) - tokens][0]], getattr(turns[place], "role", "user"))
        return (*turns[:place], shorter, *turns[place + 1 :])

    def _with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(found["input_ids"]), list(found["offset_mapping"])

    def _ids(self, texts: Sequence[str], *, target: bool = False) -> list[list[int]]:
        """Token ids of rendered texts, or of the halves of an encoder-decoder with their own special tokens."""
        halves = self.template is None
        found = self.tokenizer(list(texts), add_special_tokens=halves, return_attention_mask=False, verbose=False)
        lists = [list(ids) for ids in found["input_ids"]]
        if not (halves and target):
            return lists
        end = self.tokenizer.eos_token_id if self.tokenizer.eos_token_id is not None else self.tokenizer.sep_token_id
        lists = [ids[1:] if ids and ids[0] == self.start else ids for ids in lists]
        return [ids if ids and ids[-1] == end else [*ids, end] for ids in lists]

    def _refuse_special(self, turns: Sequence[str], row: int) -> None:
        """A text that spells a special token would be read as one: its writer could end a turn and begin another."""
        for turn in turns:
            found = next((token for token in self.tokenizer.all_special_tokens if token in turn), None)
            if found is not None:
                raise DataRefusal(
                    f"A text holds {found!r}, which the tokenizer reads as a special token.", where=f"row {row}",
                    remedy="Take it out of the text, or write it with a space inside.",
                )  # fmt: skip

    def _refuse_other_beginning(self, prompt: list[int], ids: list[int], row: int) -> None:
        """What is read in serving must be what was read in training, token by token."""
        same = first_difference(prompt, ids)
        if same < len(prompt):
            raise DataRefusal(
                f"The prompt is tokenised otherwise with its answer than without it, from token {same} on "
                f"({self.tokenizer.decode(prompt[same:])!r}).", where=f"row {row}",
                remedy="Use a chat template that ends its prompt with a special token or a line break, and answers "
                "that do not begin with white space.",
            )  # fmt: skip

    def _too_long(self, row: int, tokens: int, room: int = 0) -> DataRefusal:
        kept = f", of which {room} are kept for an answer" if room else ""
        return DataRefusal(
            f"A conversation has {tokens} tokens, {self.max_length} are read{kept}.", where=f"row {row}",
            remedy="Raise encode.max_length if the base takes more, or set encode.long: truncate, which shortens what "
            "was said to the model and never an answer, or drop, which leaves such rows out.",
        )  # fmt: skip
