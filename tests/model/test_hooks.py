"""A module is watched while a hook of any kind waits for it."""

from __future__ import annotations

import pytest
from torch import nn

from tunewright.model.hooks import is_watched


@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"])
def test_a_hook_of_any_kind_watches_until_it_is_taken_off(kind):
    module = nn.Linear(2, 2)
    assert not is_watched(module)
    handle = getattr(module, f"register_{kind}")(lambda *_: None)
    assert is_watched(module) and not is_watched(nn.Linear(2, 2))
    handle.remove()
    assert not is_watched(module)
