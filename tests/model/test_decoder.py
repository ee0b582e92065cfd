"""Prompts that come and go while others are being answered."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_generators import END, byte_tokenizer, prompts_of, tiny_lm

from tunewright.model.constrain import OneOf
from tunewright.model.decoder import Decoder, end_tokens
from tunewright.model.generate import generate
from tunewright.model.sampling import Sampling
from tunewright.recipe.errors import BaseRefusal, RecipeRefusal


def alone(lm, prompt, sampling):
    return generate(lm, byte_tokenizer(), [prompt], sampling=sampling)[0]


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_prompts_that_come_later_and_ask_for_other_things_get_the_answers_they_get_alone(family):
    lm, decoder = tiny_lm(family), Decoder(tiny_lm(family), byte_tokenizer(), tokens_per_batch=400)
    kinds = [
        Sampling(max_new_tokens=14), Sampling(max_new_tokens=5, temperature=1.0, seed=2),
        Sampling(max_new_tokens=9, temperature=0.7, top_k=4), Sampling(max_new_tokens=9, min_new_tokens=9),
    ]  # fmt: skip
    asked = []
    for turn, prompt in enumerate(prompts_of(24, seed=12)):
        sampling = kinds[turn % len(kinds)]
        asked.append((prompt, sampling, decoder.add(prompt, sampling=sampling)))
        decoder.step()
    while decoder.busy:
        decoder.step()
    assert decoder.step() == []
    for prompt, sampling, answer in asked:
        known = alone(lm, prompt, sampling)
        assert answer.growth.generated.ids == known.ids and answer.growth.generated.text == known.text


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_no_step_holds_more_than_it_may(family, monkeypatch):
    lm, limit = tiny_lm(family), 150
    decoder = Decoder(lm, byte_tokenizer(), tokens_per_batch=limit)
    held = []
    original = type(lm).forward

    def seen(self, *args, **kwargs):
        out = original(self, *args, **kwargs)
        cache = getattr(out.past_key_values, "self_attention_cache", out.past_key_values)
        held.append(cache.layers[0].keys.shape[0] * cache.get_seq_length())
        return out

    monkeypatch.setattr(type(lm), "forward", seen)
    for prompt in prompts_of(30, seed=13):
        decoder.add(prompt, sampling=Sampling(max_new_tokens=10))
    while decoder.busy:
        decoder.step()
    assert max(held) <= limit and max(held) > limit / 4


def test_a_prompt_that_is_larger_than_a_batch_is_answered_alone():
    lm = tiny_lm("llama")
    answers = generate(lm, byte_tokenizer(), [[7] * 30, [8]], sampling=Sampling(max_new_tokens=5), tokens_per_batch=10)
    assert [len(answer.ids) for answer in answers] == [5, 5]


def test_those_that_are_done_make_room(monkeypatch):
    lm = tiny_lm("llama")
    decoder = Decoder(lm, byte_tokenizer(), tokens_per_batch=10_000, ends=())
    for length in (2, 2, 2, 12):
        decoder.add([9, 9], sampling=Sampling(max_new_tokens=length))
    rows = []
    original = type(lm).forward
    monkeypatch.setattr(
        type(lm), "forward",
        lambda self, *a, **k: rows.append(len(k["input_ids"])) or original(self, *a, **k),
    )  # fmt: skip
    while decoder.busy:
        decoder.step()
    assert rows == [4, 4] + [1] * 10


def test_a_cancelled_answer_gets_no_further_token():
    decoder = Decoder(tiny_lm("llama"), byte_tokenizer(), tokens_per_batch=40, ends=())
    going, waiting = (decoder.add([9] * 20, sampling=Sampling(max_new_tokens=15)) for _ in range(2))
    assert decoder.step() == [going]
    decoder.cancel(going)
    decoder.cancel(waiting)
    assert not decoder.busy and decoder.step() == []
    assert len(going.growth.ids) == 1 and waiting.growth.generated.finish == "cancelled"


def test_end_tokens_are_those_of_the_model_and_of_its_tokenizer():
    lm, tokenizer = tiny_lm("gpt2"), byte_tokenizer()
    assert end_tokens(lm, tokenizer) == {END} == {tokenizer.eos_token_id}
    config = lm.generation_config
    try:
        config.eos_token_id = [7, 9]
        assert end_tokens(lm, tokenizer) == {3, 7, 9}
    finally:
        config.eos_token_id = END


def test_a_form_that_cannot_hold_is_refused():
    lm, tokenizer = tiny_lm("llama"), byte_tokenizer()
    form = OneOf(["a"], tokenizer)
    for sampling in (Sampling(stop=("x",)), Sampling(min_new_tokens=2)):
        with pytest.raises(RecipeRefusal, match="neither be stopped"):
            Decoder(lm, tokenizer).add([5], sampling=sampling, constraint=form)
    with pytest.raises(BaseRefusal, match="no end token"):
        Decoder(lm, tokenizer, ends=()).add([5], sampling=Sampling(), constraint=form)


def test_steps_keep_no_graph():
    decoder = Decoder(tiny_lm("llama"), byte_tokenizer())
    decoder.add([5], sampling=Sampling())
    decoder.step()
    assert torch.is_grad_enabled() and not decoder._groups[0].lanes.logits_bv.requires_grad
