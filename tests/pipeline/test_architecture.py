"""What check says of a model's architecture is what the model is, and what LoRA adds is what peft adds."""

from __future__ import annotations

import re

import pytest
from tests.tiny_bases import make_tiny_base
from transformers import BertConfig, BertModel

from tunewright.pipeline.architecture import describe_architecture, outline
from tunewright.pipeline.check import check
from tunewright.pipeline.fit import rebuild


def test_without_changes_there_is_one_sentence(tiny_plan):
    plan = tiny_plan()
    said = describe_architecture(plan)
    model = rebuild(plan, {}, phases=0)
    assert said.says == outline(model.trunk, model.head) and said.details == ()
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in said.says
    assert said.says.startswith("3 layers, feed-forward 64 wide; 200 words; dropout 0.1; head 32 → 3;")


def test_each_change_is_a_line_with_what_it_changed(tiny_plan):
    plan = tiny_plan(
        "adapt=[{kind: drop_layers, last: 1}, {kind: insert_layers, after: [0]}, {kind: feed_forward, units: 24},"
        " {kind: tokens, add: ['<x>']}, {kind: head, units: 6}, {kind: attention_pooling, heads: 2},"
        " {kind: dropout, trunk: 0.3, attention: 0.3}]"
    )
    said = describe_architecture(plan)
    lines = dict(line.split(": ", 1) for line in said.details[1:-1])
    assert [*lines][:2] == ["drop_layers (last 1)", "insert_layers (after 0)"]
    assert "2 layers, feed-forward 64 wide instead of 3 layers, feed-forward 64 wide" in lines["drop_layers (last 1)"]
    assert "feed-forward 24 wide instead of 3 layers, feed-forward 64 wide" in lines["feed_forward (units 24)"]
    assert "head 32 → gelu → 6 → 3 instead of head 32 → 3" in lines["head (units 6)"]
    assert "pooled by attention with 2 queries" in lines["attention_pooling (heads 2)"]
    assert lines["dropout (trunk 0.3, attention 0.3)"] == "dropout 0.3 instead of dropout 0.1"
    assert "no layer and no parameter" in lines["tokens (add <x>)"]  # the tiny table has rows to spare
    model = rebuild(plan, {}, phases=0)
    assert said.says == outline(model.trunk, model.head)
    steps = re.findall(r"([\d,]+) parameters instead of ([\d,]+) parameters", "\n".join(said.details))
    assert [before for _, before in steps[1:]] == [after for after, _ in steps[:-1]]
    assert steps[-1][0] == f"{sum(p.numel() for p in model.parameters()):,}"
    new = sum(p.numel() for n, p in model.trunk.named_parameters(prefix="trunk") if n in model.new.tensors) + 32
    assert said.details[-1] == f"no base has trained {new:,} of the trunk's parameters"


@pytest.mark.parametrize("targets", ["linear", "attention", "'query, output.dense'"])
def test_what_lora_adds_is_counted_as_peft_adds_it(tiny_plan, targets):
    plan = tiny_plan(f"phases.0.trainable={{kind: lora, rank: 8, targets: {targets}}}",
                     "adapt=[{kind: insert_layers, after: [1]}]")  # fmt: skip
    details = describe_architecture(plan).details
    model = rebuild(plan, {}, phases=1)
    added = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
    layers = sum("lora_A" in name for name, _ in model.named_parameters())
    assert details[-1] == f"lora: {added:,} parameters in all beside {layers} layers"
    if targets == "linear":
        assert "lora: a 64x32 layer at rank 8 adds 8x32 + 64x8 = 768 parameters, and there are 3" in details


def test_a_512_by_64_layer_at_rank_8_adds_4608_parameters(tiny_plan, tmp_path):
    base = make_tiny_base(tmp_path / "base", "bert")
    BertModel(BertConfig.from_pretrained(base, hidden_size=64, intermediate_size=512)).save_pretrained(base)
    details = describe_architecture(tiny_plan("phases.0.trainable={kind: lora, rank: 8}")).details
    assert "lora: a 512x64 layer at rank 8 adds 8x64 + 512x8 = 4,608 parameters, and there are 3" in details


def test_check_prints_it(tiny_task, tmp_path):
    recipe = tiny_task(tmp_path, extra="adapt: [{kind: drop_layers, keep: every_second}]\n")
    lines = {line.title: line for line in check(recipe).lines}
    assert lines["base"].says.startswith("base: encoder, 3 layers")
    assert lines["architecture"].says.startswith("1 layer, ") and lines["architecture"].details[0].startswith("before:")
