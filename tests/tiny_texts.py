"""Small models that write text, of many architectures, rows for them, and the loss that transformers has for the same.

Weights are random, decided, and large enough for logits that differ.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers as t

from tunewright.model.heads import Shape
from tunewright.model.text import TextModel
from tunewright.train.material import Tokens
from tunewright.values import Encoded

VOCABULARY = 90
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_TEXT = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
_T5 = {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
       "decoder_start_token_id": 0, "dropout_rate": 0.0}  # fmt: skip
_BART = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2, "dropout": 0.0,
}  # fmt: skip


def _decoder(name: str, *, model: str | None = None, **options: Any) -> t.PreTrainedModel:
    return getattr(t, model or f"{name}ForCausalLM")(getattr(t, f"{name}Config")(**_SIZES, **_TEXT, **options))


def _gpt2(**options: Any) -> t.PreTrainedModel:
    return t.GPT2LMHeadModel(t.GPT2Config(
        vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=2, n_head=4, eos_token_id=3, bos_token_id=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **options,
    ))  # fmt: skip


def _bert2bert() -> t.PreTrainedModel:
    one = t.BertConfig(**_SIZES, vocab_size=VOCABULARY, max_position_embeddings=64, hidden_dropout_prob=0.0,
                       attention_probs_dropout_prob=0.0)  # fmt: skip
    other = t.BertConfig(**one.to_dict())
    other.is_decoder = other.add_cross_attention = True
    whole = t.EncoderDecoderModel(t.EncoderDecoderConfig.from_encoder_decoder_configs(one, other))
    whole.config.decoder_start_token_id, whole.config.pad_token_id = 2, 0
    return whole


DECODERS: dict[str, Callable[[], t.PreTrainedModel]] = {
    "llama": functools.partial(_decoder, "Llama", num_key_value_heads=2),
    "llama, tied": functools.partial(_decoder, "Llama", num_key_value_heads=2, tie_word_embeddings=True),
    "gpt2": _gpt2,
    "gpt2, untied": functools.partial(_gpt2, tie_word_embeddings=False),
    "qwen2": functools.partial(_decoder, "Qwen2", num_key_value_heads=2),
    "mistral, short window": functools.partial(_decoder, "Mistral", num_key_value_heads=2, sliding_window=4),
    "gemma": functools.partial(_decoder, "Gemma", num_key_value_heads=1, head_dim=8),
    "neox": functools.partial(_decoder, "GPTNeoX", hidden_dropout=0.0, attention_dropout=0.0),
    "phi": functools.partial(_decoder, "Phi"),  # its output layer has a bias
}
SOURCED: dict[str, Callable[[], t.PreTrainedModel]] = {
    "t5": lambda: t.T5ForConditionalGeneration(t.T5Config(**_T5)),
    "t5, newer": lambda: t.T5ForConditionalGeneration(
        t.T5Config(**_T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    ),
    "bart": lambda: t.BartForConditionalGeneration(t.BartConfig(**_BART)),
    "marian": lambda: t.MarianMTModel(t.MarianConfig(**_BART)),  # its logits have a bias that is not the layer's
    "bert2bert": _bert2bert,
}
ALL = (*DECODERS, *SOURCED)
MAIN = ("llama", "gpt2", "t5", "bart")


@functools.cache
def _template(name: str) -> t.PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        lm = (DECODERS | SOURCED)[name]()
        with torch.no_grad():
            learned = [parameter for name, parameter in lm.named_parameters() if not _is_fixed(lm, name)]
            for tensor in (*learned, *(b for n, b in lm.named_buffers() if n == "final_logits_bias")):
                tensor.add_(torch.randn_like(tensor) * 0.1)
    return lm.eval()


def _is_fixed(lm: t.PreTrainedModel, name: str) -> bool:
    """Whether a parameter is computed when the model is made, and not saved: Marian's positions."""
    return lm.config.model_type == "marian" and "embed_positions" in name


def tiny_lm(name: str) -> t.PreTrainedModel:
    """A new model, one of ALL, the same weights each time; without dropout."""
    return copy.deepcopy(_template(name))


def shape_of(name: str, kind: str = "generation") -> Shape:
    family = "decoder" if name in DECODERS else "encoder-decoder"
    return Shape(kind=kind, outputs=VOCABULARY, pooling="last", family=family, takes_types=False, dropout=0.0)


