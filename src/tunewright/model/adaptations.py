"""Changes of a base's architecture, each one class and one table row. Knows trunks and heads; must not know rows.

A change is made before anything trains, from the recipe and a seed alone, so that a model is at every moment its base,
its adaptations, its seeds and the tensors that training changed. What a change adds is noted as new: it trains whatever
the recipe chooses to train, as the head does, because no base has ever trained it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from transformers import AddedToken, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from tunewright.model.describe import layer_stacks
from tunewright.model.heads import New, Shape
from tunewright.model.layers import insert_layers, keep_layers, narrow, widen
from tunewright.model.quantized import Form, give_back_memory, quantize, replace_module
from tunewright.model.stacks import Half, Stack, stacks_of
from tunewright.model.trunks import quiet_library
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.tasks import KINDS

Importance = Sequence[Tensor]  # of the units of each layer, stack by stack, float32 [u] each


@dataclass(slots=True)
class Site:
    """A trunk that is being changed: how chance is seeded, and which of its parts no base has trained."""

    seed: int
    words: int  # that the tokenizer knows, before any is added
    importance: Importance | None = None  # of units, where some are to be taken out; None where nothing is known yet
    modules: list[nn.Module] = field(default_factory=list)  # whose own parameters are new
    tables: list[PreTrainedModel] = field(default_factory=list)  # models whose tables of words have new rows
    first_new_word: int | None = None

    def news(self, trunk: nn.Module) -> New:
        """What is new, by the names that it has in the end; a tensor that is tied to another has one name."""
        names = {id(parameter): name for name, parameter in trunk.named_parameters(prefix="trunk")}
        inside = {id(module) for module in trunk.modules()}
        new = {
            names[id(p)]
            for module in self.modules if id(module) in inside for p in module.parameters(recurse=False)
        }  # fmt: skip
        rows = {
            names[id(p)]: (self.first_new_word or 0, self.words)
            for model in self.tables for module in word_tables(model) for p in module.parameters(recurse=False)
        }  # fmt: skip
        return New(frozenset(new), {name: place for name, place in rows.items() if name not in new})


class Adaptation:
    """One change of a base's architecture: each overrides what it changes and leaves the rest."""

    features_fixed: ClassVar[bool] = True  # whether the pooled vectors stay what they are while the head trains

    def refusal(self, kind: str) -> str | None:
        """Why a model for tasks of this kind cannot be changed so, or None."""
        return None

    def configure(self, config: PretrainedConfig) -> None:
        """Changes what the trunk is built by, before its weights are loaded."""

    def teach(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Changes what texts become."""

    def change(self, trunk: PreTrainedModel, site: Site) -> None:
        """Changes the loaded trunk, in place."""

    def shaped(self, shape: Shape) -> Shape:
        """What stands on the trunk, changed."""
        return shape


@dataclass(frozen=True, slots=True)
class DropLayers(Adaptation):
    """Fewer layers, the others with the weights they have: the start of a student (Sanh et al. 2019, arXiv:1910.01108).

    One of: `keep`, the numbers of the layers that stay, from 0, or `every_second` (the second, the fourth, ... as
    PKD-skip in Sun et al. 2019, arXiv:1908.09355); `drop`, the numbers of those that go; `last`, how many go at the
    end. `half` is the half of an encoder-decoder that changes, without it both do alike.
    """

    keep: Literal["every_second"] | tuple[int, ...] | None = None
    drop: tuple[int, ...] | None = None
    last: int | None = None
    half: Half | None = None

    def __post_init__(self) -> None:
        if sum(said is not None for said in (self.keep, self.drop, self.last)) != 1:
            raise ValueError("give keep, drop or last, and one of them alone")

    def change(self, trunk: PreTrainedModel, site: Site) -> None:
        for stack in stacks_of(trunk, half=self.half):
            keep_layers(stack, self._kept(len(stack.layers), stack))

    def _kept(self, layers: int, stack: Stack) -> list[int]:
        named = self.drop if self.drop is not None else self.keep
        if isinstance(named, tuple):
            _refuse_unknown(named, layers, stack)
        if self.keep == "every_second":
            kept = list(range(1, layers, 2))
        elif self.last is not None:
            kept = list(range(layers - self.last)) if self.last > 0 else list(range(layers))
        else:
            kept = [i for i in range(layers) if (i in (named or ())) is (self.drop is None)]
        if not 0 < len(kept) < layers:
            raise RecipeRefusal(
                f"Of {layers} layers {len(kept)} would be left.", where="adapt",
                remedy="Keep at least one, and drop at least one.",
            )  # fmt: skip
        return kept


@dataclass(frozen=True, slots=True)
class InsertLayers(Adaptation):
    """More layers that pass on what they read: the model answers as before, and learns in them (arXiv:2401.02415).

    A new layer stands behind each of the layers `after`, numbered from 0; it is a copy of that one, but adds nothing
    until it has learned to. It is new and trains with every choice of what trains. `half` as in drop_layers.
    """

    features_fixed: ClassVar[bool] = False

    after: tuple[int, ...]
    half: Half | None = None

    def change(self, trunk: PreTrainedModel, site: Site) -> None:
        for stack in stacks_of(trunk, half=self.half):
            _refuse_unknown(self.after, len(stack.layers), stack)
            site.modules += [module for layer in insert_layers(stack, self.after) for module in layer.modules()]


@dataclass(frozen=True, slots=True)
class FeedForward(Adaptation):
    """Feed-forward blocks of another width: `units` in each.

    Wider ones say what they said, until the new units have learned (arXiv:1511.05641); they train where their tensors
    do, so with everything, last_layers, or through lora. Narrower ones keep the units that matter most on training
    rows: mean size of what a unit says, times the length of the weights that hear it (as Wanda, Sun et al. 2023,
    arXiv:2306.11695, of whole units). `half` as in drop_layers.
    """

    units: int
    half: Half | None = None

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ValueError("units must be at least 1")

    def narrows(self, trunk: PreTrainedModel) -> bool:
        """Whether units of the trunk, as it is, would have to go."""
        return any(self.units < stack.units for stack in stacks_of(trunk, half=self.half))

    def change(self, trunk: PreTrainedModel, site: Site) -> None:
        assert site.importance is not None or trunk.device.type == "meta" or not self.narrows(trunk)
        stacks = stacks_of(trunk, half=self.half)
        _refuse_shared_width(stacks, trunk, self.half)
        importance = iter(site.importance or ())
        for stack in stacks:
            if self.units == stack.units:
                raise RecipeRefusal(f"The feed-forward blocks have {self.units} units already.", where="adapt",
                                    remedy="Give another number, or leave the change out.")  # fmt: skip
            if self.units > stack.units:
                widen(stack, self.units, seed=site.seed)
                continue
            scores = [next(importance, torch.ones(stack.units)) for _ in stack.layers]
            narrow(stack, [score_u.topk(self.units).indices.sort().values for score_u in scores])


@dataclass(frozen=True, slots=True)
class Tokens(Adaptation):
    """New tokens: each text in `add` becomes one token wherever it is spelled, and has a row of the embedding.

    The row begins as the mean of the old ones (Hewitt 2021, "Initializing new word embeddings for pretrained language
    models"), also in the output layer of a model that writes. The new rows train with every choice of what trains; the
    old ones only where the embedding does.
    """

    features_fixed: ClassVar[bool] = False

    add: tuple[str, ...]

    def __post_init__(self) -> None:
        twice = sorted({token for token in self.add if self.add.count(token) > 1})
        if not self.add or twice or not all(token.strip() == token != "" for token in self.add):
            raise ValueError("give tokens, each once and without white space at its ends")

    def teach(self, tokenizer: PreTrainedTokenizerBase) -> None:
        known = sorted(set(self.add) & set(tokenizer.get_vocab()))
        if known:
            raise RecipeRefusal(f"The tokenizer knows {known[0]!r} already.", where="adapt",
                                remedy="Leave it out of add.")  # fmt: skip
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in self.add])

    def change(self, trunk: PreTrainedModel, site: Site) -> None:
        start, stop = site.words, site.words + len(self.add)
        halves = (trunk.encoder, trunk.decoder) if trunk.config.model_type == "encoder-decoder" else (trunk,)
        for half in halves:
            with quiet_library():
                if len(half.get_input_embeddings().weight) < stop:
                    half.resize_token_embeddings(stop, mean_resizing=False)
            for module in word_tables(half):
                _begin_at_mean(module, start, stop)
        site.tables, site.words = [*halves], stop
        site.first_new_word = start if site.first_new_word is None else site.first_new_word


@dataclass(frozen=True, slots=True)
class HiddenLayer(Adaptation):
    """A head with one hidden layer in place of the linear one: `units` of them with an `activation`.

    All of it is new and trains with every choice of what trains.
    """

    units: int
    activation: Literal["gelu", "relu", "tanh"] = "gelu"

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ValueError("units must be at least 1")

    def refusal(self, kind: str) -> str | None:
        return _without_head(kind)

    def shaped(self, shape: Shape) -> Shape:
        return replace(shape, hidden=self.units, activation=self.activation)


@dataclass(frozen=True, slots=True)
class AttentionPooling(Adaptation):
    """Token vectors become one a row by weights that are learned, in place of encode.pooling (cf. Yang et al. 2016).

    A token weighs exp(query · vector / sqrt(width)); with several `heads` each part of the vector is weighed by a query
    of its own. Queries begin at zero, which is the mean. They are part of the head and train with it.
    """

    features_fixed: ClassVar[bool] = False

    heads: int = 1

    def __post_init__(self) -> None:
        if self.heads < 1:
            raise ValueError("heads must be at least 1")

    def refusal(self, kind: str) -> str | None:
        if KINDS[kind].answers == "spans":
            return "it answers at single tokens, whose vectors are not pooled"
        return _without_head(kind)

    def change(self, trunk: PreTrainedModel, site: Site) -> None:
        width = trunk.config.get_text_config().hidden_size
        if width % self.heads:
            raise RecipeRefusal(f"Vectors {width} wide have no {self.heads} equal parts.", where="adapt",
                                remedy="Give a number of heads that divides the width.")  # fmt: skip

    def shaped(self, shape: Shape) -> Shape:
        return replace(shape, pooling="attention", pooling_heads=self.heads)


@dataclass(frozen=True, slots=True)
class Dropout(Adaptation):
    """Other dropout than the base's: of the `trunk`'s hidden states, of `attention` weights, before the `head`."""

    trunk: float | None = None
    attention: float | None = None
    head: float | None = None

    def __post_init__(self) -> None:
        said = [p for p in (self.trunk, self.attention, self.head) if p is not None]
        if not said or not all(0 <= p < 1 for p in said):
            raise ValueError("give trunk, attention or head, each at least 0 and below 1")

    def refusal(self, kind: str) -> str | None:
        return _without_head(kind) if self.head is not None else None

    def configure(self, config: PretrainedConfig) -> None:
        for half in (config.encoder, config.decoder) if config.model_type == "encoder-decoder" else (config,):
            for what, p in (("trunk", self.trunk), ("attention", self.attention)):
                names = [name for name in _DROPOUTS[what] if hasattr(half, name)]
                if p is not None and not names:
                    raise RecipeRefusal(f"A {half.model_type} has no dropout of its own for {what}.", where="adapt",
                                        remedy=f"Leave {what} out.")  # fmt: skip
                for name in names if p is not None else ():
                    setattr(half, name, p)

    def shaped(self, shape: Shape) -> Shape:
        return shape if self.head is None else replace(shape, dropout=self.head)


@dataclass(frozen=True, slots=True)
class Quantized(Adaptation):
    """The weights of the layers' linear maps in 4 or 8 bits; they cannot train, what stands beside them can: QLoRA.

    `form`: `nf4`, 4 bits (Dettmers et al. 2023, arXiv:2305.14314), or `int8`, 8 bits and closer to the base. `scales`,
    of nf4 alone: one scale for each 64 weights, `packed` to 8 bits itself, which is double quantisation and the
    default, or `float32`. Norms, biases, embeddings, the output layer, what is new and what the library wants in
    float32 (T5's wo) stay as they are. Training unpacks a weight whenever it is multiplied; a model that is served or
    merged is unpacked for good.
    """

    form: Form = "nf4"
    scales: Literal["packed", "float32"] | None = None

    def __post_init__(self) -> None:
        if self.form == "int8" and self.scales is not None:
            raise ValueError("int8 has one scale a row and no scales to choose")

    def change(self, trunk: PreTrainedModel, site: Site) -> None:
        whole = {id(module) for module in site.modules}
        fragile = {*(trunk._keep_in_fp32_modules or ()), *(trunk._keep_in_fp32_modules_strict or ())}
        paths = [
            f"{path}.{name}" for path, stack in layer_stacks(trunk) for name, module in stack.named_modules()
            if isinstance(module, (nn.Linear, Conv1D)) and id(module) not in whole and not fragile & {*name.split(".")}
        ]  # fmt: skip
        for path in paths:  # one weight after the other, so that no two are held both ways
            replace_module(trunk, path, quantize(trunk.get_submodule(path), self.form, double=self.scales != "float32"))
            if trunk.device.type != "meta":
                give_back_memory()


_DROPOUTS: Mapping[str, tuple[str, ...]] = {  # what configurations call them; T5 has one for both
    "trunk": ("hidden_dropout_prob", "dropout", "dropout_rate", "resid_pdrop", "embd_pdrop"),
    "attention": ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop"),
}
ADAPTATIONS: dict[str, type[Adaptation]] = {
    "drop_layers": DropLayers,
    "insert_layers": InsertLayers,
    "feed_forward": FeedForward,
    "tokens": Tokens,
    "head": HiddenLayer,
    "attention_pooling": AttentionPooling,
    "dropout": Dropout,
    "quantized": Quantized,
}


def _refuse_unknown(layers: Sequence[int], count: int, stack: Stack) -> None:
    wrong = sorted({i for i in layers if not 0 <= i < count})
    if wrong or not layers:
        raise RecipeRefusal(
            f"{stack.says}there is no layer {wrong[0]}; layers are numbered 0 to {count - 1}." if wrong
            else "No layer is named.", where="adapt", remedy="Give numbers of layers, counted from 0.",
        )  # fmt: skip


def _refuse_shared_width(stacks: Sequence[Stack], trunk: PreTrainedModel, half: Half | None) -> None:
    """T5 has one width for both halves, so one half cannot change alone."""
    if half is not None and any(
        other.config is stacks[0].config and other.units_key == stacks[0].units_key and other.half != half
        for other in stacks_of(trunk)
    ):
        raise RecipeRefusal(f"A {stacks[0].config.model_type} has one width of feed-forward blocks for both halves.",
                            where="adapt", remedy="Leave out half.")  # fmt: skip


def word_tables(model: PreTrainedModel) -> list[nn.Module]:
    """What holds a row for each word: the token embedding, and the output layer of a model that writes."""
    return [module for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module is not None]


def _begin_at_mean(module: nn.Module, start: int, stop: int) -> None:
    """Sets the new rows of an embedding or output layer to the mean of those before."""
    with torch.no_grad():
        for parameter in module.parameters(recurse=False):
            parameter[start:stop] = parameter[:start].float().mean(dim=0).to(parameter.dtype)


def _without_head(kind: str) -> str | None:
    return None if KINDS[kind].answers not in ("texts", "nothing") else "a model that writes text has no new head"
