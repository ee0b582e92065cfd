"""Everything that is decided before the first update: rows, base, encoder, resolved recipe. `check` and `run` share it.

Knows every room below; trains and judges nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tunewright
from tunewright.data.encoders import AnyEncoder, encode_rows, measure_rows, rows_of_encoded, too_long
from tunewright.data.prepare import Prepared, leave_out, prepare
from tunewright.data.spans import tag_names
from tunewright.data.turns import TurnEncoder
from tunewright.model.adaptations import Adaptation, Importance, Tokens
from tunewright.model.bases import Base, find_base
from tunewright.model.build import writes_text
from tunewright.model.describe import Description, load_tokenizer, refuse_unfit
from tunewright.model.writing import Writing
from tunewright.pipeline.adapting import Measured, describe_base, measure_importance, plan_adaptations
from tunewright.pipeline.encoders import build_encoder, refuse_narrow_pieces
from tunewright.pipeline.saving import refuse_idle_checkpointing, refuse_missing_library
from tunewright.pipeline.writing import chosen_writing, plan_writing
from tunewright.recipe.errors import DataRefusal, RecipeRefusal
from tunewright.recipe.read import RecipeFile, conceal, read
from tunewright.recipe.resolve import Facts, resolve
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS
from tunewright.train.assemble import VOCABULARY, PhasePlan, plan_phase
from tunewright.train.devices import Machine, look_at_machine
from tunewright.values import Encoded, Rows

SPLITS = ("train", "validation", "test")
_UNLIMITED = 1024  # tokens read at most where a base states no limit


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe made concrete: what a run with it would do."""

    file: RecipeFile
    recipe: Recipe  # resolved
    reasons: Mapping[str, str]
    prepared: Prepared
    base: Base
    description: Description
    encoder: AnyEncoder
    encoded: Mapping[str, Encoded]  # by split
    encoded_rows: Mapping[str, Rows]  # by split: what the rows of `encoded` are, blocks where texts are joined
    phases: tuple[PhasePlan, ...]
    machine: Machine
    facts: Facts
    adaptations: tuple[Adaptation, ...] = ()
    writing: Writing | None = None  # how answers that are texts are written
    importance: Mapping[int, Importance] = field(default_factory=dict)  # of units, where a change takes some away

    def rows(self, split: str) -> Rows:
        """The rows that a split trains or judges by."""
        return self.encoded_rows[split]

    def caches(self, index: int) -> bool:
        """Whether phase `index` trains a head on pooled vectors of the base, computed once."""
        return self.phases[index].features_fixed and index == 0 and self.encoded["train"].answers_n is None

    @property
    def untouched(self) -> Plan:
        """The same with the base as it came, save for words that it has to know to read the rows."""
        if not self.adaptations:
            return self
        words = tuple(adaptation for adaptation in self.adaptations if isinstance(adaptation, Tokens))
        return replace(self, adaptations=words, importance={})

    @property
    def outputs(self) -> int:
        """Columns of the head, 0 where there is none, or words that a model which writes text chooses from."""
        kind = self.recipe.task.kind
        if KINDS[kind].compares:
            return 0
        if writes_text(kind):
            return self.description.vocabulary
        if kind == "question_answering":
            return 2  # where the answer begins, and where it ends
        labels = self.prepared.labels
        return len(tag_names(labels)) if kind == "token_classification" else len(labels) or 1

    @property
    def id(self) -> str:
        """Names the run: equal recipe, rows, base and code give an equal id."""
        content = {
            "recipe": self.recipe.model_dump(mode="json"),
            "split": self.prepared.manifest["split_sha256"],
            "base": dict(self.base.hashes),
            "code": tunewright.__version__,
            "writing": None if self.writing is None else self.writing.to_json(),
        }
        return digest(content)[:12]

    def written(self) -> dict[str, Any]:
        """The resolved recipe with its reasons, secrets left as `${NAME}`; what recipe.resolved.json holds."""
        return {
            "recipe": conceal(self.recipe.model_dump(mode="json"), self.file.templates),
            "reasons": dict(self.reasons),
        }


