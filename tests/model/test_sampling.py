"""Drawing tokens against the distributions of transformers, and what is refused before anything is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from tunewright.model.sampling import Sampling, drawn, random_stream
from tunewright.recipe.errors import RecipeRefusal

CUTS = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0.3, 1.0, 2.5]), "top_k": st.sampled_from([0, 1, 3, 50, 400]),
     "top_p": st.sampled_from([0.05, 0.5, 0.9, 1.0])}
)  # fmt: skip


def logits_of(seed: int, width: int) -> torch.Tensor:
    return torch.randn(1, width, generator=torch.Generator().manual_seed(seed)) * 3


def expected(logits: torch.Tensor, *, temperature: float, top_k: int, top_p: float) -> torch.Tensor:
    """The distribution of transformers."""
    logits = TemperatureLogitsWarper(temperature)(None, logits)
    logits = TopKLogitsWarper(min(top_k, logits.shape[1]))(None, logits) if top_k else logits
    logits = TopPLogitsWarper(top_p)(None, logits) if top_p < 1 else logits
    return logits.softmax(-1)[0]


@settings(deadline=None)
@given(cut=CUTS, seed=st.integers(0, 50), width=st.sampled_from([2, 40, 300]))
def test_tokens_are_drawn_as_often_as_transformers_would(cut, seed, width):
    logits_bv = logits_of(seed, width)
    draws = 4000
    uniform_b = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    tokens_b = drawn(logits_bv.expand(draws, -1), uniform_b, **cut)
    seen = torch.bincount(tokens_b, minlength=width) / draws
    assert (seen - expected(logits_bv, **cut)).abs().max() <= 2 / draws


@settings(deadline=None)
@given(cut=CUTS, uniform=st.sampled_from([0.0, 0.5, 1.0 - 2**-53]), seed=st.integers(0, 20))
def test_a_forbidden_token_is_never_drawn(cut, uniform, seed):
    logits_bv = logits_of(seed, 90)
    logits_bv[:, ::2] = -torch.inf
    logits_bv[:, -5:] = -torch.inf
    token = int(drawn(logits_bv, torch.tensor([uniform]), **cut))
    assert token % 2 == 1 and token < 85


def test_a_tiny_temperature_takes_the_most_probable():
    logits_bv = logits_of(3, 50)
    assert int(drawn(logits_bv, torch.tensor([0.7]), temperature=1e-6)) == int(logits_bv.argmax())


def test_random_streams_are_those_of_seed_prompt_and_copy():
    def numbers(*key):
        return random_stream(*key).random(4).tolist()

    assert numbers(1, [5, 6], 0) == numbers(1, np.array([5, 6]), 0)
    different = [numbers(*key) for key in ((1, [5, 6], 0), (2, [5, 6], 0), (1, [6, 5], 0), (1, [5], 0), (1, [5, 6], 1))]
    assert len({tuple(one) for one in different}) == len(different)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"temperature": -0.1}, "temperature is -0.1"), ({"temperature": float("nan")}, "temperature"),
     ({"temperature": 1.0, "top_p": 0.0}, "top_p is 0.0"), ({"temperature": 1.0, "top_p": 1.5}, "top_p is 1.5"),
     ({"temperature": 1.0, "top_k": -1}, "top_k is -1"), ({"max_new_tokens": 0}, "max_new_tokens is 0"),
     ({"max_new_tokens": 2.5}, "max_new_tokens is 2.5"), ({"beams": 0}, "beams is 0"),
     ({"beams": 4, "temperature": 0.7}, "does not sample"), ({"top_p": 0.9}, "top_p would do nothing"),
     ({"top_k": 9}, "top_k would do nothing"), ({"stop": ("",)}, "stop"), ({"stop": "end"}, "list of texts"),
     ({"seed": 1.5}, "seed"), ({"min_new_tokens": 300}, "min_new_tokens is 300")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(options, named):
    with pytest.raises(RecipeRefusal, match=named) as refusal:
        Sampling(**options)
    assert refusal.value.where and refusal.value.remedy
