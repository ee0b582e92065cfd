"""What the machine is said to be, and that a device that nothing computes on is refused."""

from __future__ import annotations

import os

import pytest
import torch

from tunewright.recipe.errors import RecipeRefusal
from tunewright.train import devices


def test_this_machine_is_described_with_a_reason_for_its_number_type():
    machine = devices.look_at_machine()
    assert machine.device == "cpu"
    assert machine.bytes_free > 1 << 20 and machine.cores >= 1
    assert "bfloat16 arithmetic" in machine.bfloat16_reason
    assert ("lacks" in machine.bfloat16_reason) is not machine.bfloat16


def test_cores_are_those_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert devices.usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert devices.usable_cores() == os.cpu_count()


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "nonsense"])
def test_a_device_that_would_be_ignored_is_refused_by_name(name):
    with pytest.raises(RecipeRefusal) as refusal:
        devices.look_at_machine(name)
    assert name in refusal.value.what and refusal.value.where == "compute.device" and refusal.value.remedy


@pytest.mark.parametrize(("avx", "amx", "fast"), [(False, False, False), (True, False, True), (False, True, True)])
def test_bfloat16_on_a_cpu_is_fast_where_one_of_its_units_is(monkeypatch, avx, amx, fast):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    machine = devices.look_at_machine("cpu")
    assert machine.bfloat16 is fast
    assert machine.bfloat16_reason == f"this CPU {'has' if fast else 'lacks'} bfloat16 arithmetic"
