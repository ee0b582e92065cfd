"""What AdamW remembers of past gradients: their mean and the mean of their squares. Knows flat buffers, nothing else.

Whole moments are float32. Packed ones take a byte each (Dettmers et al. 2022, arXiv:2110.02861): a number is one of
256, spaced finely near zero, times the largest of its block of 256. Of the squares the root is what is packed, because
that is what a step divides by: a square has twice the range, and a small one would be packed as none at all.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tunewright.model.quantized import kernels

_BLOCK = 256


class Moments(ABC):
    """The moments of a flat buffer that is stepped in chunks, in order."""

    @abstractmethod
    def read(self, chunk: int) -> tuple[Tensor, Tensor]:
        """Both moments of one chunk, float32, to be changed in place."""

    @abstractmethod
    def write(self, chunk: int, first: Tensor, second: Tensor) -> None:
        """Keeps what `read` gave, changed."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The tensors that are kept, by name."""

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        for name, kept in self.state().items():
            kept.copy_(tensors[name])

    @property
    def bytes(self) -> int:
        return sum(kept.numel() * kept.element_size() for kept in self.state().values())


class WholeMoments(Moments):
    """Both in float32."""

    def __init__(self, chunks: Sequence[slice]):
        self.chunks = chunks
        self.first, self.second = torch.zeros(_length(chunks)), torch.zeros(_length(chunks))

    def read(self, chunk: int) -> tuple[Tensor, Tensor]:
        place = self.chunks[chunk]
        return self.first[place], self.second[place]

    def write(self, chunk: int, first: Tensor, second: Tensor) -> None:
        """They were changed where they lie."""

    def state(self) -> dict[str, Tensor]:
        return {"first_moment": self.first, "second_moment": self.second}


class PackedMoments(Moments):
    """Both in 8 bits; no block reaches over the end of a chunk."""

    def __init__(self, chunks: Sequence[slice]):
        self.chunks = chunks
        self.blocks: list[slice] = []
        for place in chunks:
            start = self.blocks[-1].stop if self.blocks else 0
            self.blocks.append(slice(start, start - (place.start - place.stop) // _BLOCK))
        codes, scales = _length(chunks), _length(self.blocks)
        self.kept = {}
        for name, signed in (("first_moment", True), ("root_of_second_moment", False)):
            self.kept[f"{name}.codes"] = torch.full((codes,), _code_of_zero(signed), dtype=torch.uint8)
            self.kept[f"{name}.scales"] = torch.zeros(scales)

    def read(self, chunk: int) -> tuple[Tensor, Tensor]:
        root = self._unpack("root_of_second_moment", chunk, signed=False)
        return self._unpack("first_moment", chunk, signed=True), root.square_()

    def write(self, chunk: int, first: Tensor, second: Tensor) -> None:
        self._pack("first_moment", chunk, first, signed=True)
        self._pack("root_of_second_moment", chunk, second.sqrt_(), signed=False)

    def state(self) -> dict[str, Tensor]:
        return dict(self.kept)

    def _unpack(self, name: str, chunk: int, *, signed: bool) -> Tensor:
        found: Tensor = kernels().dequantize_blockwise(
            self.kept[f"{name}.codes"][self.chunks[chunk]], absmax=self.kept[f"{name}.scales"][self.blocks[chunk]],
            code=_codes(signed), blocksize=_BLOCK,
        )  # fmt: skip
        return found

    def _pack(self, name: str, chunk: int, values: Tensor, *, signed: bool) -> None:
        codes, state = kernels().quantize_blockwise(values, code=_codes(signed), blocksize=_BLOCK)
        self.kept[f"{name}.codes"][self.chunks[chunk]] = codes
        self.kept[f"{name}.scales"][self.blocks[chunk]] = state.absmax


def _length(places: Sequence[slice]) -> int:
    return places[-1].stop if places else 0


@functools.cache
def _codes(signed: bool) -> Tensor:
    """The 256 numbers that a moment may be, between -1 or 0 and 1."""
    found: Tensor = kernels().create_dynamic_map(signed=signed)
    return found


def _code_of_zero(signed: bool) -> int:
    return int(_codes(signed).abs().argmin())
