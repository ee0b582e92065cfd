import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tests import tiny_texts
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tunewright.model.adapters import add_lora, has_lora, merge_lora
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.heads import VectorModel
from tunewright.model.predict import forward_rows, forward_tokens, judge_tokens, pooled_rows
from tunewright.model.weights import hash_of, load_model, save_model
from tunewright.recipe.errors import BaseRefusal

TEXT = "where is my card please tell me now"
LABELS = ("a", "b", "c")


@pytest.fixture
def saved(tiny_base, tiny_model, with_lora, tmp_path):
    """Saves a model of a family, with or without LoRA; gives the model, its base and the folder."""

    def save(family, *, lora=False, name="model", **options):
        base, model = tiny_base(family), tiny_model(family, **options)
        if lora:
            add_lora(model, rank=4, alpha=8.0, dropout=0.0, targets="linear", seed=1)
            with_lora(model)
        labels = () if options.get("kind") in ("regression", "similarity") else LABELS
        encoder = {"max_length": 32, "join": None}
        folder = tmp_path / name
        save_model(model, folder, encoder_json=encoder, labels=labels, base=base, description=describe(base))
        return model, base, folder

    return save


@pytest.mark.parametrize("lora", [False, True])
def test_a_saved_model_answers_the_same_when_loaded(saved, encode, family, lora):
    model, base, folder = saved(family, lora=lora)
    rows = encode(load_tokenizer(base.folder)([TEXT, "hello"])["input_ids"])
    loaded = load_model(folder)
    assert loaded.labels == LABELS and loaded.encoder_json == {"max_length": 32, "join": None}
    assert loaded.tokenizer(TEXT)["input_ids"] == load_tokenizer(base.folder)(TEXT)["input_ids"]
    assert loaded.model.shape == model.shape
    np.testing.assert_array_equal(forward_rows(loaded.model, rows), forward_rows(model, rows))


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize(("family", "kind", "outputs"), [
    ("bert", "token_classification", 7), ("gpt2", "token_classification", 7), ("roberta", "question_answering", 2),
])  # fmt: skip
def test_a_model_that_answers_at_tokens_answers_the_same_when_loaded(saved, encode, family, kind, outputs, lora):
    model, base, folder = saved(family, lora=lora, kind=kind, outputs=outputs)
    rows = encode(load_tokenizer(base.folder)([TEXT, "hello"])["input_ids"])
    rows = replace(rows, answers_n=np.zeros(len(rows.tokens_n), dtype=np.int32))
    loaded = load_model(folder).model
    assert loaded.shape == model.shape and loaded.head.weight.shape == (outputs, 32)
    np.testing.assert_array_equal(forward_tokens(loaded, rows), forward_tokens(model, rows))


# ---- models that write text


@pytest.fixture
def save_writing(tiny_base, with_lora, tmp_path):
    """Saves a model that writes, with the tokenizer of another; gives it and the folder."""

    def save(name, *, lora=False, change=0.0):
        model, base, folder = tiny_texts.tiny_text_model(name), tiny_base("llama"), tmp_path / name
        if lora:
            add_lora(model, rank=4, alpha=8.0, dropout=0.0, targets="linear", seed=1)
            with_lora(model)
        with torch.no_grad():
            for path, parameter in model.named_parameters():
                parameter.add_(0 if "embed_positions" in path else change)
        save_model(model, folder, encoder_json={}, labels=(), base=base, description=describe(base))
        return model.eval(), folder

    return save


def opened(name, folder):
    """The trunk in a model's folder, by the library's own choice of class."""
    auto = AutoModelForCausalLM if name in tiny_texts.DECODERS else AutoModelForSeq2SeqLM
    return auto.from_pretrained(folder / "trunk").eval()


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("name", tiny_texts.ALL)
def test_a_model_that_writes_thinks_the_same_when_loaded(save_writing, name, lora):
    model, folder = save_writing(name, lora=lora, change=0.01)
    loaded = load_model(folder).model
    assert not (folder / "head.safetensors").exists() and loaded.shape == model.shape
    encoded = tiny_texts.tiny_text_rows(name).encoded
    np.testing.assert_allclose(judge_tokens(loaded, encoded), judge_tokens(model, encoded), atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "llama, tied", "gpt2", "gpt2, untied", "t5", "bart"])
