"""What a recipe may say: sections, keys, types and ranges. Knows no torch, no component and no file.

Every key has a description; `docs/recipe.md` and the JSON Schema are generated from here. A key left out is None until
`resolve` fills it from facts and says why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tunewright.recipe.tasks import KINDS, Baseline, TaskKind

Part = TypeVar("Part", bound=BaseModel)


class Section(BaseModel):
    """A part of a recipe: frozen, strict about unknown keys, and without switches."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_switch(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("true and false mean nothing here; quote them if they are words")
        return value


def _refusing(part: Part, wrong: Mapping[str, bool]) -> Part:
    """`part` itself; raises ValueError with the first sentence of `wrong` that holds."""
    for sentence, holds in wrong.items():
        if holds:
            raise ValueError(sentence)
    return part


class Component(BaseModel):
    """A choice on one axis: a name from its table, or `module:Class`, with that component's own options.

    In YAML: `lora`, or `{kind: lora, rank: 16}`. `weight` counts where several objectives are added up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    options: Mapping[str, Any] = {}
    weight: float = 1.0

    @classmethod
    def parse(cls, value: Any) -> Component:
        if isinstance(value, Component):
            return value
        if isinstance(value, str):
            return cls(kind=value)
        if isinstance(value, Mapping) and isinstance(value.get("kind"), str):
            options = {str(k): v for k, v in value.items() if k not in ("kind", "weight")}
            weight = value.get("weight", 1.0)
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
                raise ValueError(f"its weight must be a number, not {weight!r}")
            return cls(kind=value["kind"], options=options, weight=weight)
        raise ValueError("give a name, or a mapping with the key 'kind' and that component's options")

    def written(self) -> str | dict[str, Any]:
        """The component as a recipe writes it."""
        if not self.options and self.weight == 1.0:
            return self.kind
        weight = {} if self.weight == 1.0 else {"weight": self.weight}
        return {"kind": self.kind, **weight, **self.options}


def _parse_components(value: Any) -> tuple[Component, ...]:
    several = value if isinstance(value, (list, tuple)) else [value]
    if not several:
        raise ValueError("name at least one")
    return tuple(Component.parse(item) for item in several)


_COMPONENT_JSON = {"anyOf": [{"type": "string"}, {"type": "object", "required": ["kind"]}]}
OneComponent = Annotated[
    Component,
    BeforeValidator(Component.parse),
    PlainSerializer(Component.written),
    Field(json_schema_extra=_COMPONENT_JSON),
]
SeveralComponents = Annotated[
    tuple[Component, ...],
    BeforeValidator(_parse_components),
    PlainSerializer(lambda several: several[0].written() if len(several) == 1 else [c.written() for c in several]),
]

ListOfComponents = Annotated[
    tuple[Component, ...],
    BeforeValidator(lambda value: _parse_components(value) if value else ()),
    PlainSerializer(lambda several: [component.written() for component in several]),
]


def _parse_base(value: Any) -> str | dict[str, str]:
    halves = value if isinstance(value, Mapping) else {"": value}
    if not all(isinstance(name, str) and name for name in halves.values()) or (
        isinstance(value, Mapping) and set(value) != {"encoder", "decoder"}
    ):
        raise ValueError("give the name of a base, or an encoder and a decoder with the name of a base each")
    return dict(value) if isinstance(value, Mapping) else halves[""]


NameOrHalves = Annotated[str | dict[Literal["encoder", "decoder"], str], BeforeValidator(_parse_base)]
RefuseDropOrShare = Annotated[float, Field(ge=0, le=1)] | Literal["refuse", "drop"]
FilesOrShare = Annotated[float, Field(gt=0, lt=0.5)] | str | tuple[str, ...]  # rows of their own, or a share of train

BUDGET_PATTERN = r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([Ee]poch|[Uu]pdate|[Tt]oken|[Mm]inute)s?\s*$"


class Budget(BaseModel):
    """A typed quantity of training: `5 epochs`, `300 updates`, `2000000 tokens` or `10 minutes`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: float = Field(gt=0)
    unit: Literal["epochs", "updates", "tokens", "minutes"]

    @classmethod
    def parse(cls, value: Any) -> Budget:
        if isinstance(value, Budget):
            return value
        found = re.match(BUDGET_PATTERN, value) if isinstance(value, str) else None
        if found is None:
            raise ValueError("write a number and a unit: '5 epochs', '300 updates', '2000000 tokens', '10 minutes'")
        if not 0 < float(found[1]) < math.inf:
            raise ValueError("the number must be above 0 and finite")
        return cls(amount=float(found[1]), unit=found[2].lower() + "s")

    def __str__(self) -> str:
        amount = self.amount if self.amount % 1 else int(self.amount)
        return f"{amount} {self.unit}"


