"""Many prompts answered together, a token of each at a time. Knows models and sampling; must not know rows.

Prompts of different lengths are answered side by side. Those that are done make room for those that wait, and nobody's
answer depends on who else is there: positions, random numbers and constraints are each prompt's own.

Shapes: b answers, v tokens of the vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tunewright.model.answers import Growth
from tunewright.model.constrain import Constraint
from tunewright.model.lanes import Lanes, SourcedLanes, begun, first_tokens, halves_of, positions_of
from tunewright.model.sampling import Sampling, drawn, random_stream
from tunewright.recipe.errors import BaseRefusal, DataRefusal, RecipeRefusal

TOKENS_PER_BATCH = 8192  # keys and values of 30 layers of 576 in float32: 1.1 GB
_SHARE_DONE = 4  # answers that are done leave when they are a fourth of all: leaving costs a copy of the others


@dataclass(eq=False, slots=True)
class Answer:
    """One prompt on its way to an answer; `growth` says how far it is."""

    prompt: tuple[int, ...]
    sampling: Sampling
    growth: Growth
    constraint: Constraint | None = None
    chance: Callable[[], float] = lambda: 0.0
    state: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.state = self.constraint.start if self.constraint else 0

    @property
    def done(self) -> bool:
        return self.growth.finish is not None

    @property
    def columns(self) -> int:
        """The most tokens whose keys and values it needs."""
        return len(self.prompt) + self.sampling.max_new_tokens

    def add(self, token: int, log_probability: float) -> None:
        ended = self.growth.add(token, log_probability)
        if self.constraint is not None and not ended:
            self.state = self.constraint.after(self.state, token)

    def forked(self) -> Answer:
        """The same so far, to go on apart from it."""
        other = Answer(self.prompt, self.sampling, self.growth.copied(), self.constraint, self.chance)
        other.state = self.state
        return other


def end_tokens(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end an answer, as the model's settings for generation and its tokenizer say."""
    found: set[int] = set()
    for holder in (getattr(lm, "generation_config", None), lm.config, tokenizer):
        stated = getattr(holder, "eos_token_id", None)
        found |= set(stated if isinstance(stated, list | tuple) else [] if stated is None else [stated])
    return frozenset(found)


