"""Which encoder a recipe gets, by its kind of task and the family of its base."""

from __future__ import annotations

import pytest
from tests.tiny_bases import make_tiny_base

from tunewright.data.blocks import BlockEncoder
from tunewright.data.encode import Encoder
from tunewright.data.turns import TurnEncoder
from tunewright.model.bases import find_base
from tunewright.model.describe import describe, load_tokenizer
from tunewright.pipeline.encoders import build_encoder
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.schema import Encode, Recipe

COLUMNS = {
    "classification": {"input": "a", "output": "b"}, "token_classification": {"input": "a", "output": "b"},
    "question_answering": {"input": ("a", "c"), "output": "b"}, "generation": {"input": "a", "output": "b"},
    "pretraining": {"input": "a"},
}  # fmt: skip


@pytest.fixture
def built(tmp_path):
    def build(kind, family, *, join=None, room=0, **encode):
        base = find_base(str(make_tiny_base(tmp_path / family, family)), root=tmp_path)
        task = {"kind": kind, **COLUMNS[kind]}
        recipe = Recipe.model_validate({"name": "r", "task": task, "base": "b", "data": {"train": "t.csv"}})
        return build_encoder(
            recipe, Encode(max_length=32, **encode), join=join, tokenizer=load_tokenizer(base.folder),
            description=describe(base), root=tmp_path, room=room,
        )  # fmt: skip

    return build


def test_a_decoder_that_writes_has_a_template_and_an_encoder_decoder_a_start(built):
    decoder = built("generation", "llama", chat_template="plain", room=7)
    assert isinstance(decoder, TurnEncoder) and decoder.template is not None and decoder.start is None
    assert decoder.room == 7 and decoder.max_length == 32
    halves = built("generation", "t5")
    assert isinstance(halves, TurnEncoder) and halves.template is None and halves.start == 0


def test_a_decoder_without_a_template_is_refused_until_the_recipe_names_one(built):
    with pytest.raises(RecipeRefusal, match="no chat template"):
        built("generation", "llama")
    with pytest.raises(RecipeRefusal, match="instruction"):
        built("generation", "llama", chat_template="instructoin")


def test_conversations_are_not_read_in_windows(built):
    with pytest.raises(RecipeRefusal, match="windows"):
        built("generation", "llama", chat_template="plain", long={"kind": "windows", "overlap": 4})


def test_plain_text_is_cut_into_blocks(built):
    encoder = built("pretraining", "llama")
    assert isinstance(encoder, BlockEncoder) and encoder.max_length == 32


@pytest.mark.parametrize(
    ("kind", "join", "located"),
    [("classification", None, None), ("token_classification", None, 0), ("question_answering", "pair", 1)],
)
def test_answers_that_are_parts_of_a_text_know_which(built, kind, join, located):
    encoder = built(kind, "bert", join=join)
    assert isinstance(encoder, Encoder) and encoder.located == located