def tiny_text_model(name: str, kind: str = "generation") -> TextModel:
    return TextModel(tiny_lm(name), shape_of(name, kind))


def start_of(name: str) -> int:
    """What the decoder half of a model of SOURCED begins with."""
    return int(_template(name).config.decoder_start_token_id)


def tiny_text_rows(name: str, *, rows: int = 8, longest: int = 14, seed: int = 0) -> Tokens:
    """Rows of ragged lengths with one or two stretches to write, as training is fed with them."""
    draw = np.random.default_rng(seed)
    tokens, asked, types, starts = [], [], [], [0]
    for _ in range(rows):
        ids = draw.integers(4, VOCABULARY, draw.integers(3, longest + 1)).tolist()
        if name in DECODERS:
            wanted = (draw.random(len(ids)) < 0.5).tolist()
            wanted[-1] = True
            tokens += ids
            asked += [following if want else -1 for following, want in zip([*ids[1:], 3], wanted, strict=True)]
            types += [0] * len(ids)
        else:
            target = [*draw.integers(4, VOCABULARY, draw.integers(0, longest)).tolist(), 3]
            tokens += [*ids, start_of(name), *target[:-1]]
            asked += [-1] * len(ids) + target
            types += [0] * len(ids) + [1] * len(target)
        starts.append(len(tokens))
    encoded = Encoded(
        tokens_n=np.array(tokens, dtype=np.int32), starts_s=np.array(starts), owner_s=np.arange(rows),
        types_n=None if name in DECODERS else np.array(types, dtype=np.int8), cut_r=np.zeros(rows, dtype=np.int64),
        answers_n=np.array(asked, dtype=np.int32), bytes_r=np.arange(rows, dtype=np.int64) + 1,
    )  # fmt: skip
    weights_r = np.ones(rows, dtype=np.float32)
    return Tokens(encoded, None, weights_r, tuple(f"row-{i}" for i in range(rows)), pad_id=0)


def library_logits(lm: t.PreTrainedModel, encoded: Encoded) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Of each row, read alone by transformers: logits [m, v] and targets [m] of what is asked."""
    found = []
    for row in range(encoded.rows):
        part = slice(encoded.starts_s[row], encoded.starts_s[row + 1])
        both = (encoded.tokens_n[part], encoded.answers_n[part])
        ids, asked = (torch.from_numpy(values.astype(np.int64)) for values in both)
        if encoded.types_n is None:
            logits = lm(input_ids=ids[None], use_cache=False).logits[0]
        else:
            written = torch.from_numpy(encoded.types_n[part] == 1)
            read = lm(input_ids=ids[~written][None], decoder_input_ids=ids[written][None], use_cache=False).logits[0]
            logits = read.new_zeros(len(ids), read.shape[1]).index_copy(0, written.nonzero().squeeze(1), read)
        found.append((logits[asked >= 0], asked[asked >= 0]))
    return found


def library_loss(lm: t.PreTrainedModel, encoded: Encoded) -> torch.Tensor:
    """The loss that transformers itself computes for all rows, padded, with labels of −100 where nothing is asked."""
    pad = torch.nn.utils.rnn.pad_sequence
    ids, labels, sources = [], [], []
    for row in range(encoded.rows):
        part = slice(encoded.starts_s[row], encoded.starts_s[row + 1])
        tokens, asked = (values[part].astype(np.int64) for values in (encoded.tokens_n, encoded.answers_n))
        wanted = torch.from_numpy(np.where(asked >= 0, asked, -100))
        if encoded.types_n is None:  # the library shifts labels itself: what the first token says is asked of none
            ids.append(torch.from_numpy(np.append(tokens, 3)))
            labels.append(torch.cat([torch.tensor([-100]), wanted]))
        else:
            written = encoded.types_n[part] == 1
            sources.append(torch.from_numpy(tokens[~written]))
            labels.append(wanted[torch.from_numpy(written)])
    labels_st = pad(labels, batch_first=True, padding_value=-100)
    given = pad(sources or ids, batch_first=True)
    mask = pad([torch.ones(len(one), dtype=torch.int64) for one in sources or ids], batch_first=True)
    return lm(input_ids=given, attention_mask=mask, labels=labels_st, use_cache=False).loss
