"""The optimiser: float32 masters of what trains, stepped once per update. Knows parameters; must not know any method.

What it does that a plain `torch.optim.AdamW` does not, with the same mathematics:
- The model computes with working copies in its own type (bfloat16 where the hardware has it); masters, moments and
  summed gradients are float32 and exist only for parameters that train.
- Dense masters lie in one flat buffer and are stepped in cache-sized chunks: gradient scaling, AdamW and the copy back
  to the working weights each read a chunk while it is still in cache.
- Of a table of words with new rows, these alone have a master where the table as a whole does not train.
- Rows of the input embedding that no batch has touched yet have zero moments, so AdamW would only decay them. They are
  left alone and owe that decay until they are first read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from tunewright.model.build import Model
from tunewright.model.quantized import give_back_memory
from tunewright.model.trainable import part_name
from tunewright.train.moments import Moments, PackedMoments, WholeMoments

_CHUNK = 1 << 20  # floats; long enough to outweigh a call, short enough for five such streams to stay in cache
_NORM_TYPES = ("LayerNorm", "RMSNorm", "GroupNorm")


@dataclass(frozen=True)
class AdamW:
    """AdamW with warm-up, a falling rate and clipping by norm.

    Source: Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2. Norms and biases are not
    decayed. `rate` is resolved from what trains unless given; the head's rate is `rate * head_rate_factor`. A step
    subtracts rate * `weight_decay` * weight and rate * mean / (sqrt(mean of squares) + `epsilon`); the means over past
    gradients and their squares forget at `beta1` and `beta2`. A gradient longer than `clip` is scaled to that norm.
    The rate rises over the `warmup` share of the budget and then falls as `decay` says.
    """

    rate: float | None = None
    head_rate_factor: float = 1.0
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip: float = 1.0
    warmup: float = 0.06
    decay: Literal["linear", "cosine", "constant"] = "linear"

    needs: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 <= self.rate < 10:
            raise ValueError(f"rate must be at least 0 and below 10, not {self.rate}")
        if not 0 <= self.beta1 < 1 or not 0 <= self.beta2 < 1:
            raise ValueError("beta1 and beta2 must be at least 0 and below 1")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a share of the training and must be at least 0 and below 1, not {self.warmup}")
        if min(self.clip, self.epsilon, self.head_rate_factor) <= 0 or self.weight_decay < 0:
            raise ValueError("clip, epsilon and head_rate_factor must be above 0, and weight_decay at least 0")

    def rate_at(self, progress: float, *, one_update: float = 0.0) -> float:
        """The rate at `progress` through the budget, a share from 0 to 1; `one_update` is that of one update.

        A warm-up that would end within the first update is none, or a budget of one update would train at rate 0.
        """
        assert self.rate is not None, "the rate is resolved before training"
        if progress < self.warmup and one_update <= self.warmup:
            return self.rate * progress / self.warmup
        left = min(1.0, max(0.0, (1 - progress) / (1 - self.warmup)))
        if self.decay == "constant":
            return self.rate
        return self.rate * (left if self.decay == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))


    def moments(self, chunks: Sequence[slice]) -> Moments:
        """What is remembered of the gradients of a flat buffer that is stepped in `chunks`."""
        return WholeMoments(chunks)


@dataclass(frozen=True)
class AdamW8Bit(AdamW):
    """AdamW whose means over past gradients take 2 bytes a parameter instead of 8 (Dettmers et al., arXiv:2110.02861).

    They are packed in blocks of 256 between updates, by bitsandbytes; a step computes in float32 as ever. Worth it
    where much trains: beside LoRA the means are small. Rows of an embedding that stands alone keep theirs in float32.
    `rate`, `head_rate_factor`, `weight_decay`, `beta1`, `beta2`, `epsilon`, `clip`, `warmup` and `decay` as of adamw.
    """

    def moments(self, chunks: Sequence[slice]) -> Moments:
        return PackedMoments(chunks)


OPTIMIZERS: dict[str, type] = {"adamw": AdamW, "adamw_8bit": AdamW8Bit}


@dataclass(slots=True)
class _Span:
    """A run of the flat buffers with one decay and one rate factor."""

    start: int
    stop: int
    decay: float
    rate_factor: float


class Masters:
    """Float32 masters of the parameters in `names`, and AdamW over them.

    After construction those parameters of `model` are working copies of type `dtype` and everything else is frozen,
    save new rows of tables (`model.new`): no base has trained them, so they always train.
    """

    def __init__(self, model: Model, names: Sequence[str], optimizer: AdamW, *, dtype: torch.dtype):
        self.optimizer, self.dtype, self.steps = optimizer, dtype, 0
        parameters = dict(model.named_parameters())
        chosen = set(names)
        self.parts = {part_name(name, *rows): (parameters[name], slice(*rows))
                      for name, rows in model.new.rows.items() if name not in chosen}  # fmt: skip
        parted = {id(parameter) for parameter, _ in self.parts.values()}
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in chosen or id(parameter) in parted)
        embedding = _input_embedding(model)
        if embedding is not None and id(embedding.weight) in parted:
            embedding.sparse = True
        self.rows: TouchedRows | None = None
        dense = []
        for name in names:
            if embedding is not None and parameters[name] is embedding.weight:
                self.rows = TouchedRows(name, embedding, optimizer, dtype)
            else:
                dense.append(name)
        undecayed = _undecayed(model)
        dense.sort(key=lambda name: (name in undecayed, not name.startswith("head.")))
        dense += self.parts
        self._lay_out(dense, parameters | {name: p.detach()[rows] for name, (p, rows) in self.parts.items()}, undecayed)
        model.trunk.to(dtype)
        self._point_at_working(model, parameters)
        give_back_memory()

    def _lay_out(self, dense: Sequence[str], parameters: Mapping[str, Tensor], undecayed: set[str]) -> None:
        """Copy the dense parameters into one flat master buffer and note where each lies."""
        total = sum(parameters[name].numel() for name in dense)
        self.master, self.gradient = torch.empty(total), torch.zeros(total)
        self.places: dict[str, tuple[int, torch.Size]] = {}
        self.spans: list[_Span] = []
        start = 0
        for name in dense:
            parameter = parameters[name]
            stop = start + parameter.numel()
            self.master[start:stop].copy_(parameter.detach().reshape(-1))
            self.places[name] = (start, parameter.shape)
            decay = 0.0 if name.partition("[")[0] in undecayed else self.optimizer.weight_decay
            factor = self.optimizer.head_rate_factor if name.startswith("head.") else 1.0
            last = self.spans[-1] if self.spans else None
            if last is not None and (last.decay, last.rate_factor) == (decay, factor):
                last.stop = stop
            else:
                self.spans.append(_Span(start, stop, decay, factor))
            start = stop
        self.chunks = [
            (slice(start, min(start + _CHUNK, span.stop)), span)
            for span in self.spans for start in range(span.start, span.stop, _CHUNK)
        ]  # fmt: skip
        self.moments = self.optimizer.moments([place for place, _ in self.chunks])

    def _point_at_working(self, model: Model, parameters: Mapping[str, nn.Parameter]) -> None:
        """Make the trained parameters views: of the master where they are float32, else of a flat working copy."""
        self.working = self.master if self.dtype == torch.float32 else self.master.to(self.dtype)
        self.parameters: dict[str, nn.Parameter] = {}
        for name, (start, shape) in self.places.items():
            if name in self.parts:
                continue
            source = self.master if name.startswith("head.") else self.working
            parameters[name].data = source[start : start + shape.numel()].view(shape)
            self.parameters[name] = parameters[name]
        places = self.places.items()
        self.gradients = {name: self.gradient[at : at + shape.numel()].view(shape) for name, (at, shape) in places}
        self.collected = False  # whether `gradient` holds anything of the coming update

    def touch(self, ids: Tensor) -> None:
        """Say which tokens the coming update reads, before its first forward pass."""
        if self.rows is not None:
            self.rows.touch(ids)

    def collect(self) -> None:
        """Add the gradients of one backward pass to the float32 sums and drop them from the parameters."""
        if not self.collected:
            self._collect_first()
        else:
            for name, parameter in self.parameters.items():
                if parameter.grad is not None:
                    self.gradients[name].add_(parameter.grad)
        for parameter in self.parameters.values():
            parameter.grad = None
        for name, (parameter, rows) in self.parts.items():
            if parameter.grad is not None:
                _add_rows(self.gradients[name], parameter.grad, rows)
                parameter.grad = None
        if self.rows is not None:
            self.rows.collect()

    def _collect_first(self) -> None:
        """Copy instead of adding to zeros; a parameter that this pass did not reach has a gradient of zero."""
        self.collected = True
        reached = [name for name, parameter in self.parameters.items() if parameter.grad is not None]
        if len(reached) < len(self.parameters) or self.parts:
            self.gradient.zero_()
        torch._foreach_copy_(
            [self.gradients[name] for name in reached], [self.parameters[name].grad for name in reached]
        )

    def gradient_norm(self) -> float:
        """The 2-norm over all summed gradients; not finite if any of them is not."""
        squares = torch.dot(self.gradient, self.gradient).double()
        if self.rows is not None:
            squares = squares + torch.linalg.vector_norm(self.rows.active(self.rows.gradient)).double() ** 2
        return float(squares.sqrt())

    def step(self, rate: float, norm: float) -> None:
        """One AdamW step with gradients scaled to at most `clip` in norm, then the copy to the working weights."""
        self.steps += 1
        scale = torch.tensor(max(1.0, norm / self.optimizer.clip))
        for number, (_, span) in enumerate(self.chunks):
            self._step_chunk(number, rate * span.rate_factor, span.decay, scale)
        self._show_parts()
        if self.rows is not None:
            self.rows.step(rate, scale, self.steps)
        self.forget_gradients()

    def _step_chunk(self, number: int, rate: float, decay: float, scale: Tensor) -> None:
        place, moments = self.chunks[number][0], self.moments.read(number)
        _adamw(
            self.optimizer, self.master[place], self.gradient[place], *moments,
            steps=self.steps, rate=rate, decay=decay, scale=scale,
        )  # fmt: skip
        self.moments.write(number, *moments)
        if self.working is not self.master:
            self.working[place].copy_(self.master[place])

    def _show_parts(self) -> None:
        """Write the working values of new rows into their tables."""
        for name, (parameter, rows) in self.parts.items():
            start, shape = self.places[name]
            parameter.data[rows] = self.working[start : start + shape.numel()].view(shape)

    def forget_gradients(self) -> None:
        """Forget the summed gradients, after a step or instead of one."""
        self.collected = False
        if self.rows is not None:
            self.rows.active(self.rows.gradient).zero_()

    def settle(self) -> None:
        """Pay all decay owed by untouched rows, so that the model is the one a dense optimiser would have."""
        if self.rows is not None:
            self.rows.settle()

    def trained(self) -> dict[str, Tensor]:
        """The float32 masters by parameter name: what training changed, nothing else."""
        self.settle()
        found = {name: self.master[at : at + shape.numel()].view(shape) for name, (at, shape) in self.places.items()}
        if self.rows is not None:
            found[self.rows.name] = self.rows.table
        return found

    def load_trained(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the masters and the working weights to `tensors` (as from `trained`); moments stay."""
        for name, (start, shape) in self.places.items():
            self.master[start : start + shape.numel()].copy_(tensors[name].reshape(-1))
        if self.working is not self.master:
            self.working.copy_(self.master)
        self._show_parts()
        if self.rows is not None:
            self.rows.load_table(tensors[self.rows.name])

    def state(self) -> dict[str, Tensor]:
        """Everything a bit-exact resume needs, as named tensors."""
        tensors = {"master": self.master, **self.moments.state(), "steps": torch.tensor(self.steps)}
        return tensors | (self.rows.state() if self.rows is not None else {})

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.master.copy_(tensors["master"])
        self.moments.load_state(tensors)
        self.steps = int(tensors["steps"])
        if self.working is not self.master:
            self.working.copy_(self.master)
        self._show_parts()
        if self.rows is not None:
            self.rows.load_state(tensors)


