"""Keys and values of tokens already read, for several sequences side by side. Knows tensors; must not know tokens.

Shapes: b sequences, h heads, t columns (a token of each sequence), d dimensions of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

from tunewright.recipe.errors import BaseRefusal

_LEAST_ROOM = 64  # columns
_SHARE_OF_ROOM = 4  # a fourth of what is filled


class RoomyLayer(CacheLayerMixin):
    """Keys and values of one layer in buffers with columns to spare: a step writes one column and copies no other.

    Layers that attend to a window keep all columns too; the mask, which the model makes, hides those before it.
    """

    is_sliding = False

    def __init__(self, buffers: Sequence[Tensor] = ()):
        super().__init__()
        self._buffers = list(buffers)
        self._columns = buffers[0].shape[2] if buffers else 0
        self.is_initialized = bool(buffers)
        self._show()

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self._buffers = [x_bhtd.new_empty(_sized(x_bhtd, columns=0)) for x_bhtd in (key_states, value_states)]
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The new columns, [b, h, t, d] each, behind the others; returns all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self._columns = self._columns, self._columns + key_states.shape[2]
        if self._columns > self._buffers[0].shape[2]:
            room = max(_LEAST_ROOM, self._columns // _SHARE_OF_ROOM)
            self._buffers = [_extended(x_bhtd, start, self._columns + room) for x_bhtd in self._buffers]
        for buffer_bhtd, new_bhtd in zip(self._buffers, (key_states, value_states), strict=True):
            buffer_bhtd[:, :, start : self._columns] = new_bhtd
        self._show()
        return self.keys, self.values

    def _show(self) -> None:
        if self._buffers:
            self.keys, self.values = (buffer_bhtd[:, :, : self._columns] for buffer_bhtd in self._buffers)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._columns + query_length, 0

    def get_seq_length(self) -> int:
        return self._columns

    def get_max_length(self) -> int:
        return -1


def new_cache(config: PreTrainedConfig) -> Cache:
    """An empty cache for a model of this configuration.

    Raises BaseRefusal where a layer keeps something else than keys and values of each token.
    """
    kinds = {type(layer) for layer in DynamicCache(config=config).layers}
    unknown = sorted(kind.__name__ for kind in kinds - {DynamicLayer, DynamicSlidingWindowLayer})
    if unknown:
        raise BaseRefusal(
            f"A {config.model_type} model keeps more than keys and values of what it read ({', '.join(unknown)}).",
            where="base",
            remedy="generate with a base whose layers attend to tokens, such as Llama, Qwen, GPT-2, T5 or BART.",
        )
    return Cache(layer_class_to_replicate=RoomyLayer)


def chosen_rows(cache: Cache, rows: Tensor, *, skipped_columns: int = 0) -> Cache:
    """The sequences at `rows` (int64 [b], a sequence may come twice), without the first columns."""
    return _rebuilt(
        [[x_bhtd[:, :, skipped_columns:].index_select(0, rows) for x_bhtd in (layer.keys, layer.values)]
         for layer in cache.layers]
    )  # fmt: skip


def side_by_side(first: Cache, second: Cache) -> Cache:
    """The sequences of both, aligned at their last columns; what is missing on the left is zero."""
    pairs = zip(first.layers, second.layers, strict=True)
    return _rebuilt(
        [[_stacked(*both) for both in ((a.keys, b.keys), (a.values, b.values))] for a, b in pairs]
    )  # fmt: skip


def _rebuilt(tensors_by_layer: list[list[Tensor]]) -> Cache:
    return Cache(layers=[RoomyLayer(tensors) for tensors in tensors_by_layer])


def _stacked(first_bhtd: Tensor, second_bhtd: Tensor) -> Tensor:
    columns = max(first_bhtd.shape[2], second_bhtd.shape[2])
    rows = len(first_bhtd) + len(second_bhtd)
    both_bhtd = first_bhtd.new_zeros(rows, first_bhtd.shape[1], columns, first_bhtd.shape[3])
    both_bhtd[: len(first_bhtd), :, columns - first_bhtd.shape[2] :] = first_bhtd
    both_bhtd[len(first_bhtd) :, :, columns - second_bhtd.shape[2] :] = second_bhtd
    return both_bhtd


def _extended(x_bhtd: Tensor, filled: int, columns: int) -> Tensor:
    wide_bhtd = x_bhtd.new_empty(_sized(x_bhtd, columns=columns))
    wide_bhtd[:, :, :filled] = x_bhtd[:, :, :filled]
    return wide_bhtd


def _sized(x_bhtd: Tensor, *, columns: int) -> tuple[int, int, int, int]:
    b, h, _, d = x_bhtd.shape
    return b, h, columns, d
