"""The machine: device, number type, threads, memory. Knows hardware; must not know models or rows."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import psutil
import torch

from tunewright.recipe.errors import RecipeRefusal


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine can compute with. `bytes_free` is memory that a run may use now."""

    device: str
    cores: int
    bfloat16: bool
    bfloat16_reason: str
    bytes_free: int
    cpu: str


def look_at_machine(device: str | None = None) -> Machine:
    """Describe this machine. Raises RecipeRefusal for a device other than the CPU: no other was ever tested."""
    if device not in (None, "cpu"):
        raise RecipeRefusal(
            f"This version computes on the CPU only, not on {device!r}.",
            where="compute.device",
            remedy="Leave compute.device out.",
        )
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    reason = f"this CPU {'has' if fast else 'lacks'} bfloat16 arithmetic"
    cpu = platform.processor() or platform.machine()
    return Machine("cpu", usable_cores(), fast, reason, psutil.virtual_memory().available, cpu)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
