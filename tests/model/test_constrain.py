"""Whatever a model would say, what it may say keeps to the form."""

from __future__ import annotations

import functools
import json

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_generators import END, byte_tokenizer, piece_tokenizer, prompts_of, word_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from tunewright.model.constrain import JsonOf, OneOf
from tunewright.model.generate import generate, stream
from tunewright.model.sampling import Sampling
from tunewright.model.token_bytes import TokenBytes
from tunewright.recipe.errors import RecipeRefusal

ASCII_PARTS = tuple(f"##{chr(code)}" for code in range(33, 127) if not chr(code).isupper())
TOKENIZERS = {
    "bytes": byte_tokenizer, "pieces with bytes": piece_tokenizer,
    "pieces": lambda: piece_tokenizer(falls_back=False), "words": lambda: word_tokenizer(ASCII_PARTS),
}  # fmt: skip


@functools.cache
def written_by(kind: str) -> TokenBytes:
    return TokenBytes(TOKENIZERS[kind]())


@functools.cache
def lm_of(kind: str) -> LlamaForCausalLM:
    """A model with a few logits more than its tokenizer has tokens, as padded vocabularies have."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = LlamaConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, eos_token_id=END,
            vocab_size=len(TOKENIZERS[kind]()) + 7, bos_token_id=2, initializer_range=0.3, max_position_embeddings=9999,
        )  # fmt: skip
        return LlamaForCausalLM(config).eval()


LITERALS = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text("abcxy", max_size=5))
LEAVES = st.one_of(
    st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 6)),
    st.builds(
        lambda n, m: {"type": "string", "minLength": n, "maxLength": n + m}, st.integers(0, 3), st.integers(0, 3)
    ),
    st.sampled_from(["integer", "number", "boolean", "null"]).map(lambda kind: {"type": kind}),
    st.builds(lambda n: {"type": ["string", "null"], "maxLength": n}, st.integers(0, 4)),
    st.lists(LITERALS, min_size=1, max_size=4).map(lambda values: {"enum": values}),
)


def _larger(inner: st.SearchStrategy) -> st.SearchStrategy:
    names = st.lists(st.text('abc_"\\xy', max_size=4), unique=True, max_size=4)
    objects = st.tuples(names, st.lists(inner, min_size=4, max_size=4), st.sets(st.integers(0, 3))).map(
        lambda drawn: {
            "type": "object", "properties": dict(zip(drawn[0], drawn[1], strict=False)), "additionalProperties": False,
            "required": [name for place, name in enumerate(drawn[0]) if place in drawn[2]],
        }
    )  # fmt: skip
    arrays = st.builds(
        lambda items, least, more: {"type": "array", "items": items, "minItems": least, "maxItems": least + more},
        inner, st.integers(0, 2), st.integers(0, 2),
    )  # fmt: skip
    return st.one_of(objects, arrays, st.lists(inner, min_size=1, max_size=3).map(lambda several: {"anyOf": several}))


SCHEMAS = st.recursive(LEAVES, _larger, max_leaves=6)


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=20, deadline=None)
@given(schema=SCHEMAS, temperature=st.sampled_from([0.0, 1.0, 3.0]), seed=st.integers(0, 99))
def test_what_is_generated_parses_and_is_valid(kind, schema, temperature, seed):
    tokenizer, form = TOKENIZERS[kind](), JsonOf(schema, written_by(kind))
    sampling = Sampling(max_new_tokens=2000, temperature=temperature, seed=seed)
    for answer in generate(lm_of(kind), tokenizer, prompts_of(3, seed=seed), sampling=sampling, constraint=form):
        assert answer.finish == "stop", answer.text
        jsonschema.validate(json.loads(answer.text), schema)


TICKET = {
    "type": "object", "required": ["product", "count", "urgent"],
    "properties": {"product": {"type": "string", "maxLength": 20}, "count": {"type": "integer"},
                   "urgent": {"type": "boolean"}},
}  # fmt: skip


@pytest.mark.parametrize(
    "sampling", [Sampling(beams=3), Sampling(temperature=1.0, top_p=0.5)], ids=["beams", "nucleus"]
)
def test_beams_and_nuclei_keep_to_the_form(sampling):
    form = JsonOf(TICKET, written_by("bytes"))
    for answer in generate(lm_of("bytes"), byte_tokenizer(), prompts_of(4), sampling=sampling, constraint=form):
        assert answer.finish == "stop"
        jsonschema.validate(json.loads(answer.text), TICKET)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_words_with_a_space_between_are_written_by_any_vocabulary(kind):
    schema = {"type": "object", "properties": {"the card": {"enum": ["top up", "late fee"]}}, "required": ["the card"]}
    form = JsonOf(schema, written_by(kind))
    sampling = Sampling(max_new_tokens=200, temperature=2.0)
    for answer in generate(lm_of(kind), TOKENIZERS[kind](), prompts_of(6), sampling=sampling, constraint=form):
        jsonschema.validate(json.loads(answer.text), schema)


def test_each_prompt_may_have_a_form_of_its_own():
    tokenizer, prompts = byte_tokenizer(), prompts_of(4, seed=2)
    forms = [JsonOf(TICKET, written_by("bytes")), None, OneOf(["refund", "card"], tokenizer), None]
    sampling = Sampling(max_new_tokens=200)
    together = generate(lm_of("bytes"), tokenizer, prompts, sampling=sampling, constraint=forms)
    for prompt, form, answer in zip(prompts, forms, together, strict=True):
        (alone,) = generate(lm_of("bytes"), tokenizer, [prompt], sampling=sampling, constraint=form)
        assert alone.ids == answer.ids
    jsonschema.validate(json.loads(together[0].text), TICKET)
    assert together[2].text.strip() in ("refund", "card") and together[1].text


def test_a_form_can_be_streamed():
    form = JsonOf(TICKET, written_by("bytes"))
    *pieces, last = stream(lm_of("bytes"), byte_tokenizer(), [9, 8], sampling=Sampling(), constraint=form)
    assert "".join(pieces) == last.text and json.loads(last.text)


def test_an_answer_that_is_cut_short_says_so():
    form = JsonOf(TICKET, written_by("bytes"))
    (answer,) = generate(lm_of("bytes"), byte_tokenizer(), [[9]], sampling=Sampling(max_new_tokens=3), constraint=form)
    assert answer.finish == "length"


def test_a_vocabulary_that_cannot_write_the_schema_is_refused():
    written = TokenBytes(word_tokenizer())
    with pytest.raises(RecipeRefusal, match="cannot write '\"', .*, which this schema needs"):
        JsonOf(TICKET, written)
    named = {"type": "object", "properties": {"Größe": {"type": "null"}}}
    with pytest.raises(RecipeRefusal, match="cannot write 'G', which"):
        JsonOf(named, written_by("words"))


LABELS = ["card", "card arrival", "card arrival late", "refund", "Größe 日本", "top-up", "a"]


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("beams", [1, 4])
def test_one_of_the_labels_is_said(kind, beams):
    tokenizer = TOKENIZERS[kind]()
    labels = LABELS if "bytes" in kind else [label for label in LABELS if label.isascii()]
    form = OneOf(labels, tokenizer)
    sampling = Sampling(max_new_tokens=40, beams=beams, temperature=4.0 if beams == 1 else 0.0)
    answers = generate(lm_of(kind), tokenizer, prompts_of(60 // beams**2, seed=3), sampling=sampling, constraint=form)
    assert all(answer.finish == "stop" for answer in answers)
    said = [form.label_of(answer.ids) for answer in answers]
    assert None not in said and len(set(said)) > (3 if beams == 1 else 0)
    if kind != "words":  # which writes 'top - up'
        assert [answer.text.strip() for answer in answers] == said


def test_a_label_that_is_not_whole_is_none():
    tokenizer = byte_tokenizer()
    form = OneOf(["refund"], tokenizer)
    ids = tokenizer.encode("refund", add_special_tokens=False)
    assert form.label_of(ids) == form.label_of([*ids, END]) == "refund" and form.label_of(ids[:-1]) is None


def test_labels_that_cannot_be_told_apart_or_written_are_refused():
    for labels, named in ((["Card", "card"], "'Card' and 'card' apart"), ([], "no labels"), (["€"], "no tokens")):
        with pytest.raises(RecipeRefusal, match=named):
            OneOf(labels, word_tokenizer())


def test_masks_of_a_state_are_made_once():
    form = JsonOf(TICKET, written_by("bytes"))
    assert form.allowed(form.start) is form.allowed(form.start)
    brace = byte_tokenizer().convert_tokens_to_ids("{")
    assert form.allowed(form.start)[brace] and not form.may_end(form.start)
    assert not form.allowed(form.after(form.start, brace))[brace]