TypedBudget = Annotated[
    Budget,
    BeforeValidator(Budget.parse),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": BUDGET_PATTERN, "examples": ["5 epochs", "300 updates"]}),
]


class Task(Section):
    """What the model must do."""

    kind: TaskKind = Field(description="; ".join(f"{kind.name}: {kind.says}" for kind in KINDS.values()))
    input: str | tuple[str, ...] = Field(
        description="the column, or columns, the model reads; of generation also one column that holds conversations"
    )
    output: str | tuple[str, ...] | None = Field(
        None, description="the column it must answer; for multi_label also several columns of 0 and 1"
    )
    labels: dict[str, str] | None = Field(
        None, description="label: description; fixes the labels and their order, and feeds the zero-shot rung"
    )
    separator: str = Field(",", min_length=1, description="multi_label: what stands between labels in one text cell")
    join: Literal["pair", "lines"] | None = Field(
        None, description="several input columns: as a text pair, or as one text of lines"
    )
    prompts: tuple[str, ...] | None = Field(
        None, description="answers that are texts: how the model is asked, columns in braces; each row has one of them"
    )
    unseen_prompts: tuple[str, ...] | None = Field(
        None, description="prompts that no training row uses: what is judged by them shows generalisation"
    )
    system: str | None = Field(None, description="answers that are texts: the system prompt of rows that have none")

    @model_validator(mode="after")
    def _fits_together(self) -> Task:
        columns = (*self.inputs, *self.outputs)
        twice = sorted({column for column in columns if columns.count(column) > 1})
        several, texts = len(self.inputs) > 1, KINDS[self.kind].answers == "texts"
        wrong = {
            "input and output must each name a column": not (self.inputs and all(columns)),
            f"the column {', '.join(twice)} stands twice; an answer must not be read as an input": bool(twice),
            "only multi_label has several output columns": len(self.outputs) > 1 and self.kind != "multi_label",
            f"a {self.kind} has no labels": self.labels is not None
            and KINDS[self.kind].answers != "labels" and self.kind != "token_classification",
            "labels must name at least two": self.labels is not None and len(self.labels) < 2
            and self.kind != "token_classification",
            "join needs several input columns": self.join is not None and not several,
            "join belongs to tasks that read their columns as one": self.join is not None
            and (KINDS[self.kind].compares or KINDS[self.kind].answers not in ("labels", "numbers")),
            "join: pair needs exactly two input columns": self.join == "pair" and len(self.inputs) != 2,
            "only a multi_label with one output column has a separator": self.separator != ","
            and (self.kind != "multi_label" or len(self.outputs) > 1),
            "prompts, unseen_prompts and system belong to tasks whose answers are texts": not texts
            and any(given is not None for given in (self.prompts, self.unseen_prompts, self.system)),
            **_wrong_columns(self),
        }
        return _refusing(self, wrong)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,) if isinstance(self.input, str) else self.input

    @property
    def outputs(self) -> tuple[str, ...]:
        if self.output is None:
            return ()
        return (self.output,) if isinstance(self.output, str) else self.output


_INPUTS = {  # of kinds that read a certain number of columns: that number, and what they are
    "token_classification": ((1,), "one column: a text, or its tokens"),
    "question_answering": ((2,), "two columns: question and context"),
    "similarity": ((2,), "two columns of text"),
    "retrieval": ((2, 3), "two or three columns: query, passage that answers, passage that does not"),
}


