"""Roomy layers against the library's growing ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache, LlamaConfig, MambaConfig
from transformers.cache_utils import Cache

from tunewright.model.cache import RoomyLayer, chosen_rows, new_cache, side_by_side
from tunewright.recipe.errors import BaseRefusal


def filled(sizes: list[int], *, rows: int = 3, layers: int = 2, seed: int = 0) -> tuple[Cache, DynamicCache]:
    """Ours and the library's after the same updates."""
    generator = torch.Generator().manual_seed(seed)
    ours, theirs = new_cache(LlamaConfig(num_hidden_layers=layers)), DynamicCache()
    for columns in sizes:
        for layer in range(layers):
            keys, values = torch.randn(2, rows, 2, columns, 4, generator=generator).unbind()
            for seen, known in zip(ours.update(keys, values, layer), theirs.update(keys, values, layer), strict=True):
                assert torch.equal(seen, known)
    return ours, theirs


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 90), min_size=1, max_size=6))
def test_it_holds_what_the_library_would(sizes):
    ours, theirs = filled(sizes)
    assert ours.get_seq_length() == theirs.get_seq_length() == sum(sizes)
    assert ours.get_mask_sizes(3, 0) == theirs.get_mask_sizes(3, 0)


def test_a_step_copies_nothing_until_the_room_is_used_up():
    layer = RoomyLayer()
    layer.update(*torch.randn(2, 1, 1, 10, 4))
    places = []
    for _ in range(60):
        layer.update(*torch.randn(2, 1, 1, 1, 4))
        places.append(layer.keys.data_ptr())
    assert len(set(places)) == 1


@settings(deadline=None)
@given(rows=st.lists(st.integers(0, 2), min_size=1, max_size=5), skipped=st.integers(0, 6))
def test_rows_are_chosen_in_order_and_go_on(rows, skipped):
    ours, theirs = filled([5, 1, 1])
    chosen = chosen_rows(ours, torch.tensor(rows), skipped_columns=skipped)
    keys, values = torch.randn(2, len(rows), 2, 1, 4)
    seen, _ = chosen.update(keys, values, 1)
    assert torch.equal(seen[:, :, :-1], theirs.layers[1].keys[rows][:, :, skipped:])
    assert torch.equal(seen[:, :, -1:], keys)
    assert ours.get_seq_length() == 7


def test_two_caches_end_at_the_same_column():
    (short, known_short), (long, known_long) = filled([3], rows=2), filled([4, 1], rows=1, seed=5)
    for first, second in ((short, long), (long, short)):
        both = side_by_side(first, second)
        assert both.get_seq_length() == 5
        a = both.layers[1].values[:2] if first is short else both.layers[1].values[1:]
        b = both.layers[1].values[2:] if first is short else both.layers[1].values[:1]
        assert torch.equal(a[:, :, 2:], known_short.layers[1].values) and not a[:, :, :2].any()
        assert torch.equal(b, known_long.layers[1].values)


def test_a_model_that_keeps_another_kind_of_state_is_refused():
    with pytest.raises(BaseRefusal, match="A mamba model keeps more than keys and values"):
        new_cache(MambaConfig())
