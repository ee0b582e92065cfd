"""A trunk whose token vectors are pooled, and a head on it. Knows logits; must not know objectives, rows or labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from tunewright.model.describe import Family
from tunewright.values import Batch, Outputs

Pooling = Literal["mean", "cls", "last", "attention"]
Activation = Literal["gelu", "relu", "tanh"]
HEAD_STD = 0.02


@dataclass(frozen=True, slots=True)
class Shape:
    """All that must be known to build a model around a trunk; saved beside the weights.

    A model that compares texts answers with `zero` + `unit` x cosine.
    """

    kind: str  # of task
    outputs: int  # classes, labels, tags, words of the vocabulary, 1, or 0 where there is no head
    pooling: Pooling
    family: Family
    takes_types: bool
    dropout: float
    zero: float = 0.0
    unit: float = 1.0
    hidden: int | None = None  # units of a hidden layer in the head
    activation: Activation = "gelu"  # of those
    pooling_heads: int = 0  # parts of a vector that attention pooling weighs by themselves


@dataclass(frozen=True, slots=True)
class New:
    """What of a trunk no base has trained, by name: whole tensors, and of others the rows from one place to another."""

    tensors: frozenset[str] = frozenset()
    rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Head(nn.Linear):
    """What stands on the trunk: a linear map of vectors [m, d] to outputs, perhaps with a hidden layer before it and
    queries that pool. Its own weight and bias are those of the last map, so that a plain head is a plain linear layer.
    """

    def __init__(self, width: int, shape: Shape):
        super().__init__(shape.hidden or width, shape.outputs)
        self.activation = shape.activation
        self.hidden = nn.Linear(width, shape.hidden) if shape.hidden else None
        heads = shape.pooling_heads
        self.queries_hd = nn.Parameter(torch.zeros(heads, width // heads)) if heads else None

    def forward(self, vectors_md: Tensor) -> Tensor:
        """Logits float32 [m, c]; computed in float32 whatever the dtype of the weights."""
        if self.hidden is not None:
            hidden = functional.linear(vectors_md.float(), self.hidden.weight.float(), self.hidden.bias.float())
            vectors_md = getattr(functional, self.activation)(hidden)
        return functional.linear(vectors_md.float(), self.weight.float(), self.bias.float())

    def pool(self, vectors_std: Tensor, readable_st: Tensor) -> Tensor:
        """Vectors float32 [s, d] of sequences, each token weighed by how well it answers a query."""
        assert self.queries_hd is not None
        heads, width = self.queries_hd.shape
        parts_sthd = vectors_std.float().unflatten(2, (heads, width))
        scores_sth = torch.einsum("sthd,hd->sth", parts_sthd, self.queries_hd.float()) * width**-0.5
        weights_sth = scores_sth.masked_fill(~readable_st[:, :, None], -torch.inf).softmax(dim=1)
        return torch.einsum("sth,sthd->shd", weights_sth, parts_sthd).flatten(1)


class PooledModel(nn.Module):
    """A pre-trained trunk and a pooling of its token vectors; what is made of those, `forward` and `answer` say.

    Correct in any parameter dtype: the trunk computes in its own, pooling computes in float32. A sequence of no tokens
    is read as one padding token.
    """

    def __init__(self, trunk: PreTrainedModel, shape: Shape):
        super().__init__()
        self.trunk = trunk
        self.shape = shape
        self.new = New()
        self._trunk_options: dict[str, Any] = {"use_cache": False} if shape.family == "decoder" else {}

    @property
    def device(self) -> torch.device:
        return self.trunk.device

    @property
    def width(self) -> int:
        """Of a token's vector."""
        return int(self.trunk.config.get_text_config().hidden_size)

    @property
    def pad_id(self) -> int:
        """The id that stands where a batch has no token; never read, save by models that find positions by it."""
        config = self.trunk.config.get_text_config()
        return next((i for i in (config.pad_token_id, config.eos_token_id) if isinstance(i, int) and i >= 0), 0)

    def token_vectors(self, batch: Batch) -> Tensor:
        """The trunk's last hidden states [s, t, d], in the trunk's dtype; padded positions hold nothing of meaning."""
        types = {}
        if self.shape.takes_types and batch.types_st is not None:
            types["token_type_ids"] = batch.types_st
        return self.trunk(
            input_ids=batch.ids_st, attention_mask=_readable(batch).long(), **types, **self._trunk_options
        ).last_hidden_state

    def pool(self, batch: Batch) -> Tensor:
        """One vector a row, float32 [b, d]: sequences pooled over their tokens, windows averaged by their tokens."""
        pooled_sd = self._pool_sequences(self.token_vectors(batch), batch)
        if len(pooled_sd) == batch.rows:
            return pooled_sd
        tokens_s = batch.lengths_s.clamp(min=1).to(pooled_sd.dtype)
        sums_bd = pooled_sd.new_zeros(batch.rows, pooled_sd.shape[1])
        sums_bd = sums_bd.index_add(0, batch.owner_s, pooled_sd * tokens_s[:, None])
        tokens_b = tokens_s.new_zeros(batch.rows).index_add(0, batch.owner_s, tokens_s)
        return sums_bd / tokens_b[:, None]

    def _pool_sequences(self, vectors_std: Tensor, batch: Batch) -> Tensor:
        if self.shape.pooling == "cls":
            return vectors_std[:, 0].float()
        if self.shape.pooling == "last":
            last_s = batch.lengths_s.clamp(min=1) - 1
            return vectors_std[torch.arange(len(last_s), device=last_s.device), last_s].float()
        shares_st = _readable(batch).float() / batch.lengths_s.clamp(min=1)[:, None]
        return torch.bmm(shares_st[:, None, :], vectors_std.float()).squeeze(1)


