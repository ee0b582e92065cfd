"""Trunks as transformers loads them, in memory of their own, whole or refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests import tiny_texts

from tunewright.model.trunks import (
    initialise_word_head,
    lacks_word_head,
    load_trunk,
    quiet_library,
    word_head_of,
)
from tunewright.recipe.errors import BaseRefusal

WRITERS = {
    "gpt2": transformers.AutoModelForCausalLM, "llama": transformers.AutoModelForCausalLM,
    "t5": transformers.AutoModelForSeq2SeqLM, "bart": transformers.AutoModelForSeq2SeqLM,
}  # fmt: skip
HALVES = {"t5": "T5EncoderModel", "bart": "BartEncoder"}


@pytest.mark.parametrize("family", WRITERS)
def test_with_its_output_layer_a_trunk_is_the_librarys(tiny_base, family):
    folder = tiny_base(family).folder
    ours = load_trunk(folder, dtype=torch.float32, writes=True)
    theirs = WRITERS[family].from_pretrained(folder, dtype=torch.float32).eval()
    assert type(ours) is type(theirs) and not ours.training
    given = {"input_ids": torch.tensor([[5, 9, 30, 12]])}
    if family in HALVES:
        given["decoder_input_ids"] = torch.tensor([[2, 8, 7]])
    with torch.no_grad():
        torch.testing.assert_close(ours(**given).logits, theirs(**given).logits)
    embedding, output = ours.get_input_embeddings().weight, ours.get_output_embeddings().weight
    assert (embedding is output) is (theirs.get_input_embeddings().weight is theirs.get_output_embeddings().weight)


@pytest.mark.parametrize("family", [*WRITERS, "bert"])
def test_without_it_of_an_encoder_decoder_the_encoder_alone_is_kept(tiny_base, family):
    trunk = load_trunk(tiny_base(family).folder, dtype=torch.float32)
    assert trunk.get_output_embeddings() is None if family in ("gpt2", "llama", "bert") else True
    assert type(trunk).__name__ == HALVES.get(family, type(trunk).__name__)


@pytest.mark.parametrize("name", ["llama, tied", "marian", "bert2bert", "neox"])
def test_architectures_that_write_load_as_they_were_saved(tmp_path, name):
    lm = tiny_texts.tiny_lm(name)
    lm.save_pretrained(tmp_path)
    loaded = load_trunk(tmp_path, dtype=torch.float32, writes=True)
    encoded = tiny_texts.tiny_text_rows(name, rows=3).encoded
    with torch.no_grad():
        for (ours, _), (theirs, _) in zip(
            tiny_texts.library_logits(loaded, encoded), tiny_texts.library_logits(lm, encoded), strict=True
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_trunk_is_loaded_in_the_type_asked_for(tiny_base):
    for writes in (True, False):
        assert load_trunk(tiny_base("gpt2").folder, dtype=torch.bfloat16, writes=writes).dtype == torch.bfloat16


def test_a_base_that_cannot_write_is_refused(tiny_base, tmp_path):
    config = transformers.CanineConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    config.save_pretrained(tmp_path)
    with pytest.raises(BaseRefusal, match="no model of the type 'canine' that fills in hidden words"):
        load_trunk(tmp_path, dtype=torch.float32, writes=True)
    decoder = transformers.AutoConfig.for_model("bros", is_decoder=True)
    with pytest.raises(BaseRefusal, match="no model of the type 'bros' that writes text"):
        load_trunk(tmp_path, dtype=torch.float32, writes=True, config=decoder)


def test_an_encoder_fills_in_hidden_words_by_a_head_that_it_has_or_that_is_made(tiny_base, tmp_path):
    bare = load_trunk(tiny_base("distilbert").folder, dtype=torch.float32, writes=True)
    assert type(bare).__name__ == "DistilBertForMaskedLM" and lacks_word_head(tiny_base("distilbert").folder, bare)
    head = word_head_of(bare)
    assert {type(module).__name__ for module in head} >= {"Linear", "LayerNorm"}
    assert bare.get_output_embeddings() not in head
    initialise_word_head(head, seed=3)
    first = bare.vocab_transform.weight.clone()
    initialise_word_head(head, seed=3)
    assert torch.equal(bare.vocab_transform.weight, first) and bool((bare.vocab_layer_norm.weight == 1).all())
    bare.save_pretrained(tmp_path)
    again = load_trunk(tmp_path, dtype=torch.float32, writes=True)
    assert not lacks_word_head(tmp_path, again) and torch.equal(again.vocab_transform.weight, first)


def test_a_class_that_is_not_there_is_refused(tiny_base):
    for name in ("BertModle", "BertConfig"):
        with pytest.raises(BaseRefusal, match=f"'{name}' is not a model of the installed transformers"):
            load_trunk(tiny_base("bert").folder, dtype=torch.float32, class_name=name)


def test_what_a_base_has_beside_its_trunk_is_left_and_in_a_trunk_of_ours_refused(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base("bert").folder, tmp_path / "more")
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "classifier.weight": torch.ones(2, 2)}, folder / "model.safetensors", {"format": "pt"})
    load_trunk(folder, dtype=torch.float32)
    with pytest.raises(BaseRefusal, match=r"left over \(classifier.weight"):
        load_trunk(folder, dtype=torch.float32, class_name="BertModel")


def test_weights_of_another_shape_than_the_configuration_says_are_refused(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base("gpt2").folder, tmp_path / "wide")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 201}))
    with pytest.raises(BaseRefusal, match="0 tensors missing, 1 of another shape, 0 left over"):
        load_trunk(folder, dtype=torch.float32, writes=True)


def test_the_library_speaks_again_after_it_was_quiet():
    logging = transformers.utils.logging
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    with pytest.raises(ZeroDivisionError), quiet_library():
        assert logging.get_verbosity() == logging.ERROR and not logging.is_progress_bar_enabled()
        raise ZeroDivisionError
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_loaded_tensors_lie_aligned_in_memory_of_their_own(tiny_model, family):
    model = tiny_model(family)
    assert all(parameter.data_ptr() % 16 == 0 for parameter in model.parameters())
    storages = [parameter.untyped_storage().data_ptr() for parameter in model.parameters()]
    assert len(set(storages)) == len(storages)


def test_weights_that_do_not_fill_the_trunk_are_refused(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base("bert").folder, tmp_path / "poor")
    tensors = load_file(folder / "model.safetensors")
    gone = "encoder.layer.1.output.dense.weight"
    save_file({n: t for n, t in tensors.items() if n != gone}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseRefusal, match=f"1 tensors missing, 0 of another shape, 0 left over \\({gone}\\)"):
        load_trunk(folder, dtype=torch.float32)


def test_loading_says_nothing(tiny_base, capfd):
    load_trunk(tiny_base("bert").folder, dtype=torch.float32)
    assert capfd.readouterr() == ("", "")