def test_the_library_opens_what_was_trained_with_its_output_layer(save_writing, name):
    model, folder = save_writing(name, change=0.01)
    theirs = opened(name, folder)
    encoded = tiny_texts.tiny_text_rows(name).encoded
    with torch.no_grad():
        seen, known = (tiny_texts.library_logits(lm, encoded) for lm in (theirs, model.trunk))
    for (ours, _), (other, _) in zip(seen, known, strict=True):
        torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-5)
    trunk = load_model(folder).model.trunk
    tied = name not in ("llama", "gpt2, untied")
    assert (trunk.get_input_embeddings().weight is trunk.get_output_embeddings().weight) is tied


@pytest.mark.parametrize(
    ("name", "task"), [("llama", "CAUSAL_LM"), ("gpt2", "CAUSAL_LM"), ("t5", "SEQ_2_SEQ_LM"), ("bart", "SEQ_2_SEQ_LM")]
)
def test_peft_itself_opens_the_adapter_of_a_model_that_writes(save_writing, name, task):
    model, folder = save_writing(name, lora=True)
    theirs = PeftModel.from_pretrained(opened(name, folder), folder / "adapter").eval()
    assert theirs.active_peft_config.task_type == task
    encoded = tiny_texts.tiny_text_rows(name).encoded
    with torch.no_grad():
        seen, known, base = (tiny_texts.library_logits(lm, encoded)
                             for lm in (theirs, model.trunk, opened(name, folder)))  # fmt: skip
    for (ours, _), (other, _), (plain, _) in zip(seen, known, base, strict=True):
        torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(ours, plain, atol=1e-2)


@pytest.mark.parametrize("name", tiny_texts.MAIN)
def test_merged_adapters_think_as_they_did_beside_the_weights(save_writing, name):
    model, folder = save_writing(name, lora=True)
    merged = load_model(folder).model
    merge_lora(merged)
    encoded = tiny_texts.tiny_text_rows(name).encoded
    np.testing.assert_allclose(judge_tokens(merged, encoded)[:, 0], judge_tokens(model, encoded)[:, 0], atol=1e-4)


def test_a_tensor_that_is_missing_from_a_model_that_writes_is_refused(save_writing):
    _, folder = save_writing("llama")
    path = folder / "trunk" / "model.safetensors"
    tensors = load_file(path)
    save_file({n: t for n, t in tensors.items() if n != "lm_head.weight"}, path, metadata={"format": "pt"})
    with pytest.raises(BaseRefusal, match=r"1 tensors missing.*lm_head.weight"):
        load_model(folder)


def test_peft_itself_opens_the_adapter(saved, encode):
    model, base, folder = saved("bert", lora=True)
    trunk = AutoModel.from_pretrained(folder / "trunk", add_pooling_layer=False, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(trunk, folder / "adapter").eval()
    inputs = load_tokenizer(base.folder)(TEXT, return_tensors="pt")
    with torch.no_grad():
        seen, expected = theirs(**inputs).last_hidden_state, model.trunk(**inputs).last_hidden_state
    torch.testing.assert_close(seen, expected)


VECTORS = {"kind": "similarity", "outputs": 0}


@pytest.mark.parametrize(
    ("family", "lora", "pooling"), [("bert", False, "mean"), ("bert", True, "cls"), ("roberta", False, "last")]
)
def test_sentence_transformers_makes_the_same_vectors(saved, encode, texts, family, lora, pooling):
    model, base, folder = saved(family, lora=lora, pooling=pooling, **VECTORS)
    ids = encode(load_tokenizer(base.folder)(list(texts), truncation=True, max_length=32)["input_ids"])
    expected = pooled_rows(model, replace(ids, texts=1))[:, 0]
    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    assert theirs.max_seq_length == 32
    np.testing.assert_allclose(theirs.encode(list(texts)), expected, atol=1e-6)
    np.testing.assert_allclose(pooled_rows(load_model(folder).model, ids)[:, 0], expected, atol=1e-6)


def run_loader(folder, *texts):
    command = [sys.executable, str(folder / "load_model.py"), *texts]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_model_without_a_head_is_saved_whole_and_its_loader_compares(saved, encode):
    model, base, folder = saved("bert", lora=True, **VECTORS)
    assert not (folder / "head.safetensors").exists() and not (folder / "adapter").exists()
    assert has_lora(model), "what was to be saved is left as it was"
    loaded = load_model(folder).model
    assert isinstance(loaded, VectorModel) and not has_lora(loaded)
    model.shape = replace(model.shape, zero=1.0, unit=4.0)
    save_model(model, folder.parent / "again", encoder_json={"max_length": 32}, labels=(), base=base,
               description=describe(base))  # fmt: skip
    ids = encode(load_tokenizer(base.folder)([TEXT, "hello"])["input_ids"])
    expected = forward_rows(model, replace(ids, texts=2, cut_r=ids.cut_r[:1]))
    assert run_loader(folder.parent / "again", TEXT, "hello")["value"] == pytest.approx(expected[0], abs=1e-5)
    assert load_model(folder.parent / "again").model.shape == model.shape


def test_under_an_adapter_the_trunk_is_the_untouched_base(saved):
    _, base, folder = saved("bert", lora=True)
    original, kept = load_file(base.folder / "model.safetensors"), load_file(folder / "trunk" / "model.safetensors")
    assert all(torch.equal(original[name], tensor) for name, tensor in kept.items())


def test_weights_are_float32_on_disk_whatever_they_were(saved, tiny_base, tiny_model, tmp_path):
    base, model = tiny_base("bert"), tiny_model("bert").to(torch.bfloat16)
    save_model(model, tmp_path / "m", encoder_json={}, labels=LABELS, base=base, description=describe(base))
    for file in ("trunk/model.safetensors", "head.safetensors"):
        assert {tensor.dtype for tensor in load_file(tmp_path / "m" / file).values()} == {torch.float32}
    assert json.loads((tmp_path / "m" / "trunk" / "config.json").read_text())["dtype"] == "float32"
    assert load_model(tmp_path / "m", dtype=torch.bfloat16).model.trunk.dtype == torch.bfloat16


def test_the_hash_follows_content_and_names(saved):
    first, again = (saved("bert", lora=True, name=name)[2] for name in ("one", "two"))
    assert hash_of(first) == hash_of(again)
    (again / "encoder.json").write_text("{}")
    assert hash_of(first) != hash_of(again)
    before = hash_of(first)
    (first / "head.json").rename(first / "head2.json")
    assert hash_of(first) != before


@pytest.mark.parametrize("file", ["head.safetensors", "adapter/adapter_model.safetensors", "trunk/model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "left over", "shape", "pickle"])
def test_damaged_weights_are_refused(saved, file, damage):
    _, _, folder = saved("bert", lora=True)
    tensors = load_file(folder / file)
    name = sorted(tensors)[0]
    if damage == "pickle":
        (folder / file).write_bytes(pickle.dumps({}))
    else:
        changes = {"missing": {}, "left over": {**tensors, "stray": torch.ones(1)},
                   "shape": {**tensors, name: torch.ones(3, 1)}}
        changed = changes[damage] or {n: t for n, t in tensors.items() if n != name}
        save_file(changed, folder / file, metadata={"format": "pt"})
    with pytest.raises(BaseRefusal, match="tensor"):
        load_model(folder)


@pytest.mark.parametrize("file", ["head.json", "encoder.json", "head.safetensors", "trunk/tokenizer.json"])
def test_a_missing_file_is_refused(saved, file):
    _, _, folder = saved("bert")
    (folder / file).unlink()
    with pytest.raises(BaseRefusal, match=file.rpartition("/")[2].partition(".")[0]):
        load_model(folder)


def test_the_bases_licence_goes_with_the_model(tiny_base, tiny_model, tmp_path):
    base, model = tiny_base("bert"), tiny_model("bert")
    stated = replace(describe(base), licence="mit")
    save_model(model, tmp_path / "m", encoder_json={}, labels=LABELS, base=base, description=stated)
    assert "mit" in (tmp_path / "m" / "LICENSE_OF_BASE").read_text()
