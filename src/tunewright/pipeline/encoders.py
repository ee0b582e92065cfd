"""The encoder that a recipe asks for. Knows recipes and tokenizers; must not know rows or weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tunewright.data.apart import ApartEncoder
from tunewright.data.blocks import BlockEncoder
from tunewright.data.chat_template import find_template
from tunewright.data.chunks import find_long_text
from tunewright.data.encode import Encoder
from tunewright.data.encoders import AnyEncoder
from tunewright.data.long import Chunks
from tunewright.data.masked import MaskedEncoder
from tunewright.data.turns import TurnEncoder
from tunewright.model.describe import Description
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.schema import Encode, Recipe
from tunewright.recipe.tasks import KINDS
from tunewright.train.assemble import VOCABULARY
from tunewright.train.objectives.masked import Masked

Policy = Literal["truncate", "windows", "refuse", "chunks"]
_LOCATED = {"token_classification": 0, "question_answering": 1}  # the text that answers are parts of


def build_encoder(
    recipe: Recipe, encode: Encode, *, join: Any, tokenizer: Any, description: Description, root: Path, room: int = 0
) -> AnyEncoder:
    """The encoder that `recipe` asks for, with the lengths of `encode`. Raises RecipeRefusal for what does not fit.

    `room` is how many tokens an answer that is written may take.
    """
    assert encode.max_length is not None
    answers, inputs = KINDS[recipe.task.kind].answers, recipe.task.inputs
    long, overlap = _policy(encode)
    _refuse_pieces(recipe, encode, long, room)
    if answers == "nothing":
        if encode.long is not None and (long, overlap) != ("windows", 0):
            raise RecipeRefusal("Texts without answers are joined and cut into blocks, so none is too long.",
                                where="encode.long", remedy="Leave it out.")
        masked = masks_of(recipe, description)
        if masked is None:
            return BlockEncoder(max_length=encode.max_length, inputs=inputs, tokenizer=tokenizer)
        return MaskedEncoder(encode.max_length, inputs, masked.share, masked.whole_words, recipe.seed, tokenizer)
    if KINDS[recipe.task.kind].compares:
        return ApartEncoder(max_length=encode.max_length, long=long, overlap=overlap, inputs=inputs,
                            tokenizer=tokenizer)  # fmt: skip
    if answers == "texts":
        if long == "windows":
            raise RecipeRefusal("A conversation cannot be read in windows.", where="encode.long",
                                remedy="Choose refuse, drop or truncate; of a summarisation also chunks.")
        decoder = description.family == "decoder"
        return TurnEncoder(
            max_length=encode.max_length, long=long,
            template=find_template(encode.chat_template, tokenizer, root=root) if decoder else None,
            start=description.decoder_start, inputs=inputs, overlap=overlap,
            prompts=(*(recipe.task.prompts or ()), *(recipe.task.unseen_prompts or ())),
            system=recipe.task.system or "", room=room, tokenizer=tokenizer,
        )  # fmt: skip
    return Encoder(
        max_length=encode.max_length, long=long, overlap=overlap, join=join, inputs=inputs, tokenizer=tokenizer,
        located=_LOCATED.get(recipe.task.kind),
    )  # fmt: skip


def masks_of(recipe: Recipe, description: Description) -> Masked | None:
    """How words are hidden from an encoder that learns from plain text; None of a decoder, from which none are.

    Raises RecipeRefusal where a phase learns otherwise than its base can, or two phases hide words differently.
    """
    encoder, found = description.family == "encoder", set[Masked]()
    for index, phase in enumerate(recipe.phases):
        for chosen in phase.objective or ():
            if (chosen.kind == "masked") != encoder:
                why = ("an encoder reads from both sides, so it sees what it would be asked for" if encoder
                       else "a decoder reads from one side, and has no token for what is hidden")
                raise RecipeRefusal(
                    f"The objective {chosen.kind!r} does not fit the base {description.name!r}: {why}.",
                    where=f"phases.{index}.objective", remedy="Leave the objective out.",
                )  # fmt: skip
            if encoder:
                found.add(VOCABULARY.build("objective", chosen, where=f"phases.{index}.objective"))
    if len(found) > 1:
        raise RecipeRefusal("The phases hide words in different ways, and what judges is hidden in one.",
                            where="phases", remedy="Give the objective masked the same options in all phases.")
    return (found.pop() if found else Masked()) if encoder else None


def _refuse_pieces(recipe: Recipe, encode: Encode, long: Policy, room: int) -> None:
    """Raises RecipeRefusal where pieces make no sense, or would have summaries too long to ever fit."""
    if long != "chunks":
        return
    if recipe.task.kind != "summarisation":
        raise RecipeRefusal(f"A {recipe.task.kind} cannot be put together from what is said of pieces.",
                            where="encode.long", remedy="Choose refuse, drop or truncate.")
    if 3 * room > (encode.max_length or 0):
        raise RecipeRefusal(
            f"Summaries of up to {room} tokens of pieces of at most {encode.max_length} would not get short enough.",
            where="encode.long", remedy="Set max_new_tokens of evaluate.writing to a third of encode.max_length or "
            "less.",
        )  # fmt: skip


def refuse_narrow_pieces(encoder: TurnEncoder, inputs: Sequence[tuple[str, ...]]) -> None:
    """Raises RecipeRefusal where what stands around a text that is read in pieces leaves too little room for these.

    A piece must hold three times what a summary of it may take, so that each round of summaries is shorter.
    """
    most = encoder.most_before_answers
    for row in np.flatnonzero(encoder.measure_prompts(inputs) > most).tolist():
        around = find_long_text(inputs[row], encoder.prompts, encoder.inputs, system=encoder.system)
        left = most - int(encoder.measure_prompts([around.around("")])[0])
        if left < 3 * encoder.room:
            raise RecipeRefusal(
                f"A piece of a long text may have {max(left, 0)} tokens, and its summary {encoder.room}: summaries "
                "would not get short enough.", where="encode.long",
                remedy="Set max_new_tokens of evaluate.writing to a third of a piece or less, or raise "
                "encode.max_length.",
            )  # fmt: skip


def _policy(encode: Encode) -> tuple[Policy, int]:
    """What an encoder does with long texts, and how many tokens its windows share.

    Where rows are dropped, none that is too long gets as far as the encoder unless it is asked about in serving.
    """
    assert encode.max_length is not None
    if encode.long is None:
        return "truncate", 0
    if encode.long.kind == "chunks":
        return "chunks", int(encode.long.options.get("overlap", Chunks.overlap))
    overlap = int(encode.long.options.get("overlap") or 0)
    if 2 * overlap >= encode.max_length:
        raise RecipeRefusal(f"Windows of {encode.max_length} tokens cannot share {overlap}.", where="encode.long",
                            remedy="Set its overlap below half of encode.max_length.")
    policies: dict[str, Policy] = {"truncate": "truncate", "windows": "windows"}
    return policies.get(encode.long.kind, "refuse"), overlap
