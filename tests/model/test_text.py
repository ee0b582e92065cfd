"""Vectors, logits, losses and gradients of models that write text against those of transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as t
from tests import tiny_texts as tiny

from tunewright.model.predict import make_batch
from tunewright.model.text import TextModel
from tunewright.recipe.errors import BaseRefusal
from tunewright.train.objectives.supervised import Supervised
from tunewright.values import Context

EVERY = pytest.mark.parametrize("name", tiny.ALL)


def batch_of(material, rows=None):
    return material.batch(np.arange(material.encoded.rows) if rows is None else np.array(rows))


def logits_of(model: TextModel, batch) -> torch.Tensor:
    seen = model(batch)
    assert seen.logits is None and len(seen.vectors_md) == len(batch.at_m)
    return seen.vectors_md @ seen.vocabulary_vd.t()


def assert_near(logits: torch.Tensor, expected: torch.Tensor) -> None:
    """Within what rounding does to either: those of `t5, newer` reach 26, and the library's are 4e-5 from exact."""
    torch.testing.assert_close(logits, expected, atol=max(1e-5, 2e-6 * float(expected.abs().max())), rtol=1e-5)


def loss_of(model: TextModel, batch) -> torch.Tensor:
    """As the engine reduces it."""
    objective = Supervised().fitted(np.zeros(0), kind="generation", classes=0)
    values = objective.values(Context(batch=batch, outputs=model(batch), kind="generation"))
    weights = objective.weights(batch)
    return (values * weights).sum() / weights.sum()


@EVERY
def test_logits_of_ragged_rows_are_those_of_each_row_alone(name):
    model, material = tiny.tiny_text_model(name), tiny.tiny_text_rows(name)
    with torch.no_grad():
        expected = torch.cat([logits for logits, _ in tiny.library_logits(model.trunk, material.encoded)])
        assert_near(logits_of(model, batch_of(material)), expected)
        backwards = logits_of(model, batch_of(material, range(material.encoded.rows)[::-1]))
    parts = torch.from_numpy(np.add.reduceat(material.encoded.answers_n >= 0, material.encoded.starts_s[:-1]))
    forwards = torch.cat(list(backwards.split(parts.flip(0).tolist()))[::-1])
    assert_near(forwards, expected)


@EVERY
def test_loss_and_gradients_are_those_of_the_library(name):
    material = tiny.tiny_text_rows(name)
    ours, theirs = tiny.tiny_text_model(name), tiny.tiny_lm(name)
    loss, expected = loss_of(ours, batch_of(material)), tiny.library_loss(theirs, material.encoded)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5) and loss.item() > 1
    loss.backward()
    expected.backward()
    known = dict(theirs.named_parameters())
    largest = max(float(parameter.grad.norm()) for parameter in known.values() if parameter.grad is not None)
    for path, parameter in ours.trunk.named_parameters():
        if known[path].grad is None:
            assert parameter.grad is None, path
            continue
        apart = float((parameter.grad - known[path].grad).norm())
        assert apart <= 1e-5 * max(float(known[path].grad.norm()), 0.01 * largest), path


@pytest.mark.parametrize("name", tiny.MAIN)
@pytest.mark.parametrize("seed", range(3))
def test_the_losses_of_other_rows_are_the_librarys_too(name, seed):
    model, material = tiny.tiny_text_model(name), tiny.tiny_text_rows(name, rows=5, longest=30, seed=seed + 1)
    with torch.no_grad():
        ours, theirs = loss_of(model, batch_of(material)), tiny.library_loss(model.trunk, material.encoded)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("name", [*tiny.SOURCED, "gpt2", "llama"])
def test_what_stands_beside_a_row_does_not_change_it(name):
    model, material = tiny.tiny_text_model(name), tiny.tiny_text_rows(name)
    with torch.no_grad():
        alone = logits_of(model, batch_of(material, [3]))
        beside = [logits_of(model, batch_of(material, [3, other])) for other in (0, 5)]
    for logits in beside:
        torch.testing.assert_close(logits[: len(alone)], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pad_id", [0, 7])
@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
def test_what_pads_is_never_read(name, pad_id):
    model, encoded = tiny.tiny_text_model(name), tiny.tiny_text_rows(name).encoded
    with torch.no_grad():
        padded = logits_of(model, make_batch(encoded, np.arange(encoded.rows), pad_id=pad_id))
        expected = torch.cat([logits for logits, _ in tiny.library_logits(model.trunk, encoded)])
    torch.testing.assert_close(padded, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bart", "phi"])
def test_bfloat16_is_near(name):
    exact, material = tiny.tiny_text_model(name), tiny.tiny_text_rows(name)
    rounded = TextModel(tiny.tiny_lm(name).bfloat16(), exact.shape)
    with torch.no_grad():
        ours, theirs = (logits_of(model, batch_of(material)).float() for model in (rounded, exact))
    assert 0 < (ours - theirs).abs().max() <= 5e-2 * theirs.abs().max()


def _larger(lm: t.PreTrainedModel) -> t.PreTrainedModel:
    with torch.no_grad():
        lm.get_output_embeddings().weight.mul_(60)
    return lm


OTHERS = {
    "capped": lambda: _larger(tiny._decoder("Gemma2", num_key_value_heads=2, head_dim=8)),
    "scaled by cohere": lambda: tiny._decoder("Cohere", num_key_value_heads=2),
    "scaled by granite": lambda: tiny._decoder("Granite", num_key_value_heads=2, logits_scaling=4.0),
}


@pytest.mark.parametrize("name", OTHERS)
def test_logits_that_are_scaled_or_capped_are_refused(name):
    lm = OTHERS[name]().eval()
    with pytest.raises(BaseRefusal, match="does not make its logits .* by its output layer alone") as refused:
        TextModel(lm, tiny.shape_of("llama"))
    assert type(lm).__name__ in str(refused.value)


@pytest.mark.parametrize("mode", [True, False])
def test_a_look_at_the_logits_leaves_the_trunk_as_it_was(mode):
    lm = tiny.tiny_lm("gpt2").train(mode)
    TextModel(lm, tiny.shape_of("gpt2"))
    assert lm.training is mode and all(parameter.grad is None for parameter in lm.parameters())


def test_a_batch_that_asks_for_nothing_is_our_mistake():
    material = tiny.tiny_text_rows("llama")
    object.__setattr__(material.encoded, "answers_n", None)
    with pytest.raises(AssertionError, match="answers at tokens"):
        tiny.tiny_text_model("llama")(make_batch(material.encoded, np.arange(2), pad_id=0))


@pytest.mark.parametrize(("name", "pad"), [("llama", 0), ("t5", 0), ("gpt2", 3)])
def test_the_padding_id_is_the_bases_or_its_end(name, pad):
    assert tiny.tiny_text_model(name).pad_id == pad
