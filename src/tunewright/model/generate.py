"""From prompts to texts: all at once, as a stream, or alone and together to compare. Must not know rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tunewright.model.answers import Generated
from tunewright.model.beams import BeamSearch
from tunewright.model.constrain import Constraint
from tunewright.model.decoder import (
    TOKENS_PER_BATCH,
    Answer,
    Decoder,
    begin_answer,
    end_tokens,
    refuse_impossible,
)
from tunewright.model.laid_out import laid_out
from tunewright.model.lanes import begun
from tunewright.model.sampling import Sampling
from tunewright.recipe.errors import RecipeRefusal

_STEPS_WORTH_LAYING_OUT = 16  # laying weights out takes as long as 5 steps and saves a fifth of each
Prompt = Sequence[int]
Constraints = Constraint | Sequence[Constraint | None] | None


def generate(
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling,
    constraint: Constraints = None,
    ends: Collection[int] | None = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
    on_done: Callable[[int, Generated], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Generated]:
    """The answers to `prompts` (token ids; for an encoder-decoder model its source's), in their order.

    The longest prompts begin, the others follow as there is room for keys and values of `tokens_per_batch` tokens. An
    answer is the same whatever else is asked beside it, up to the rounding of sums (`differences` lists what that
    does). `ends` replaces the tokens that end an answer. `on_done` hears of each answer when it is complete. When
    `should_stop` says so, answers that are not complete are returned as they are, with the finish "cancelled".

    Raises DataRefusal where a prompt is empty or longer than the model's context less `max_new_tokens`, and
    RecipeRefusal where a constraint cannot hold under this sampling; nothing is computed then.
    """
    ends = end_tokens(lm, tokenizer) if ends is None else frozenset(ends)
    asked = _asked(prompts, constraint)
    stop = should_stop or (lambda: False)
    if sampling.beams > 1:
        answered = _searched(lm, tokenizer, asked, sampling, ends, tokens_per_batch, stop)
    else:
        answered = _decoded(lm, tokenizer, asked, sampling, ends, tokens_per_batch, stop)
    done: dict[int, Generated] = {}
    with evaluating(lm), _quickened(lm, sampling):
        for place, generated in answered:
            done[place] = generated
            if on_done is not None and generated.finish != "cancelled":
                on_done(place, generated)
    return [done[place] for place in range(len(prompts))]


def stream(
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Prompt,
    *,
    sampling: Sampling,
    constraint: Constraint | None = None,
    ends: Collection[int] | None = None,
) -> Iterator[str | Generated]:
    """The answer that `generate` gives to this prompt alone: pieces of its text as they become certain, then the whole.

    A piece is certain when no token to come can change it: half a character waits for its other half, and what may be
    the beginning of a stop string for what follows. Nothing is computed once the iterator is closed. Raises as
    `generate`, at once, and RecipeRefusal for a beam search, which knows no text before its end.
    """
    if sampling.beams > 1:
        raise RecipeRefusal(
            "A beam search cannot be streamed: until it ends, any of its beams may be the answer.",
            where="beams", remedy="set beams to 1, or do not stream.",
        )  # fmt: skip
    decoder = Decoder(lm, tokenizer, ends=ends)
    answer = decoder.add(prompt, sampling=sampling, constraint=constraint, told=True)
    return _pieces(decoder, answer)


def _pieces(decoder: Decoder, answer: Answer) -> Iterator[str | Generated]:
    told = 0
    with _quickened(decoder.lm, answer.sampling):
        while not answer.done:
            with evaluating(decoder.lm):
                decoder.step()
            text = answer.growth.certain_text
            if len(text) > told:
                yield text[told:]
                told = len(text)
    yield answer.growth.generated


def _quickened(lm: PreTrainedModel, sampling: Sampling) -> AbstractContextManager[None]:
    return laid_out(lm) if sampling.max_new_tokens >= _STEPS_WORTH_LAYING_OUT else nullcontext()


@dataclass(frozen=True, slots=True)
class Difference:
    """Where an answer given in a batch first leaves the one given alone.

    `prompt` is its place among the prompts, `position` that of the token in the answer. `margin` is the difference of
    the two largest logits there, alone: how little it took.
    """

    prompt: int
    position: int
    alone: int
    together: int
    margin: float


def differences(
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> list[Difference]:
    """The first difference of each answer that is not the same alone and among the others, by prompt; greedy only.

    Sums in another order round differently, so a model that computes in 8 bits of mantissa may choose another token
    where two are all but equally probable.
    """
    assert sampling.beams == 1 and sampling.temperature == 0
    with _quickened(lm, sampling):
        together = generate(lm, tokenizer, prompts, sampling=sampling, tokens_per_batch=tokens_per_batch)
        by_itself = [generate(lm, tokenizer, [prompt], sampling=sampling)[0] for prompt in prompts]
    found = []
    for place, (prompt, alone, one) in enumerate(zip(prompts, by_itself, together, strict=True)):
        if alone.ids != one.ids:
            position = next(at for at, (a, b) in enumerate(zip(alone.ids, one.ids, strict=False)) if a != b)
            margin = _margin(lm, prompt, alone.ids[:position])
            found.append(Difference(place, position, alone.ids[position], one.ids[position], margin))
    return found


def _margin(lm: PreTrainedModel, prompt: Prompt, before: Sequence[int]) -> float:
    """The difference of the two largest logits of the token after `before`, computed as for the prompt alone."""
    with evaluating(lm), torch.inference_mode():
        lanes = begun(lm, [prompt])
        for token in before:
            lanes.advance(torch.tensor([token], device=lm.device))
        first, second = lanes.logits_bv[0].float().topk(2).values.tolist()
    return first - second


@contextmanager
def evaluating(lm: PreTrainedModel) -> Iterator[None]:
    """`lm` without dropout; afterwards as it was."""
    was_training = lm.training
    if was_training:
        lm.eval()
    try:
        yield
    finally:
        if was_training:
            lm.train()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A prompt, its place among those given, how many equal ones stand before it, and the form its answer must keep."""

    place: int
    prompt: Prompt
    copy: int
    constraint: Constraint | None


def _asked(prompts: Sequence[Prompt], constraint: Constraints) -> list[_Asked]:
    """The prompts, longest first."""
    constraints = constraint if isinstance(constraint, Sequence) else [constraint] * len(prompts)
    assert len(constraints) == len(prompts)
    seen: Counter[tuple[int, ...]] = Counter()
    asked = []
    for place, (prompt, one) in enumerate(zip(prompts, constraints, strict=True)):
        asked.append(_Asked(place, prompt, seen[tuple(prompt)], one))
        seen[tuple(prompt)] += 1
    return sorted(asked, key=lambda item: -len(item.prompt))


def _decoded(
    lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Sequence[_Asked], sampling: Sampling,
    ends: Collection[int], tokens_per_batch: int, should_stop: Callable[[], bool],
) -> Iterator[tuple[int, Generated]]:  # fmt: skip
    """Answers and their places as they are complete; those that are not when it is time to stop come last."""
    decoder = Decoder(lm, tokenizer, tokens_per_batch=tokens_per_batch, ends=ends)
    open_places = {
        decoder.add(item.prompt, sampling=sampling, constraint=item.constraint, copy=item.copy): item.place
        for item in asked
    }
    while open_places and not should_stop():
        for answer in decoder.step():
            if answer.done:
                yield open_places.pop(answer), answer.growth.generated
    for answer, place in open_places.items():
        answer.growth.cancel()
        yield place, answer.growth.generated


def _searched(
    lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Sequence[_Asked], sampling: Sampling,
    ends: Collection[int], tokens_per_batch: int, should_stop: Callable[[], bool],
) -> Iterator[tuple[int, Generated]]:  # fmt: skip
    """As `_decoded`, by beam search, one batch after the other."""
    for item in asked:
        refuse_impossible(lm, item.prompt, sampling=sampling, constraint=item.constraint, ends=ends)
    start = 0
    while start < len(asked):
        columns = sampling.beams * (len(asked[start].prompt) + sampling.max_new_tokens)
        batch = asked[start : start + max(tokens_per_batch // columns, 1)]
        answers = [
            begin_answer(tokenizer, item.prompt, sampling=sampling, constraint=item.constraint, ends=ends)
            for item in batch
        ]
        if should_stop():
            for item, answer in zip(batch, answers, strict=True):
                answer.growth.cancel()
                yield item.place, answer.growth.generated
        else:
            search = BeamSearch(lm, answers, ends=ends)
            while search.busy and not should_stop():
                search.step()
            yield from zip((item.place for item in batch), search.results, strict=True)
        start += len(batch)
