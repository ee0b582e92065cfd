"""What a recipe changes of its base: built, refused where it cannot be, measured on rows. Knows recipes and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tunewright.model.adaptations import Adaptation, FeedForward, Importance, Quantized
from tunewright.model.adapters import target_names
from tunewright.model.bases import Base
from tunewright.model.build import Model, build_model, skeleton_of, writes_text
from tunewright.model.describe import Description, describe, layer_stack
from tunewright.model.joined import describe_joined
from tunewright.model.layers import gathering, output_norms
from tunewright.model.predict import make_batch
from tunewright.model.quantized import count_weights
from tunewright.model.stacks import stacks_of
from tunewright.model.trainable import Lora, Trainable, TrainBiases, TrainHead
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.read import RecipeFile
from tunewright.recipe.schema import Recipe
from tunewright.train.assemble import VOCABULARY
from tunewright.values import Encoded

_ROWS_MEASURED = 128


def describe_base(base: Base) -> Description:
    """What `base` is, also where it is put together from two."""
    return describe(base) if base.decoder is None else describe_joined(base)


def adaptations_of(recipe: Recipe) -> tuple[Adaptation, ...]:
    """The changes that `recipe` asks for, in order."""
    return tuple(
        VOCABULARY.build("adaptation", component, where=f"adapt.{place}")
        for place, component in enumerate(recipe.adapt)
    )


def plan_adaptations(
    file: RecipeFile, base: Base, description: Description, tokenizer: PreTrainedTokenizerBase,
    trainables: Sequence[Trainable],
) -> tuple[tuple[Adaptation, ...], Description]:  # fmt: skip
    """The changes of a recipe's base, and what the base is after them; `tokenizer` learns the words that they add.

    They are tried on the base without its weights. Raises RecipeRefusal, with the place in the file, for a change that
    cannot be made, does not fit the task, or would never be trained.
    """
    recipe = file.recipe
    adaptations = adaptations_of(recipe)
    if base.decoder is not None and not writes_text(recipe.task.kind):
        raise RecipeRefusal(
            f"A {recipe.task.kind} reads and does not write, so it needs no decoder.", where=file.where("base"),
            remedy="Name the encoder alone as the base.",
        )  # fmt: skip
    for place, adaptation in enumerate(adaptations):
        where = file.where(f"adapt.{place}")
        _refuse_misfit(adaptation, recipe, place, where)
        try:
            adaptation.teach(tokenizer)
            before = skeleton_of(base, recipe.task.kind, adaptations[:place]).trunk
            skeleton_of(base, recipe.task.kind, adaptations[: place + 1])
        except RecipeRefusal as refusal:
            raise RecipeRefusal(refusal.what, where=where, remedy=refusal.remedy) from None
        if isinstance(adaptation, FeedForward) and not adaptation.narrows(before):
            _refuse_untrained(before, trainables, where)
        if isinstance(adaptation, Quantized):
            _refuse_packed_training(recipe, trainables, where)
    return adaptations, adapted_description(base, description, recipe.task.kind, adaptations)


def adapted_description(
    base: Base, description: Description, kind: str, adaptations: Sequence[Adaptation]
) -> Description:
    """What the base is after its changes: layers, parameters, words."""
    if not adaptations:
        return description
    trunk = skeleton_of(base, kind, adaptations).trunk
    parameters = count_weights(trunk)
    return replace(
        description,
        layers=sum(len(stack.layers) for stack in stacks_of(trunk)) if base.decoder else len(layer_stack(trunk)[1]),
        parameters=parameters if writes_text(kind) else description.parameters,
        trunk_parameters=parameters, vocabulary=len(trunk.get_input_embeddings().weight),
    )  # fmt: skip


def _refuse_misfit(adaptation: Adaptation, recipe: Recipe, place: int, where: str) -> None:
    name, kind = recipe.adapt[place].kind, recipe.task.kind
    reason = adaptation.refusal(kind)
    if reason is None and any(type(other) is type(adaptation) for other in adaptations_of(recipe)[:place]):
        reason = f"{name} is there twice" if name in _ONCE else None
    if reason is None and name in ("insert_layers", "feed_forward") and any(
        isinstance(other, Quantized) for other in adaptations_of(recipe)[:place]
    ):
        reason = "the weights are packed by then; let quantized come last"
    if reason is None and name == "attention_pooling" and recipe.encode.pooling is not None:
        reason = "encode.pooling asks for another pooling"
    if reason is not None:
        raise RecipeRefusal(f"The change {name!r} does not fit a {kind} here: {reason}.", where=where,
                            remedy="Leave it out, or change what it does not fit.")  # fmt: skip


# A second one of these would make the first one's options mean nothing.
_ONCE = ("head", "attention_pooling", "dropout", "quantized")


def _refuse_untrained(trunk: PreTrainedModel, trainables: Sequence[Trainable], where: str) -> None:
    """Units that are new say nothing until what gathers them is trained."""
    if not any(_reaches_feed_forward(trainable, trunk) for trainable in trainables):
        raise RecipeRefusal(
            "No phase trains the feed-forward blocks, so their new units would never say anything.", where=where,
            remedy="Train everything, last_layers, or lora with targets that name them, such as linear.",
        )  # fmt: skip


def _refuse_packed_training(recipe: Recipe, trainables: Sequence[Trainable], where: str) -> None:
    for phase, trainable in zip(recipe.phases, trainables, strict=True):
        if not isinstance(trainable, (Lora, TrainHead, TrainBiases)):
            raise RecipeRefusal(
                f"A weight in 4 or 8 bits has no gradient, so {phase.trainable.kind!r} cannot train it.", where=where,
                remedy="Train lora, head or biases, or leave quantized out.",
            )  # fmt: skip


def _reaches_feed_forward(trainable: Trainable, trunk: PreTrainedModel) -> bool:
    if isinstance(trainable, (TrainHead, TrainBiases)):
        return False
    if not isinstance(trainable, Lora):
        return True
    targets = trainable.targets if trainable.targets in ("attention", "linear") else trainable.targets.split(",")
    chosen = {name.strip() for name in target_names(trunk, targets)}
    gathered = {stack.kind.gathered.rpartition("*.")[2] for stack in stacks_of(trunk)}
    return any(name.endswith(tuple(gathered)) for name in chosen)


# -------------------------------------------------------------------------------------- what matters most


@dataclass(frozen=True, slots=True)
class Measured:
    """What is needed to measure how much units matter."""

    base: Base
    description: Description
    recipe: Recipe
    outputs: int
    encoded: Encoded  # training rows


def measure_importance(measured: Measured, adaptations: Sequence[Adaptation]) -> dict[int, Importance]:
    """For each change that takes units away, by its place: how much each unit of each layer matters, float32 [u].

    Mean size of what a unit says on up to 128 training rows, one row at a time so that no padding counts, times the
    length of the weights that hear it.
    """
    found: dict[int, Importance] = {}
    recipe = measured.recipe
    for place, adaptation in enumerate(adaptations):
        if not isinstance(adaptation, FeedForward):
            continue
        before = skeleton_of(measured.base, recipe.task.kind, adaptations[:place]).trunk
        if not adaptation.narrows(before):
            continue
        model = build_model(
            measured.base, measured.description, kind=recipe.task.kind, outputs=measured.outputs, pooling="mean",
            seed=recipe.seed, adaptations=adaptations[:place], importance=found,
        ).eval()  # fmt: skip
        modules = [m for stack in stacks_of(model.trunk, half=adaptation.half) for m in gathering(stack)]
        found[place] = _importance(model, modules, measured.encoded)
    return found


def _importance(model: Model, modules: Sequence[nn.Module], encoded: Encoded) -> list[Tensor]:
    loudness = [_Loudness(module) for module in modules]
    try:
        with torch.inference_mode():
            for row in range(min(_ROWS_MEASURED, encoded.rows)):
                model(make_batch(encoded, np.array([row]), pad_id=model.pad_id))
    finally:
        for one in loudness:
            one.hook.remove()
    return [one.mean_u() * output_norms(module) for one, module in zip(loudness, modules, strict=True)]


class _Loudness:
    """Listens to what a module reads, and knows the mean size of each of its inputs."""

    def __init__(self, module: nn.Module):
        self.sum_u, self.tokens = torch.zeros(1), 0
        self.hook = module.register_forward_pre_hook(self._listen)

    def _listen(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        units_nu = given[0].flatten(0, -2).float()
        self.sum_u = self.sum_u + units_nu.abs().sum(dim=0)
        self.tokens += len(units_nu)

    def mean_u(self) -> Tensor:
        assert self.tokens, "rows were read"
        return (self.sum_u / self.tokens).clone()


def to_tensors(importance: Mapping[int, Importance]) -> dict[str, Tensor]:
    """`importance` as named tensors, to keep beside a run."""
    return {f"{place}.{layer:03d}": score_u for place, scores in importance.items()
            for layer, score_u in enumerate(scores)}  # fmt: skip


def from_tensors(tensors: Mapping[str, Tensor]) -> dict[int, Importance]:
    """What `to_tensors` named."""
    found: dict[int, list[Tensor]] = {}
    for name in sorted(tensors):
        found.setdefault(int(name.partition(".")[0]), []).append(tensors[name])
    return dict(found)
