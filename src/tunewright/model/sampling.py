"""Which token comes next. Knows logits and what was asked of them; must not know models, prompts or texts.

Shapes: b rows, v tokens of the vocabulary, k the most probable of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunewright.recipe.errors import RecipeRefusal

_FIRST_LOOK = 64  # tokens that hold the nucleus of most distributions: far cheaper to find than a sorted vocabulary


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are chosen. Temperature 0 is greedy; `top_k` 0 and `top_p` 1 cut nothing off.

    Temperature divides the logits, then `top_k` keeps the most probable tokens, then `top_p` keeps of those the fewest
    that together reach it (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751). `beams` above 1 is a beam search by
    log-probability over length ** `length_penalty`. An answer ends with an end token, before the first of the `stop`
    strings, or after `max_new_tokens`; no end token is chosen before `min_new_tokens`. Raises RecipeRefusal for what
    makes no sense.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    beams: int = 1
    stop: tuple[str, ...] = ()
    seed: int = 0
    min_new_tokens: int = 0
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            raise RecipeRefusal(
                "stop is one text where a list of texts is expected.", where="stop", remedy=f"write [{self.stop!r}]."
            )
        for name, fine, expected in self._requirements():
            if not fine:
                raise RecipeRefusal(
                    f"{name} is {getattr(self, name)!r}, which is not {expected}.",
                    where=name,
                    remedy=f"give {expected}.",
                )
        if self.beams > 1 and self.temperature > 0:
            raise RecipeRefusal(
                f"beams is {self.beams} and temperature is {self.temperature}: a beam search does not sample.",
                where="beams, temperature",
                remedy="set temperature to 0, or beams to 1.",
            )
        ignored = [name for name, asked in (("top_p", self.top_p < 1), ("top_k", self.top_k > 0)) if asked]
        if ignored and not self.temperature:
            raise RecipeRefusal(
                f"{' and '.join(ignored)} would do nothing: at temperature 0 the most probable token is always taken.",
                where=", ".join(ignored),
                remedy="set a temperature above 0, or leave them out.",
            )

    @property
    def cut(self) -> tuple[float, float, int]:
        """Temperature, `top_p` and `top_k`: all that drawing a token needs."""
        return self.temperature, self.top_p, self.top_k

    def _requirements(self) -> tuple[tuple[str, bool, str], ...]:
        counts = ((self.max_new_tokens, 1), (self.top_k, 0), (self.beams, 1), (self.min_new_tokens, 0))
        whole = [type(value) is int and value >= least for value, least in counts]
        return (
            ("max_new_tokens", whole[0], "a whole number from 1"),
            ("temperature", math.isfinite(self.temperature) and self.temperature >= 0, "a number from 0"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", whole[1], "a whole number from 0 (0 keeps all)"),
            ("beams", whole[2], "a whole number from 1"),
            ("stop", all(isinstance(text, str) and text for text in self.stop), "a list of texts, none of them empty"),
            ("seed", type(self.seed) is int, "a whole number"),
            ("length_penalty", math.isfinite(self.length_penalty) and self.length_penalty > 0, "a number above 0"),
            ("min_new_tokens", whole[3] and self.min_new_tokens <= self.max_new_tokens, "from 0 to max_new_tokens"),
        )


def random_stream(seed: int, prompt: Sequence[int], copy: int) -> np.random.Generator:
    """The random numbers of one prompt: the same whatever is answered beside it, and in whatever order.

    `copy` counts equal prompts, so that a prompt given several times gets several answers.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{seed},{copy},{len(prompt)};".encode())
    digest.update(np.asarray(prompt, dtype=np.int64).tobytes())
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest.digest(), "little")))


def drawn(logits_bv: Tensor, uniform_b: Tensor, *, temperature: float, top_p: float = 1.0, top_k: int = 0) -> Tensor:
    """One token for each row, int64 [b], by the inverse of its cumulative distribution at `uniform_b` (in 0..1).

    Tokens at minus infinity are never drawn. All the randomness is in `uniform_b`.
    """
    scaled_bv = logits_bv.double() / temperature
    scaled_bv = scaled_bv - scaled_bv.amax(-1, keepdim=True)  # dividing by a small temperature may overflow otherwise
    if top_k or top_p < 1:
        weights_bk, tokens_bk = _likeliest(scaled_bv, top_p, top_k)
    else:
        weights_bk, tokens_bk = scaled_bv.exp(), None
    heaps_bk = weights_bk.cumsum(-1)
    goals_b1 = uniform_b.to(heaps_bk).unsqueeze(1) * heaps_bk[:, -1:]
    places_b1 = torch.searchsorted(heaps_bk, goals_b1, right=True)
    last_b1 = (weights_bk > 0).long().cumsum(-1).argmax(-1, keepdim=True)  # rounding may lead past the last possible
    places_b1 = torch.minimum(places_b1, last_b1)
    return (places_b1 if tokens_bk is None else tokens_bk.gather(1, places_b1)).squeeze(1)


def _likeliest(scaled_bv: Tensor, top_p: float, top_k: int) -> tuple[Tensor, Tensor]:
    """Weights, most probable first, with 0 for tokens cut off, and the tokens: both [b, k]."""
    vocabulary = scaled_bv.shape[-1]
    k = min(top_k or _FIRST_LOOK, vocabulary)
    total_b1 = None if top_k else scaled_bv.exp().sum(-1, keepdim=True)
    while True:
        values_bk, tokens_bk = scaled_bv.topk(k, dim=-1)
        weights_bk = values_bk.exp()
        heaps_bk = weights_bk.cumsum(-1)
        goal_b1 = top_p * (heaps_bk[:, -1:] if total_b1 is None else total_b1)
        if top_k or k == vocabulary or bool((heaps_bk[:, -1:] >= goal_b1).all()):
            break
        k = min(8 * k, vocabulary)
    if top_p < 1:
        weights_bk = weights_bk.masked_fill(heaps_bk - weights_bk >= goal_b1, 0)
    return weights_bk, tokens_bk
