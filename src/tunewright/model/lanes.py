"""Sequences that a model continues side by side, one token a step. Knows models and caches; must not know texts.

Shapes: b lanes, t columns, s tokens of a source, d dimensions, v tokens of the vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from tunewright.model.cache import chosen_rows, new_cache, side_by_side
from tunewright.recipe.errors import BaseRefusal


class Lanes:
    """Lanes of a decoder: each begins at a column of its own and all end at the same one.

    Columns before a lane begins are hidden from it, and its positions count from where it begins, so that it computes
    what it would alone. `logits_bv` say what comes next in each lane.
    """

    def __init__(self, lm: PreTrainedModel, prompts: Sequence[Sequence[int]]):
        self._lm, self._cache = lm, new_cache(halves_of(lm)[-1].config)
        lengths_b = torch.tensor([len(prompt) for prompt in prompts], device=lm.device)
        self._columns = int(lengths_b.max())
        self._padding_b = self._columns - lengths_b
        ids_bt = torch.tensor(
            [[0] * (self._columns - len(prompt)) + list(prompt) for prompt in prompts], device=lm.device
        )  # fmt: skip
        self._counts_positions = _accepts(lm, "position_ids")
        self._reads_last_only = _accepts(lm, "logits_to_keep")
        self.logits_bv = self._forward(ids_bt)

    def __len__(self) -> int:
        return len(self._padding_b)

    def advance(self, tokens_b: Tensor) -> None:
        """Each lane goes on with its token."""
        self._columns += 1
        self.logits_bv = self._forward(tokens_b.unsqueeze(1))

    def keep(self, rows: Tensor) -> None:
        """Go on with the lanes at `rows` (int64 [b]) only, in that order; a lane may be taken twice and so forks."""
        spare = int(self._padding_b[rows].min())
        if spare == 0 and _is_all(rows, len(self)):
            return
        self._cache = chosen_rows(self._cache, rows, skipped_columns=spare)
        self._columns -= spare
        self._padding_b = self._padding_b[rows] - spare
        self.logits_bv = self.logits_bv[rows]

    def join(self, other: Lanes) -> None:
        """Go on with the lanes of `other` too, behind one's own."""
        columns = max(self._columns, other._columns)
        self._cache = side_by_side(self._cache, other._cache)
        self._padding_b = torch.cat([one._padding_b + columns - one._columns for one in (self, other)])
        self._columns = columns
        self.logits_bv = torch.cat([self.logits_bv, other.logits_bv])

    def _forward(self, ids_bt: Tensor) -> Tensor:
        columns_t = torch.arange(self._columns, device=ids_bt.device)
        places_bt = columns_t - self._padding_b.unsqueeze(1)
        options: dict[str, object] = {}
        if bool(self._padding_b.any()):
            options["attention_mask"] = (places_bt >= 0).long()
        if self._counts_positions:
            options["position_ids"] = places_bt[:, -ids_bt.shape[1] :].clamp(min=0)
        if self._reads_last_only:
            options["logits_to_keep"] = 1
        output = self._lm(input_ids=ids_bt, past_key_values=self._cache, use_cache=True, **options)
        return output.logits[:, -1]


class SourcedLanes:
    """Lanes of a decoder that reads a source through an encoder, which runs once; otherwise as `Lanes`.

    All lanes are at the same position, because not every decoder can be told another, so they begin together.
    """

    def __init__(self, lm: PreTrainedModel, prompts: Sequence[Sequence[int]]):
        self._lm = lm
        lengths_b = torch.tensor([len(prompt) for prompt in prompts], device=lm.device)
        longest = int(lengths_b.max())
        ids_bs = torch.tensor([list(prompt) + [0] * (longest - len(prompt)) for prompt in prompts], device=lm.device)
        self._mask_bs = (torch.arange(longest, device=lm.device) < lengths_b.unsqueeze(1)).long()
        self._encoded_bsd = lm.get_encoder()(input_ids=ids_bs, attention_mask=self._mask_bs).last_hidden_state
        self._cache = EncoderDecoderCache(*(new_cache(halves_of(lm)[-1].config) for _ in range(2)))
        self.logits_bv = self._forward(torch.tensor([first_tokens(lm)] * len(prompts), device=lm.device))

    def __len__(self) -> int:
        return len(self._mask_bs)

    def advance(self, tokens_b: Tensor) -> None:
        """As of `Lanes`."""
        self.logits_bv = self._forward(tokens_b.unsqueeze(1))

    def keep(self, rows: Tensor) -> None:
        """As of `Lanes`."""
        if _is_all(rows, len(self)):
            return
        halves = (self._cache.self_attention_cache, self._cache.cross_attention_cache)
        self._cache = EncoderDecoderCache(*(chosen_rows(half, rows) for half in halves))
        self._encoded_bsd, self._mask_bs = self._encoded_bsd[rows], self._mask_bs[rows]
        self.logits_bv = self.logits_bv[rows]

    def _forward(self, ids_bt: Tensor) -> Tensor:
        output = self._lm(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded_bsd),
            attention_mask=self._mask_bs,
            decoder_input_ids=ids_bt,
            past_key_values=self._cache,
            use_cache=True,
        )
        return output.logits[:, -1]


def begun(lm: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Lanes | SourcedLanes:
    """Lanes of the model's kind that have read their prompts (for an encoder-decoder model, their sources)."""
    return (SourcedLanes if lm.config.is_encoder_decoder else Lanes)(lm, prompts)


def halves_of(lm: PreTrainedModel) -> tuple[PreTrainedModel, ...]:
    """The parts that read tokens: a decoder alone, or an encoder and then a decoder."""
    return (lm.get_encoder(), lm.get_decoder()) if lm.config.is_encoder_decoder else (lm,)


def positions_of(half: PreTrainedModel) -> int | None:
    """How many tokens this part can read; None where its positions are relative and without limit."""
    for path, module in half.named_modules():
        is_table = isinstance(module, nn.Embedding) and path.endswith("position_embeddings")
        if is_table and module.padding_idx is not None:  # RoBERTa counts from after its padding
            return module.num_embeddings - module.padding_idx - 1
    longest = getattr(half.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return longest if isinstance(longest, int) and longest > 0 else None


def first_tokens(lm: PreTrainedModel) -> list[int]:
    """The tokens that every answer of an encoder-decoder model begins with and that are no part of it.

    These are the decoder's start token and, where the model forces one (BART, mBART), the token after it.
    """
    start, forced = (_setting(lm, name) for name in ("decoder_start_token_id", "forced_bos_token_id"))
    if start is None:
        start = _setting(lm, "bos_token_id")
    if start is None:
        raise BaseRefusal(
            "Nothing says with which token the decoder of this base starts.",
            where="config.json: decoder_start_token_id",
            remedy="set decoder_start_token_id to the token that its answers began with in training.",
        )
    return [start] if forced is None else [start, forced]


def _setting(lm: PreTrainedModel, name: str) -> int | None:
    """A token id by the model's settings for generation, else by its configuration."""
    for holder in (getattr(lm, "generation_config", None), lm.config):
        value = getattr(holder, name, None)
        if value is not None:
            return int(value)
    return None


def _is_all(rows: Tensor, count: int) -> bool:
    return len(rows) == count and bool((rows == torch.arange(count, device=rows.device)).all())


def _accepts(lm: PreTrainedModel, option: str) -> bool:
    return option in inspect.signature(lm.forward).parameters
