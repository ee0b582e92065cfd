"""Two encoders as one encoder-decoder: the library's own model, the halves' own weights, and what is new."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.tiny_bases import make_tiny_base
from transformers import AutoModel, BertConfig, BertModel, EncoderDecoderModel

from tunewright.model.bases import find_base
from tunewright.model.build import build_model, skeleton_of
from tunewright.model.describe import load_tokenizer
from tunewright.model.generate import generate
from tunewright.model.joined import describe_joined, joined_config, load_joined
from tunewright.model.sampling import Sampling
from tunewright.model.trunks import load_trunk
from tunewright.recipe.errors import BaseRefusal

IDS, ANSWER = torch.tensor([[2, 11, 40, 77, 5, 3]]), torch.tensor([[2, 12, 150]])


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """A base of two tiny BERTs with different weights and one tokenizer."""
    folder = tmp_path_factory.mktemp("halves")
    make_tiny_base(folder / "one", "bert")
    shutil.copytree(folder / "one", folder / "two")
    torch.manual_seed(5)
    BertModel(BertConfig.from_pretrained(folder / "two")).save_pretrained(folder / "two")
    return find_base({"encoder": "one", "decoder": "two"}, root=folder)


@pytest.fixture(scope="module")
def whole(halves):
    return load_joined(halves, dtype=torch.float32, config=joined_config(halves), seed=3)


def test_the_library_makes_the_same_of_the_same_weights(halves, whole):
    library = EncoderDecoderModel.from_encoder_decoder_pretrained(
        str(halves.folder), str(halves.decoder.folder), encoder_add_pooling_layer=False
    ).eval()
    left = library.load_state_dict(whole.state_dict(), strict=False)
    assert left.unexpected_keys == [] and left.missing_keys == []
    with torch.no_grad():
        seen, expected = (one(input_ids=IDS, decoder_input_ids=ANSWER).logits for one in (whole, library))
    assert torch.allclose(seen, expected, atol=1e-6)
    assert whole.generation_config.decoder_start_token_id == 2 and whole.generation_config.eos_token_id == 3


def test_the_halves_keep_their_weights_and_the_encoder_its_vectors(halves, whole):
    reader, writer = (AutoModel.from_pretrained(b.folder).eval() for b in (halves, halves.decoder))
    with torch.no_grad():
        assert torch.allclose(whole.get_encoder()(input_ids=IDS).last_hidden_state,
                              reader(input_ids=IDS).last_hidden_state, atol=1e-6)  # fmt: skip
    kept = whole.decoder.bert.state_dict()
    for name, tensor in writer.state_dict().items():
        assert name.startswith("pooler.") or torch.equal(kept[name], tensor), name
    assert whole.decoder.get_output_embeddings().weight is whole.decoder.get_input_embeddings().weight


def test_what_is_new_is_all_that_no_half_has(halves):
    description = describe_joined(halves)
    model = build_model(
        halves, description, kind="summarisation", outputs=description.vocabulary, pooling="mean", seed=3
    )
    theirs = {f"trunk.encoder.{n}" for n in AutoModel.from_pretrained(halves.folder).state_dict()}
    theirs |= {f"trunk.decoder.bert.{n}" for n in AutoModel.from_pretrained(halves.decoder.folder).state_dict()}
    assert {name for name, _ in model.named_parameters()} - theirs == model.new.tensors and not model.new.rows
    assert all("crossattention" in name or ".cls." in name for name in model.new.tensors)
    skeleton = skeleton_of(halves, "summarisation")
    assert skeleton.new == model.new
    assert sum(p.numel() for p in skeleton.trunk.parameters()) == sum(p.numel() for p in model.parameters())
    assert description.parameters == description.trunk_parameters == sum(p.numel() for p in model.parameters())


def test_chance_comes_from_the_seed_alone(halves):
    made = [load_joined(halves, dtype=torch.float32, config=joined_config(halves), seed=s) for s in (3, 3, 4)]
    first, again, other = (m.decoder.bert.encoder.layer[0].crossattention.self.query.weight for m in made)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_it_is_saved_and_opened_without_a_pooler_that_nobody_trained(whole, tmp_path):
    whole.save_pretrained(tmp_path)
    opened = load_trunk(tmp_path, dtype=torch.float32, class_name="EncoderDecoderModel")
    assert opened.encoder.pooler is None
    state = whole.state_dict()
    assert state.keys() == opened.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in opened.state_dict().items())


def test_it_writes_what_the_library_writes(halves, whole):
    prompt = IDS[0].tolist()
    (said,) = generate(whole, load_tokenizer(halves.folder), [prompt], sampling=Sampling(max_new_tokens=8))
    theirs = whole.generate(input_ids=IDS, max_new_tokens=8, do_sample=False)[0, 1:].tolist()
    assert list(said.ids) == theirs


def test_a_description_takes_the_narrower_limit_and_says_where_answers_begin(halves):
    description = describe_joined(halves)
    assert (description.family, description.layers, description.decoder_start) == ("encoder-decoder", 6, 2)
    assert (description.longest, description.name) == (64, "one-to-two")


@pytest.mark.parametrize(
    ("family", "says"), [("gpt2", "is no encoder|of the type gpt2"), ("roberta", "of the type roberta")]
)
def test_halves_that_do_not_fit_are_refused_by_name(halves, tmp_path, family, says):
    make_tiny_base(tmp_path / "other", family)
    other = find_base("other", root=tmp_path)
    with pytest.raises(BaseRefusal, match=says):
        describe_joined(replace(halves, decoder=other))


def test_halves_of_other_widths_and_tokenizers_are_refused(halves, tmp_path):
    folder = make_tiny_base(tmp_path / "wide", "bert")
    config = BertConfig.from_pretrained(folder, hidden_size=48)
    BertModel(config).save_pretrained(folder)
    with pytest.raises(BaseRefusal, match="is 32 wide and wide 48"):
        describe_joined(replace(halves, decoder=find_base("wide", root=tmp_path)))
    folder = shutil.copytree(halves.folder, tmp_path / "words")
    text = (folder / "tokenizer.json").read_text().replace('"card"', '"kard"')
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(BaseRefusal, match="different tokenizers"):
        describe_joined(replace(halves, decoder=find_base("words", root=Path(tmp_path))))
