"""Each change does what its docstring says, to the trunk, the tokenizer and the head; what it cannot do is refused."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from tests.tiny_generators import tiny_lm

from tunewright.model.adaptations import (
    ADAPTATIONS,
    AttentionPooling,
    DropLayers,
    Dropout,
    FeedForward,
    HiddenLayer,
    InsertLayers,
    Site,
    Tokens,
    word_tables,
)
from tunewright.model.bases import Base
from tunewright.model.build import build_model, skeleton_of
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.predict import forward_rows, pooled_rows
from tunewright.model.stacks import stacks_of
from tunewright.model.weights import load_model, save_model
from tunewright.recipe.errors import RecipeRefusal

ROWS = [[2, 11, 40, 77, 5, 3], [2, 12, 3], [2, 150, 9, 3]]


def adapted(base: Base, *adaptations, kind: str = "classification", **options):
    description = describe(base)
    options.setdefault("pooling", description.pooling)
    return build_model(
        base, description, kind=kind, outputs=3 if kind != "summarisation" else 200, seed=5, adaptations=adaptations,
        **options,
    ).eval()  # fmt: skip


def spare(base: Base) -> int:
    """Words that the tokenizer knows; tables of tiny bases have rows to spare."""
    return len(load_tokenizer(base.folder))


# ------------------------------------------------------------------------------------------------ layers


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (DropLayers(keep="every_second"), [1]),
        (DropLayers(keep=(0, 2)), [0, 2]),
        (DropLayers(drop=(0,)), [1, 2]),
        (DropLayers(last=2), [0]),
    ],
    ids=str,
)
def test_the_layers_named_are_those_that_stay(tiny_base, change, kept):
    base = tiny_base("bert")
    whole, left = adapted(base), adapted(base, change)
    for layer, source in zip(left.trunk.encoder.layer, kept, strict=True):
        for a, b in zip(layer.parameters(), whole.trunk.encoder.layer[source].parameters(), strict=True):
            assert torch.equal(a, b)
    assert left.trunk.config.num_hidden_layers == len(kept)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (DropLayers(keep=()), "No layer is named"),
        (DropLayers(drop=(0, 1, 2)), "0 would be left"),
        (DropLayers(keep=(0, 1, 2)), "3 would be left"),
        (DropLayers(last=3), "0 would be left"),
        (DropLayers(last=0), "3 would be left"),
        (DropLayers(drop=(3,)), "no layer 3; layers are numbered 0 to 2"),
        (InsertLayers(after=(-1,)), "no layer -1"),
        (DropLayers(last=1, half="decoder"), "no decoder beside"),
        (FeedForward(units=64), "have 64 units already"),
        (AttentionPooling(heads=5), "no 5 equal parts"),
        (Dropout(attention=0.1), None),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_without_weights(tiny_base, change, says):
    if says is None:
        skeleton_of(tiny_base("bert"), "classification", [change])
        with pytest.raises(RecipeRefusal, match="no dropout of its own for attention"):
            skeleton_of(tiny_base("t5"), "classification", [change])
        return
    with pytest.raises(RecipeRefusal, match=says):
        skeleton_of(tiny_base("bert"), "classification", [change])


def test_options_that_make_no_sense_are_refused():
    for make in (
        lambda: DropLayers(), lambda: DropLayers(last=1, keep=(0,)), lambda: FeedForward(units=0),
        lambda: Tokens(add=()), lambda: Tokens(add=("<a>", "<a>")), lambda: Tokens(add=(" x",)),
        lambda: HiddenLayer(units=0), lambda: AttentionPooling(heads=0), lambda: Dropout(), lambda: Dropout(head=1.0),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="give|must be"):
            make()


@pytest.mark.parametrize("family", ["bert", "distilbert", "llama", "gpt2", "t5"])
def test_a_trunk_without_weights_is_changed_like_one_with(tiny_base, family):
    base = tiny_base(family)
    words = Tokens(add=tuple(f"<{i}>" for i in range(30)))
    last = Dropout(trunk=0.3) if family in ("bert", "t5") else HiddenLayer(units=4)
    changes = [DropLayers(last=1), InsertLayers(after=(0,)), words, FeedForward(units=160), last]
    model, skeleton = adapted(base, *changes), skeleton_of(base, "classification", changes)
    assert skeleton.trunk.device.type == "meta"
    real = {f"trunk.{name}": p.shape for name, p in model.trunk.named_parameters()}
    assert {f"trunk.{name}": p.shape for name, p in skeleton.trunk.named_parameters()} == real
    assert skeleton.new == model.new and model.new.tensors and model.new.rows


def test_inserted_layers_are_new_and_dropped_ones_are_forgotten(tiny_base):
    base = tiny_base("bert")
    model = adapted(base, InsertLayers(after=(0,)))
    assert {name.split(".")[3] for name in model.new.tensors} == {"1"}
    assert len(model.new.tensors) == 16
    assert not adapted(base, InsertLayers(after=(0,)), DropLayers(drop=(1,))).new.tensors
    moved = adapted(base, InsertLayers(after=(2,)), DropLayers(drop=(0,)))
    assert {name.split(".")[3] for name in moved.new.tensors} == {"2"}


def test_narrower_blocks_keep_what_matters_most(tiny_base):
    base = tiny_base("bert")
    importance = [torch.arange(64.0), torch.arange(64.0).flip(0), torch.arange(64.0)]
    whole, left = adapted(base), adapted(base, FeedForward(units=16), importance={0: importance})
    for i, kept in enumerate((slice(48, 64), slice(0, 16), slice(48, 64))):
        old, new = (model.trunk.encoder.layer[i] for model in (whole, left))
        assert torch.equal(new.intermediate.dense.weight, old.intermediate.dense.weight[kept])
        assert torch.equal(new.output.dense.weight, old.output.dense.weight[:, kept])
    with pytest.raises(AssertionError):
        adapted(base, FeedForward(units=16))  # what is not measured is not made up


def test_t5_has_one_width_for_both_halves():
    with pytest.raises(RecipeRefusal, match="one width"):
        FeedForward(units=80, half="encoder").change(copy.deepcopy(tiny_lm("t5")), Site(seed=1, words=200))
    bart = copy.deepcopy(tiny_lm("bart"))
    FeedForward(units=80, half="encoder").change(bart, Site(seed=1, words=200))
    assert [stack.units for stack in stacks_of(bart)] == [80, 64]


# ------------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama", "t5", "bart"])
def test_new_words_begin_at_the_mean_of_the_old_ones_and_nothing_else_changes(tiny_base, encode, family):
    base = tiny_base(family)
    known, count = spare(base), 40
    plain, model = adapted(base), adapted(base, Tokens(add=tuple(f"<{i}>" for i in range(count))))
    old, new = (m.trunk.get_input_embeddings().weight for m in (plain, model))
    assert len(new) == known + count > 200
    assert torch.equal(new[:known], old[:known])
    assert torch.allclose(new[known:], old[:known].mean(0).expand(count, -1), atol=1e-7)
    assert np.abs(forward_rows(model, encode(ROWS)) - forward_rows(plain, encode(ROWS))).max() < 1e-6
    assert set(model.new.rows.values()) == {(known, known + count)}
    assert model.trunk.config.get_text_config().vocab_size == known + count


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bart"])
def test_models_that_write_have_new_words_on_both_sides(tiny_base, family):
    base = tiny_base(family)
    known = spare(base)
    model = adapted(base, Tokens(add=tuple(f"<{i}>" for i in range(40))), kind="summarisation")
    for table in word_tables(model.trunk):
        assert torch.allclose(table.weight[known:], table.weight[:known].mean(0).expand(40, -1), atol=1e-7)
        assert len(table.weight) == known + 40
    tied = family != "llama"
    assert (len({id(table.weight) for table in word_tables(model.trunk)}) == 1) is tied
    assert len(model.new.rows) >= (1 if tied else 2)


def test_a_new_word_is_one_token_wherever_it_is_spelled_and_survives_saving(tiny_base, tmp_path):
    base = tiny_base("bert")
    change = Tokens(add=("<Card-1>", "<pin>"))
    tokenizer = load_tokenizer(base.folder)
    known = len(tokenizer)
    change.teach(tokenizer)
    assert tokenizer("my <Card-1>is <pin>")["input_ids"].count(known) == 1
    assert tokenizer.decode([known, known + 1]) == "<Card-1> <pin>"
    model = adapted(base, change)
    save_model(model, tmp_path / "model", encoder_json={"max_length": 16}, labels=["a", "b", "c"], base=base,
               description=describe(base), tokenizer=tokenizer)  # fmt: skip
    loaded = load_model(tmp_path / "model")
    assert loaded.tokenizer("my <Card-1>is <pin>")["input_ids"] == tokenizer("my <Card-1>is <pin>")["input_ids"]
    with pytest.raises(RecipeRefusal, match="knows '<Card-1>' already"):
        change.teach(tokenizer)


def test_words_may_come_in_several_changes(tiny_base):
    base = tiny_base("bert")
    known = spare(base)
    model = adapted(base, Tokens(add=tuple(f"<{i}>" for i in range(20))), Tokens(add=("<x>",)))
    assert set(model.new.rows.values()) == {(known, known + 21)}
    table = model.trunk.get_input_embeddings().weight
    assert torch.allclose(table[-1], table[: known + 20].mean(0), atol=1e-7)


# -------------------------------------------------------------------------------------------------- head


def test_attention_pooling_begins_as_the_mean_and_then_weighs(tiny_base, encode):
    base, encoded = tiny_base("bert"), encode(ROWS, owner=[0, 0, 1])
    mean = pooled_rows(adapted(base, pooling="mean"), encoded)
    model = adapted(base, AttentionPooling(heads=2))
    assert np.abs(pooled_rows(model, encoded) - mean).max() < 1e-6
    with torch.no_grad():
        model.head.queries_hd.copy_(torch.randn(2, 16, generator=torch.Generator().manual_seed(1)) * 9)
    moved = pooled_rows(model, encoded)
    assert np.abs(moved - mean).max() > 1e-2
    with torch.no_grad():  # by hand, of the row that is one sequence
        vectors_td = model.trunk(input_ids=torch.tensor([ROWS[2]])).last_hidden_state[0]
        scores_th = (vectors_td.view(-1, 2, 16) * model.head.queries_hd).sum(-1) / 4
        by_hand = (scores_th.softmax(0)[:, :, None] * vectors_td.view(-1, 2, 16)).sum(0).flatten()
    assert np.abs(moved[1] - by_hand.numpy()).max() < 1e-5


@pytest.mark.parametrize("activation", ["gelu", "relu", "tanh"])
def test_a_hidden_layer_stands_between_vector_and_answer(tiny_base, encode, activation):
    base, encoded = tiny_base("bert"), encode(ROWS)
    model = adapted(base, HiddenLayer(units=7, activation=activation))
    vectors = torch.from_numpy(pooled_rows(model, encoded))
    hidden = {"gelu": torch.nn.GELU(), "relu": torch.nn.ReLU(), "tanh": torch.nn.Tanh()}[activation]
    stack = torch.nn.Sequential(model.head.hidden, hidden, torch.nn.Linear(7, 3))
    stack[2].load_state_dict({"weight": model.head.weight, "bias": model.head.bias})
    assert np.abs(forward_rows(model, encoded) - stack(vectors).detach().numpy()).max() < 1e-6
    assert float(model.head.hidden.weight.std()) == pytest.approx(32**-0.5, rel=0.15)


@pytest.mark.parametrize("change", [HiddenLayer(units=7), AttentionPooling(heads=2), Dropout(head=0.4)], ids=str)
def test_what_stands_on_the_trunk_is_saved_and_opened(tiny_base, encode, tmp_path, change):
    base, encoded = tiny_base("bert"), encode(ROWS)
    model = adapted(base, change)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(0.3)
    save_model(model, tmp_path / "model", encoder_json={"max_length": 16}, labels=["a", "b", "c"], base=base,
               description=describe(base))  # fmt: skip
    loaded = load_model(tmp_path / "model").model
    assert loaded.shape == model.shape
    assert np.array_equal(forward_rows(loaded, encoded), forward_rows(model, encoded))


def test_dropout_is_that_of_every_module_it_names(tiny_base):
    base = tiny_base("bert")
    model = adapted(base, Dropout(trunk=0.3, attention=0.2, head=0.45))
    assert model.dropout.p == 0.45
    rates = {path: module.p for path, module in model.trunk.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert all(p == (0.2 if path.endswith("self.dropout") else 0.3) for path, p in rates.items()) and len(rates) == 10
    assert adapted(tiny_base("gpt2"), Dropout(trunk=0.3)).trunk.drop.p == 0.3


@pytest.mark.parametrize("kind", ["token_classification", "question_answering"])
def test_pooling_is_refused_where_nothing_is_pooled(kind):
    assert "single tokens" in AttentionPooling().refusal(kind)
    assert HiddenLayer(units=3).refusal(kind) is None


def test_heads_are_refused_where_there_is_none():
    for change in (AttentionPooling(), HiddenLayer(units=3), Dropout(head=0.1)):
        assert "no new head" in change.refusal("generation")
    assert Dropout(trunk=0.1).refusal("generation") is None


@pytest.mark.parametrize("name", ADAPTATIONS)
def test_every_change_is_frozen_documented_and_says_whether_features_stay(name):
    cls = ADAPTATIONS[name]
    assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen
    for option in dataclasses.fields(cls):
        assert f"`{option.name}`" in cls.__doc__, option.name
    assert isinstance(cls.features_fixed, bool)
