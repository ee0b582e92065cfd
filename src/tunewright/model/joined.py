"""Two encoders put together into an encoder-decoder: what it is, and how it is made. Must not know tasks or rows.

The one reads as it always did. The other becomes the decoder: it attends to what stands before a token alone, and to
what the first has read through cross-attention, which is new; so is what leads from its vectors to words, except that
words are recognised by the embeddings that it has (Rothe, Narayan & Severyn 2020, arXiv:1907.12461).
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn
from transformers import EncoderDecoderConfig, EncoderDecoderModel, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from tunewright.model.bases import Base
from tunewright.model.describe import Description, describe, load_config, load_tokenizer, skeleton
from tunewright.model.fused import fuse_layers
from tunewright.model.trunks import load_trunk, own_memory, quiet_library
from tunewright.recipe.errors import BaseRefusal

_DECODERS = ("bert",)  # types whose output layer is a transform and the embeddings, see model/text.py
_ARCHITECTURE = "EncoderDecoderModel"


def describe_joined(base: Base) -> Description:
    """What the halves of `base` are together. Raises BaseRefusal where they do not fit each other."""
    assert base.decoder is not None
    alone = replace(base, name=base.name.removesuffix(f"-to-{base.decoder.name}"), decoder=None)
    reader, writer = describe(alone), describe(base.decoder)
    _refuse_misfits(base, reader, writer)
    with quiet_library():
        whole = skeleton(joined_config(base), base.folder, writes=True)
    limits = [(one.positions, one.stated_longest) for one in (reader, writer)]
    positions, stated = ([limit[i] for limit in limits if limit[i] is not None] for i in range(2))
    parameters = sum(p.numel() for p in whole.parameters())
    return replace(
        reader, name=base.name, family="encoder-decoder", architecture=_ARCHITECTURE, model_type="encoder-decoder",
        layers=reader.layers + writer.layers, parameters=parameters, trunk_parameters=parameters,
        positions=min(positions, default=None), stated_longest=min(stated, default=None),
        bytes=reader.bytes + writer.bytes, decoder_start=load_tokenizer(base.folder).cls_token_id,
        licence=" and ".join(dict.fromkeys((reader.licence, writer.licence))),
    )  # fmt: skip


def load_joined(base: Base, *, dtype: torch.dtype, config: EncoderDecoderConfig, seed: int) -> EncoderDecoderModel:
    """The halves of `base` as one model, in evaluation mode; what is new is drawn from `seed` alone."""
    assert base.decoder is not None
    reader = load_trunk(base.folder, dtype=dtype, config=config.encoder)
    taught = load_trunk(base.decoder.folder, dtype=dtype, config=_as_it_came(config.decoder))
    with quiet_library(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        writer = MODEL_FOR_CAUSAL_LM_MAPPING[type(config.decoder)](config.decoder).to(dtype)
    unknown = writer.base_model.load_state_dict(taught.state_dict(), strict=False)
    assert not unknown.unexpected_keys and all("crossattention" in name for name in unknown.missing_keys)
    writer.tie_weights()
    with quiet_library():
        whole = EncoderDecoderModel(config, encoder=reader, decoder=writer)
    for name in ("decoder_start_token_id", "eos_token_id", "pad_token_id"):
        setattr(whole.generation_config, name, getattr(config, name))
    own_memory(whole)
    fuse_layers(whole)
    return whole.eval()


def joined_config(base: Base) -> EncoderDecoderConfig:
    """The configuration of the halves of `base` together; answers start with [CLS] and end with [SEP]."""
    assert base.decoder is not None
    reader, writer = load_config(base.folder), load_config(base.decoder.folder)
    config = EncoderDecoderConfig.from_encoder_decoder_configs(reader, writer)
    tokenizer = load_tokenizer(base.folder)
    config.decoder_start_token_id, config.eos_token_id = tokenizer.cls_token_id, tokenizer.sep_token_id
    config.pad_token_id, config.vocab_size = tokenizer.pad_token_id, config.decoder.vocab_size
    config.tie_word_embeddings = False  # the halves' with each other; the decoder's own are tied by its own settings
    return config


def new_modules(whole: EncoderDecoderModel) -> list[nn.Module]:
    """Modules whose own parameters no base has trained: cross-attention, and what leads from vectors to words save the
    embeddings.
    """
    predictions = whole.decoder.cls.predictions
    crossing = [module for path, module in whole.named_modules() if ".crossattention" in path]
    return [*crossing, *predictions.transform.modules(), predictions]


def _as_it_came(config: PretrainedConfig) -> PretrainedConfig:
    """The decoder's configuration as of an encoder, by which its base was saved."""
    config = copy.deepcopy(config)
    config.is_decoder = config.add_cross_attention = False
    return config


def _refuse_misfits(base: Base, reader: Description, writer: Description) -> None:
    assert base.decoder is not None
    first, second = load_tokenizer(base.folder), load_tokenizer(base.decoder.folder)
    wrong = {
        f"{reader.name} is no encoder": reader.family != "encoder",
        f"{writer.name} is of the type {writer.model_type}, and only an encoder of the type "
        f"{' or '.join(_DECODERS)} can become a decoder": writer.model_type not in _DECODERS,
        f"{reader.name} is {reader.width} wide and {writer.name} {writer.width}": reader.width != writer.width,
        f"{reader.name} and {writer.name} have different tokenizers": first.get_vocab() != second.get_vocab(),
        f"{reader.name} has no token that starts and none that ends a text":
            None in (first.cls_token_id, first.sep_token_id, first.pad_token_id),
    }  # fmt: skip
    for sentence, holds in wrong.items():
        if holds:
            raise BaseRefusal(
                f"{base.name!r} cannot be put together: {sentence}.", where="base",
                remedy="Choose two encoders of BERT's kind, equally wide and with one tokenizer, such as minilm twice.",
            )  # fmt: skip
