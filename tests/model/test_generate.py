"""Answers against those of transformers, alone against in a batch, told at once against as a stream."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_generators import DECODERS, END, SOURCED, byte_tokenizer, prompts_of, tiny_lm
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from tunewright.model.answers import Generated
from tunewright.model.generate import differences, generate, stream
from tunewright.model.sampling import Sampling
from tunewright.recipe.errors import BaseRefusal, DataRefusal, RecipeRefusal

FAMILIES = (*DECODERS, *SOURCED)
GREEDY = Sampling(max_new_tokens=20)


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


@pytest.fixture(scope="module")
def byte_lm(tokenizer):
    """A model over the whole of a byte-level vocabulary, so that its texts hold broken characters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        config = LlamaConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=len(tokenizer),
            eos_token_id=END, bos_token_id=2, initializer_range=0.2,
        )  # fmt: skip
        return LlamaForCausalLM(config).eval()


def answers_of_transformers(lm, prompt: list[int], **options) -> tuple[int, ...]:
    config = GenerationConfig(
        do_sample=False, eos_token_id=END, pad_token_id=0,
        decoder_start_token_id=lm.generation_config.decoder_start_token_id, **options,
    )  # fmt: skip
    ids = torch.tensor([prompt])
    out = lm.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)[0].tolist()
    out = out[1:] if lm.config.is_encoder_decoder else out[len(prompt) :]
    return tuple(out[: out.index(END) + 1] if END in out else out)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_in_a_batch_are_those_of_transformers_alone(family, tokenizer):
    lm, prompts = tiny_lm(family), prompts_of(24)
    answers = generate(lm, tokenizer, prompts, sampling=GREEDY, tokens_per_batch=9 * 44)
    assert [answer.ids for answer in answers] == [
        answers_of_transformers(lm, prompt, max_new_tokens=20) for prompt in prompts
    ]  # fmt: skip
    assert len({answer.ids for answer in answers}) > 4, "the prompts must matter"


@pytest.mark.parametrize("options", [{}, {"min_new_tokens": 12}], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_beams_in_a_batch_are_those_of_transformers_alone(family, options, tokenizer):
    lm, prompts = tiny_lm(family), prompts_of(8, seed=1)
    sampling = Sampling(max_new_tokens=16, beams=3, **options)
    answers = generate(lm, tokenizer, prompts, sampling=sampling, tokens_per_batch=5 * 3 * 40)
    assert [answer.ids for answer in answers] == [
        answers_of_transformers(lm, prompt, max_new_tokens=16, num_beams=3, **options) for prompt in prompts
    ]  # fmt: skip


@pytest.mark.parametrize(("family", "count"), [("llama", 200), ("t5", 40)])
def test_all_greedy_answers_are_the_same_alone_and_in_a_batch(family, count, tokenizer):
    prompts = prompts_of(count, seed=2)
    assert differences(tiny_lm(family), tokenizer, prompts, sampling=Sampling(max_new_tokens=16)) == []


def test_differences_in_bfloat16_are_listed_with_their_margin(tokenizer):
    lm, prompts = copy.deepcopy(tiny_lm("llama")).to(torch.bfloat16), prompts_of(24, seed=3)
    sampling = Sampling(max_new_tokens=30)
    found = differences(lm, tokenizer, prompts, sampling=sampling)
    together = generate(lm, tokenizer, prompts, sampling=sampling)
    alone = [generate(lm, tokenizer, [prompt], sampling=sampling)[0] for prompt in prompts]
    assert [one.prompt for one in found] == [
        place for place, (a, b) in enumerate(zip(alone, together, strict=True)) if a.ids != b.ids
    ]  # fmt: skip
    assert found, "a model this small in bfloat16 does differ somewhere"
    for one in found:
        a, b = alone[one.prompt].ids, together[one.prompt].ids
        assert a[: one.position] == b[: one.position]
        assert (a[one.position], b[one.position]) == (one.alone, one.together) and one.alone != one.together
        assert 0 <= one.margin < 0.5


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_the_log_probability_is_the_models_own_of_all_tokens(family, tokenizer):
    lm, prompts = tiny_lm(family), prompts_of(6, seed=4)
    samplings = (Sampling(max_new_tokens=9, temperature=2.0, top_k=5), GREEDY, Sampling(max_new_tokens=9, beams=2))
    for sampling in samplings:
        for prompt, answer in zip(prompts, generate(lm, tokenizer, prompts, sampling=sampling), strict=True):
            assert answer.log_probability == pytest.approx(log_probability(lm, prompt, answer.ids), abs=1e-3)


def log_probability(lm, prompt: list[int], ids: tuple[int, ...]) -> float:
    with torch.inference_mode():
        if lm.config.is_encoder_decoder:
            before = torch.tensor([[lm.generation_config.decoder_start_token_id, *ids[:-1]]])
            logits = lm(input_ids=torch.tensor([prompt]), decoder_input_ids=before).logits[0]
        else:
            logits = lm(input_ids=torch.tensor([[*prompt, *ids[:-1]]])).logits[0, len(prompt) - 1 :]
    return float(logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).sum())


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_sample_depends_on_its_seed_and_prompt_and_not_on_its_company(family, tokenizer):
    lm, prompts = tiny_lm(family), prompts_of(20, seed=5)
    sampling = Sampling(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=3)
    first = generate(lm, tokenizer, prompts, sampling=sampling)
    backwards = generate(lm, tokenizer, prompts[::-1], sampling=sampling, tokens_per_batch=200)[::-1]
    assert [answer.ids for answer in backwards] == [answer.ids for answer in first]
    assert [generate(lm, tokenizer, [prompt], sampling=sampling)[0].ids for prompt in prompts] == [a.ids for a in first]
    other = generate(lm, tokenizer, prompts, sampling=Sampling(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=4))
    assert sum(a.ids != b.ids for a, b in zip(first, other, strict=True)) > 10


