"""Moments in 8 bits: small, near those in float32, and resumed to the bit."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_training import masters_of, run, tiny_model, tiny_training

from tunewright.train import moments
from tunewright.train.moments import PackedMoments, WholeMoments
from tunewright.train.optimizers import OPTIMIZERS, AdamW, AdamW8Bit

CHUNKS = [slice(0, 1000), slice(1000, 1001), slice(1001, 70_000)]


def gradients(seed: int = 0) -> torch.Tensor:
    """Of very different sizes, as those of layers are, one element beside the other included."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(70_000, generator=draw) * 10 ** (-6 * torch.rand(70_000, generator=draw))


def remembered(kind, updates: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    kept = kind(CHUNKS)
    for update in range(updates):
        step(kept, gradients(update))
    parts = [kept.read(number) for number in range(len(CHUNKS))]
    return torch.cat([first for first, _ in parts]), torch.cat([second for _, second in parts])


def step(kept, gradient: torch.Tensor) -> None:
    for number, place in enumerate(CHUNKS):
        first, second = kept.read(number)
        first.lerp_(gradient[place], 0.1)
        second.mul_(0.999).addcmul_(gradient[place], gradient[place], value=0.001)
        kept.write(number, first, second)


def test_packed_moments_take_a_quarter_and_begin_at_nothing():
    whole, packed = WholeMoments(CHUNKS), PackedMoments(CHUNKS)
    assert whole.bytes == 8 * 70_000 and packed.bytes < 0.27 * whole.bytes
    for number in range(len(CHUNKS)):
        assert all(not moment.any() for moment in packed.read(number))


def test_they_stay_near_and_what_a_step_divides_by_is_never_lost():
    (first, second), (mean, square) = remembered(WholeMoments), remembered(PackedMoments)
    blocks = mean[1001:68_585].view(-1, 256), first[1001:68_585].view(-1, 256)
    assert float(((blocks[0] - blocks[1]).abs() / blocks[1].abs().amax(1, keepdim=True)).max()) < 0.05
    roots = square.sqrt() / second.sqrt()
    assert bool((square > 0).all()) and 0.8 < float(roots.median()) < 1.25
    assert float(((roots - 1).abs() < 0.25).float().mean()) > 0.99


def test_no_block_is_shared_by_two_chunks():
    packed = PackedMoments(CHUNKS)
    assert [(place.start, place.stop) for place in packed.blocks] == [(0, 4), (4, 5), (5, 5 + 270)]
    first, second = packed.read(1)
    packed.write(1, first + 3, second + 4)
    assert all(not moment.any() for number in (0, 2) for moment in packed.read(number))
    assert [float(moment) for moment in packed.read(1)] == [3.0, 4.0]


@pytest.mark.parametrize("kind", [WholeMoments, PackedMoments])
def test_a_state_put_into_new_moments_continues_to_the_bit(kind):
    kept, again = kind(CHUNKS), kind(CHUNKS)
    step(kept, gradients(1))
    again.load_state({name: tensor.clone() for name, tensor in kept.state().items()})
    for one in (kept, again):
        step(one, gradients(2))
    assert all(torch.equal(tensor, again.state()[name]) for name, tensor in kept.state().items())


def test_a_training_learns_as_with_whole_moments_and_remembers_in_a_quarter():
    """The losses of 40 updates lie within 3 % of the first loss of those with float32 moments."""
    losses, sizes = [], []
    for kind in (AdamW, AdamW8Bit):
        training = tiny_training(optimizer=kind(rate=2e-3, warmup=0.0), budget="40 updates", rows_per_update=8)
        losses.append([fact.loss for fact in run(training)])
        sizes.append(training.masters.moments.bytes)
    assert losses[1][-1] < 0.5 * losses[1][0]
    assert max(abs(a - b) for a, b in zip(*losses, strict=True)) < 0.03 * losses[0][0]
    assert losses[0] != losses[1] and sizes[1] < 0.27 * sizes[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_training_resumes_to_the_bit(dtype):
    def fresh(budget: str):
        return tiny_training(tiny_model("llama"), optimizer=AdamW8Bit(rate=2e-3, decay="constant"), budget=budget,
                             rows_per_update=8, dtype=dtype)  # fmt: skip

    whole, first, second = fresh("6 updates"), fresh("6 updates"), fresh("6 updates")
    run(whole)
    for fact in first.updates():
        if fact.update == 3:
            break
    tensors, values = first.state()
    second.load_state({name: tensor.clone() for name, tensor in tensors.items()}, values)
    run(second)
    seen, expected = masters_of(second), masters_of(whole)
    assert all(torch.equal(seen[name], expected[name]) for name in expected)


def test_both_have_the_same_options():
    assert OPTIMIZERS["adamw_8bit"](rate=0.1).rate_at(0.5) == AdamW(rate=0.1).rate_at(0.5)
    assert moments._codes(True).numel() == moments._codes(False).numel() == 256
