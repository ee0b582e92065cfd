"""A search among all answers there are, so few that each can be tried."""

from __future__ import annotations

import itertools

import pytest
import torch
from tests.tiny_generators import byte_tokenizer, tiny_lm

from tunewright.model.beams import BeamSearch
from tunewright.model.constrain import OneOf
from tunewright.model.decoder import begin_answer, end_tokens
from tunewright.model.generate import generate
from tunewright.model.sampling import Sampling


def mean_of(lm, prompt, ids) -> float:
    with torch.inference_mode():
        logits = lm(input_ids=torch.tensor([[*prompt, *ids[:-1]]])).logits[0, len(prompt) - 1 :]
    return float(logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).mean())


@pytest.mark.parametrize("prompt", [[5, 6], [9], [30, 20, 10]])
def test_enough_beams_find_the_best_of_all_labels(prompt):
    lm, tokenizer = tiny_lm("llama"), byte_tokenizer()
    labels = ["".join(letters) for size in (1, 2, 3) for letters in itertools.product("abc", repeat=size)]
    form = OneOf(labels, tokenizer)
    ids_of = [ids for ids in _answers(form) if max(ids) < lm.config.vocab_size]
    best = max(ids_of, key=lambda ids: mean_of(lm, prompt, ids))
    sampling = Sampling(max_new_tokens=8, beams=90)
    (answer,) = generate(lm, tokenizer, [prompt], sampling=sampling, constraint=form)
    assert answer.ids == best and form.label_of(answer.ids) == answer.text.strip()


def _answers(form: OneOf, state: int = 0, before: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """All token sequences of a form, end token included."""
    found = [(*before, 3)] if form.may_end(state) else []
    for token in form.allowed(state).nonzero().flatten().tolist():
        found += _answers(form, form.after(state, token), (*before, token))
    return found


def test_a_search_that_is_broken_off_gives_the_best_so_far():
    lm, tokenizer = tiny_lm("llama"), byte_tokenizer()
    ends = end_tokens(lm, tokenizer)
    answer = begin_answer(tokenizer, [5, 6], sampling=Sampling(beams=2), constraint=None, ends=ends)
    search = BeamSearch(lm, [answer], ends=ends)
    search.step()
    search.step()
    (broken,) = search.results
    assert broken.finish == "cancelled" and len(broken.ids) == 2