class TouchedRows:
    """Masters and moments of the input embedding, only for rows that some batch has read.

    Slots are given out in order of first touch; `slot_v` maps a token id to its slot or -1. `table` [v, d] holds the
    float32 values of all rows; those with a slot are current in `master`, the others owe the decay since the start.
    """

    def __init__(self, name: str, embedding: nn.Embedding, optimizer: AdamW, dtype: torch.dtype):
        self.name, self.embedding, self.optimizer = name, embedding, optimizer
        self.table = embedding.weight.detach().to(torch.float32).clone()
        self.kept = 1.0  # the share of its starting value that decay has left an untouched row
        vocabulary, width = self.table.shape
        self.slot_v = torch.full((vocabulary,), -1, dtype=torch.int64)
        self.token_of = torch.empty(0, dtype=torch.int64)
        self.master, self.gradient, self.first_moment, self.second_moment = (torch.zeros(0, width) for _ in range(4))
        embedding.weight.data = self.table.to(dtype, copy=True)
        embedding.sparse = True

    def active(self, buffer: Tensor) -> Tensor:
        """The slots in use of a buffer with spare capacity."""
        return buffer[: len(self.token_of)]

    def touch(self, ids: Tensor) -> None:
        fresh = torch.unique(ids)
        fresh = fresh[self.slot_v[fresh] < 0]
        if not len(fresh):
            return
        used = len(self.token_of)
        self.slot_v[fresh] = torch.arange(used, used + len(fresh))
        self.token_of = torch.cat([self.token_of, fresh])
        self._reserve(len(self.token_of))
        self.master[used : used + len(fresh)] = self.table[fresh] * self.kept
        with torch.no_grad():
            self.embedding.weight[fresh] = self.master[used : used + len(fresh)].to(self.embedding.weight.dtype)

    def _reserve(self, slots: int) -> None:
        capacity = len(self.master)
        if slots <= capacity:
            return
        capacity = min(max(slots, 2 * capacity, 512), len(self.table))
        for name in ("master", "gradient", "first_moment", "second_moment"):
            old = getattr(self, name)
            new = torch.zeros(capacity, old.shape[1])
            new[: len(old)] = old
            setattr(self, name, new)

    def collect(self) -> None:
        gradient = self.embedding.weight.grad
        if gradient is not None:
            slots = self.slot_v[gradient._indices()[0]]
            self.gradient.index_add_(0, slots, gradient._values().to(torch.float32))
            self.embedding.weight.grad = None

    def step(self, rate: float, scale: Tensor, steps: int) -> None:
        decay = self.optimizer.weight_decay
        self.kept *= 1 - rate * decay
        master = self.active(self.master)
        _adamw(
            self.optimizer, master.view(-1), self.active(self.gradient).view(-1),
            self.active(self.first_moment).view(-1), self.active(self.second_moment).view(-1),
            steps=steps, rate=rate, decay=decay, scale=scale,
        )  # fmt: skip
        self.embedding.weight.data.index_copy_(0, self.token_of, master.to(self.embedding.weight.dtype))

    def settle(self) -> None:
        untouched = (self.slot_v < 0).unsqueeze(1)
        self.table = torch.where(untouched, self.table * self.kept, self.table)
        self.table.index_copy_(0, self.token_of, self.active(self.master))
        self.kept = 1.0
        self.embedding.weight.data.copy_(self.table)

    def load_table(self, table: Tensor) -> None:
        self.table = table.clone()
        self.kept = 1.0
        self.active(self.master).copy_(table[self.token_of])
        self.embedding.weight.data.copy_(table)

    def state(self) -> dict[str, Tensor]:
        return {
            "rows.table": self.table,
            "rows.token_of": self.token_of,
            "rows.kept": torch.tensor(self.kept, dtype=torch.float64),
            **{f"rows.{n}": self.active(getattr(self, n)) for n in ("master", "first_moment", "second_moment")},
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.table = tensors["rows.table"].clone()
        self.kept = float(tensors["rows.kept"])
        self.token_of = tensors["rows.token_of"].clone()
        self.slot_v.fill_(-1)
        self.slot_v[self.token_of] = torch.arange(len(self.token_of))
        self._reserve(len(self.token_of))
        for name in ("master", "first_moment", "second_moment"):
            self.active(getattr(self, name)).copy_(tensors[f"rows.{name}"])
        self.embedding.weight.data.copy_(self.table)
        working = self.embedding.weight
        working.data.index_copy_(0, self.token_of, self.active(self.master).to(working.dtype))


def _adamw(
    optimizer: AdamW, master: Tensor, gradient: Tensor, first_moment: Tensor, second_moment: Tensor,
    *, steps: int, rate: float, decay: float, scale: Tensor,
) -> None:  # fmt: skip
    """torch's fused AdamW over one flat tensor; `gradient` is divided by `scale` on the way."""
    adamw(
        [master], [gradient], [first_moment], [second_moment], [], [torch.tensor(float(steps - 1))],
        fused=True, grad_scale=scale, amsgrad=False, maximize=False, beta1=optimizer.beta1, beta2=optimizer.beta2,
        lr=rate, weight_decay=decay, eps=optimizer.epsilon,
    )  # fmt: skip


def _add_rows(sums: Tensor, gradient: Tensor, rows: slice) -> None:
    """Add what a gradient, sparse or not, says of `rows`."""
    if not gradient.is_sparse:
        sums.add_(gradient[rows])
        return
    ids = gradient._indices()[0]
    inside = (ids >= rows.start) & (ids < rows.stop)
    sums.index_add_(0, ids[inside] - rows.start, gradient._values()[inside].to(sums.dtype))


def _input_embedding(model: Model) -> nn.Embedding | None:
    """The trunk's token embedding, if its weight is used nowhere else."""
    found = model.trunk.get_input_embeddings()
    if not isinstance(found, nn.Embedding) or found.max_norm is not None or found.scale_grad_by_freq:
        return None
    users = sum(p is found.weight for module in model.modules() for p in module.parameters(recurse=False))
    return found if users == 1 else None


def _undecayed(model: Model) -> set[str]:
    """Names of biases and of everything inside a normalisation layer."""
    return set(_walk_undecayed(model))


def _walk_undecayed(model: nn.Module) -> Iterator[str]:
    for path, module in model.named_modules():
        is_norm = type(module).__name__.endswith(_NORM_TYPES)
        for name, _ in module.named_parameters(recurse=False):
            if is_norm or name.endswith("bias"):
                yield f"{path}.{name}".lstrip(".")
