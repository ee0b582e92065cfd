"""Tiny bases, saved once a session, and token ids made from texts by plain python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import tiny_bases

from tunewright.model.bases import Base, find_base
from tunewright.model.build import build_model
from tunewright.model.describe import describe
from tunewright.model.heads import TaskModel
from tunewright.values import Encoded

TEXT_FAMILIES = tuple(family for family in tiny_bases.FAMILIES if family != "vit")
TEXTS = ("my card", "where is my card please tell me now", "hello", "how do i change the pin code", "refund refund")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Callable[[str], Base]:
    """The base of a family, by its name."""
    made: dict[str, Base] = {}

    def get(family: str) -> Base:
        if family not in made:
            folder = tiny_bases.make_tiny_base(tmp_path_factory.mktemp("bases") / family, family)
            made[family] = find_base(str(folder), root=Path("."))
        return made[family]

    return get


@pytest.fixture
def tiny_model(tiny_base) -> Callable[..., TaskModel]:
    """A new model on a tiny base, in evaluation mode."""

    def build(family: str = "bert", *, kind: str = "classification", outputs: int = 3, **options) -> TaskModel:
        base = tiny_base(family)
        description = describe(base)
        options.setdefault("pooling", description.pooling)
        return build_model(base, description, kind=kind, outputs=outputs, seed=5, **options).eval()

    return build


def encoded_from(
    ids: list[list[int]], *, owner: list[int] | None = None, types: list[list[int]] | None = None
) -> Encoded:
    owner_s = np.arange(len(ids)) if owner is None else np.array(owner)
    return Encoded(
        tokens_n=np.array([i for sequence in ids for i in sequence], dtype=np.int32),
        starts_s=np.cumsum([0, *map(len, ids)]),
        owner_s=owner_s,
        types_n=None if types is None else np.array([t for sequence in types for t in sequence], dtype=np.int8),
        cut_r=np.zeros(int(owner_s.max()) + 1 if len(owner_s) else 0, dtype=np.int64),
    )


def fill_lora(model: TaskModel) -> None:
    """Gives the second LoRA matrices, which start at zero, values."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)


@pytest.fixture
def encode() -> Callable[..., Encoded]:
    return encoded_from


@pytest.fixture
def with_lora() -> Callable[[TaskModel], None]:
    return fill_lora


@pytest.fixture(params=TEXT_FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def texts() -> tuple[str, ...]:
    return TEXTS
