"""What the recipe leaves open, decided from facts, each decision with its reason. Knows no torch; facts are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunewright.recipe.read import Vocabulary
from tunewright.recipe.schema import Bar, Budget, Component, Encode, Part, Phase, Recipe
from tunewright.recipe.tasks import KINDS

_TOKENS_OF_BLOCKS = 8192  # in an update


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of data, base and machine before training."""

    rows: Mapping[str, int]  # by split
    classes: int
    described_labels: bool  # whether every label has a description that zero-shot can read
    longest_text: int  # tokens, uncut
    typical_text: int  # tokens, 95th percentile
    longest_input: int  # what the base takes
    longest_input_reason: str
    family: str
    pooling: str  # what the base was trained with, or what suits its family
    takes_pairs: bool
    width: int
    cores: int
    bfloat16: bool
    bfloat16_reason: str
    device: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe without gaps, and why each gap was filled as it was (`reasons`: key -> sentence)."""

    recipe: Recipe
    reasons: Mapping[str, str]


@dataclass(slots=True)
class _Filling:
    reasons: dict[str, str] = field(default_factory=dict)

    def section(self, key: str, section: Part, **choices: tuple[Any, str]) -> Part:
        """`section` with each key that is None set to its choice, the reason noted under `key.name`."""
        update = {}
        for name, (value, reason) in choices.items():
            if getattr(section, name) is None:
                update[name] = value
                self.reasons[f"{key}.{name}".lstrip(".")] = reason
        return section.model_copy(update=update)


def resolve(recipe: Recipe, facts: Facts, vocabulary: Vocabulary) -> Resolved:
    """Fill every gap of `recipe`. A pure function: equal facts give an equal recipe."""
    filling = _Filling()
    kind = KINDS[recipe.task.kind]
    several = len(recipe.task.inputs) > 1 and kind.answers in ("labels", "numbers") and not kind.compares
    join = ("pair", "the base takes text pairs") if facts.takes_pairs and len(recipe.task.inputs) == 2 else (
        "lines", "the base takes one text" if not facts.takes_pairs else "there are more than two input columns"
    )  # fmt: skip
    task = filling.section("task", recipe.task, join=join) if several else recipe.task
    data = filling.section(
        "data", recipe.data, validation=(0.1, "one row in ten chooses the best update"),
        test=(0.2, "one row in five judges the model and nothing else"),
    )  # fmt: skip
    evaluate = filling.section(
        "evaluate", recipe.evaluate,
        metric=(kind.metric, f"the usual figure of {kind.name}"), baselines=_baselines(recipe, facts),
    )  # fmt: skip
    if kind.answers == "texts":
        greedy = (Component(kind="greedy"), "the most probable token each time, so that figures repeat")
        evaluate = filling.section("evaluate", evaluate, writing=greedy)
    encode = _encode(filling, recipe, facts)
    blocks = encode.max_length if kind.answers == "nothing" else None
    fixed = all(vocabulary.find("adaptation", change.kind).features_fixed for change in recipe.adapt)
    phases = tuple(
        _phase(filling, recipe, i, facts, vocabulary, blocks=blocks, fixed=fixed) for i in range(len(recipe.phases))
    )
    compute = filling.section(
        "compute", recipe.compute,
        dtype=("bfloat16" if facts.bfloat16 else "float32", facts.bfloat16_reason),
        threads=(facts.cores, f"this machine has {facts.cores} cores"),
        device=(facts.device, "the only one that this version computes on"),
    )  # fmt: skip
    keep = filling.section(
        "keep", recipe.keep, every=(Budget(amount=1, unit="minutes"), "at most a minute of work is lost")
    )
    gate = recipe.gate
    if not gate:
        assert evaluate.metric is not None
        gate = {evaluate.metric: Bar(better_than="best_baseline")}
        filling.reasons[f"gate.{evaluate.metric}.better_than"] = "a model that no baseline ties with is worth keeping"
    whole = recipe.model_copy(
        update={
            "task": task, "data": data, "encode": encode, "phases": phases,
            "evaluate": evaluate, "gate": gate, "keep": keep, "compute": compute,
        }
    )  # fmt: skip
    return Resolved(whole, dict(sorted(filling.reasons.items())))


def _baselines(recipe: Recipe, facts: Facts) -> tuple[tuple[str, ...], str]:
    known = KINDS[recipe.task.kind].baselines
    if "zero_shot" not in known or (recipe.task.kind == "classification" and facts.described_labels):
        return known, "all rungs that need no training of the base"
    reason = "zero_shot compares texts with label descriptions, which this task does not have"
    if recipe.task.kind == "multi_label":
        reason = "zero_shot ranks labels and cannot say how many of them apply"
    return tuple(name for name in known if name != "zero_shot"), reason


def _encode(filling: _Filling, recipe: Recipe, facts: Facts) -> Encode:
    limit = (facts.longest_input, facts.longest_input_reason)
    if KINDS[recipe.task.kind].answers == "nothing":
        return filling.section(
            "encode", recipe.encode, max_length=limit, pooling=(facts.pooling, "what this base was made for"),
            long=(Component(kind="windows", options={"overlap": 0}), "texts are joined and cut into blocks"),
        )  # fmt: skip
    if facts.longest_text <= (recipe.encode.max_length or facts.longest_input):
        why = f"the longest text has {facts.longest_text} tokens, so none needs cutting"
    else:
        why = "longer texts are cut, left out or read in windows only on request"
    encode = filling.section(
        "encode", recipe.encode, max_length=limit, long=(Component(kind="refuse"), why),
        pooling=(facts.pooling, "what this base was made for"),
    )  # fmt: skip
    assert encode.max_length is not None and encode.long is not None
    if encode.long.kind != "windows" or encode.long.options.get("overlap") is not None:
        return encode
    filling.reasons["encode.long.overlap"] = "a quarter of a window"
    windows = Component(kind="windows", options={"overlap": encode.max_length // 4})
    return encode.model_copy(update={"long": windows})


def _phase(
    filling: _Filling, recipe: Recipe, index: int, facts: Facts, vocabulary: Vocabulary, *, blocks: int | None,
    fixed: bool,
) -> Phase:  # fmt: skip
    """A phase without gaps; `blocks` are the tokens of a block where texts are joined and cut into such.

    `fixed` says that nothing below the head is new and would train with it.
    """
    key, phase = f"phases.{index}", recipe.phases[index]
    rows = facts.rows["train"]
    trainable = vocabulary.find("trainable", phase.trainable.kind)
    per_update, why = max(32 if rows >= 2000 else 16, phase.accumulate), f"{rows} rows to train on"
    if blocks:
        per_update = max(1, _TOKENS_OF_BLOCKS // blocks, phase.accumulate)
        why = f"{per_update} blocks of {blocks} tokens"
    epochs, reason = _epochs(rows, cheap=trainable.features_fixed and fixed)
    filled = filling.section(
        key, phase, objective=_objectives(recipe, index, facts),
        budget=(Budget(amount=epochs, unit="epochs"), reason),
        rows_per_update=(per_update, why),
        patience=(3, "training stops after 3 evaluations without improvement and keeps the best"),
        evaluate_every=(Budget(amount=1, unit="epochs"), "once per pass over the rows"),
    )  # fmt: skip
    return filled.model_copy(update={"optimizer": _optimizer(filling, key, phase, facts, vocabulary)})


def _objectives(recipe: Recipe, index: int, facts: Facts) -> tuple[tuple[Component, ...], str]:
    if KINDS[recipe.task.kind].answers == "nothing" and facts.family == "encoder":
        return (Component(kind="masked"),), "an encoder reads from both sides, so it learns words that are hidden"
    return recipe.objectives(index), f"the usual one of {recipe.task.kind}"


def _epochs(rows: int, *, cheap: bool) -> tuple[int, str]:
    if cheap:
        return 60, "only the head trains, on vectors computed once, so an epoch costs next to nothing"
    for limit, epochs in ((500, 20), (3000, 12), (20_000, 6)):
        if rows < limit:
            return epochs, f"{rows} rows need several passes; early stopping cuts them short"
    return 3, f"{rows} rows need few passes"


def _optimizer(
    filling: _Filling, key: str, phase: Phase, facts: Facts, vocabulary: Vocabulary
) -> Component:
    chosen = vocabulary.build("optimizer", phase.optimizer)
    options = dict(phase.optimizer.options)
    if getattr(chosen, "rate", 0) is None:
        trainable = vocabulary.find("trainable", phase.trainable.kind)
        options["rate"] = trainable.suggested_rate(facts.width)
        filling.reasons[f"{key}.optimizer.rate"] = (
            f"suits {phase.trainable.kind} on a trunk {facts.width} wide; wider trunks take smaller rates"
        )
    return Component(kind=phase.optimizer.kind, options=options)
