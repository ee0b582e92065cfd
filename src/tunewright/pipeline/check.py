"""What a run of a recipe would do, said before it does anything: numbered lines, each a tick, a cross, or skipped.

Knows plans and estimates; writes nothing. A refusal becomes a cross at the line it belongs to, and the lines that need
what it refused are skipped, saying so; the others are still checked, so that one look finds all that is wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunewright.data.inspect import Finding
from tunewright.data.prepare import Prepared, prepare
from tunewright.model.describe import Description, refuse_unfit
from tunewright.pipeline.adapting import describe_base
from tunewright.pipeline.architecture import describe_architecture
from tunewright.pipeline.estimate import Estimate, disk_bytes, estimate, free_bytes, refuse_full_disk
from tunewright.pipeline.plan import SPLITS, Plan, find_base_of, make_plan, read_recipe
from tunewright.pipeline.saving import count_base
from tunewright.pipeline.supervision import Sample, describe_supervision, read_in_pieces, samples
from tunewright.pipeline.writing import unsayable
from tunewright.recipe.errors import Refusal
from tunewright.recipe.read import RecipeFile
from tunewright.recipe.tasks import KINDS
from tunewright.train.assemble import plan_phase

State = Literal["ok", "look", "refused", "skipped"]
_SAMPLES = 2
_SAMPLE_CHARACTERS = 160
_ABOUT_ROWS = ("duplicates", "near_duplicates", "conflicts", "leakage", "encoding")
_PARTS_OF_UNUSABLE = ("malformed", "empty_input", "missing_answer", "unusable_answer", "missing_id")


@dataclass(frozen=True, slots=True)
class Line:
    """One numbered line: `look` is a tick that deserves a look, `skipped` says in `says` because of what."""

    number: int
    title: str
    state: State
    says: str
    details: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()  # training rows as the model reads them


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All lines of a check. `resolved` holds each value that was decided, with its reason; `estimate` the needs."""

    recipe: str
    lines: tuple[Line, ...]
    resolved: Mapping[str, tuple[Any, str]]
    estimate: Estimate | None

    @property
    def ok(self) -> bool:
        """Whether nothing was refused."""
        return all(line.state != "refused" for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok, "recipe": self.recipe, "lines": [dataclasses.asdict(line) for line in self.lines],
            "resolved": {key: {"value": value, "reason": why} for key, (value, why) in self.resolved.items()},
            "estimate": dataclasses.asdict(self.estimate) if self.estimate is not None else None,
        }  # fmt: skip


def check(recipe: str | Path, *, overrides: Sequence[str] = ()) -> CheckReport:
    """Check a recipe as `run` would read it. `overrides` are `key=value` texts. Raises nothing for what is refused."""
    seen = _Seen(Path(recipe), tuple(overrides))
    lines: list[Line] = []
    crossed: dict[str, int] = {}  # title -> number of the line with the cross behind it
    for title, needs, look in _LOOKS:
        number = len(lines) + 1
        blocked = next((crossed[need] for need in needs if need in crossed), None)
        if blocked is not None:
            crossed[title] = blocked
            lines.append(Line(number, title, "skipped", f"because of line {blocked}"))
            continue
        try:
            lines += [dataclasses.replace(line, number=number + i) for i, line in enumerate(look(seen))]
        except Refusal as refusal:
            crossed[title] = number
            details = [f"where: {refusal.where}"] if refusal.where else []
            details += [f"remedy: {refusal.remedy}"] if refusal.remedy else []
            lines.append(Line(number, title, "refused", refusal.what, tuple(details)))
    return CheckReport(str(recipe), tuple(lines), seen.resolved(), seen.needs)


class _Seen:
    """What is known of a recipe so far: all of it from the plan, or step by step where no plan can be made."""

    def __init__(self, path: Path, overrides: tuple[str, ...]):
        self.path, self.overrides = path, overrides
        self._file: RecipeFile | None = None
        self._plan: Plan | Refusal | None = None
        self.needs: Estimate | None = None

    @property
    def file(self) -> RecipeFile:
        if self._file is None:
            self._file = read_recipe(self.path, self.overrides)
        return self._file

    @property
    def plan(self) -> Plan:
        """The whole plan. Raises the Refusal that stands in its way, without trying twice."""
        if self._plan is None:
            try:
                self._plan = make_plan(self.file)
            except Refusal as refusal:
                self._plan = refusal
        if isinstance(self._plan, Refusal):
            raise self._plan
        return self._plan

    @property
    def has_plan(self) -> bool:
        try:
            return self.plan is not None
        except Refusal:
            return False

    def description(self) -> Description:
        description = describe_base(find_base_of(self.file))
        refuse_unfit(description, self.file.recipe.task.kind)
        return description

    def prepared(self) -> Prepared:
        return self.plan.prepared if self.has_plan else prepare(
            self.file.recipe, root=self.file.root, templates=self.file.templates
        )

    def resolved(self) -> Mapping[str, tuple[Any, str]]:
        if self._file is None or not self.has_plan:
            return {}
        written = self.plan.written()["recipe"]
        return {key: (_at(written, key), why) for key, why in self.plan.reasons.items()}


