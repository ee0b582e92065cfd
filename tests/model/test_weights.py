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
from transformers import AutoModel

from tunewright.model.adapters import add_lora, has_lora
from tunewright.model.describe import describe, load_tokenizer
from tunewright.model.heads import VectorModel
from tunewright.model.predict import forward_rows, pooled_rows, probabilities
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


def run_loader(folder, *texts):
    command = [sys.executable, str(folder / "load_model.py"), *texts]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    ("family", "lora", "options"),
    [("bert", True, {"pooling": "cls"}), ("gpt2", False, {"kind": "multi_label"}),
     ("t5", False, {"kind": "regression", "outputs": 1}), ("bart", True, {})],
)
def test_the_generated_loader_gives_the_same_answer_without_tunewright(saved, encode, family, lora, options):
    model, base, folder = saved(family, lora=lora, **options)
    kind = model.shape.kind
    seen = run_loader(folder, TEXT)
    rows = encode(load_tokenizer(base.folder)([TEXT])["input_ids"])
    expected = probabilities(forward_rows(model, rows), kind)[0]
    assert list(seen) == (["value"] if kind == "regression" else list(LABELS))
    np.testing.assert_allclose(list(seen.values()), np.atleast_1d(expected), atol=1e-6)
    program = (folder / "load_model.py").read_text()
    assert len(program.splitlines()) <= 20 and "import tunewright" not in program


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
