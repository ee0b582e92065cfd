"""The encoder that a recipe asks for. Knows recipes and tokenizers; must not know rows or weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunewright.data.apart import ApartEncoder
from tunewright.data.blocks import BlockEncoder
from tunewright.data.chat_template import find_template
from tunewright.data.encode import Encoder
from tunewright.data.encoders import AnyEncoder
from tunewright.data.turns import TurnEncoder
from tunewright.model.describe import Description
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.schema import Encode, Recipe
from tunewright.recipe.tasks import KINDS

_LOCATED = {"token_classification": 0, "question_answering": 1}  # the text that answers are parts of


def build_encoder(
    recipe: Recipe, encode: Encode, *, join: Any, tokenizer: Any, description: Description, root: Path, room: int = 0
) -> AnyEncoder:
    """The encoder that `recipe` asks for, with the lengths of `encode`. Raises RecipeRefusal for what does not fit.

    `room` is how many tokens an answer that is written may take.
    """
    assert encode.max_length is not None
    answers, inputs = KINDS[recipe.task.kind].answers, recipe.task.inputs
    if answers == "nothing":
        return BlockEncoder(max_length=encode.max_length, inputs=inputs, tokenizer=tokenizer)
    if KINDS[recipe.task.kind].compares:
        return ApartEncoder(max_length=encode.max_length, long=encode.long or "truncate", overlap=encode.overlap or 0,
                            inputs=inputs, tokenizer=tokenizer)  # fmt: skip
    if answers == "texts":
        if encode.long == "windows":
            raise RecipeRefusal("A conversation cannot be read in windows.", where="encode.long",
                                remedy="Choose refuse or truncate.")
        decoder = description.family == "decoder"
        return TurnEncoder(
            max_length=encode.max_length, long="truncate" if encode.long == "truncate" else "refuse",
            template=find_template(encode.chat_template, tokenizer, root=root) if decoder else None,
            start=description.decoder_start, inputs=inputs, prompts=recipe.task.prompts or (),
            system=recipe.task.system or "", room=room, tokenizer=tokenizer,
        )  # fmt: skip
    return Encoder(
        max_length=encode.max_length, long=encode.long or "truncate", overlap=encode.overlap or 0, join=join,
        inputs=inputs, tokenizer=tokenizer, located=_LOCATED.get(recipe.task.kind),
    )  # fmt: skip