def _at(written: Any, key: str) -> Any:
    for step in key.split("."):
        inside = written[int(step)] if isinstance(written, list) else written
        written = inside if isinstance(written, list) else _step(inside, step)
    return written


def _step(section: Any, step: str) -> Any:
    return section.get(step) if isinstance(section, Mapping) else section


def _line(title: str, says: str, *details: str, state: State = "ok") -> Line:
    return Line(0, title, state, says, details)


# -------------------------------------------------------------------------------------------- lines


def _look_at_recipe(seen: _Seen) -> list[Line]:
    file = seen.file
    task = file.recipe.task
    kind = task.kind.replace("_", "-")
    says = f"{file.path.name}: {kind}, from {_listed(task.inputs)} to {_listed(task.outputs) or KINDS[task.kind].says}"
    return [_line("recipe", says, *(f"--set {override}" for override in file.overrides))]


def _look_at_phases(seen: _Seen) -> list[Line]:
    recipe = seen.plan.recipe if seen.has_plan else seen.file.recipe
    for index in range(len(recipe.phases)):
        plan_phase(recipe, index)
    chosen = [
        ", ".join((p.trainable.kind, *(o.kind for o in recipe.objectives(i)), p.schedule.kind, p.optimizer.kind))
        for i, p in enumerate(recipe.phases)
    ]
    if len(chosen) == 1:
        return [_line("pieces", chosen[0])]
    return [_line("pieces", f"{len(chosen)} phases fit together", *(f"phase {i}: {c}" for i, c in enumerate(chosen)))]


def _look_at_base(seen: _Seen) -> list[Line]:
    d = seen.description()
    says = f"{d.name}: {d.family}, {d.layers} layers of width {d.width}, {d.parameters / 1e6:,.1f} M parameters"
    details = [
        f"reads {d.longest_says}; {d.vocabulary:,} words in its vocabulary",
        f"{d.architecture}, {d.dtype} on disk ({_bytes(d.bytes)}), licence: {d.licence}",
    ]
    return [_line("base", says, *details)]


def _look_at_architecture(seen: _Seen) -> list[Line]:
    said = describe_architecture(seen.plan)
    return [_line("architecture", said.says, *said.details)]


def _look_at_rows(seen: _Seen) -> list[Line]:
    prepared = seen.prepared()
    counts = prepared.ledger.counts()
    parts = " + ".join(f"{counts[fate]:,} {fate}" for fate in (*SPLITS, "dropped") if counts[fate] or fate != "dropped")
    dropped = [f"dropped: {count:,} {reason.replace('_', ' ')}" for reason, count in counts["dropped_because"].items()]
    files = [f"{f['split']}: {f['path']}, sha256 {f['sha256'][:12]}" for f in prepared.manifest["files"]]
    return [_line("rows", f"{counts['rows']:,} in = {parts}", *dropped, *files)]


def _look_at_findings(seen: _Seen) -> list[Line]:
    """One line a finding; the kinds of unusable rows only where there are any."""
    return [
        _of_finding(finding)
        for finding in seen.prepared().findings
        if finding.count or finding.check not in _PARTS_OF_UNUSABLE
    ]


def _of_finding(finding: Finding) -> Line:
    title = "words" if finding.check == "lengths" else finding.check.replace("_", " ")
    says = "none" if not finding.count and finding.check in _ABOUT_ROWS else finding.says
    shown = finding.examples[:3] if finding.severity == "warn" else ()
    return _line(title, says, *shown, state="look" if finding.severity == "warn" else "ok")


def _look_at_lengths(seen: _Seen) -> list[Line]:
    plan = seen.plan
    encode = plan.recipe.encode
    rows = sum(len(plan.rows(split)) for split in SPLITS)
    cut = sum(int((plan.encoded[split].cut_r > 0).sum()) for split in SPLITS)
    windows = sum(plan.encoded[split].extra_windows for split in SPLITS)
    longest = plan.facts.longest_text
    says = f"the longest text has {longest:,} tokens of {encode.max_length:,}; 95 in 100 have at most " \
           f"{plan.facts.typical_text:,}"  # fmt: skip
    if windows:
        says = f"{longest:,} tokens at most, read in windows of {encode.max_length:,}: {windows:,} more sequences"
    elif cut:
        says = f"{cut:,} of {rows:,} texts are cut to {encode.max_length:,} tokens; the longest has {longest:,}"
    pieces = read_in_pieces(plan)
    if pieces:
        tests = len(plan.rows("test"))
        says += f"; {pieces:,} of {tests:,} test rows are read in pieces, whose summaries are put together"
    return [_line("lengths", says, state="look" if cut or pieces else "ok")]