def test_a_prompt_given_several_times_gets_several_samples(tokenizer):
    sampling = Sampling(max_new_tokens=12, temperature=1.0)
    answers = generate(tiny_lm("llama"), tokenizer, [[9, 8, 7]] * 5, sampling=sampling)
    assert len({answer.ids for answer in answers}) == 5
    assert answers[0].ids == generate(tiny_lm("llama"), tokenizer, [[9, 8, 7]], sampling=sampling)[0].ids


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), temperature=st.sampled_from([0.0, 1.5]), stop=st.booleans())
def test_a_stream_tells_what_is_told_at_once(byte_lm, tokenizer, seed, temperature, stop):
    (prompt,) = prompts_of(1, seed=seed)
    plain = Sampling(max_new_tokens=24, temperature=temperature, seed=seed)
    (answer,) = generate(byte_lm, tokenizer, [prompt], sampling=plain)
    if stop and len(answer.text) > 8:
        plain = Sampling(max_new_tokens=24, temperature=temperature, seed=seed, stop=(answer.text[5:8], "never"))
        (answer,) = generate(byte_lm, tokenizer, [prompt], sampling=plain)
        assert answer.finish == "stop"
    *pieces, last = stream(byte_lm, tokenizer, prompt, sampling=plain)
    assert "".join(pieces) == answer.text and all(pieces)
    assert isinstance(last, Generated) and last == answer


@pytest.mark.parametrize("beams", [1, 3])
def test_a_stop_string_cuts_the_text_before_it(byte_lm, tokenizer, beams):
    prompts = prompts_of(12, seed=6)
    whole = generate(byte_lm, tokenizer, prompts, sampling=Sampling(max_new_tokens=30, beams=beams))
    for prompt, answer in zip(prompts, whole, strict=True):
        stop = answer.text[3:6]
        sampling = Sampling(max_new_tokens=30, beams=beams, stop=(stop,))
        (cut,) = generate(byte_lm, tokenizer, [prompt], sampling=sampling)
        assert stop not in cut.text
        if beams == 1:
            assert cut.text == answer.text[: answer.text.index(stop)] and cut.finish == "stop"
            assert cut.ids == answer.ids[: len(cut.ids)] and stop in tokenizer.decode(cut.ids)


def test_no_end_before_its_time(tokenizer):
    lm, prompts = tiny_lm("gpt2"), prompts_of(40, seed=7)
    early = [len(a.ids) for a in generate(lm, tokenizer, prompts, sampling=GREEDY)]
    late = [
        len(a.ids) for a in generate(lm, tokenizer, prompts, sampling=Sampling(max_new_tokens=20, min_new_tokens=9))
    ]
    assert min(early) < 9 and min(late) > 9


