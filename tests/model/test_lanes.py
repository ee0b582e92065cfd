"""Lanes side by side against each prompt alone through the plain model."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.tiny_generators import DECODERS, END, SOURCED, START, prompts_of, tiny_lm
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from tunewright.model.lanes import Lanes, SourcedLanes, begun, first_tokens, halves_of, positions_of
from tunewright.recipe.errors import BaseRefusal

FAMILIES = (*DECODERS, *SOURCED)


def precise_lm(family: str):
    """The model in float64: in float32 attention without scaling, as T5's, doubles a rounding from layer to layer."""
    return copy.deepcopy(tiny_lm(family)).double()


def plain_logits(lm, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Without a cache, without padding: float32 [v]."""
    with torch.inference_mode():
        if lm.config.is_encoder_decoder:
            ids = torch.tensor([[*first_tokens(lm), *answer]])
            return lm(input_ids=torch.tensor([prompt]), decoder_input_ids=ids, use_cache=False).logits[0, -1]
        return lm(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0, -1]


def advance(lanes, answers: list[list[int]], *tokens: int) -> None:
    with torch.inference_mode():
        lanes.advance(torch.tensor(tokens))
    for answer, token in zip(answers, tokens, strict=True):
        answer.append(token)


def assert_as_alone(lm, lanes, prompts, answers) -> None:
    assert len(lanes) == len(prompts)
    for logits_v, prompt, answer in zip(lanes.logits_bv, prompts, answers, strict=True):
        known_v = plain_logits(lm, prompt, answer)
        assert (logits_v - known_v).abs().max() <= 1e-5 * known_v.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_lanes_of_different_lengths_compute_what_each_would_alone(family):
    lm, prompts = precise_lm(family), prompts_of(4, seed=3)
    answers = [[] for _ in prompts]
    with torch.inference_mode():
        lanes = begun(lm, prompts)
    assert_as_alone(lm, lanes, prompts, answers)
    for step in range(9):
        advance(lanes, answers, *(10 + step + lane for lane in range(4)))
        assert_as_alone(lm, lanes, prompts, answers)


@pytest.mark.parametrize("family", FAMILIES)
def test_lanes_leave_change_places_and_fork(family):
    lm, prompts = precise_lm(family), prompts_of(4, seed=4)
    answers = [[] for _ in prompts]
    with torch.inference_mode():
        lanes = begun(lm, prompts)
        advance(lanes, answers, 7, 8, 9, 10)
        rows = [2, 0, 2]
        lanes.keep(torch.tensor(rows))
        prompts, answers = [prompts[row] for row in rows], [list(answers[row]) for row in rows]
        assert_as_alone(lm, lanes, prompts, answers)
        advance(lanes, answers, 20, 21, 22)
        advance(lanes, answers, 30, 31, 32)
    assert_as_alone(lm, lanes, prompts, answers)


@pytest.mark.parametrize("family", DECODERS)
@pytest.mark.parametrize("sizes", [(3, 14), (14, 3)])
def test_lanes_join_others_that_have_gone_further_or_not_so_far(family, sizes):
    lm = tiny_lm(family)
    prompts = [list(range(20, 20 + size)) for size in (*sizes, 5)]
    answers = [[], [], []]
    with torch.inference_mode():
        lanes = Lanes(lm, prompts[:1])
        advance(lanes, answers[:1], 9)
        lanes.join(Lanes(lm, prompts[1:]))
        assert_as_alone(lm, lanes, prompts, answers)
        advance(lanes, answers, 50, 51, 52)
        assert_as_alone(lm, lanes, prompts, answers)
        lanes.keep(torch.tensor([0, 2]))
        prompts, answers = prompts[::2], answers[::2]
        advance(lanes, answers, 60, 61)
    assert_as_alone(lm, lanes, prompts, answers)


def test_a_source_is_encoded_once(monkeypatch):
    lm = tiny_lm("t5")
    encoder, calls = lm.get_encoder(), []
    forward = type(encoder).forward

    def counted(self, *args, **kwargs):
        calls.append(self is encoder)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(encoder), "forward", counted)
    with torch.inference_mode():
        lanes = SourcedLanes(lm, prompts_of(2))
        for _ in range(3):
            lanes.advance(torch.tensor([9, 10]))
    assert calls.count(True) == 1


def test_what_the_decoder_begins_with():
    assert first_tokens(tiny_lm("t5")) == [START]
    bare = T5ForConditionalGeneration(T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))
    bare.generation_config.decoder_start_token_id = None
    bare.config.decoder_start_token_id, bare.config.forced_bos_token_id = 0, 5
    assert first_tokens(bare) == [0, 5]
    bare.config.decoder_start_token_id = bare.config.bos_token_id = bare.generation_config.bos_token_id = None
    with pytest.raises(BaseRefusal, match="Nothing says with which token"):
        first_tokens(bare)


def test_how_many_positions_there_are():
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_positions=17, n_embd=8, n_layer=1, n_head=2, eos_token_id=END))
    assert [positions_of(half) for half in halves_of(gpt2)] == [17]
    assert [positions_of(half) for half in halves_of(tiny_lm("t5"))] == [None, None]
    assert [positions_of(half) for half in halves_of(tiny_lm("bert2bert"))] == [64, 64]
