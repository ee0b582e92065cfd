"""How a model that writes is asked for a text: token ids, sampling, form. Knows encoders; must not know HTTP or queues.

Conversations and rows become ids by the encoder of training, so that what is read in serving is what was read there.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from tunewright.data.blocks import BlockEncoder
from tunewright.data.chunks import Around, find_long_text, pieces_of
from tunewright.data.turns import TurnEncoder
from tunewright.model.constrain import Constraint, JsonOf
from tunewright.model.decoder import end_tokens, refuse_impossible
from tunewright.model.sampling import Sampling
from tunewright.model.token_bytes import TokenBytes
from tunewright.model.writing import Writing
from tunewright.recipe.errors import DataRefusal
from tunewright.serve.tool_calls import CallForm
from tunewright.values import Turn

_CONTINUED_TOKENS = 64  # of a text that is only to be continued, where nothing says how far
_UNCUT = 1 << 40
_FORMS_KEPT = 16
_ROUNDS = 20  # of summarising summaries; each makes a text shorter by a third, so this is a book of any length


@dataclass(frozen=True, slots=True)
class Order:
    """A prompt and how its answer is to be written."""

    prompt: tuple[int, ...]
    sampling: Sampling
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request says of the answer; what it leaves open (None, or no stop) is as the model writes by itself."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: Mapping[str, Any] | None = None

    @property
    def chooses(self) -> bool:
        """Whether it says how tokens are chosen."""
        return self.temperature is not None or self.top_p is not None


class TooLong(DataRefusal):
    """What is to be read, or what is to be written after it, is more than the model takes."""


class Orders:
    """Makes the orders for one model. Several threads may call at once."""

    def __init__(
        self, lm: PreTrainedModel, encoder: TurnEncoder | BlockEncoder, encoding: threading.Lock,
        writing: Writing | None = None,
    ):  # fmt: skip
        self._lm, self._encoder, self._encoding = lm, encoder, encoding
        self.writing = writing or Writing(Sampling(max_new_tokens=_usual_tokens(encoder)))
        self._forms: dict[str, JsonOf] = {}
        self.tokenizer = encoder.tokenizer
        turns = isinstance(encoder, TurnEncoder)
        self.ends = encoder.end_ids() if turns else end_tokens(lm, encoder.tokenizer) | {encoder.tokenizer.eos_token_id}
        self.calls = CallForm.of(encoder.template, self.tokenizer.all_special_tokens) if turns else None

    @property
    def chats(self) -> bool:
        """Whether it was taught conversations; else it only continues texts."""
        return isinstance(self._encoder, TurnEncoder)

    @cached_property
    def reads_tools(self) -> bool:
        """Whether what the model reads says which functions there are."""
        if not isinstance(self._encoder, TurnEncoder) or self._encoder.template is None:
            return self.chats
        tools = Turn(json.dumps([{"name": "probe", "description": "", "parameters": {}}]), "tools")
        prompt = self._encoder.template.prompt
        return prompt([tools, Turn("a", "user")]) != prompt([Turn("a", "user")])

    def of_rows(self, rows: Sequence[tuple[str, ...]]) -> list[Order]:
        """Rows as `Predictor.rows` gives them, read and cut as in training. Raises DataRefusal."""
        sampling = self.writing.sampling
        if isinstance(self._encoder, TurnEncoder):
            with self._encoding:
                prompts = self._encoder.before_answers(rows)
        else:
            room = self._encoder.max_length - sampling.max_new_tokens
            prompts = [self._ids_of_text("\n".join(row))[-room:] for row in rows]  # it goes on from a text's end
        return [Order(tuple(prompt), sampling, self._own_form) for prompt in prompts]

    def condensing(
        self, rows: Sequence[tuple[str, ...]]
    ) -> Generator[list[Order], list[str], list[Order]]:
        """The orders of rows, as `of_rows`, where long ones are read in pieces: yields orders of pieces and is to be
        sent their texts, in their order, until what they say fits; the orders of the rows are its value.

        Raises DataRefusal where what surrounds a text leaves no room for it.
        """
        rows = list(rows)
        for _ in range(_ROUNDS):
            pieces_of_row = self._pieces(rows)
            if not pieces_of_row:
                return self.of_rows(rows)
            parts = [(row, around, piece) for row, (around, pieces) in pieces_of_row.items() for piece in pieces]
            said = yield self.of_rows([around.around(piece) for _, around, piece in parts])
            told: dict[int, list[str]] = {row: [] for row in pieces_of_row}
            for (row, _, _), text in zip(parts, said, strict=True):
                told[row].append(text.strip())
            for row, (around, _) in pieces_of_row.items():
                rows[row] = around.around("\n".join(filter(None, told[row])))
        raise DataRefusal("The summaries of pieces do not get short enough to be read together.", where="encode.long",
                          remedy="Raise encode.max_length, or lower max_new_tokens of evaluate.writing.")

    def _pieces(self, rows: Sequence[tuple[str, ...]]) -> dict[int, tuple[Around, list[str]]]:
        """Of each row that is too long to be read whole, its text and the pieces of that; none but for `chunks`."""
        encoder = self._encoder
        if not isinstance(encoder, TurnEncoder) or encoder.long != "chunks":
            return {}
        most, found = encoder.most_before_answers, {}

        def fits(around: Around, piece: str) -> bool:
            return bool(encoder.measure_prompts([around.around(piece)])[0] <= most)

        with self._encoding:
            for row in np.flatnonzero(encoder.measure_prompts(rows) > most).tolist():
                around = find_long_text(rows[row], encoder.prompts, encoder.inputs, system=encoder.system)
                pieces = pieces_of(around.text, partial(fits, around), overlap=encoder.overlap)
                found[row] = (around, pieces)
        return found

    def of_turns(self, turns: Sequence[Turn], wanted: Wanted) -> Order:
        """A conversation, whole: nothing is cut. Raises TooLong, DataRefusal, RecipeRefusal."""
        assert isinstance(self._encoder, TurnEncoder)
        whole = replace(self._encoder, max_length=_UNCUT, room=0)
        with self._encoding:
            (prompt,) = whole.before_answers([self._encoder.turns_of(turns)])
        return self._order(prompt, wanted, self.writing, default_tokens=self.writing.sampling.max_new_tokens)

    def of_text(self, text: str, wanted: Wanted) -> Order:
        """A text as it stands, to be continued; of an encoder-decoder, its source. Raises as `of_turns`."""
        plain = Writing(Sampling())
        return self._order(self._ids_of_text(text), wanted, plain, default_tokens=16)  # as OpenAI's API has it

    def _ids_of_text(self, text: str) -> list[int]:
        with self._encoding:
            if isinstance(self._encoder, BlockEncoder):
                return self._encoder.encode([(text,)]).tokens_n.tolist()
            if self._encoder.template is None:
                return replace(self._encoder, max_length=_UNCUT).before_answers([(Turn(text, "user"),)])[0]
            return list(self.tokenizer(text, verbose=False)["input_ids"])

    def _order(self, prompt: Sequence[int], wanted: Wanted, usual: Writing, *, default_tokens: int) -> Order:
        limit = self._encoder.max_length
        left = limit - (0 if self._lm.config.is_encoder_decoder else len(prompt))
        if len(prompt) > limit or left < 1:
            raise TooLong(f"This is {len(prompt):,} tokens, and the model takes {limit:,}, its answer included.",
                          remedy="Send less text, or leave out the oldest turns.")  # fmt: skip
        if wanted.max_tokens is not None and wanted.max_tokens > left:
            raise TooLong(
                f"This is {len(prompt):,} tokens, which leaves room for {left:,} of the {limit:,} that the model "
                f"takes; {wanted.max_tokens:,} are asked for.", remedy="Send less text, or ask for a shorter answer.",
            )  # fmt: skip
        tokens = wanted.max_tokens or min(default_tokens, left)
        if wanted.schema is not None:
            constraint: Constraint | None = self._form(wanted.schema)
        else:
            constraint = self._own_form if usual.schema is not None or usual.labels else None
        sampling = _chosen(wanted, usual.sampling, tokens=tokens, held=constraint is not None)
        refuse_impossible(self._lm, prompt, sampling=sampling, constraint=constraint, ends=self.ends)
        return Order(tuple(prompt), sampling, constraint)

    def _form(self, schema: Mapping[str, Any]) -> JsonOf:
        key = json.dumps(schema)
        with self._encoding:
            if key not in self._forms:
                form = JsonOf(dict(schema), self._token_bytes)
                if len(self._forms) == _FORMS_KEPT:
                    del self._forms[next(iter(self._forms))]
                self._forms[key] = form
            return self._forms[key]

    @cached_property
    def _own_form(self) -> Constraint | None:
        with self._encoding:
            return self.writing.constraint(self.tokenizer)

    @cached_property
    def _token_bytes(self) -> TokenBytes:
        return TokenBytes(self.tokenizer)


def _usual_tokens(encoder: TurnEncoder | BlockEncoder) -> int:
    """Tokens of an answer where nothing says otherwise: the room that training left, or a part of what is read."""
    room = encoder.room if isinstance(encoder, TurnEncoder) else 0
    return room or min(_CONTINUED_TOKENS, max(encoder.max_length // 2, 1))


def _chosen(wanted: Wanted, usual: Sampling, *, tokens: int, held: bool) -> Sampling:
    """How tokens are chosen: as the request says, else as the model does, `held` to a form without stops of its own.

    A request with a temperature or top_p says all of it, and one for another seed draws by the model's own.
    """
    stop = wanted.stop or (() if held else usual.stop)
    if not wanted.chooses:
        seed = usual.seed if wanted.seed is None else wanted.seed
        return replace(usual, max_new_tokens=tokens, stop=stop, seed=seed)
    temperature = (0.0 if wanted.top_p in (None, 1.0) else 1.0) if wanted.temperature is None else wanted.temperature
    top_p = 1.0 if wanted.top_p is None or temperature == 0 else wanted.top_p  # the likeliest is in every nucleus
    seed = secrets.randbits(63) if wanted.seed is None else wanted.seed
    return Sampling(max_new_tokens=tokens, temperature=temperature, top_p=top_p, stop=stop, seed=seed)