def digest(value: Any) -> str:
    """sha256 of a JSON value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> RecipeFile:
    """A recipe with the names and options of all components known here. Raises RecipeRefusal."""
    file = read(path, VOCABULARY, overrides=overrides)
    known = KINDS[file.recipe.task.kind].metrics
    named = {"evaluate.metric": file.recipe.evaluate.metric} | {f"gate.{metric}": metric for metric in file.recipe.gate}
    for key, metric in named.items():
        if metric is not None and metric not in known:
            raise RecipeRefusal(
                f"A {file.recipe.task.kind} has no figure {metric!r}.",
                where=file.where(key),
                remedy=f"Choose one of {', '.join(known)}.",
            )
    return file


def make_plan(file: RecipeFile) -> Plan:
    """Read the rows and the base of a recipe and decide what it left open. Raises a Refusal for what cannot be done."""
    recipe = file.recipe
    phases = tuple(plan_phase(recipe, index) for index in range(len(recipe.phases)))
    refuse_missing_library(file)
    machine = look_at_machine(recipe.compute.device)
    base = find_base_of(file)
    as_it_came = describe_base(base)
    refuse_unfit(as_it_came, recipe.task.kind)
    tokenizer = load_tokenizer(base.folder)
    adaptations, description = plan_adaptations(
        file, base, as_it_came, tokenizer, [phase.trainable for phase in phases]
    )
    refuse_idle_checkpointing(file, base, adaptations, [phase.trainable for phase in phases])
    prepared = prepare(recipe, root=file.root, templates=file.templates)
    make = partial(build_encoder, recipe, tokenizer=tokenizer, description=description, root=file.root)
    join = _default_join(recipe, description)
    unlimited = recipe.encode.model_copy(update={"max_length": 1 << 20, "long": None})
    uncut = make(unlimited, join=join)
    if recipe.encode.long is not None and recipe.encode.long.kind in ("drop", "chunks"):
        prepared = _without_long(recipe, prepared, partial(make, join=join), tokenizer, description)
    lengths_r = np.concatenate([measure_rows(uncut, getattr(prepared, split)) for split in SPLITS])
    facts = _facts(recipe, prepared, description, machine, lengths_r)
    resolved = resolve(recipe, facts, VOCABULARY)
    encode = resolved.recipe.encode
    assert encode.max_length is not None and encode.long is not None
    _refuse_more_than_read(encode.max_length, description, file)
    room = _room_for_answers(recipe, prepared, tokenizer, encode.max_length)
    encoder = make(encode, join=resolved.recipe.task.join or join, room=room)
    encoded = {
        split: encode_rows(encoder, getattr(prepared, split), kind=recipe.task.kind, labels=prepared.labels)
        for split in SPLITS
    }
    if isinstance(encoder, TurnEncoder) and encoder.long == "chunks":
        refuse_narrow_pieces(encoder, prepared.test.inputs)
    elif isinstance(encoder, TurnEncoder):
        encoder.before_answers(prepared.test.inputs)  # what leaves no room for an answer is refused before training
    rows = {split: rows_of_encoded(encoder, getattr(prepared, split), encoded[split], split) for split in SPLITS}
    plan = Plan(
        file=file, recipe=resolved.recipe, reasons=resolved.reasons, prepared=prepared, base=base,
        description=description, encoder=encoder, encoded=encoded, encoded_rows=rows, phases=phases, machine=machine,
        facts=facts, adaptations=adaptations,
        writing=plan_writing(resolved.recipe, prepared, tokenizer, room=room, root=file.root),
    )  # fmt: skip
    measured = Measured(base, description, resolved.recipe, plan.outputs, encoded["train"])
    return replace(plan, importance=measure_importance(measured, adaptations))


def _refuse_more_than_read(max_length: int, description: Description, file: RecipeFile) -> None:
    if description.longest is not None and max_length > description.longest:
        raise RecipeRefusal(
            f"max_length {max_length} is more than {description.name} takes: {description.longest_says}.",
            where=file.where("encode.max_length"),
            remedy=f"Give at most {description.longest}, and choose truncate, windows or drop for longer texts.",
        )


def find_base_of(file: RecipeFile) -> Base:
    """The base that a recipe names; what the environment says of its name is never written."""
    named = file.recipe.base
    base = find_base(named, root=file.root)
    if isinstance(named, str):
        return replace(base, name=file.templates.get("base", base.name))
    written = [file.templates.get(f"base.{half}", name) for half, name in named.items()]
    return replace(base, name="-to-".join(written)) if any("$" in name for name in written) else base


def _default_join(recipe: Recipe, description: Description) -> str | None:
    if len(recipe.task.inputs) == 1 or KINDS[recipe.task.kind].compares:
        return None
    if recipe.task.kind == "question_answering":
        return "pair"
    return recipe.task.join or ("pair" if description.takes_types and len(recipe.task.inputs) == 2 else "lines")


def _without_long(
    recipe: Recipe, prepared: Prepared, make: Callable[..., AnyEncoder], tokenizer: Any, description: Description
) -> Prepared:
    """The rows that the encoder can read whole, and of those that judge, with room for an answer; where long texts are
    read in pieces, all that judge, and those to learn from as the recipe says.
    """
    limit = recipe.encode.max_length or description.longest or _UNLIMITED
    encoder = make(recipe.encode.model_copy(update={"max_length": limit}))
    chunks = VOCABULARY.build("long", recipe.encode.long) if encoder.to_json().get("long") == "chunks" else None
    splits = SPLITS if chunks is None else ("train", "validation")
    over = {split: too_long(encoder, getattr(prepared, split), judged=False) for split in splits}
    count = sum(map(len, over.values()))
    if chunks is not None and chunks.train == "refuse" and count:
        raise DataRefusal(
            f"{count} rows to train on or to choose by are longer than {limit} tokens; a text to learn from cannot be "
            "read in pieces.", where="encode.long", remedy="Give chunks the option train: drop, or train: truncate.",
        )  # fmt: skip
    if chunks is None or chunks.train == "drop":
        prepared = leave_out(prepared, over, recipe, limit=limit)
    if chunks is not None:
        return prepared
    if KINDS[recipe.task.kind].answers != "texts":
        return prepared
    encoder = replace(encoder, room=_room_for_answers(recipe, prepared, tokenizer, limit))
    return leave_out(prepared, {"test": too_long(encoder, prepared.test, judged=True)}, recipe, limit=limit)


def _room_for_answers(recipe: Recipe, prepared: Prepared, tokenizer: Any, max_length: int) -> int:
    """Tokens that an answer may take: what the recipe says, else half as many again as the longest of training, at most
    half of what is read; 0 where nothing is written.
    """
    if not writes_text(recipe.task.kind):
        return 0
    said = chosen_writing(recipe).max_new_tokens
    if said is not None and said >= max_length:
        raise RecipeRefusal(f"An answer of {said} tokens leaves nothing of the {max_length} to be read.",
                            where="evaluate.writing", remedy="Lower max_new_tokens, or raise encode.max_length.")
    if said is not None:
        return said
    targets = prepared.train.targets
    if targets is None or targets.dtype != object:
        return max_length // 2
    answers = [str(answer) for answer in targets]
    longest = max(map(len, tokenizer(answers, add_special_tokens=False, verbose=False)["input_ids"]), default=1)
    return max(1, min(longest + longest // 2 + 8, max_length // 2))


def _facts(
    recipe: Recipe, prepared: Prepared, description: Description, machine: Machine, lengths_r: np.ndarray
) -> Facts:
    labels = recipe.task.labels or {}
    return Facts(
        rows={split: len(getattr(prepared, split)) for split in SPLITS},
        classes=len(prepared.labels),
        described_labels=bool(prepared.labels) and all(labels.get(label) for label in prepared.labels),
        longest_text=int(lengths_r.max(initial=0)),
        typical_text=int(np.percentile(lengths_r, 95)) if len(lengths_r) else 0,
        longest_input=description.longest or _UNLIMITED,
        longest_input_reason=f"{description.name} takes {description.longest_says}",
        family=description.family,
        pooling=description.pooling,
        takes_pairs=description.takes_types,
        width=description.width,
        cores=machine.cores,
        bfloat16=machine.bfloat16,
        bfloat16_reason=machine.bfloat16_reason,
        device=machine.device,
    )
