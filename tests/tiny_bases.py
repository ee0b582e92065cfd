"""Small bases of every family, made on the spot: real configurations, random weights, a tokenizer of words."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = (
    "my card has not arrived yet and i want to know where it is please tell me how do i change the pin code "
    "the payment was declined at the shop a refund is missing from my account can you cancel this order now "
    "thank you very much good bad late early money transfer top up exchange rate fee charged twice hello"
)
FAMILIES = ("bert", "distilbert", "roberta", "gpt2", "llama", "t5", "bart", "vit")
_SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
_SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}


def make_tiny_base(folder: Path, family: str) -> Path:
    """Saves a tiny base of `family` (one of FAMILIES) into `folder`, the same bytes each time, and returns `folder`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = _model(family)
    model.save_pretrained(folder)
    if family != "vit":
        make_tokenizer(family).save_pretrained(folder)
    return folder


def make_tokenizer(family: str) -> transformers.PreTrainedTokenizerFast:
    """A word-piece tokenizer as the family has it: with types (bert), special tokens alone, or bare (gpt2, llama)."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    give_words(tokenizer, [WORDS], special=_SPECIAL.values())
    special = _SPECIAL
    if family in ("gpt2", "llama"):
        special = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    else:
        places = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
        second = "$B:1 [SEP]:1" if family == "bert" else "$B [SEP]"
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair=f"[CLS] $A [SEP] {second}", special_tokens=places
        )
    names = ["input_ids", "token_type_ids", "attention_mask"] if family == "bert" else ["input_ids", "attention_mask"]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, model_input_names=names, **special
    )


def give_words(tokenizer: Tokenizer, texts: Iterable[str], *, special: Collection[str], letters: str = "") -> None:
    """Let word pieces be the words of `texts`, beginning a word or going on in one, their ends, and single letters.

    The library's trainer of word pieces makes others in every process.
    """
    split = tokenizer.pre_tokenizer.pre_tokenize_str
    words = sorted({word for text in texts for word, _ in split(tokenizer.normalizer.normalize_str(text))})
    longer = [word for word in words if len(word) > 1]
    begun = [*sorted({*"".join(words), *letters}), *longer]
    inside = {*"".join(word[1:] for word in longer), *longer, *(word[-2:] for word in longer)}
    pieces = [*special, *begun, *sorted(f"##{piece}" for piece in inside)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer.model = models.WordPiece(vocabulary, unk_token=tokenizer.model.unk_token)
    tokenizer.add_special_tokens(list(special))


def _model(family: str) -> transformers.PreTrainedModel:
    t = transformers
    text = {"vocab_size": 200, "pad_token_id": 0}
    makers = {
        "bert": lambda: t.BertModel(t.BertConfig(**_SIZES, **text, max_position_embeddings=64)),
        "distilbert": lambda: t.DistilBertModel(
            t.DistilBertConfig(dim=32, n_layers=3, n_heads=4, hidden_dim=64, **text, max_position_embeddings=64)
        ),
        "roberta": lambda: t.RobertaModel(
            t.RobertaConfig(**_SIZES, **text, max_position_embeddings=65, type_vocab_size=1)
        ),
        "gpt2": lambda: t.GPT2LMHeadModel(
            t.GPT2Config(vocab_size=200, n_positions=64, n_embd=32, n_layer=3, n_head=4, eos_token_id=3, bos_token_id=3)
        ),
        "llama": lambda: t.LlamaForCausalLM(
            t.LlamaConfig(
                **_SIZES, vocab_size=200, num_key_value_heads=2, max_position_embeddings=64,
                eos_token_id=3, bos_token_id=2,
            )
        ),
        "t5": lambda: t.T5ForConditionalGeneration(
            t.T5Config(vocab_size=200, d_model=32, d_kv=8, d_ff=64, num_layers=3, num_heads=4, decoder_start_token_id=0)
        ),
        "bart": lambda: t.BartModel(
            t.BartConfig(
                vocab_size=200, d_model=32, encoder_layers=3, decoder_layers=2, encoder_attention_heads=4,
                decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64,
                pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2,
            )
        ),
        "vit": lambda: t.ViTForImageClassification(t.ViTConfig(**_SIZES, image_size=32, patch_size=16)),
    }
    return makers[family]().eval()