class TaskModel(PooledModel):
    """A trunk and a head, on the pooled vector of a row or on the vectors of single tokens; it computes in
    float32.
    """

    def __init__(self, trunk: PreTrainedModel, shape: Shape):
        super().__init__(trunk, shape)
        self.dropout = nn.Dropout(shape.dropout)
        self.head = Head(self.width, shape)

    def forward(self, batch: Batch) -> Outputs:
        """Logits float32 [m, c] (of numbers [m]) and vectors float32 [m, d] of the rows, or of the tokens at `at_m`."""
        if batch.at_m is None:
            return self.answer(self.pool(batch))
        vectors_std = self.token_vectors(batch)
        return self.answer(vectors_std.reshape(-1, vectors_std.shape[-1])[batch.at_m].float())

    def answer(self, vectors_md: Tensor) -> Outputs:
        """What the head says of vectors [m, d]; with a frozen trunk these may come from a cache."""
        logits_mc = self.head(self.dropout(vectors_md.float()))
        logits = logits_mc.squeeze(1) if self.shape.kind == "regression" else logits_mc
        return Outputs(logits=logits, vectors_md=vectors_md)

    def _pool_sequences(self, vectors_std: Tensor, batch: Batch) -> Tensor:
        if self.shape.pooling == "attention":
            return self.head.pool(vectors_std, _readable(batch))
        return super()._pool_sequences(vectors_std, batch)


class VectorModel(PooledModel):
    """A trunk without a head: each text of a row becomes a vector of length 1, and texts are alike as these are.

    A bi-encoder (Reimers & Gurevych 2019, "Sentence-BERT"): passages can be turned into vectors before any query comes.
    """

    def forward(self, batch: Batch) -> Outputs:
        """The cosine of the first two texts of each row, in the units of `shape`, and all vectors [b, k, d]."""
        return self.answer(self.pool(batch))

    def answer(self, vectors_bkd: Tensor) -> Outputs:
        """What is said of rows with these vectors of length 1."""
        cosine_b = (vectors_bkd[:, 0] * vectors_bkd[:, 1]).sum(dim=1)
        return Outputs(logits=self.shape.zero + self.shape.unit * cosine_b, vectors_md=vectors_bkd)

    def pool(self, batch: Batch) -> Tensor:
        """One vector of length 1 a text, float32 [b, k, d].

        First texts run together, then second ones: queries are not padded to the length of passages.
        """
        pool = super().pool
        pooled_bkd = torch.stack([pool(texts_of(batch, place)) for place in range(batch.texts)], dim=1)
        return functional.normalize(pooled_bkd, dim=2)


def texts_of(batch: Batch, place: int) -> Batch:
    """`batch` with the text at `place` of each row alone, padded no longer than that asks for; without targets."""
    s = torch.nonzero(batch.owner_s % batch.texts == place).squeeze(1)
    lengths_s = batch.lengths_s[s]
    longest = max(int(lengths_s.max()), 1) if len(s) else 1
    return replace(
        batch, ids_st=batch.ids_st[s, :longest], lengths_s=lengths_s, owner_s=batch.owner_s[s] // batch.texts,
        types_st=None if batch.types_st is None else batch.types_st[s, :longest], targets=None, texts=1,
    )  # fmt: skip


def initialise_head(head: Head, *, seed: int) -> None:
    """Normal weights of standard deviation 0.02 (as BERT, Devlin et al. 2019) and zero bias, from `seed` alone.

    Those of a hidden layer are as wide as keeps the size of what it reads: 1 / sqrt(its inputs).
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * HEAD_STD)
        head.bias.zero_()
        if head.hidden is not None:
            spread = head.hidden.in_features**-0.5
            head.hidden.weight.copy_(torch.randn(head.hidden.weight.shape, generator=generator) * spread)
            head.hidden.bias.zero_()


def _readable(batch: Batch) -> Tensor:
    """True at tokens to read, bool [s, t]: the real ones, and the first of a sequence that has none."""
    positions_t = torch.arange(batch.ids_st.shape[1], device=batch.ids_st.device)
    return positions_t[None, :] < batch.lengths_s.clamp(min=1)[:, None]
