"""How a model writes where nobody says otherwise: chosen in the recipe, kept beside the weights. Must not know rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from tunewright.model.constrain import Constraint, JsonOf, OneOf
from tunewright.model.sampling import Sampling
from tunewright.model.token_bytes import TokenBytes
from tunewright.recipe.errors import RecipeRefusal


@dataclass(frozen=True)
class Greedy:
    """The most probable token each time.

    An answer has at most `max_new_tokens` tokens (default: half as many again as the longest of training has, and
    eight) and ends before the first of the texts in `stop`. It may be held to a form: `schema` names a file with a
    JSON schema, and `labels: task` allows nothing but answers that training rows have.
    """

    max_new_tokens: int | None = None
    stop: tuple[str, ...] = ()
    schema: str | None = None
    labels: Literal["task"] | None = None

    def __post_init__(self) -> None:
        if self.schema is not None and self.labels is not None:
            raise ValueError("schema and labels are two forms; an answer keeps to one")
        if self.stop and (self.schema is not None or self.labels is not None):
            raise ValueError("an answer that keeps to a form cannot be stopped before it is whole; leave stop out")
        self.sampling(self.max_new_tokens or 1)

    def sampling(self, room: int) -> Sampling:
        """The same for an answer of at most `room` tokens."""
        return Sampling(max_new_tokens=room, stop=self.stop)


@dataclass(frozen=True)
class Sample(Greedy):
    """Each token drawn by its probability, from a seed: the same prompt has the same answer each time.

    `temperature` divides the logits; `top_k` keeps the most probable tokens, and `top_p` of those the fewest that
    together reach it (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751). The other options are those of `greedy`.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def sampling(self, room: int) -> Sampling:
        """As of `Greedy`. Raises ValueError where nothing would be drawn."""
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, not {self.temperature}; greedy is what it would amount to")
        return Sampling(room, self.temperature, self.top_p, self.top_k, stop=self.stop, seed=self.seed)


@dataclass(frozen=True)
class Beams(Greedy):
    """The best of several answers searched side by side, by their log-probability over length ** `length_penalty`.

    As in Wu et al. 2016 (https://arxiv.org/abs/1609.08144, section 7): a penalty above 1 favours long answers, one
    below short ones. It takes about as many times longer as there are beams; served, it is not written piece by piece.
    The other options are those of `greedy`.
    """

    beams: int = 4
    length_penalty: float = 1.0

    def sampling(self, room: int) -> Sampling:
        """As of `Greedy`. Raises ValueError for a single beam."""
        if self.beams < 2:
            raise ValueError(f"beams must be at least 2, not {self.beams}; greedy is what it would amount to")
        return Sampling(room, beams=self.beams, length_penalty=self.length_penalty, stop=self.stop)


WRITING: dict[str, type[Greedy]] = {"greedy": Greedy, "sample": Sample, "beams": Beams}


@dataclass(frozen=True, slots=True)
class Writing:
    """How answers are written: `sampling`, and the form they keep to, if any: a JSON schema, or one of `labels`."""

    sampling: Sampling
    schema: Mapping[str, Any] | None = None
    labels: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """The same in words."""
        how, most = self.sampling, f"at most {self.sampling.max_new_tokens} tokens"
        ways = {
            f"by {how.beams} beams with length penalty {how.length_penalty:g}": how.beams > 1,
            f"drawn at temperature {how.temperature:g}, top_p {how.top_p:g}, top_k {how.top_k}": how.temperature > 0,
        }
        way = next((said for said, holds in ways.items() if holds), "greedily")
        forms = {f", stopped before {list(how.stop)}": bool(how.stop), ", as JSON of a schema": self.schema is not None,
                 f", as one of {len(self.labels)} labels": bool(self.labels)}  # fmt: skip
        return f"Written {way}, {most}{''.join(said for said, holds in forms.items() if holds)}."

    def constraint(self, tokenizer: PreTrainedTokenizerBase, written: TokenBytes | None = None) -> Constraint | None:
        """The form, for a tokenizer; `written` are its tokens as bytes, where they are known already."""
        if self.labels:
            return OneOf(self.labels, tokenizer)
        return None if self.schema is None else JsonOf(dict(self.schema), written or TokenBytes(tokenizer))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads; `generate` says as much of it as transformers' method of this name understands."""
        how = self.sampling
        sampling = {field.name: getattr(how, field.name) for field in fields(Sampling)}
        drawn = {"temperature": how.temperature, "top_p": how.top_p, "top_k": how.top_k} if how.temperature > 0 else {}
        searched = {"num_beams": how.beams, "length_penalty": how.length_penalty} if how.beams > 1 else {}
        stops = {"stop_strings": list(how.stop)} if how.stop else {}
        plain = {"max_new_tokens": how.max_new_tokens, "do_sample": how.temperature > 0}
        generate = {**plain, **drawn, **searched, **stops}
        return {"sampling": sampling, "schema": self.schema, "labels": list(self.labels), "generate": generate}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Writing:
        """Raises RecipeRefusal for a sampling that makes no sense."""
        sampling = dict(written["sampling"])
        try:
            made = Sampling(**sampling | {"stop": tuple(sampling["stop"])})
        except TypeError as error:
            raise RecipeRefusal(f"The way of writing cannot be read: {error}.", where="writing.json") from None
        return cls(made, written["schema"], tuple(written["labels"]))
