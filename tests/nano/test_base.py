"""The base's folder as transformers opens it: tokenizer, chat template, configuration, random weights, card."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError
from nano.base import CONTEXT, random_model
from nano.chat import END, PAD, SPECIAL_TOKENS, exchange, render
from tests.nano.conftest import VOCABULARY
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

PLAIN = st.text(st.characters(exclude_categories=("Cs",)), max_size=60).filter(
    lambda text: not any(token in text for token in SPECIAL_TOKENS)
)
CALL = {"type": "function", "function": {"name": "find", "arguments": {"town": "Bath", "n": 2}}}
TURNS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "tool", "assistant"]), "content": PLAIN}),
        st.fixed_dictionaries({"role": st.just("assistant"), "content": PLAIN, "tool_calls": st.just([CALL])}),
    ),
    min_size=1,
    max_size=5,
)
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
fixture_is_read_only = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@fixture_is_read_only
@given(text=PLAIN)
def test_any_text_is_written_and_read_back(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(tokenizer.all_special_ids)


def test_digits_stand_alone_and_special_tokens_are_one_each(tokenizer):
    tokens = tokenizer.tokenize("in 2024 it cost 19.50")
    assert all(len(token) == 1 for token in tokens if any(sign.isdigit() for sign in token))
    assert [tokenizer(token, add_special_tokens=False)["input_ids"] for token in SPECIAL_TOKENS] == [
        [index] for index in range(len(SPECIAL_TOKENS))
    ]
    assert len(tokenizer) == VOCABULARY and tokenizer.model_max_length == CONTEXT
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == (END, PAD, None)
    assert tokenizer("a")["input_ids"] == tokenizer("a", add_special_tokens=False)["input_ids"], "nothing is added"


def test_words_with_the_space_before_them_are_one_piece_and_text_is_not_inflated(tokenizer, corpus):
    text = "\n".join(row["text"] for row in corpus[1]["heldout"])
    assert len(tokenizer(text)["input_ids"]) < 0.5 * len(text)
    assert "Ġthe" in tokenizer.get_vocab()


@fixture_is_read_only
@given(messages=TURNS, tools=st.sampled_from([None, TOOLS]))
def test_the_beginning_of_a_conversation_is_rendered_as_the_beginning_of_the_whole(tokenizer, messages, tools):
    def ids_of(first, **options):
        return tokenizer.apply_chat_template(first, tools=tools, return_dict=False, **options)

    whole = ids_of(messages)
    for count in range(1, len(messages)):
        part = ids_of(messages[:count])
        assert whole[: len(part)] == part
        if messages[count]["role"] == "assistant":
            prompt = ids_of(messages[:count], add_generation_prompt=True)
            assert whole[: len(prompt)] == prompt
    assert tokenizer.decode(whole) == render(messages, tools=tools)


@fixture_is_read_only
@given(messages=TURNS)
def test_exactly_what_the_assistant_says_and_its_end_of_turn_is_marked(tokenizer, messages):
    encoded = tokenizer.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
    marked, expected = [], []
    for token, is_said in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
        marked += [token] if is_said else []
    for message in messages:
        if message["role"] == "assistant":
            rendered = render([message]).removeprefix("<|assistant|>")
            expected += tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert marked == expected


def test_the_template_shows_system_tools_calls_and_results(tokenizer):
    messages = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": '{"sky": "clear"}'},
        {"role": "assistant", "content": "It is clear."},
    ]  # fmt: skip
    text = tokenizer.apply_chat_template(messages, tools=TOOLS, tokenize=False)
    head, rest = text.split("<|end|>", 1)
    assert json.loads(head.removeprefix("<|tools|>")) == TOOLS
    assert rest == (
        '<|system|>Be brief.<|end|><|user|>Weather?<|end|><|assistant|><tool_call>{"name": "find", "arguments": '
        '{"town": "Bath", "n": 2}}</tool_call><|end|><|tool|>{"sky": "clear"}<|end|><|assistant|>It is clear.<|end|>'
    )
    written = {"role": "assistant", "content": "", "tool_calls": [{"name": "find", "arguments": '{"n": 1}'}]}
    assert render([written]) == '<|assistant|><tool_call>{"name": "find", "arguments": {"n": 1}}</tool_call><|end|>'


def test_an_unknown_role_is_refused(tokenizer):
    with pytest.raises(TemplateError, match="unknown role: critic"):
        tokenizer.apply_chat_template([{"role": "critic", "content": "No."}])


def test_exchanges_alternate_and_may_have_a_system_prompt():
    from random import Random

    assert exchange(Random(1), "a", "b", "c", "d", system="s") == (
        "<|system|>s<|end|><|user|>a<|end|><|assistant|>b<|end|><|user|>c<|end|><|assistant|>d<|end|>"
    )


def test_the_folder_opens_as_a_llama_with_tied_float32_weights(base, tokenizer):
    config, model = AutoConfig.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    assert (config.model_type, config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (
        "llama", 320, 8, 5)  # fmt: skip
    assert (config.head_dim, config.intermediate_size, config.max_position_embeddings) == (64, 864, CONTEXT)
    assert config.rope_parameters["rope_theta"] == 10_000 and config.vocab_size == len(tokenizer)
    assert (config.eos_token_id, config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert GenerationConfig.from_pretrained(base).eos_token_id == tokenizer.eos_token_id
    assert model.dtype == torch.float32 and model.lm_head.weight is model.model.embed_tokens.weight
    ids = tokenizer("Tom went to Bath.", return_tensors="pt").input_ids
    loss = model(input_ids=ids, labels=ids).loss
    assert abs(loss.item() - torch.log(torch.tensor(float(VOCABULARY)))) < 1, "random weights know nothing"


def test_weights_come_from_the_seed_and_leave_the_callers_generator_alone(base, tokenizer):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    same, other = random_model(tokenizer, seed=5), random_model(tokenizer, seed=6)
    assert torch.equal(torch.get_rng_state(), before)
    stored = AutoModelForCausalLM.from_pretrained(base)
    assert all(torch.equal(one, two) for one, two in zip(same.parameters(), stored.parameters(), strict=True))
    assert not torch.equal(same.lm_head.weight, other.lm_head.weight)


def test_the_card_counts_the_corpus_and_says_what_the_base_cannot_do(base, corpus, tokenizer):
    card = (base / "README.md").read_text(encoding="utf-8")
    for theme in ("dialogues", "records"):
        rows = [row for row in corpus[1]["train"] if row["source"] == f"generated/{theme}"]
        tokens = sum(len(tokenizer(row["text"], add_special_tokens=False)["input_ids"]) for row in rows)
        assert f"| generated/{theme} | Apache-2.0 | {len(rows):,} | {tokens:,} |" in card
    assert "## What it cannot do" in card and "python -m nano scan" in card
    assert max(map(len, card.splitlines())) <= 120
    assert "Apache License" in (base / "LICENSE").read_text(encoding="utf-8")


def test_the_tokenizer_is_the_same_when_trained_again(base, corpus, tmp_path):
    from nano.base import write_base

    write_base(tmp_path, corpus=corpus[0], seed=5, vocabulary=VOCABULARY)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "README.md"):
        assert (tmp_path / name).read_bytes() == (base / name).read_bytes()
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == AutoTokenizer.from_pretrained(base).get_vocab()
