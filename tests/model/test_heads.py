from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModel, T5EncoderModel

from tunewright.model.describe import load_tokenizer
from tunewright.model.heads import texts_of
from tunewright.model.predict import make_batch


def token_ids(base, texts):
    return load_tokenizer(base.folder)(list(texts))["input_ids"]


def library_vectors(base, ids):
    """Last hidden states of one sequence alone, by transformers."""
    model = T5EncoderModel if base.name.endswith("t5") else AutoModel
    trunk = model.from_pretrained(base.folder, dtype=torch.float32).eval()
    trunk = trunk.get_encoder() if base.name.endswith("bart") else trunk
    with torch.no_grad():
        return trunk(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooled_vectors_are_the_librarys_whatever_the_padding(tiny_base, tiny_model, encode, texts, family, pooling):
    ids = token_ids(tiny_base(family), texts)
    model = tiny_model(family, pooling=pooling)
    with torch.no_grad():
        outputs = model(make_batch(encode(ids), np.arange(len(ids)), pad_id=model.pad_id))
    pool = {"mean": lambda v: v.mean(0), "cls": lambda v: v[0], "last": lambda v: v[-1]}[pooling]
    expected = np.stack([pool(library_vectors(tiny_base(family), sequence)) for sequence in ids])
    np.testing.assert_allclose(outputs.vectors_md, expected, atol=2e-6)
    np.testing.assert_allclose(outputs.logits, expected @ model.head.weight.detach().numpy().T, atol=2e-6)


def test_windows_are_averaged_by_their_tokens(tiny_model, encode):
    model = tiny_model()
    windows = [[2, 9, 10, 3], [2, 11, 3], [2, 12, 13, 14, 3]]
    with torch.no_grad():
        alone = model.pool(make_batch(encode(windows), np.arange(3), pad_id=0))
        together = model.pool(make_batch(encode(windows, owner=[0, 0, 1]), np.array([1, 0]), pad_id=0))
    torch.testing.assert_close(together[1], (4 * alone[0] + 3 * alone[1]) / 7)
    torch.testing.assert_close(together[0], alone[2])


def test_types_tell_the_texts_of_a_pair_apart(tiny_model, encode):
    ids, types = [[2, 9, 3, 10, 3]], [[0, 0, 0, 1, 1]]
    for family, differs in (("bert", True), ("roberta", False)):
        model = tiny_model(family)
        with torch.no_grad():
            plain = model(make_batch(encode(ids), np.arange(1), pad_id=0)).logits
            typed = model(make_batch(encode(ids, types=types), np.arange(1), pad_id=0)).logits
        assert bool((plain != typed).any()) is differs


def test_a_sequence_of_no_tokens_is_read_as_one_padding_token(tiny_model, encode, family):
    model = tiny_model(family)
    with torch.no_grad():
        logits = model(make_batch(encode([[], [9, 10, 11]]), np.arange(2), pad_id=model.pad_id)).logits
        padding = model(make_batch(encode([[model.pad_id]]), np.arange(1), pad_id=model.pad_id)).logits
    torch.testing.assert_close(logits[:1], padding)


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_bfloat16_trunk_gives_float32_logits_near_the_float32_ones(tiny_model, encode, family, everywhere):
    model = tiny_model(family)
    batch = make_batch(encode([[2, 9, 10, 3], [2, 11, 3]]), np.arange(2), pad_id=model.pad_id)
    with torch.no_grad():
        exact = model(batch).logits
        (model if everywhere else model.trunk).to(torch.bfloat16)
        rounded = model(batch)
    assert rounded.logits.dtype == rounded.vectors_md.dtype == torch.float32
    assert (rounded.logits - exact).abs().max() <= 3e-2 * exact.abs().max()


def test_regression_answers_one_number_a_row(tiny_model, encode):
    model = tiny_model(kind="regression", outputs=1)
    assert model(make_batch(encode([[2, 9, 3], [2, 3]]), np.arange(2), pad_id=0)).logits.shape == (2,)


def test_every_parameter_gets_a_gradient(tiny_model, encode, family):
    model = tiny_model(family, pooling="mean")
    batch = make_batch(encode([[2, 9, 10, 3], [2, 11, 3]]), np.arange(2), pad_id=model.pad_id)
    model(batch).logits.square().sum().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


def apart(encoded, *, texts):
    """The same sequences, `texts` of them a row."""
    rows = len(encoded.cut_r) // texts
    return replace(encoded, texts=texts, cut_r=encoded.cut_r.reshape(rows, texts).sum(axis=1))


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_each_text_of_a_row_gets_its_own_vector_of_length_one(tiny_base, tiny_model, encode, texts, family, pooling):
    ids = token_ids(tiny_base(family), (*texts, "late money"))
    model = tiny_model(family, kind="retrieval", outputs=0, pooling=pooling)
    with torch.no_grad():
        outputs = model(make_batch(apart(encode(ids), texts=3), np.arange(2), pad_id=model.pad_id))
    pool = {"mean": lambda v: v.mean(0), "cls": lambda v: v[0], "last": lambda v: v[-1]}[pooling]
    expected = np.stack([pool(library_vectors(tiny_base(family), sequence)) for sequence in ids])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert outputs.vectors_md.shape == (2, 3, model.width)
    np.testing.assert_allclose(outputs.vectors_md.flatten(0, 1), expected, atol=2e-6)
    cosines = [expected[0] @ expected[1], expected[3] @ expected[4]]
    np.testing.assert_allclose(outputs.logits, cosines, atol=2e-6)


def test_windows_of_a_text_are_averaged_and_its_neighbours_left_alone(tiny_model, encode):
    model = tiny_model(kind="retrieval", outputs=0)
    windows = [[2, 9, 10, 3], [2, 11, 3], [2, 12, 13, 14, 3], [2, 15, 3], [2, 16, 3]]
    owned = encode(windows, owner=[0, 1, 1, 2, 3])  # row 0 has two windows of its second text
    with torch.no_grad():
        plain = tiny_model(kind="classification").pool(make_batch(encode(windows), np.arange(5), pad_id=0))
        seen = model.pool(make_batch(apart(owned, texts=2), np.array([1, 0]), pad_id=0))
    averaged = torch.stack([plain[0], (3 * plain[1] + 5 * plain[2]) / 8])
    torch.testing.assert_close(seen[1], torch.nn.functional.normalize(averaged, dim=1))
    torch.testing.assert_close(seen[0], torch.nn.functional.normalize(plain[3:], dim=1))


def test_short_texts_are_not_padded_to_long_ones(encode):
    batch = make_batch(apart(encode([[2, 3], [2] * 40, [2, 9, 3], [2] * 30]), texts=2), np.arange(2), pad_id=0)
    first, second = texts_of(batch, 0), texts_of(batch, 1)
    assert (first.ids_st.shape, second.ids_st.shape) == ((2, 3), (2, 40))
    assert first.lengths_s.tolist() == [2, 3] and first.owner_s.tolist() == second.owner_s.tolist() == [0, 1]


def test_what_is_said_of_a_pair_is_in_the_units_of_the_shape(tiny_model, encode):
    model = tiny_model(kind="similarity", outputs=0)
    batch = make_batch(apart(encode([[2, 9, 3], [2, 10, 3]]), texts=2), np.arange(1), pad_id=0)
    cosine = model(batch).logits
    model.shape = replace(model.shape, zero=1.0, unit=4.0)
    torch.testing.assert_close(model(batch).logits, 1 + 4 * cosine)
