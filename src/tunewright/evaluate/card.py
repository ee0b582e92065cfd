"""The model card. Knows recorded facts only; must not measure, promise, or leave out what is UNMEASURED."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.evaluate.evidence import is_unmeasured
from tunewright.evaluate.metrics import UNMEASURED
from tunewright.evaluate.report import ReportFacts, fact, number, span, spell
from tunewright.recipe.tasks import KINDS
from tunewright.store.files import write_atomically

_MARKDOWN = re.compile(r"([\\`*\[\]<>|#~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def write_card(folder: Path, *, evidence: Mapping[str, Any], figures: ReportFacts) -> Path:
    """Writes `MODEL_CARD.md` into `folder` and says where. StoreRefusal where the disk does not take it."""
    path = folder / "MODEL_CARD.md"
    write_atomically(path, render_card(evidence=evidence, figures=figures).encode("utf-8", "replace"))
    return path


def render_card(*, evidence: Mapping[str, Any], figures: ReportFacts) -> str:
    """The card as Markdown with the front matter that model hubs read; all users' text is escaped."""
    parts = (
        _front_matter(figures), _opening(figures), _scores(figures), _gate(figures), _training(evidence, figures),
        _limits(evidence, figures), _origin(evidence),
    )
    return "\n".join(line for part in parts for line in (*part, ""))


def escape(text: str) -> str:
    """Text as Markdown shows it letter for letter, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _front_matter(facts: ReportFacts) -> Iterator[str]:
    yield from ("---", f"base_model: {json.dumps(facts.base)}", "library_name: tunewright",
                f"tags: {json.dumps(['tunewright', facts.kind])}", "---")


def _opening(facts: ReportFacts) -> Iterator[str]:
    yield f"# {escape(facts.model or facts.name)}"
    yield ""
    yield f"{escape(facts.task)} Fine-tuned from {escape(facts.base)}; run `{facts.run}`, finished {facts.finished_at}."
    if facts.classes:
        yield ""
        yield f"Labels: {', '.join(escape(score.label) for score in facts.classes)}."


def _scores(facts: ReportFacts) -> Iterator[str]:
    results = facts.results
    yield from ("## How good it is", "", f"On {results.rows:,} test rows.", "")
    yield from _table(("figure", "value", "interval", "note"), [
        (spell(name), number(seen.value), span(seen.interval), escape(seen.interval.note if seen.interval else ""))
        for name, seen in results.model.figures.items()
    ])
    yield from ("", f"Beside other ways of doing the task, by {escape(spell(results.metric))} on the same rows:", "")
    beside = []
    for rung in results.others:
        gain = rung.model_above[results.metric]
        seen = number(rung.figures[results.metric].value)
        beside.append((escape(spell(rung.name)), seen, number(gain.value, signed=True),
                       span(gain.interval, signed=True), gain.verdict))
    beside += [(escape(spell(name)), UNMEASURED, "", "", escape(why)) for name, why in results.absent.items()]
    yield from _table(("rung", "its figure", "the model less it", "interval", "the model is"), beside)


def _gate(facts: ReportFacts) -> Iterator[str]:
    yield from ("## What the gate said", "", f"**{facts.verdict.outcome}**", "")
    lines = []
    for line in facts.verdict.lines:
        seen = number(line.seen, signed=line.bar.startswith("better"))
        lines.append((escape(f"{spell(line.metric)} {line.bar}"), seen, line.outcome, escape(line.why)))
    yield from _table(("bar", "seen", "outcome", "why"), lines)


def _training(evidence: Mapping[str, Any], facts: ReportFacts) -> Iterator[str]:
    yield from ("## What it was trained on", "")
    for name in ("rows", "supervision"):
        yield from _facts(evidence[name], name)
    if facts.settings:
        yield from ("", "Settings:", "")
        yield from _table(("key", "value", "reason"), [
            (escape(item.key), escape(item.value), escape(item.reason)) for item in facts.settings
        ])


def _limits(evidence: Mapping[str, Any], facts: ReportFacts) -> Iterator[str]:
    yield from ("## What was measured of its risks, and what was not", "")
    for section in ("audits", "parity", "effect"):
        yield from _facts(evidence[section], section)
    weak = [score for score in facts.classes if score.f1 is not None and score.f1 < 0.5]
    for score in weak:
        of = "spans" if KINDS[facts.kind].answers == "spans" else "test rows"
        yield f"- label {escape(score.label)}: F1 {number(score.f1)} on {score.rows} {of}"


def _origin(evidence: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Where it comes from", "")
    yield from _facts(evidence["origin"], "origin")


def _facts(things: Any, name: str) -> Iterator[str]:
    """Nested facts as a list, one line each, the path in front."""
    if is_unmeasured(things):
        why = things.get("why", "") if isinstance(things, Mapping) else ""
        yield f"- {escape(spell(name))}: {UNMEASURED}{f' ({escape(why)})' if why else ''}"
    elif isinstance(things, Mapping):
        for key, thing in things.items():
            yield from _facts(thing, f"{name} · {key}")
    elif isinstance(things, list) and any(isinstance(item, Mapping) for item in things):
        for place, item in enumerate(things, start=1):
            yield from _facts(item, f"{name} {place}")
    else:
        yield f"- {escape(spell(name))}: {escape(fact(things))}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
