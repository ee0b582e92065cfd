import hashlib
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tunewright.model import bases
from tunewright.model.bases import find_base, is_pickle, is_safetensors
from tunewright.model.describe import describe, load_tokenizer
from tunewright.recipe.errors import BaseRefusal


@pytest.fixture
def copied(tiny_base, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_base("bert").folder, tmp_path / "copied"))


def test_the_bundled_base_has_the_published_weights():
    base = find_base("minilm", root=Path("."))
    weights = (base.folder / "model.safetensors").read_bytes()
    assert base.origin == "bundled"
    assert hashlib.sha256(weights).hexdigest() == base.hashes["model.safetensors"]
    assert base.hashes["model.safetensors"] == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_the_bundled_decoder_is_small_whole_and_says_what_it_is():
    base = find_base("wright-nano", root=Path("."))
    assert base.origin == "bundled" and bases.BUNDLED["wright-nano"].hashes.items() <= base.hashes.items()
    assert sum(path.stat().st_size for path in base.folder.iterdir()) < 60e6
    described = describe(base)
    assert described.family == "decoder" and 8e6 < described.parameters < 30e6
    card = (base.folder / "README.md").read_text()
    assert "| wright-nano | " in card and "What it cannot do" in card and (base.folder / "LICENSE").is_file()
    tensors = load_file(base.folder / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    tokenizer = load_tokenizer(base.folder)
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "Hello."}], tokenize=False)
    assert "Hello." in asked and tokenizer.decode(tokenizer("Hello, Zoë 12!").input_ids) == "Hello, Zoë 12!"


def test_a_bundled_base_with_other_bytes_is_refused(monkeypatch):
    changed = bases.Bundled(**{**{f: getattr(bases.BUNDLED["minilm"], f) for f in ("package", "subfolder", "hub_id")},
                               "hashes": {"vocab.txt": "0" * 64}})
    monkeypatch.setitem(bases.BUNDLED, "minilm", changed)
    with pytest.raises(BaseRefusal, match="vocab.txt .* is not the published one"):
        find_base("minilm", root=Path("."))


def test_where_the_package_is_absent_the_hub_is_asked(monkeypatch):
    asked = []
    source = find_base("minilm", root=Path(".")).folder
    monkeypatch.setattr(bases.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda hub_id, **_: asked.append(hub_id) or str(source))
    assert find_base("minilm", root=Path(".")).origin == "hub"
    assert asked == ["sentence-transformers/all-MiniLM-L6-v2"]


def test_a_folder_is_found_beside_the_recipe_first(copied):
    base = find_base("copied", root=copied.parent)
    assert base.folder == copied and base.origin == "folder"
    assert base.weight_files == ("model.safetensors",)
    assert base.hashes["config.json"] == hashlib.sha256((copied / "config.json").read_bytes()).hexdigest()


def test_an_unknown_hub_id_is_refused_with_what_was_tried(monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise huggingface_hub.errors.LocalEntryNotFoundError("the hub cannot be reached")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    tried = r"Tried bundled names \(minilm, wright-nano\), folder .*nobody/nothing.*cannot be reached"
    with pytest.raises(BaseRefusal, match=tried):
        find_base("nobody/nothing", root=tmp_path)


def test_a_misspelled_bundled_name_that_cannot_be_a_hub_id_names_the_nearest(tmp_path):
    with pytest.raises(BaseRefusal, match="Did you mean 'minilm'"):
        find_base("./minilm", root=tmp_path)


def test_a_file_is_not_a_base(copied):
    with pytest.raises(BaseRefusal, match="is a file, not a folder"):
        find_base("config.json", root=copied)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_whatever_its_name(copied, protocol):
    (copied / "model.safetensors").write_bytes(pickle.dumps({"a": [1, 2]}, protocol=protocol))
    with pytest.raises(BaseRefusal, match="is a pickle by its content"):
        find_base(str(copied), root=Path("."))


def test_a_torch_archive_is_refused_whatever_its_name(copied):
    torch.save({"a": torch.ones(2)}, copied / "model.safetensors")
    with pytest.raises(BaseRefusal, match="is a pickle by its content"):
        find_base(str(copied), root=Path("."))


def test_a_pickle_in_place_of_a_vocabulary_is_refused(copied):
    (copied / "vocab.txt").write_bytes(pickle.dumps(print))
    with pytest.raises(BaseRefusal, match="vocab.txt is a pickle"):
        find_base(str(copied), root=Path("."))


def test_pickled_weights_alone_are_refused_by_name(copied):
    (copied / "model.safetensors").unlink()
    torch.save({}, copied / "pytorch_model.bin")
    with pytest.raises(BaseRefusal, match=r"only pickled weights \(pytorch_model.bin\)"):
        find_base(str(copied), root=Path("."))


def test_pickled_weights_beside_safetensors_are_left_alone(copied):
    torch.save({}, copied / "pytorch_model.bin")
    assert "pytorch_model.bin" not in find_base(str(copied), root=Path(".")).hashes


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"\0" * 64])
def test_weights_that_are_no_safetensors_are_refused(copied, content):
    (copied / "model.safetensors").write_bytes(content)
    with pytest.raises(BaseRefusal, match="not a safetensors file by its content"):
        find_base(str(copied), root=Path("."))


def test_cut_weights_are_refused(copied):
    whole = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(BaseRefusal, match="not a safetensors file by its content"):
        find_base(str(copied), root=Path("."))


def test_a_missing_configuration_is_refused(copied):
    (copied / "config.json").unlink()
    with pytest.raises(BaseRefusal, match="There is no config.json"):
        find_base(str(copied), root=Path("."))


def split_into_shards(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    place = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(place.values()):
        save_file({n: tensors[n] for n in names if place[n] == file}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    (folder / "model.safetensors").unlink()


def test_sharded_weights_are_found_and_a_missing_shard_is_refused(copied):
    split_into_shards(copied)
    shards = find_base(str(copied), root=Path(".")).weight_files
    assert len(shards) == 2
    (copied / shards[1]).unlink()
    with pytest.raises(BaseRefusal, match=f"names {shards[1]}, which is not there"):
        find_base(str(copied), root=Path("."))


@given(value=st.recursive(st.integers() | st.text() | st.none() | st.floats(), st.lists), protocol=st.integers(0, 5))
def test_every_pickle_is_recognised(tmp_path_factory, value, protocol):
    path = tmp_path_factory.getbasetemp() / "anything.json"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    assert is_pickle(path)


def test_a_zip_is_taken_for_a_pickle_and_safetensors_are_not(tmp_path, copied):
    with zipfile.ZipFile(tmp_path / "a.txt", "w") as archive:
        archive.writestr("data.pkl", b"")
    assert is_pickle(tmp_path / "a.txt")
    # A header of 0x480 bytes begins with the two bytes of a pickle of protocol 4.
    save_file({"a": torch.ones(1)}, tmp_path / "b", metadata={"x": "y" * 1060})
    for length in range(1040, 1090):
        save_file({"a": torch.ones(1)}, tmp_path / "b", metadata={"x": "y" * length})
        assert is_safetensors(tmp_path / "b") and not is_pickle(tmp_path / "b")
