import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoModel

from tunewright.model.bases import find_base
from tunewright.model.describe import describe, load_tokenizer, refuse_unfit
from tunewright.recipe.errors import BaseRefusal


@pytest.fixture
def copied(tiny_base, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_base("bert").folder, tmp_path / "copied"))


def described(folder: Path):
    return describe(find_base(str(folder), root=Path(".")))


def test_minilm_is_described_with_both_its_limits():
    seen = describe(find_base("minilm", root=Path(".")))
    assert (seen.family, seen.layers, seen.width, seen.heads) == ("encoder", 6, 384, 12)
    assert (seen.positions, seen.stated_longest, seen.longest) == (512, 256, 256)
    assert seen.longest_says == "256 tokens by its own settings (512 positions exist)"
    assert seen.licence == "apache-2.0" and seen.dtype == "float32" and seen.pooling == "mean"
    assert seen.parameters == 22_713_728 and seen.vocabulary == 30_522
    json.dumps(seen.to_json())


@pytest.mark.parametrize(
    ("family", "kind", "types", "pooling", "positions"),
    [("bert", "encoder", True, "mean", 64), ("distilbert", "encoder", False, "mean", 64),
     ("roberta", "encoder", False, "mean", 64), ("gpt2", "decoder", False, "last", 64),
     ("llama", "decoder", False, "last", 64), ("t5", "encoder-decoder", False, "mean", None),
     ("bart", "encoder-decoder", False, "mean", 64)],
)
def test_each_family_is_told_from_its_configuration(tiny_base, family, kind, types, pooling, positions):
    seen = describe(tiny_base(family))
    assert (seen.family, seen.takes_types, seen.pooling, seen.positions) == (kind, types, pooling, positions)
    assert (seen.layers, seen.width, seen.heads) == (3, 32, 4)
    assert seen.modality == "text" and seen.has_tokenizer
    refuse_unfit(seen, "classification")


def test_parameters_are_counted_as_the_library_counts_them(tiny_base):
    for family in ("bert", "llama"):
        base = tiny_base(family)
        if family == "bert":
            assert describe(base).parameters == AutoModel.from_pretrained(base.folder).num_parameters()
        else:
            assert describe(base).trunk_parameters == AutoModel.from_pretrained(base.folder).num_parameters()


def test_an_image_classifier_is_refused_with_the_reason(tiny_base):
    with pytest.raises(BaseRefusal, match=r"ViTForImageClassification\) is a model of image"):
        refuse_unfit(describe(tiny_base("vit")), "classification")


def test_a_base_without_a_tokenizer_is_refused(copied):
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (copied / file).unlink()
    with pytest.raises(BaseRefusal, match="has no tokenizer"):
        refuse_unfit(described(copied), "regression")


def test_a_broken_tokenizer_is_refused(copied):
    (copied / "tokenizer.json").write_text("{}")
    with pytest.raises(BaseRefusal, match="tokenizer cannot be loaded"):
        load_tokenizer(copied)


@pytest.mark.parametrize("change", [{"model_type": "nobodys_model"}, {"model_type": None}])
def test_an_unknown_architecture_is_refused(copied, change):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(BaseRefusal, match="does not know this base"):
        described(copied)


def test_a_broken_configuration_is_refused(copied):
    (copied / "config.json").write_text("{")
    with pytest.raises(BaseRefusal, match="not valid JSON"):
        described(copied)


def test_code_that_comes_with_a_base_is_never_run(copied):
    config = json.loads((copied / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (copied / "config.json").write_text(json.dumps({**config, **own}))
    (copied / "evil.py").write_text(f"open({str(copied / 'ran')!r}, 'w')")
    with pytest.raises(BaseRefusal, match="never run"):
        described(copied)
    assert not (copied / "ran").exists()


def test_the_licence_is_read_from_the_front_matter(copied):
    assert described(copied).licence == "not stated"
    (copied / "README.md").write_text("---\nlicense: mit\ntags: [a]\n---\n# Text --- more\n")
    assert described(copied).licence == "mit"
    (copied / "README.md").write_text("---\n: : [\n---\n")
    assert described(copied).licence == "not stated"


def test_the_recorded_pooling_is_taken_over(copied):
    (copied / "1_Pooling").mkdir()
    (copied / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert described(copied).pooling == "cls"
