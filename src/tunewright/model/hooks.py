"""Whether somebody waits for a module to run. Must not know what the module computes."""

from __future__ import annotations

from torch import nn


def is_watched(module: nn.Module) -> bool:
    """Whether a hook waits for this module to run; transformers records attentions and hidden states so."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )
