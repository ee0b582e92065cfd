"""Which parameters may change. Knows names and module types; must not know losses, optimisers or rows.

A filter is a set of parameter names of a model; `All`, `Any` and `Not` combine filters as sets. What a filter selects
is what trains, and so what is clipped, averaged and saved.
"""

from __future__ import annotations

import fnmatch
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from tunewright.model.adapters import add_lora
from tunewright.model.build import Model
from tunewright.model.describe import layer_stacks
from tunewright.recipe.errors import RecipeRefusal


class Filter(ABC):
    """A set of parameters, named as `model.named_parameters()` names them."""

    @abstractmethod
    def names(self, model: Model) -> set[str]: ...


@dataclass(frozen=True, slots=True)
class Everything(Filter):
    """All parameters."""

    def names(self, model: Model) -> set[str]:
        return {name for name, _ in model.named_parameters()}


@dataclass(frozen=True, slots=True)
class Head(Filter):
    """The head on the pooled vector."""

    def names(self, model: Model) -> set[str]:
        return _under(model, "head")


@dataclass(frozen=True, slots=True)
class New(Filter):
    """Tensors of the trunk that an adaptation or the joining of two bases added; of old tables with new rows none."""

    def names(self, model: Model) -> set[str]:
        return set(model.new.tensors)


@dataclass(frozen=True, slots=True)
class Biases(Filter):
    """The bias terms of the trunk, those of norms included."""

    def names(self, model: Model) -> set[str]:
        return {name for name in _under(model, "trunk") if name.endswith(".bias")}


@dataclass(frozen=True, slots=True)
class Adapters(Filter):
    """The matrices that LoRA added."""

    def names(self, model: Model) -> set[str]:
        return {name for name, _ in model.named_parameters() if any(p.startswith("lora_") for p in name.split("."))}


@dataclass(frozen=True, slots=True)
class Embeddings(Filter):
    """Every embedding table of the trunk: tokens, positions, types."""

    def names(self, model: Model) -> set[str]:
        return OfType(nn.Embedding).names(model)


@dataclass(frozen=True, slots=True)
class LastLayers(Filter):
    """The last `layers` layers of the trunk: those nearest to the head.

    Raises RecipeRefusal where the trunk has fewer.
    """

    layers: int

    def names(self, model: Model) -> set[str]:
        path, stack = layer_stacks(model.trunk)[-1]
        if not 1 <= self.layers <= len(stack):
            raise RecipeRefusal(
                f"last_layers asks for {self.layers} layers and the base has {len(stack)}.",
                where="phases.trainable.layers",
                remedy=f"Give 1 to {len(stack)}, or train everything.",
            )
        first = len(stack) - self.layers
        return set().union(*(_under(model, f"trunk.{path}.{i}") for i in range(first, len(stack))))


@dataclass(frozen=True, slots=True)
class Path(Filter):
    """Parameters whose name matches a shell pattern, as `trunk.embeddings.*`."""

    pattern: str

    def names(self, model: Model) -> set[str]:
        return {name for name, _ in model.named_parameters() if fnmatch.fnmatchcase(name, self.pattern)}


@dataclass(frozen=True, slots=True)
class OfType(Filter):
    """The own parameters of modules of a type, as `OfType(nn.LayerNorm)`."""

    type: type[nn.Module]

    def names(self, model: Model) -> set[str]:
        own = {
            f"{path}.{name}"
            for path, module in model.named_modules()
            if isinstance(module, self.type)
            for name, _ in module.named_parameters(recurse=False)
        }
        return own & Everything().names(model)


@dataclass(frozen=True, slots=True)
class All(Filter):
    """What every one of `filters` selects."""

    filters: tuple[Filter, ...]

    def names(self, model: Model) -> set[str]:
        return Everything().names(model).intersection(*(each.names(model) for each in self.filters))


@dataclass(frozen=True, slots=True)
class Any(Filter):
    """What at least one of `filters` selects."""

    filters: tuple[Filter, ...]

    def names(self, model: Model) -> set[str]:
        return set().union(*(each.names(model) for each in self.filters))


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """What `filter` does not select."""

    filter: Filter

    def names(self, model: Model) -> set[str]:
        return Everything().names(model) - self.filter.names(model)


def select(model: Model, filter: Filter) -> list[str]:
    """The names that `filter` selects, in the order of `model.named_parameters()`."""
    chosen = filter.names(model)
    return [name for name, _ in model.named_parameters() if name in chosen]


def freeze_except(model: Model, names: Collection[str]) -> None:
    """Lets exactly the parameters in `names` require gradients."""
    chosen = set(names)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
        chosen.discard(name)
    assert not chosen, f"no such parameters: {sorted(chosen)[:3]}"


def part_name(name: str, start: int, stop: int) -> str:
    """What rows `start` to `stop` of a tensor are called where they train and the others do not."""
    return f"{name}[{start}:{stop}]"


