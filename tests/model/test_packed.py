"""Packed layers against the same layers unpacked."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.tiny_training import tiny_model

from tunewright.model.fused import FusedLayer
from tunewright.model.packed import pack, packed
from tunewright.model.predict import forward_rows, make_batch

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch lacks oneDNN, so nothing is ever packed"
)


@pytest.fixture
def rows(encode):
    return lambda *lengths: encode([[2 + (i * 7 + j) % 50 for j in range(n)] for i, n in enumerate(lengths)])


def fused_layers(model) -> list[FusedLayer]:
    return [module.forward for module in model.trunk.modules() if isinstance(module.forward, FusedLayer)]


@pytest.fixture
def model():
    model = tiny_model()
    model.trunk.to(torch.bfloat16)
    return model.eval()


@pytest.mark.parametrize("lengths", [(1,), (3, 7, 7), (20, 1, 33), (9,) * 40], ids=len)
def test_packed_layers_answer_as_the_others_within_the_rounding_of_bfloat16(model, rows, lengths):
    plain = forward_rows(model, rows(*lengths))
    with packed(model.trunk):
        assert all(layer.packed for layer in fused_layers(model))
        seen = forward_rows(model, rows(*lengths))
    assert abs(seen - plain).max() <= 3e-2 * abs(plain).max()


def test_weights_that_change_after_the_block_are_the_ones_that_answer(model, rows):
    untouched = copy.deepcopy(model)
    with packed(model.trunk):
        before = forward_rows(model, rows(5, 8))
    for one in (model, untouched):
        with torch.no_grad():
            one.trunk.encoder.layer[0].intermediate.dense.weight.zero_()
    assert (forward_rows(model, rows(5, 8)) == forward_rows(untouched, rows(5, 8))).all()
    assert (forward_rows(model, rows(5, 8)) != before).any()


def test_packing_ends_with_the_block_unless_it_was_there_before(model, rows):
    with packed(model.trunk), packed(model.trunk):
        pass
    assert not any(layer.packed for layer in fused_layers(model))
    assert pack(model.trunk) == fused_layers(model)
    with packed(model.trunk):
        pass
    assert all(layer.packed for layer in fused_layers(model)) and pack(model.trunk) == []


def test_a_float32_trunk_is_left_as_it_is():
    assert pack(tiny_model().trunk) == []


def test_a_pass_that_needs_gradients_or_dropout_does_not_use_the_packed_weights(model, rows, monkeypatch):
    pack(model.trunk)
    batch = make_batch(rows(4, 6), [0, 1], pad_id=0)
    for layer in fused_layers(model):
        monkeypatch.setattr(layer, "packed", lambda *_: pytest.fail("the packed weights were used"))
    model(batch).logits.sum().backward()
    with torch.no_grad():
        model.train()(batch)


def test_a_copy_of_a_packed_model_is_not_packed(model, rows):
    pack(model.trunk)
    copied = copy.deepcopy(model)
    assert not any(layer.packed for layer in fused_layers(copied))
    assert forward_rows(copied, rows(4)).shape == (1, 3)


@pytest.mark.parametrize(("lengths", "multiplied"), [((20, 1, 33), 54), ((9, 9), 18), ((10, 9), 20)], ids=str)
def test_padding_is_left_out_of_the_products_where_there_is_much_of_it(model, rows, monkeypatch, lengths, multiplied):
    pack(model.trunk)
    seen = []
    for layer in fused_layers(model):
        product = layer.packed.down
        monkeypatch.setattr(layer.packed, "down", product)
        monkeypatch.setattr(product, "plus", lambda x, y, plus=product.plus: seen.append(len(x)) or plus(x, y))
    forward_rows(model, rows(*lengths))
    assert seen == [multiplied] * len(fused_layers(model))