class Decoder:
    """Answers several prompts together, one token of each a step; more may be added at any time.

    For one thread; the model is in evaluation mode while it is used. No step holds keys and values of more than
    `tokens_per_batch` tokens, unless one prompt alone needs them. `ends` are the tokens that end an answer.
    """

    def __init__(
        self, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, tokens_per_batch: int = TOKENS_PER_BATCH,
        ends: Collection[int] | None = None,
    ):  # fmt: skip
        self.lm, self.tokenizer, self.tokens_per_batch = lm, tokenizer, tokens_per_batch
        self.ends = end_tokens(lm, tokenizer) if ends is None else frozenset(ends)
        self._waiting: deque[Answer] = deque()
        self._groups: list[_Group] = []

    def add(
        self, prompt: Sequence[int], *, sampling: Sampling, constraint: Constraint | None = None, copy: int = 0,
        told: bool = False,
    ) -> Answer:  # fmt: skip
        """A prompt to answer; it waits for room. `copy` tells equal prompts apart, `told` is for text before the end.

        Raises as `refuse_impossible`. A beam search is not for here.
        """
        assert sampling.beams == 1
        refuse_impossible(self.lm, prompt, sampling=sampling, constraint=constraint, ends=self.ends)
        answer = begin_answer(
            self.tokenizer, prompt, sampling=sampling, constraint=constraint, ends=self.ends, copy=copy, told=told
        )  # fmt: skip
        self._waiting.append(answer)
        return answer

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return any(not answer.done for answer in self._present()) or bool(self._waiting)

    def step(self) -> list[Answer]:
        """One more token for each answer that there is room for; returns those answers, also the ones now done."""
        assert not self.lm.training
        with torch.inference_mode():
            self._groups = [group for group in self._groups if group.advance()]
            self._admit()
            return [answer for group in self._groups for answer in group.choose(self.ends)]

    def cancel(self, answer: Answer) -> None:
        """No further token for this answer."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting is not answer)
        answer.growth.cancel()

    def _present(self) -> list[Answer]:
        return [answer for group in self._groups for answer in group.answers]

    def _admit(self) -> None:
        """Lets in those that wait, first come first served, while there is room for what they may grow to."""
        present = self._present()
        widest = max((answer.columns for answer in present), default=0)
        incoming: list[Answer] = []
        while self._waiting:
            widest = max(widest, self._waiting[0].columns)
            count = len(present) + len(incoming)
            if count and (count + 1) * widest > self.tokens_per_batch:
                break
            incoming.append(self._waiting.popleft())
        if not incoming:
            return
        group = _Group(begun(self.lm, [answer.prompt for answer in incoming]), incoming)
        if self._groups and isinstance(group.lanes, Lanes):
            self._groups[0].join(group)
        else:
            self._groups.append(group)


class _Group:
    """Answers and their lanes, in the same order; some may be done and wait for others, to leave with them."""

    def __init__(self, lanes: Lanes | SourcedLanes, answers: list[Answer]):
        self.lanes, self.answers = lanes, answers

    def join(self, other: _Group) -> None:
        assert isinstance(self.lanes, Lanes) and isinstance(other.lanes, Lanes)
        self.lanes.join(other.lanes)
        self.answers = self.answers + other.answers

    def advance(self) -> bool:
        """Compute what comes next; False where all are done."""
        live = [place for place, answer in enumerate(self.answers) if not answer.done]
        if not live:
            return False
        device = self.lanes.logits_bv.device
        if (len(self.answers) - len(live)) * _SHARE_DONE >= len(self.answers):
            self.lanes.keep(torch.tensor(live, device=device))
            self.answers = [self.answers[place] for place in live]
        self.lanes.advance(torch.tensor([answer.growth.ids[-1] for answer in self.answers], device=device))
        return True

    def choose(self, ends: Collection[int]) -> list[Answer]:
        """A token for each answer that is not done; returns those."""
        live = [place for place, answer in enumerate(self.answers) if not answer.done]
        answers = [self.answers[place] for place in live]
        logits_bv = self.lanes.logits_bv if len(live) == len(self.answers) else self.lanes.logits_bv[live]
        logits_bv = logits_bv.float()
        tokens_b = chosen_tokens(permitted(logits_bv, answers, ends), answers)
        scores_b = logits_bv.gather(1, tokens_b.unsqueeze(1)).squeeze(1) - logits_bv.logsumexp(-1)
        refuse_undefined(scores_b)
        for answer, token, score in zip(answers, tokens_b.tolist(), scores_b.tolist(), strict=True):
            answer.add(token, score)
        return answers


def begin_answer(
    tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], *, sampling: Sampling, constraint: Constraint | None,
    ends: Collection[int], copy: int = 0, told: bool = False,
) -> Answer:  # fmt: skip
    """An answer of which nothing is known yet."""
    growth = Growth(tokenizer, ends=ends, stops=sampling.stop, longest=sampling.max_new_tokens, told=told)
    chance = random_stream(sampling.seed, prompt, copy).random
    return Answer(tuple(prompt), sampling, growth, constraint, chance)


def permitted(logits_bv: Tensor, answers: Sequence[Answer], ends: Collection[int]) -> Tensor:
    """`logits_bv` with minus infinity at tokens that an answer may not go on with."""
    early = [place for place, answer in enumerate(answers) if len(answer.growth.ids) < answer.sampling.min_new_tokens]
    bound = [place for place, answer in enumerate(answers) if answer.constraint is not None]
    if not (early and ends) and not bound:
        return logits_bv
    closing, width = [end for end in ends if end < logits_bv.shape[1]], logits_bv.shape[1]
    forbidden_bv = torch.zeros(logits_bv.shape, dtype=torch.bool)
    for place in early:
        forbidden_bv[place, closing] = True
    for place in bound:
        constraint, state = answers[place].constraint, answers[place].state
        assert constraint is not None
        allowed_v = constraint.allowed(state)[:width]
        forbidden_bv[place] = True
        forbidden_bv[place, : len(allowed_v)] = ~allowed_v
        forbidden_bv[place, closing] = not constraint.may_end(state)
    return logits_bv.masked_fill(forbidden_bv.to(logits_bv.device), -torch.inf)


def chosen_tokens(permitted_bv: Tensor, answers: Sequence[Answer]) -> Tensor:
    """The next token of each answer, int64 [b], as its sampling says."""
    tokens_b = permitted_bv.argmax(-1)
    settings = [answer.sampling.cut for answer in answers]
    for temperature, top_p, top_k in sorted(set(settings)):
        if temperature > 0:
            theirs = [place for place, setting in enumerate(settings) if setting == (temperature, top_p, top_k)]
            uniform_b = torch.tensor([answers[place].chance() for place in theirs], dtype=torch.float64)
            tokens_b[theirs] = drawn(
                permitted_bv[theirs], uniform_b, temperature=temperature, top_p=top_p, top_k=top_k
            )  # fmt: skip
    return tokens_b


def refuse_undefined(scores: Tensor) -> None:
    """Raises BaseRefusal where log-probabilities are not numbers."""
    if bool(scores.isnan().any()):
        raise BaseRefusal(
            "The model's logits are not numbers.",
            where="the model's weights",
            remedy="look at the losses of its training: they were not numbers either from some update on.",
        )


def refuse_impossible(
    lm: PreTrainedModel, prompt: Sequence[int], *, sampling: Sampling, constraint: Constraint | None,
    ends: Collection[int],
) -> None:  # fmt: skip
    """Raises DataRefusal where the prompt leaves no room for the answer, and RecipeRefusal or BaseRefusal where the
    constraint cannot hold under this sampling or without end tokens."""
    if not prompt:
        raise DataRefusal("A prompt is empty.", remedy="begin it with at least one token, such as the model's first.")
    first = len(first_tokens(lm)) if lm.config.is_encoder_decoder else len(prompt)
    needed = (len(prompt), first + sampling.max_new_tokens)
    limits = [positions_of(half) for half in halves_of(lm)]
    for positions, tokens in zip(limits, needed[-len(limits) :], strict=True):
        if positions is not None and tokens > positions:
            raise DataRefusal(
                f"A prompt of {len(prompt)} tokens with an answer of up to {sampling.max_new_tokens} takes {tokens} "
                f"positions of the model, which has {positions}.",
                where="max_new_tokens",
                remedy=f"shorten the prompt, or ask for less, by {tokens - positions} tokens.",
            )
    if constraint is not None and not ends:
        raise BaseRefusal(
            "This base has no end token, so nothing would end an answer that must keep to a form.",
            where="eos_token_id",
            remedy="name one in its generation_config.json.",
        )
    if constraint is not None and (sampling.stop or sampling.min_new_tokens):
        raise RecipeRefusal(
            "An answer that must keep to a form can neither be stopped before it is whole nor go on after.",
            where="stop, min_new_tokens",
            remedy="leave them out.",
        )
