"""What a model is made of, in words: before its changes, after each, and what trains beside it. Builds no weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn
from transformers import PreTrainedModel

from tunewright.model.adapters import layers_beside
from tunewright.model.build import Skeleton, skeleton_of, skeleton_of_head
from tunewright.model.describe import layer_stack
from tunewright.model.heads import Head
from tunewright.model.quantized import count_weights, quantized_layers
from tunewright.model.stacks import stacks_of
from tunewright.model.trainable import Lora
from tunewright.pipeline.plan import Plan
from tunewright.recipe.errors import BaseRefusal

_UNSEEN = "no layer and no parameter more or fewer"  # rows that a table had to spare; dropout of the head alone


class Architecture(NamedTuple):
    """A sentence, and a line for each thing worth a look."""

    says: str
    details: tuple[str, ...]


def describe_architecture(plan: Plan) -> Architecture:
    """The base before and after its changes with counts of parameters, one line a change, and what LoRA adds."""
    kind, changes = plan.recipe.task.kind, plan.adaptations
    steps = [skeleton_of(plan.base, kind, changes[:place]) for place in range(len(changes) + 1)]
    heads = [skeleton_of_head(plan.description, kind=kind, outputs=plan.outputs, adaptations=changes[:place])
             for place in range(len(changes) + 1)]  # fmt: skip
    before, after = (outline_parts(steps[at].trunk, heads[at]) for at in (0, -1))
    details = [f"before: {'; '.join(before)}", *_changes(plan, steps, heads)] if changes else []
    if steps[-1].new.tensors or steps[-1].new.rows:
        details.append(f"no base has trained {_count_new(steps[-1]):,} of the trunk's parameters")
    for index, phase in enumerate(plan.phases):
        if isinstance(phase.trainable, Lora):
            details += _lora(phase.trainable, steps[-1], f"phase {index}, " if len(plan.phases) > 1 else "")
    return Architecture("; ".join(after), tuple(details))


def outline(trunk: PreTrainedModel, head: Head | None = None) -> str:
    """What a trunk and its head are made of, in a line; adapters are left out."""
    return "; ".join(outline_parts(trunk, head))


def outline_parts(trunk: PreTrainedModel, head: Head | None = None) -> list[str]:
    """Layers and their widths, words, dropout, the head, parameters; always as many parts for one base."""
    parts = [*_layers(trunk), f"{len(trunk.get_input_embeddings().weight):,} words"]
    dropouts = sorted({round(module.p, 6) for path, module in trunk.named_modules()
                       if isinstance(module, nn.Dropout) and "lora_" not in path})  # fmt: skip
    parts.append(f"dropout {' and '.join(f'{p:g}' for p in dropouts) or 'none'}")
    if head is not None:
        parts.append(_head(head))
    count = count_weights(trunk) - sum(p.numel() for name, p in trunk.named_parameters() if "lora_" in name)
    count += sum(p.numel() for p in head.parameters()) if head is not None else 0
    packed = [layer for _, layer in quantized_layers(trunk)]
    numbers = sum(layer.in_features * layer.out_features for layer in packed)
    return [*parts, f"{count:,} parameters" + (f", {numbers:,} of them in {packed[0].form}" if packed else "")]


def _layers(trunk: PreTrainedModel) -> list[str]:
    try:
        stacks = stacks_of(trunk)
    except BaseRefusal:  # of a kind that cannot be changed, so only its layers can be counted
        return [_several(len(layer_stack(trunk)[1]), "layer")]
    return [f"{stack.says}{_several(len(stack.layers), 'layer')}, feed-forward {stack.units:,} wide"
            for stack in stacks]  # fmt: skip


def _head(head: Head) -> str:
    steps = [] if head.hidden is None else [f"{head.hidden.in_features}", head.activation]
    pools = "" if head.queries_hd is None else f", pooled by attention with {_several(len(head.queries_hd), 'query')}"
    return f"head {' → '.join([*steps, str(head.in_features), str(head.out_features)])}{pools}"


def _changes(plan: Plan, steps: list[Skeleton], heads: list[Head | None]) -> Iterator[str]:
    """A line for each change: what is otherwise after it."""
    for place, component in enumerate(plan.recipe.adapt):
        before, after = (outline_parts(steps[at].trunk, heads[at]) for at in (place, place + 1))
        changed = [f"{new} instead of {old}" for old, new in zip(before, after, strict=True) if old != new]
        options = ", ".join(f"{name} {_listed(value)}" for name, value in component.options.items())
        yield f"{component.kind}{f' ({options})' if options else ''}: {'; '.join(changed) or _UNSEEN}"


def _count_new(step: Skeleton) -> int:
    shapes = {f"trunk.{name}": parameter.shape for name, parameter in step.trunk.named_parameters()}
    numbers = sum(shapes[name].numel() for name in step.new.tensors)
    numbers += sum((stop - start) * shapes[name][1:].numel() for name, (start, stop) in step.new.rows.items())
    return numbers


def _lora(lora: Lora, step: Skeleton, phase: str) -> Iterator[str]:
    """What the matrices beside each sort of layer hold: A [rank, reads] and B [says, rank]."""
    targets = lora.targets if lora.targets in ("attention", "linear") else lora.targets.replace(" ", "").split(",")
    beside = layers_beside(step.trunk, step.new, targets)
    total = 0
    for (out, read), layers in Counter(beside.values()).items():
        added = lora.rank * read + out * lora.rank
        total += layers * added
        yield (f"{phase}lora: a {out}x{read} layer at rank {lora.rank} adds {lora.rank}x{read} + {out}x{lora.rank} "
               f"= {added:,} parameters, and there are {layers:,}")  # fmt: skip
    yield f"{phase}lora: {total:,} parameters in all beside {_several(len(beside), 'layer')}"


def _several(count: int, what: str) -> str:
    several = f"{what}s".replace("ys", "ies")
    return f"{count:,} {what if count == 1 else several}"


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