def _look_at_supervision(seen: _Seen) -> list[Line]:
    plan = seen.plan
    facts = describe_supervision(plan)
    says = (
        f"each of {facts['rows']:,} training rows has an answer; {facts['tokens_per_epoch']:,} tokens an epoch, "
        f"{facts['rows_cut']:,} rows cut"
    )
    if "share_of_tokens_asked" in facts:
        says += f"; {facts['share_of_tokens_asked']:.0%} of the tokens are learned"
    if "answers_whose_end_is_trained" in facts:
        says += f", the end of {facts['answers_whose_end_is_trained']:,} answers among them"
    if plan.writing is not None:
        says += f". {plan.writing.says}"
        lost = unsayable(plan.writing, plan.prepared)
        says += f" Of {lost} test rows no label is the answer, so the model cannot give it." if lost else ""
    line = _line("supervision", says)
    return [dataclasses.replace(line, samples=tuple(_shortened(sample) for sample in samples(plan, _SAMPLES)))]


def _shortened(sample: Sample) -> Sample:
    """A sample whose stretches fit a few lines of a terminal; long ones lose their middle."""
    half = _SAMPLE_CHARACTERS // 2
    shown = tuple(
        (text if len(text) <= _SAMPLE_CHARACTERS else f"{text[:half]} … {text[-half:]}", learned)
        for text, learned in sample.stretches
    )
    return dataclasses.replace(sample, stretches=shown)


def _look_at_decisions(seen: _Seen) -> list[Line]:
    decided = seen.resolved()
    details = [f"{key}: {_value(value)} — {why}" for key, (value, why) in decided.items()]
    return [_line("decided", f"{len(decided)} values that the recipe leaves open", *details)]


def _look_at_disk(seen: _Seen) -> list[Line]:
    refuse_full_disk(seen.plan)
    return [_line("disk", f"about {_bytes(disk_bytes(seen.plan))} of {_bytes(free_bytes())} free")]


def _look_at_needs(seen: _Seen) -> list[Line]:
    plan = seen.plan
    seen.needs = needs = estimate(plan)
    memory, free = needs.memory_bytes, plan.machine.bytes_free
    said = f"{_bytes(memory.expected)} expected ({_bytes(memory.low)} to {_bytes(memory.high)}), {_bytes(free)} free"
    time = needs.seconds
    phases = [
        f"phase {i}: {updates or 'an unknown number of'} updates at most, {seconds * 1000:,.0f} ms each in a trial"
        for i, (updates, seconds) in enumerate(zip(needs.updates, needs.seconds_per_update, strict=True))
    ]
    return [
        _line("memory", said, *_base_bytes(plan), state="look" if memory.expected > free else "ok"),
        _line("time", f"{_seconds(time.expected)} expected ({_seconds(time.low)} to {_seconds(time.high)})", *phases),
    ]


def _base_bytes(plan: Plan) -> tuple[str, ...]:
    """What the weights of the base take before and after they are packed, where they are."""
    kind, dtype = plan.recipe.task.kind, str(plan.recipe.compute.dtype)
    width = 2 if dtype == "bfloat16" else 4
    held = count_base(plan.base, kind, plan.adaptations)
    if not held.packed:
        return ()
    return (f"base weights: {_bytes(held.at(width))} instead of {_bytes(held.weights * width)} in {dtype}; "
            f"{held.weights - held.plain:,} of {held.weights:,} are packed into {_bytes(held.packed)}",)  # fmt: skip


_Look = Callable[[_Seen], list[Line]]
_LOOKS: tuple[tuple[str, tuple[str, ...], _Look], ...] = (
    ("recipe", (), _look_at_recipe),
    ("pieces", ("recipe",), _look_at_phases),
    ("base", ("recipe",), _look_at_base),
    ("rows", ("recipe",), _look_at_rows),
    ("findings", ("rows",), _look_at_findings),
    ("lengths", ("pieces", "base", "rows"), _look_at_lengths),
    ("architecture", ("lengths",), _look_at_architecture),
    ("supervision", ("lengths",), _look_at_supervision),
    ("decided", ("lengths",), _look_at_decisions),
    ("disk", ("lengths",), _look_at_disk),
    ("memory and time", ("lengths",), _look_at_needs),
)


# -------------------------------------------------------------------------------------------- words


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bytes(count: float) -> str:
    """Bytes in words, to two or three figures."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 100 * size else f"{count / size:,.0f} {unit}"
    return f"{count:.0f} B"


def _seconds(seconds: float) -> str:
    """A time in words: 48 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