def _wrong_columns(task: Task) -> dict[str, bool]:
    """What is wrong with the number of columns that a task names, and whether it is."""
    counts, named = _INPUTS.get(task.kind, ((len(task.inputs),), ""))
    unanswered = task.kind in ("retrieval", "pretraining")
    conversation = task.kind == "generation" and len(task.inputs) == 1
    return {
        f"a {task.kind} reads {named}": len(task.inputs) not in counts,
        f"a {task.kind} has no output column": unanswered and bool(task.outputs),
        f"a {task.kind} needs an output column": not (unanswered or conversation or task.outputs),
        "prompts need an output column; a conversation is its own prompt": task.prompts is not None
        and not task.outputs,
        "unseen_prompts are held out from prompts: give both": task.unseen_prompts is not None and task.prompts is None,
    }


class Data(Section):
    """Where the rows come from and which of them may be used."""

    train: str | tuple[str, ...] = Field(description="file or files: csv, tsv, jsonl, json, parquet, xlsx")
    validation: FilesOrShare | None = Field(
        None, description="rows for choosing: files, or the share of train that is held out for it, such as 0.1"
    )
    test: FilesOrShare | None = Field(
        None, description="rows for judging: files, or the share of train that is held out for it, such as 0.2"
    )
    id: str | None = Field(None, description="a column that names each row; otherwise a hash of its content does")
    group: str | None = Field(None, description="rows with equal values here stay in one split (a customer)")
    malformed: RefuseDropOrShare = Field(
        0.01, description="rows that cannot be used: refuse the data, drop them visibly, or drop them up to this share"
    )
    duplicates: Literal["refuse", "drop", "keep"] = Field(
        "drop", description="rows equal to an earlier one, answer included"
    )
    conflicts: Literal["refuse", "drop", "keep"] = Field("keep", description="equal inputs with different answers")
    near_duplicates: Literal["drop", "keep"] = Field(
        "keep", description="rows nearly equal to an earlier one; kept ones never straddle two splits"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Data:
        named = {split: getattr(self, split) for split in ("train", "validation", "test") if self.has_file(split)}
        unnamed = {split for split, files in named.items() if not files or not all(files)}
        wrong = {
            "train must name a file": "train" in unnamed,
            "validation and test are files or a share of train each": bool(unnamed),
        }
        return _refusing(self, wrong)

    def share_of(self, split: str) -> float | None:
        """The share of train that `split` is drawn from it by; None where it has a file or nothing is said."""
        said = getattr(self, split)
        return said if isinstance(said, float) else None

    def has_file(self, split: str) -> bool:
        """Whether the rows of `split` lie in a file of their own."""
        return isinstance(getattr(self, split), (str, tuple))


class Encode(Section):
    """How text becomes token ids."""

    max_length: int | None = Field(None, ge=4, description="longest sequence in tokens")
    long: OneComponent | None = Field(
        None, description="what happens to texts over max_length: refuse, truncate, windows, drop or chunks"
    )
    pooling: Literal["mean", "cls", "last"] | None = Field(None, description="how token vectors become one a row")
    chat_template: str | None = Field(
        None, description="how conversations are written: instruction, plain, or a .jinja file; default the base's own"
    )


class Phase(Section):
    """One stretch of training: a choice on each axis."""

    trainable: OneComponent = Field(Component(kind="everything"), description="axis 1: which parameters may change")
    objective: SeveralComponents | None = Field(
        None, description="axis 2: what is minimised; several are added by weight"
    )
    schedule: OneComponent = Field(Component(kind="length_grouped"), description="axis 3: which rows come when")
    perturbation: OneComponent = Field(Component(kind="none"), description="axis 4: how inputs or weights are bent")
    teacher: OneComponent = Field(Component(kind="none"), description="axis 5: another source of targets")
    budget: TypedBudget | None = Field(None, description="how long: epochs, updates, tokens or minutes")
    optimizer: OneComponent = Field(Component(kind="adamw"), description="the optimiser and its rate")
    rows_per_update: int | None = Field(None, ge=1, description="rows behind one optimiser step")
    accumulate: int = Field(1, ge=1, description="parts in which an update is computed; changes memory, not the result")
    patience: int | None = Field(
        None, ge=0, description="evaluations without improvement before stopping; 0 never stops early"
    )
    evaluate_every: TypedBudget | None = Field(None, description="how often the validation rows are judged")

    @model_validator(mode="after")
    def _fits_together(self) -> Phase:
        wrong = {
            "evaluate_every counts epochs, updates or tokens, so that equal runs judge at equal updates":
                self.evaluate_every is not None and self.evaluate_every.unit == "minutes",
            "accumulate cannot be more than rows_per_update": self.rows_per_update is not None
            and self.accumulate > self.rows_per_update,
        }  # fmt: skip
        return _refusing(self, wrong)


class Evaluate(Section):
    """How the model is judged, and beside what."""

    metric: str | None = Field(None, description="the figure that early stopping and the default gate look at")
    baselines: tuple[Baseline, ...] | None = Field(
        None, description="rungs measured beside the model on the same test rows; by the kind of task: "
        + "; ".join(f"{kind.name}: {', '.join(kind.baselines)}" for kind in KINDS.values())
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="level of every interval")
    writing: OneComponent | None = Field(
        None, description="answers that are texts: how the model writes them, when judged and afterwards; greedy "
        "unless said otherwise"
    )
    resamples: int = Field(2000, ge=200, le=100_000, description="bootstrap resamples")


class Bar(Section):
    """One figure a version must reach."""

    at_least: float | None = Field(None, description="the figure itself must be at least this")
    at_most: float | None = Field(None, description="the figure itself must be at most this")
    better_than: str | None = Field(
        None, description="must beat this rung beyond the paired interval: a rung's name, champion, or best_baseline"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Bar:
        nothing = self.at_least is None and self.at_most is None and self.better_than is None
        return _refusing(self, {"a bar needs at_least, at_most or better_than": nothing})


class Keep(Section):
    """What is saved on the way."""

    every: TypedBudget | None = Field(None, description="how often a checkpoint is written")
    checkpoints: int = Field(2, ge=1, description="checkpoints kept; the newest valid one is resumed from")


class Compute(Section):
    """The machine."""

    dtype: Literal["bfloat16", "float32"] | None = Field(
        None, description="type of the arithmetic; master weights stay float32"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads")
    gradient_checkpointing: Literal["none", "layers"] = Field(
        "none", description="layers: keep each layer's input alone and compute the rest again in the backward pass"
    )
    device: str | None = Field(None, description="cpu, the only one that this version computes on")


class Recipe(Section):
    """One fine-tuning, from data to a judged model."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="names the run folder and the registered model"
    )
    task: Task
    base: NameOrHalves = Field(
        description="bundled name (minilm), hub id, or local folder; or an `encoder` and a `decoder`, each such a "
        "name: a base that reads with the one and writes with the other"
    )
    adapt: ListOfComponents = Field(
        (), description="changes of the base's architecture, made in this order before anything is trained; what they "
        "add is new and trains with every choice of what trains, as the head does"
    )
    data: Data
    encode: Encode = Encode()
    phases: tuple[Phase, ...] = Field((Phase(),), min_length=1, description="stretches of training, in order")
    evaluate: Evaluate = Evaluate()
    gate: dict[str, Bar] = Field({}, description="figure: bar; what a version must pass")
    keep: Keep = Keep()
    compute: Compute = Compute()
    seed: int = Field(17, ge=0, lt=2**31, description="of everything random")

    def objectives(self, phase: int) -> tuple[Component, ...]:
        """What phase number `phase` minimises: what it names, else what is usual for the kind of task."""
        return self.phases[phase].objective or (Component(kind=KINDS[self.task.kind].objective),)

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        descriptions = (self.task.labels or {"": ""}).values()
        described = self.task.kind == "classification" and all(descriptions)
        known = KINDS[self.task.kind].baselines
        strange = [name for name in self.evaluate.baselines or () if name not in (*known, "zero_shot")]
        wrong = {
            f"a {self.task.kind} has no baseline {', '.join(map(repr, strange))}; it has {', '.join(known)}":
                bool(strange),
            "writing belongs to tasks whose answers are texts": self.evaluate.writing is not None
            and KINDS[self.task.kind].answers != "texts",
            "the baseline zero_shot needs a classification whose labels all have a description":
                "zero_shot" in (self.evaluate.baselines or ()) and not described,
        }  # fmt: skip
        return _refusing(self, wrong)
