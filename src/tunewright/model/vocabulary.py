"""From vectors to what a vocabulary says of them, a chunk at a time. Knows tensors; must not know models or rows.

Logits of m places over v words are m x v numbers, most of a small model's memory; no more than a chunk of them exists.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

_CHUNK_NUMBERS = 1 << 22  # float32 logits at once: 16 MB


def cross_entropy_at(
    vectors_md: Tensor, weight_vd: Tensor, targets_m: Tensor, *, bias_v: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of each place, float32 [m]; logits are computed again in the backward pass."""
    size = max(1, _CHUNK_NUMBERS // len(weight_vd))

    def values(part_md: Tensor, part_m: Tensor) -> Tensor:
        logits = functional.linear(part_md, weight_vd, bias_v).float()
        return functional.cross_entropy(logits, part_m, label_smoothing=smoothing, reduction="none")

    parts = [
        checkpoint(values, vectors, targets, use_reentrant=False)
        for vectors, targets in zip(vectors_md.split(size), targets_m.split(size), strict=True)
    ]
    return torch.cat(parts)


def log_probabilities_at(
    vectors_md: Tensor, weight_vd: Tensor, targets_m: Tensor, *, bias_v: Tensor | None = None
) -> Tensor:
    """Of each place: log-probability of the target, the likeliest word, and how far its logit is above the next.

    float32 [m, 3]; without gradients.
    """
    size = max(1, _CHUNK_NUMBERS // len(weight_vd))
    parts = []
    for vectors, targets in zip(vectors_md.split(size), targets_m.split(size), strict=True):
        logits = functional.linear(vectors, weight_vd, bias_v).float()
        chosen = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(1)
        top = logits.topk(2, dim=1)
        parts.append(torch.stack([chosen, top.indices[:, 0].float(), top.values[:, 0] - top.values[:, 1]], dim=1))
    return torch.cat(parts) if parts else vectors_md.new_zeros(0, 3).float()
