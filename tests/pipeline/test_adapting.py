"""Changes that a recipe asks for: refused before anything is loaded, measured on rows, trained and proven in a run."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests import tiny_tasks as tiny

from tunewright.model.stacks import stacks_of
from tunewright.model.trainable import select
from tunewright.pipeline.adapting import from_tensors, to_tensors
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.fit import rebuild
from tunewright.pipeline.plan import make_plan, read_recipe
from tunewright.pipeline.run import run
from tunewright.recipe.errors import Refusal
from tunewright.serve.predictor import Predictor

JOINED = {"encoder": "base", "decoder": "base"}
SUMMARIES = ("task.kind=summarisation", f"base={json.dumps(JOINED)}", "evaluate.baselines=[untouched]",
             "encode.long=truncate", "compute.threads=1")  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["adapt=[{kind: drop_layer}]"], "There is no adaptation called 'drop_layer'. Did you mean 'drop_layers'"),
        (["adapt=[{kind: drop_layers, keeps: [0]}]"], "has no option 'keeps'. Did you mean 'keep'"),
        (["adapt=[{kind: drop_layers, keep: all}]"], "Option 'keep' of 'drop_layers' cannot be 'all'"),
        (["adapt=[{kind: drop_layers, last: 3}]"], "Of 3 layers 0 would be left"),
        (["adapt=[tokens]"], "'tokens' needs the option 'add'"),
        (["adapt=[{kind: tokens, add: [card]}]"], "knows 'card' already"),
        (["adapt=[{kind: head, units: 4}, {kind: head, units: 5}]"], "head is there twice"),
        (["adapt=[{kind: head, units: 4, weight: 2}]"], "A weight makes no sense for an adaptation"),
        (["adapt=[attention_pooling]", "encode.pooling=cls"], "encode.pooling asks for another pooling"),
        (["adapt=[{kind: feed_forward, units: 80}]", "phases.0.trainable=head"], "would never say anything"),
        (["adapt=[{kind: feed_forward, units: 80}]", "phases.0.trainable=biases"], "would never say anything"),
        (["adapt=[{kind: feed_forward, units: 80}]", "phases.0.trainable={kind: lora, targets: attention}"],
         "would never say anything"),
        ([f"base={json.dumps(JOINED)}"], "reads and does not write"),
        (["adapt=[quantized]"], "has no gradient, so 'everything' cannot train it"),
        (["adapt=[quantized]", "phases.0.trainable=last_layers"], "so 'last_layers' cannot train it"),
        (["adapt=[quantized, {kind: insert_layers, after: [0]}]", "phases.0.trainable=lora"],
         "let quantized come last"),
        (["adapt=[{kind: quantized, form: int8, scales: packed}]"], "one scale a row"),
        ([*SUMMARIES, "adapt=[{kind: head, units: 4}]"], "has no new head"),
        (["base={encoder: base}"], "an encoder and a decoder"),
    ],
    ids=str,
)
def test_what_cannot_be_changed_so_is_refused_with_its_place(tiny_plan, overrides, says):
    with pytest.raises(Refusal) as caught:
        tiny_plan(*overrides)
    assert says in caught.value.what and "--set" in caught.value.where


def test_a_line_of_the_file_is_named(tmp_path):
    changes = "adapt:\n  - {kind: drop_layers, last: 1}\n  - {kind: drop_layers, last: 2}\n"
    recipe = tiny.write_task(tmp_path, extra=changes)
    with pytest.raises(Refusal, match=r"recipe\.yaml:9") as caught:
        make_plan(read_recipe(recipe))
    assert "Of 2 layers 0 would be left" in caught.value.what


def test_what_is_planned_is_the_changed_base(tiny_plan):
    plain, plan = tiny_plan(), tiny_plan("adapt=[{kind: drop_layers, keep: every_second}]")
    assert (plain.description.layers, plan.description.layers) == (3, 1)
    model = rebuild(plan, {}, phases=0)
    assert plan.description.trunk_parameters == sum(p.numel() for p in model.trunk.parameters())
    assert plan.id != plain.id
    assert plan.untouched.adaptations == () and plain.untouched is plain


def test_cached_vectors_are_those_of_the_changed_trunk_and_only_where_they_stay(tiny_plan):
    def vectors(*overrides: str) -> np.ndarray:
        plan = tiny_plan("phases.0.trainable=head", *overrides)
        return BaseFeatures(plan, lambda: rebuild(plan, {}, phases=0)).split("test")

    dropped = "adapt=[{kind: drop_layers, last: 1}]"
    assert np.abs(vectors() - vectors(dropped)).max() > 1e-3
    assert tiny_plan("phases.0.trainable=head", dropped).caches(0)
    for change in ("{kind: insert_layers, after: [0]}", "attention_pooling", "{kind: tokens, add: ['<x>']}"):
        plan = tiny_plan("phases.0.trainable=head", f"adapt=[{change}]", "phases.0.budget=null")
        assert not plan.caches(0)
        assert "computed once" not in plan.reasons["phases.0.budget"]


@pytest.mark.parametrize("trainable", ["head", "lora", "biases", "{kind: last_layers, layers: 1}", "everything"])
def test_what_is_new_trains_with_every_choice_of_what_trains(tiny_plan, trainable):
    plan = tiny_plan("adapt=[{kind: insert_layers, after: [0]}]", f"phases.0.trainable={trainable}")
    model = rebuild(plan, {}, phases=1)
    assert model.new.tensors and model.new.tensors <= set(select(model, plan.phases[0].trainable.filter()))
    assert not any("lora_" in name and ".layer.1." in name for name, _ in model.named_parameters())


def test_units_are_measured_by_what_they_say_and_who_hears_them(tiny_plan):
    plan = tiny_plan("adapt=[{kind: feed_forward, units: 24}]")
    scores = plan.importance[0]
    assert [len(score) for score in scores] == [64] * 3
    plain = rebuild(plan.untouched, {}, phases=0).eval()
    layer, seen = plain.trunk.encoder.layer[0], []
    hook = layer.output.dense.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        for row in range(plan.encoded["train"].rows):
            start, stop = plan.encoded["train"].starts_s[row : row + 2]
            ids = torch.from_numpy(plan.encoded["train"].tokens_n[start:stop].astype(np.int64))[None]
            plain.trunk(input_ids=ids)
    hook.remove()
    mean_u = torch.cat([units[0] for units in seen]).abs().mean(0)
    by_hand = mean_u * layer.output.dense.weight.norm(dim=0)
    assert torch.allclose(scores[0], by_hand, rtol=1e-4)
    model = rebuild(plan, {}, phases=0)
    kept = by_hand.topk(24).indices.sort().values
    assert torch.equal(model.trunk.encoder.layer[0].intermediate.dense.weight, layer.intermediate.dense.weight[kept])
    assert {k: [torch.equal(a, b) for a, b in zip(v, scores, strict=True)] for k, v in
            from_tensors(to_tensors(plan.importance)).items()} == {0: [True] * 3}  # fmt: skip


def test_nothing_is_measured_where_nothing_goes(tiny_plan):
    plan = tiny_plan("adapt=[{kind: feed_forward, units: 80}, {kind: drop_layers, last: 1}]")
    assert plan.importance == {} and rebuild(plan, {}, phases=0).trunk.config.intermediate_size == 80


CHANGES = ("adapt=[{kind: drop_layers, last: 1}, {kind: insert_layers, after: [0]}, {kind: tokens, add: [arrived, "
           "'<x>']}, {kind: feed_forward, units: 24}, {kind: head, units: 6}, attention_pooling]")  # fmt: skip


@pytest.mark.parametrize("trainable", ["everything", "lora"])
def test_a_changed_model_is_trained_saved_proven_and_answers_alone(tmp_path, trainable):
    recipe = tiny.write_task(tmp_path)
    result = run(recipe, overrides=[CHANGES.replace("arrived", "'<y>'"), f"phases.0.trainable={trainable}",
                                    "compute.threads=1"])  # fmt: skip
    effect, parity = (json.loads((result.folder / f"{name}.json").read_text()) for name in ("effect", "parity"))
    assert effect["changed"] and effect["frozen_identical"], effect
    (option,) = [option for option in effect["options"] if option["option"] == "adapt"]
    assert option["expected"] == option["seen"] and "feed-forward 24 wide" in option["seen"]
    assert parity["same_token_ids"] and parity["reloaded"]["holds"] and parity["served"]["holds"]
    predictor = Predictor.load(result.folder / "model", dtype="float32")
    (stack,) = stacks_of(predictor.model.trunk)
    assert (len(stack.layers), stack.units) == (3, 24)
    text = "my card has not arrived"
    (said,) = predictor.predict([text])
    alone = subprocess.run([sys.executable, str(result.folder / "model" / "load_model.py"), text],
                           capture_output=True, text=True, check=True)  # fmt: skip
    for label, probability in json.loads(alone.stdout).items():
        assert said.probabilities[label] == pytest.approx(probability, abs=1e-4)


def test_with_lora_only_the_new_rows_of_a_table_train(tmp_path):
    rows = [{**row, "text": row["text"] + " <x>"} for row in tiny.make_rows()]
    recipe = tiny.write_task(tmp_path, rows=rows)
    result = run(recipe, overrides=["adapt=[{kind: tokens, add: ['<x>', '<never>']}]", "phases.0.trainable=lora",
                                    "compute.threads=1", "phases.0.optimizer.weight_decay=0"])  # fmt: skip
    effect = json.loads((result.folder / "effect.json").read_text())
    assert effect["frozen_identical"] and effect["changed"]
    plan = make_plan(read_recipe(recipe, ["adapt=[{kind: tokens, add: ['<x>', '<never>']}]"]))
    before = rebuild(plan, {}, phases=0).trunk.get_input_embeddings().weight
    after = Predictor.load(result.folder / "model", dtype="float32").model.trunk.get_input_embeddings().weight
    start = len(plan.encoder.tokenizer) - 2
    moved = [i for i in range(len(before)) if not torch.equal(before[i], after[i])]
    assert moved == [start], "the word that was read, and no other"


def test_two_phases_of_which_one_trains_rows_and_one_the_table_end_where_the_last_left_off(tmp_path):
    rows = [{**row, "text": row["text"] + " <x>"} for row in tiny.make_rows()]
    recipe = tiny.write_task(tmp_path, rows=rows)
    phases = "phases=[{trainable: everything, budget: 1 epochs}, {trainable: head, budget: 1 epochs}]"
    result = run(recipe, overrides=["adapt=[{kind: tokens, add: ['<x>']}]", phases, "compute.threads=1"])
    effect, parity = (json.loads((result.folder / f"{name}.json").read_text()) for name in ("effect", "parity"))
    assert effect["changed"] and effect["frozen_identical"] and parity["reloaded"]["holds"]


@pytest.mark.parametrize("trainable", ["lora", "head"])
def test_two_encoders_learn_to_write(tmp_path, trainable):
    recipe = tiny.write_task(tmp_path)
    result = run(recipe, overrides=[*SUMMARIES, f"phases.0.trainable={trainable}"])
    effect, parity = (json.loads((result.folder / f"{name}.json").read_text()) for name in ("effect", "parity"))
    assert effect["changed"] and effect["frozen_identical"], effect
    assert parity["same_token_ids"] and parity["reloaded"]["holds"]
    assert effect["trainable"] > 14_000  # cross-attention, transform and output biases at least
    assert (result.folder / "model" / "trunk" / "generation_config.json").exists()
