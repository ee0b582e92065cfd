"""Each way of writing says what it samples by, keeps its form, and comes back from disk as it was."""

from __future__ import annotations

import json

import pytest
import torch
from tests.tiny_generators import byte_tokenizer, prompts_of, tiny_lm
from transformers import GenerationConfig

from tunewright.model.generate import generate
from tunewright.model.sampling import Sampling
from tunewright.model.writing import WRITING, Beams, Greedy, Sample, Writing
from tunewright.recipe.errors import RecipeRefusal

SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("chosen", "sampling"),
    [
        (Greedy(stop=("\n",)), Sampling(9, stop=("\n",))),
        (Sample(temperature=0.7, top_p=0.9, top_k=5, seed=3), Sampling(9, 0.7, 0.9, 5, seed=3)),
        (Beams(beams=3, length_penalty=2.0), Sampling(9, beams=3, length_penalty=2.0)),
    ],
)
def test_every_option_reaches_the_sampling(chosen, sampling):
    assert chosen.sampling(9) == sampling
    writing = Writing(sampling, SCHEMA if not sampling.stop else None, ())
    assert Writing.from_json(json.loads(json.dumps(writing.to_json()))) == writing
    assert "at most 9 tokens" in writing.says


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("greedy", {"schema": "a.json", "labels": "task"}, "two forms"),
        ("greedy", {"labels": "task", "stop": ("x",)}, "leave stop out"),
        ("greedy", {"max_new_tokens": -1}, "max_new_tokens"),
        ("sample", {"temperature": 0.0}, "above 0"),
        ("sample", {"top_p": 0.0}, "top_p"),
        ("beams", {"beams": 1}, "at least 2"),
        ("beams", {"length_penalty": 0.0}, "length_penalty"),
    ],
)
def test_what_makes_no_sense_is_refused(kind, options, says):
    with pytest.raises(ValueError, match=says):
        WRITING[kind](**options)


def test_what_is_kept_beside_the_weights_must_be_a_way_of_writing():
    with pytest.raises(RecipeRefusal, match="cannot be read"):
        Writing.from_json({"sampling": {"stop": [], "warmth": 1}, "schema": None, "labels": []})


@pytest.mark.parametrize("writing", [
    Writing(Sampling(40), SCHEMA), Writing(Sampling(40, 1.0, seed=1), labels=("ab", "ba")),
    Writing(Sampling(40, beams=3), labels=("ab", "ba")),
])  # fmt: skip
def test_an_answer_keeps_to_its_form_however_it_is_written(writing):
    lm, tokenizer = tiny_lm("llama"), byte_tokenizer()
    said = generate(lm, tokenizer, prompts_of(3), sampling=writing.sampling, constraint=writing.constraint(tokenizer))
    for one in said:
        assert one.text.strip() in writing.labels if writing.labels else json.loads(one.text)["a"] in ("x", "y")
    assert Writing(Sampling(5)).constraint(tokenizer) is None


@pytest.mark.parametrize("penalty", [0.5, 1.0, 3.0])
def test_beams_with_a_length_penalty_are_those_of_transformers(penalty):
    lm, tokenizer = tiny_lm("llama"), byte_tokenizer()
    for prompt in prompts_of(4, seed=5):
        (ours,) = generate(lm, tokenizer, [prompt], sampling=Sampling(10, beams=3, length_penalty=penalty))
        config = GenerationConfig(num_beams=3, length_penalty=penalty, max_new_tokens=10, do_sample=False,
                                  eos_token_id=3, pad_token_id=0)  # fmt: skip
        theirs = lm.generate(torch.tensor([prompt]), generation_config=config)[0, len(prompt) :].tolist()
        assert list(ours.ids) == theirs[: len(ours.ids)] and set(theirs[len(ours.ids) :]) <= {0}
