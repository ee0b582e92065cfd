"""Small models that write, of every family, and tokenizers of every kind; weights are random but decided.

Random weights are multiplied, so that what comes next depends on what was read and end tokens do come up.
"""

from __future__ import annotations

import functools
import json
import random
import string

import torch
import transformers as t
from tests.tiny_bases import WORDS, give_words
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

END, START, VOCABULARY = 3, 2, 200
DECODERS = ("llama", "gpt2", "mistral", "gemma3", "qwen2")
SOURCED = ("t5", "bart", "bert2bert")
_CLEARER = 6.0  # random weights of the usual size say nearly the same of every prompt
_TEXT = (WORDS, '{"name": "x", "a": [1, 2, true], "size": null}', "größe naïve 日本語 😀 привет " * 3)


@functools.cache
def tiny_lm(family: str) -> t.PreTrainedModel:
    """A model of `family` (one of DECODERS or SOURCED) over 200 tokens; token 3 ends an answer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        lm = _MAKERS[family]()
    with torch.no_grad():
        for parameter in lm.parameters():
            if parameter.dim() > 1:
                parameter.mul_(_CLEARER)
    for holder in (lm.config, lm.generation_config):
        holder.eos_token_id, holder.pad_token_id, holder.decoder_start_token_id = END, 0, START
        holder.forced_eos_token_id = None
    return lm.eval()


def prompts_of(count: int, *, longest: int = 24, seed: int = 0) -> list[list[int]]:
    """Prompts of random lengths from 1 to `longest` tokens."""
    chance = random.Random(seed)
    return [[chance.randrange(5, VOCABULARY) for _ in range(chance.randint(1, longest))] for _ in range(count)]


def _decoder(config: str, model: str, **options: object) -> t.PreTrainedModel:
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    sizes |= {"num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 4096}
    return getattr(t, model)(getattr(t, config)(**sizes, **options))


def _bert2bert() -> t.PreTrainedModel:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    one = t.BertConfig(**sizes, vocab_size=VOCABULARY, max_position_embeddings=64)
    other = t.BertConfig(**one.to_dict())
    other.is_decoder = other.add_cross_attention = True
    return t.EncoderDecoderModel(t.EncoderDecoderConfig.from_encoder_decoder_configs(one, other))


_MAKERS = {
    "llama": lambda: _decoder("LlamaConfig", "LlamaForCausalLM"),
    "qwen2": lambda: _decoder("Qwen2Config", "Qwen2ForCausalLM"),
    "mistral": lambda: _decoder("MistralConfig", "MistralForCausalLM", sliding_window=6),
    "gemma3": lambda: _decoder(
        "Gemma3TextConfig", "Gemma3ForCausalLM", sliding_window=5, head_dim=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "gpt2": lambda: t.GPT2LMHeadModel(
        t.GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=3, n_head=4)
    ),
    "t5": lambda: t.T5ForConditionalGeneration(
        t.T5Config(vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=64, num_layers=3, num_heads=4)
    ),
    "bart": lambda: t.BartForConditionalGeneration(
        t.BartConfig(
            vocab_size=VOCABULARY, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64,
        )
    ),
    "bert2bert": _bert2bert,
}  # fmt: skip


@functools.cache
def byte_tokenizer(size: int = 420) -> t.PreTrainedTokenizerFast:
    """Byte-level BPE, as GPT-2 and Llama 3 have it: every byte is a token, and a token may be half a character."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(tokenizer, trainers.BpeTrainer, vocab_size=size, initial_alphabet=alphabet)


@functools.cache
def piece_tokenizer(*, falls_back: bool = True) -> t.PreTrainedTokenizerFast:
    """Pieces with a mark for the space before a word, as of Llama 2 and T5; with tokens for all bytes or without."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=falls_back, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps) if falls_back else decoders.Metaspace("▁", "first")
    more = [f"<0x{byte:02X}>" for byte in range(256)] if falls_back else []
    options = {"special_tokens": [*_SPECIAL, *more], "initial_alphabet": [*string.printable, *"äöüßé日本語😀"]}
    made = _trained(tokenizer, trainers.BpeTrainer, vocab_size=700, **options)
    return made if not falls_back else _with_ordinary_bytes(made)


@functools.cache
def word_tokenizer(more: tuple[str, ...] = ()) -> t.PreTrainedTokenizerFast:
    """Word pieces, as BERT has them, with `more` tokens."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    give_words(tokenizer, _TEXT, special=_SPECIAL, letters='{}[]":,\\.-+')
    made = _wrapped(tokenizer)
    if more:
        state = _state(made)
        for token in more:
            state["model"]["vocab"].setdefault(token, len(state["model"]["vocab"]))
        return _wrapped(_from_state(state))
    return made


_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")


def _trained(tokenizer: Tokenizer, trainer: type, **options: object) -> t.PreTrainedTokenizerFast:
    options.setdefault("special_tokens", list(_SPECIAL))
    tokenizer.train_from_iterator(_TEXT * 3, trainer(show_progress=False, **options))
    return _wrapped(tokenizer)


def _with_ordinary_bytes(made: t.PreTrainedTokenizerFast) -> t.PreTrainedTokenizerFast:
    """The same with its byte tokens not special, as SentencePiece models are converted."""
    state = _state(made)
    state["added_tokens"] = [one for one in state["added_tokens"] if one["content"] in _SPECIAL]
    return _wrapped(_from_state(state))


def _state(made: t.PreTrainedTokenizerFast) -> dict:
    return json.loads(made.backend_tokenizer.to_str())


def _from_state(state: dict) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(state))


def _wrapped(tokenizer: Tokenizer) -> t.PreTrainedTokenizerFast:
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return t.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