def test_a_stream_stops_computing_when_it_is_closed(tokenizer, monkeypatch):
    lm, calls = tiny_lm("llama"), []
    forward = lm.forward
    monkeypatch.setattr(lm, "forward", lambda *args, **kwargs: calls.append(1) or forward(*args, **kwargs))
    pieces = stream(lm, tokenizer, [9, 8], sampling=Sampling(max_new_tokens=50))
    assert calls == [], "nothing before it is asked for"
    next(pieces)
    pieces.close()
    asked = len(calls)
    assert 0 < asked < 10 and list(pieces) == [] and len(calls) == asked


@pytest.mark.parametrize("beams", [1, 2])
def test_a_batch_stops_when_it_is_told_to(tokenizer, beams):
    steps = iter(range(100))
    heard: list[int] = []
    answers = generate(
        tiny_lm("gpt2"), tokenizer, prompts_of(12, seed=8), sampling=Sampling(max_new_tokens=20, beams=beams),
        should_stop=lambda: next(steps) >= 8, tokens_per_batch=6 * 44 * beams,
        on_done=lambda place, answer: heard.append(place),
    )  # fmt: skip
    cancelled = [place for place, answer in enumerate(answers) if answer.finish == "cancelled"]
    assert len(answers) == 12 and cancelled and sorted([*heard, *cancelled]) == list(range(12))
    assert any(not answers[place].ids for place in cancelled) and all(len(a.ids) <= 9 for a in answers)


def test_each_answer_is_heard_of_when_it_is_complete(tokenizer):
    heard: dict[int, Generated] = {}
    prompts = prompts_of(15, seed=9)
    answers = generate(
        tiny_lm("llama"), tokenizer, prompts, sampling=GREEDY, on_done=heard.__setitem__, tokens_per_batch=100
    )  # fmt: skip
    assert [heard[place] for place in range(15)] == answers


def test_no_prompts_have_no_answers(tokenizer):
    assert generate(tiny_lm("llama"), tokenizer, [], sampling=GREEDY) == []


def test_the_model_is_left_as_it_was(tokenizer):
    lm = copy.deepcopy(tiny_lm("gpt2")).train()
    for dropout in (lm.transformer.drop, lm.transformer.h[0].mlp.dropout):
        dropout.p = 0.5
    first = generate(lm, tokenizer, [[5, 6]], sampling=GREEDY)
    assert first == generate(lm, tokenizer, [[5, 6]], sampling=GREEDY) and lm.training
    assert first[0].ids == generate(tiny_lm("gpt2"), tokenizer, [[5, 6]], sampling=GREEDY)[0].ids


@pytest.mark.parametrize("beams", [1, 2])
def test_a_prompt_without_room_for_its_answer_is_refused_before_anything_is_computed(tokenizer, beams):
    sampling = Sampling(max_new_tokens=20, beams=beams)
    generate(tiny_lm("gpt2"), tokenizer, [[5] * 44], sampling=sampling)
    with pytest.raises(DataRefusal, match="45 tokens with an answer of up to 20 takes 65 positions.* has 64"):
        generate(tiny_lm("gpt2"), tokenizer, [[5], [5] * 45], sampling=sampling)
    with pytest.raises(DataRefusal, match="takes 65 positions"):
        generate(tiny_lm("bart"), tokenizer, [[5] * 65], sampling=sampling)
    with pytest.raises(DataRefusal, match="takes 65 positions"):
        generate(tiny_lm("bart"), tokenizer, [[5]], sampling=Sampling(max_new_tokens=64, beams=beams))
    with pytest.raises(DataRefusal, match="empty"):
        generate(tiny_lm("llama"), tokenizer, [[5], []], sampling=sampling)


def test_a_beam_search_is_not_streamed(tokenizer):
    with pytest.raises(RecipeRefusal, match="cannot be streamed"):
        stream(tiny_lm("llama"), tokenizer, [5], sampling=Sampling(beams=2))


@pytest.mark.parametrize("beams", [1, 2])
def test_a_broken_model_is_refused(tokenizer, beams):
    lm = copy.deepcopy(tiny_lm("llama"))
    with torch.no_grad():
        lm.model.norm.weight.fill_(float("nan"))
    with pytest.raises(BaseRefusal, match="logits are not numbers"):
        generate(lm, tokenizer, [[5, 6]], sampling=Sampling(max_new_tokens=4, beams=beams))
