"""Which model a base becomes, by the kind of task."""

from __future__ import annotations

import pytest
import torch
from tests import tiny_bases

from tunewright.model.bases import find_base
from tunewright.model.build import build_model, writes_text
from tunewright.model.describe import describe
from tunewright.model.heads import TaskModel
from tunewright.model.text import TextModel
from tunewright.recipe.tasks import KINDS

WRITING = ("generation", "summarisation", "translation", "pretraining")


def build(base, kind, *, outputs=4, **options):
    return build_model(base, describe(base), kind=kind, outputs=outputs, pooling="mean", seed=1, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_that_are_answered_token_by_token_keep_the_bases_output_layer(tiny_base, kind):
    assert writes_text(kind) is (kind in WRITING)
    model = build(tiny_base("gpt2"), kind, outputs=1 if kind == "regression" else 4)
    assert isinstance(model, TextModel) is (kind in WRITING) and model.shape.kind == kind
    assert (model.trunk.get_output_embeddings() is not None) is (kind in WRITING)
    if kind in WRITING:
        assert model.shape.dropout == 0 and not any(name.startswith("head.") for name, _ in model.named_parameters())
        assert type(model.trunk).__name__ == "GPT2LMHeadModel"


@pytest.mark.parametrize(("kind", "outputs"), [("token_classification", 5), ("question_answering", 2)])
def test_kinds_that_answer_at_tokens_have_a_head_of_their_own(tiny_base, kind, outputs):
    model = build(tiny_base("bert"), kind, outputs=outputs)
    assert isinstance(model, TaskModel) and model.head.weight.shape == (outputs, 32) and model.shape.takes_types


def test_a_whole_encoder_decoder_writes_and_its_encoder_alone_answers(tiny_base):
    assert type(build(tiny_base("t5"), "generation").trunk).__name__ == "T5ForConditionalGeneration"
    assert type(build(tiny_base("bart"), "generation").trunk).__name__ == "BartForConditionalGeneration"
    assert type(build(tiny_base("t5"), "classification").trunk).__name__ == "T5EncoderModel"


def test_the_trunk_computes_in_the_type_asked_for_and_the_head_in_float32(tiny_base):
    model = build(tiny_base("bert"), "classification", dtype=torch.bfloat16)
    assert model.trunk.dtype == torch.bfloat16 and model.head.weight.dtype == torch.float32
    assert build(tiny_base("gpt2"), "generation", dtype=torch.bfloat16).trunk.dtype == torch.bfloat16


def test_building_does_not_depend_on_chance_and_does_not_use_it_up(tmp_path):
    base = find_base(str(tiny_bases.make_tiny_base(tmp_path / "base", "gpt2")), root=tmp_path)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one = build(base, "generation")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    other = build(base, "generation")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_head_depends_on_the_seed_alone(tiny_base):
    description = describe(tiny_base("bert"))
    torch.manual_seed(1)
    options = {"kind": "multi_label", "outputs": 4, "pooling": "mean"}
    first, again, other = (
        build_model(tiny_base("bert"), description, seed=seed, **options).head.weight for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert 0.01 < float(first.detach().std()) < 0.03