def tensors_by_name(model: Model, names: Collection[str]) -> dict[str, Tensor]:
    """All parameters of `model`; a table of which rows in `names` train while it does not comes in two parts: these
    rows, and under the table's own name the others.
    """
    found: dict[str, Tensor] = {name: parameter.detach() for name, parameter in model.named_parameters()}
    for name, rows in model.new.rows.items():
        part = part_name(name, *rows)
        if part in names and name not in names:
            table = found[name]
            found[part], found[name] = table[slice(*rows)], torch.cat([table[: rows[0]], table[rows[1] :]])
    return found


def restore(model: Model, changed: Mapping[str, Tensor]) -> None:
    """Give the parameters of `model` the values of `changed`, whole tensors and rows alike, one after the other."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in changed.items():
            whole, _, rows = name.removesuffix("]").partition("[")
            place = slice(*map(int, rows.split(":"))) if rows else slice(None)
            parameters[whole][place].copy_(tensor)


def _under(model: Model, path: str) -> set[str]:
    return {name for name, _ in model.named_parameters() if name.startswith(f"{path}.")}


class Trainable(ABC):
    """Axis 1: which parameters a phase may change. The head always trains, and so does what else no base has trained:
    what an adaptation added, or the joining of two bases.
    """

    features_fixed: ClassVar[bool] = False  # whether the pooled vectors stay what they are while this trains
    rate_of_a_768_wide_trunk: ClassVar[float] = 5e-5

    @classmethod
    def suggested_rate(cls, width: int) -> float:
        """A learning rate to start from: that of a trunk 768 wide, larger for narrower trunks in proportion."""
        return float(f"{cls.rate_of_a_768_wide_trunk * 768 / width:.1g}")

    def prepare(self, model: Model, *, seed: int) -> None:  # noqa: B027 most choices add nothing
        """Adds to `model` what this choice needs, from `seed` alone."""

    @abstractmethod
    def filter(self) -> Filter:
        """What trains, the head included."""


@dataclass(frozen=True, slots=True)
class TrainEverything(Trainable):
    """Every parameter of trunk and head: full fine-tuning (Howard & Ruder 2018, arXiv:1801.06146)."""

    def filter(self) -> Filter:
        return Everything()


@dataclass(frozen=True, slots=True)
class TrainHead(Trainable):
    """The head alone on a frozen trunk: feature extraction. The trunk runs once a row and its vectors are cached."""

    rate_of_a_768_wide_trunk: ClassVar[float] = 2e-3

    features_fixed: ClassVar[bool] = True

    def prepare(self, model: Model, *, seed: int) -> None:
        if not (Head().names(model) or New().names(model) or model.new.rows):
            raise RecipeRefusal(
                "A model that writes or compares texts has no new head: what it answers with belongs to the base, and "
                "nothing else is new.",
                where="phases.trainable",
                remedy="Train lora, last_layers, biases or everything.",
            )

    def filter(self) -> Filter:
        return Any((Head(), New()))


@dataclass(frozen=True, slots=True)
class LastLayersTrainable(Trainable):
    """The last `layers` layers of the trunk, and the head (Lee, Tang & Lin 2019, arXiv:1911.03090)."""

    rate_of_a_768_wide_trunk: ClassVar[float] = 1e-4

    layers: int = 2

    def filter(self) -> Filter:
        return Any((LastLayers(self.layers), Head(), New()))


@dataclass(frozen=True, slots=True)
class TrainBiases(Trainable):
    """The bias terms of the trunk, and the head: BitFit (Ben Zaken et al. 2022, arXiv:2106.10199)."""

    rate_of_a_768_wide_trunk: ClassVar[float] = 5e-4

    def prepare(self, model: Model, *, seed: int) -> None:
        if not Biases().names(model):
            raise RecipeRefusal(
                f"{type(model.trunk).__name__} has no bias terms, so there is nothing to train but the head.",
                where="phases.trainable",
                remedy="Train the head, lora or everything.",
            )

    def filter(self) -> Filter:
        return Any((Biases(), Head(), New()))


@dataclass(frozen=True, slots=True)
class Lora(Trainable):
    """Low-rank matrices beside linear layers of the trunk, and the head (Hu et al. 2021, arXiv:2106.09685).

    `rank` r, `alpha` (the update is scaled by alpha / r; default 2 r), `dropout` on what the matrices read, `targets`:
    `attention` (query and value), `linear` (every linear layer of the trunk's layers), or names of modules,
    separated by commas.
    """

    rate_of_a_768_wide_trunk: ClassVar[float] = 2.5e-4

    rank: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    targets: str = "linear"

    def prepare(self, model: Model, *, seed: int) -> None:
        targets = self.targets if self.targets in ("attention", "linear") else self.targets.replace(" ", "").split(",")
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        add_lora(model, rank=self.rank, alpha=alpha, dropout=self.dropout, targets=targets, seed=seed)

    def filter(self) -> Filter:
        return Any((Adapters(), Head(), New()))


TRAINABLE: dict[str, type[Trainable]] = {
    "everything": TrainEverything,
    "head": TrainHead,
    "last_layers": LastLayersTrainable,
    "biases": TrainBiases,
    "lora": Lora,
}
