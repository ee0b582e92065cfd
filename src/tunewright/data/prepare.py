"""From a recipe's files to three splits, with an account of every row. Must not know tokens, models or training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tunewright.data.arrange import arrange_rows
from tunewright.data.cells import Answer, shown
from tunewright.data.clean import Cleaned, CleanRow, Source, clean_rows, content_hash
from tunewright.data.findings import Finding, find_rows
from tunewright.data.inspect import (
    Comparison,
    compare_rows,
    find_unusable,
    inspect_rows,
    is_near_duplicate,
    say_answer,
)
from tunewright.data.labels import (
    count_labels,
    find_labels,
    find_unknown_labels,
    has_labels,
    listed,
    refuse_unknown_labels,
)
from tunewright.data.ledger import Entry, Fate, Ledger
from tunewright.data.prompts import Prompting
from tunewright.data.read import read_table
from tunewright.data.split import TEST_SHARE, VALIDATION_SHARE, join_units, split_rows, strata_of
from tunewright.recipe.errors import DataRefusal
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS
from tunewright.values import Rows

_SPLITS: tuple[Source, ...] = ("train", "validation", "test")
TOO_LONG = "too_long"  # why the ledger has rows dropped that are longer than a model reads
_NAMED = 5  # classes that a message lists


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows in three splits, their labels in the order of the targets' classes (none where answers are no labels), and
    the proof.

    `manifest` holds, ready for JSON: `files` (split, path, sha256, bytes), `rows` (the ledger's counts), `columns`,
    `labels`, `seed` and `split_sha256`, a hash of which row, by id and content, went where.
    """

    train: Rows
    validation: Rows
    test: Rows
    labels: tuple[str, ...]
    ledger: Ledger
    findings: list[Finding]
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Where a row goes and why."""

    fate: Fate
    reason: str
    detail: str = ""


def prepare(recipe: Recipe, *, root: Path, templates: Mapping[str, str] | None = None) -> Prepared:
    """Read, check and split the rows of `recipe`; paths count from `root`, then from the current folder.

    `templates` holds what the file says for keys that the environment fills; records name files so, never by the value.

    Policies for duplicates, near duplicates and conflicts act on train; rows of a given validation or test file are
    dropped only where they cannot be used (or, in validation, where test has them too). Raises DataRefusal, and
    RecipeRefusal for prompts that no row can fill.
    """
    Prompting.of(recipe.task)
    files = {split: _paths(recipe, split, root, templates or {})
             for split in _SPLITS if recipe.data.has_file(split)}  # fmt: skip
    cleaned = {
        split: clean_rows(read_table([*paths.values()], written=[*paths]), recipe, source=split, answers=True)
        for split, paths in files.items()
    }
    rows = [row for part in cleaned.values() for row in part.rows]
    faults = [fault for part in cleaned.values() for fault in part.faults]
    _refuse_what_is_left(cleaned, recipe)
    labels = find_labels(recipe, cleaned)
    comparison = compare_rows(rows, kind=recipe.task.kind)
    findings = inspect_rows(rows, comparison=comparison, faults=faults, recipe=recipe)
    _refuse_by_policy(findings)
    verdicts = _drop(rows, comparison, recipe)
    verdicts |= _draw(rows, verdicts, comparison, recipe, labels)
    ledger = _ledger(verdicts, cleaned)
    ledger.check()
    parts = {split: [row for i, row in enumerate(rows) if verdicts[i].fate == split] for split in _SPLITS}
    _refuse_gaps(parts, recipe, labels)
    findings += _untaught_labels(parts, recipe, labels)
    manifest = {
        "files": [_described(split, *named) for split, paths in files.items() for named in paths.items()],
        "rows": ledger.counts(), "columns": list(cleaned["train"].columns), "labels": list(labels), "seed": recipe.seed,
        "split_sha256": _hash_of_split(rows, verdicts),
    }  # fmt: skip
    train, validation, test = (
        arrange_rows(parts[split], recipe.task, labels, judged=split == "test") for split in _SPLITS
    )
    return Prepared(train, validation, test, labels, ledger, findings, manifest)


def read_rows(
    recipe: Recipe, path: Path, *, root: Path, labels: Sequence[str], answers: Literal["required", "if_present"]
) -> tuple[Rows, Ledger]:
    """The rows of one file to predict or to judge, cleaned as `prepare` does it and not split.

    With `if_present`, targets are None unless every row has an answer that the task knows; with `required`, rows are
    asked as those of the test split are. A file without the column of ids has them made from content. Raises
    DataRefusal.
    """
    table = read_table([_find(str(path), root)])
    if recipe.data.id not in table.columns:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"id": None})})
    cleaned = clean_rows(table, recipe, source="test", answers=answers == "required")
    if answers == "required":
        refuse_unknown_labels(cleaned.rows, labels, recipe, known_to="the model")
    elif set(recipe.task.outputs) <= set(table.columns):
        answered = clean_rows(table, recipe, source="test", answers=True)
        if len(answered.rows) == len(cleaned.rows) and not find_unknown_labels(answered.rows, labels, recipe):
            cleaned = answered
    _refuse_what_is_left({"test": cleaned}, recipe)
    ledger = _ledger({i: _Verdict("test", "given") for i in range(len(cleaned.rows))}, {"test": cleaned})
    ledger.check()
    return arrange_rows(cleaned.rows, recipe.task, labels, judged=answers == "required"), ledger


def leave_out(prepared: Prepared, why: Mapping[Fate, Mapping[int, str]], recipe: Recipe, *, limit: int) -> Prepared:
    """`prepared` without rows longer than `limit` tokens: by split their numbers, and what the ledger says of each.

    Raises DataRefusal where a split, or a class of train, has no row left.
    """
    rows: dict[Fate, Rows] = {"train": prepared.train, "validation": prepared.validation, "test": prepared.test}
    named = {(split, rows[split].ids[i]): said for split, numbers in why.items() for i, said in numbers.items()}
    if not named:
        return prepared
    ledger = prepared.ledger.without(named, TOO_LONG)
    ledger.check()
    kept = {split: part.take(np.array([i for i in range(len(part)) if i not in why.get(split, {})], dtype=np.int64))
            for split, part in rows.items()}  # fmt: skip
    _refuse_emptied(kept, recipe, prepared.labels, limit=limit)
    lost = [(entry.origin, entry.detail) for entry in ledger.entries if entry.reason == TOO_LONG]
    says = f"{len(lost)} rows are longer than {limit} tokens and left out; the figures say nothing of such rows"
    findings = [finding for finding in prepared.findings if finding.check != TOO_LONG]
    content = [prepared.manifest["split_sha256"], *sorted(f"{split} {row}" for split, row in named)]
    manifest = prepared.manifest | {
        "rows": ledger.counts(), "split_sha256": hashlib.sha256("\n".join(content).encode()).hexdigest()
    }
    return replace(
        prepared, train=kept["train"], validation=kept["validation"], test=kept["test"], ledger=ledger,
        findings=[*findings, find_rows(TOO_LONG, "warn", says, lost)], manifest=manifest,
    )  # fmt: skip


def _refuse_emptied(kept: Mapping[Fate, Rows], recipe: Recipe, labels: Sequence[str], *, limit: int) -> None:
    remedy = "Raise encode.max_length if the base takes more, or set encode.long to truncate or windows."
    for split, part in kept.items():
        if not len(part):
            raise DataRefusal(f"No row of {split} has at most {limit} tokens.", where="encode.long", remedy=remedy)
    if recipe.task.kind == "classification":
        taught = set(np.asarray(kept["train"].targets).tolist())
        lost = [label for number, label in enumerate(labels) if number not in taught]
        if lost:
            raise DataRefusal(f"No row of at most {limit} tokens is left in train for these classes: {listed(lost)}.",
                              where="encode.long", remedy=remedy)


# --------------------------------------------------------------------------------------------- files


def _paths(recipe: Recipe, split: str, root: Path, templates: Mapping[str, str]) -> dict[str, Path]:
    """The files of a split by how the recipe writes them; a folder stands for the plain texts in it."""
    named, key = getattr(recipe.data, split), f"data.{split}"
    values = {key: named} if isinstance(named, str) else {f"{key}.{i}": value for i, value in enumerate(named)}
    found: dict[str, Path] = {}
    for one, value in values.items():
        path, written = _find(value, root), templates.get(one, value)
        texts = sorted(path.rglob("*.txt")) if path.is_dir() else []
        found |= {f"{written.rstrip('/')}/{text.relative_to(path).as_posix()}": text for text in texts}
        found |= {} if texts else {written: path}
    return found


def _find(written: str, root: Path) -> Path:
    beside = root / written
    return beside if beside.exists() or not Path(written).exists() else Path(written)


def _described(split: str, written: str, path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"split": split, "path": written, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


# ------------------------------------------------------------------------------------------- refusals


def _refuse_what_is_left(cleaned: Mapping[Source, Cleaned], recipe: Recipe) -> None:
    """Refuse a file of which no row, or by data.malformed too few rows, can be used."""
    for part in cleaned.values():
        if not part.rows:
            first = part.faults[0]
            raise DataRefusal(f"None of the {part.rows_in} rows can be used; the first: {first.detail}.",
                              where=first.origin, remedy="Correct the rows, or the columns that task names.")
    rows = [row for part in cleaned.values() for row in part.rows]
    _refuse_by_policy(find_unusable(rows, [fault for part in cleaned.values() for fault in part.faults], recipe))


_REMEDIES = {
    "unusable": "Correct these rows, or set data.malformed: drop to leave them out visibly.",
    "duplicates": "Remove them, or set data.duplicates to drop or keep.",
    "conflicts": "Correct the answers, or set data.conflicts to drop or keep.",
}


def _refuse_by_policy(findings: Sequence[Finding]) -> None:
    refused = [finding for finding in findings if finding.severity == "refuse"]
    if refused:
        says = " ".join(f"{finding.says[0].upper()}{finding.says[1:]}." for finding in refused)
        raise DataRefusal(says, where="; ".join(example for finding in refused for example in finding.examples),
                          remedy=" ".join(_REMEDIES[finding.check] for finding in refused))


def _refuse_thin_classes(
    rows: Sequence[CleanRow], units: Sequence[int], recipe: Recipe, labels: Sequence[str], drawn: Sequence[Fate]
) -> None:
    """Refuse classes whose rows cannot be in every split, because they are too few or must stay together."""
    units_of: dict[str, set[int]] = {label: set() for label in labels}
    for row, unit in zip(rows, units, strict=True):
        units_of[str(row.answer)].add(unit)
    counts = count_labels(rows)
    thin = [f"{label} ({counts[label]} rows{', all alike or of few groups' if counts[label] > len(drawn) else ''})"
            for label, members in units_of.items() if len(members) <= len(drawn)]  # fmt: skip
    if thin:
        splits = " and ".join(("train", *drawn))
        raise DataRefusal(
            f"{len(thin)} classes have too few separate rows to be in {splits}: {', '.join(thin[:_NAMED])}"
            f"{f' and {len(thin) - _NAMED} more' if len(thin) > _NAMED else ''}.",
            where=f"data.train, column {recipe.task.outputs[0]}",
            remedy=f"Give each class at least {len(drawn) + 1} rows, merge rare classes, or leave them out.",
        )  # fmt: skip


def _refuse_gaps(parts: Mapping[Source, Sequence[CleanRow]], recipe: Recipe, labels: Sequence[str]) -> None:
    for split, rows in parts.items():
        if not rows:
            raise DataRefusal(f"No row is left for {split}.", where="data",
                              remedy="Give more rows, or keep some of those that data's policies drop.")
    if KINDS[recipe.task.kind].answers == "spans" and not any(row.answer for row in parts["train"]):
        raise DataRefusal("No row of train has a span that answers.", where=f"data.train, column {recipe.task.output}",
                          remedy="Give rows with answers, or check that task.output names their column.")
    untaught = sorted(set(labels) - count_labels(parts["train"]).keys()) if recipe.task.kind == "classification" else []
    if untaught:
        raise DataRefusal(f"No row is left in train for these classes: {listed(untaught)}.",
                          where=f"data.train, column {recipe.task.outputs[0]}",
                          remedy="Give more rows of these classes that are not like rows of other classes or splits.")


# ------------------------------------------------------------------------------------------ verdicts


def _drop(rows: Sequence[CleanRow], comparison: Comparison, recipe: Recipe) -> dict[int, _Verdict]:
    """Verdicts on the rows that are dropped, and on those that a file of their own puts into a split."""
    verdicts: dict[int, _Verdict] = {}
    elsewhere = {
        source: {(what, name) for i, row in enumerate(rows) if row.source == source
                 for what, name in _ties(i, rows, comparison)}
        for source in _SPLITS
    }  # fmt: skip
    for leak in comparison.leaks:
        verdicts[leak.row] = _Verdict("dropped", f"leaks_into_{leak.into}", rows[leak.partner].origin)
    for i, row in enumerate(rows):
        if i in verdicts:
            continue
        if row.source == "train":
            tied = _tied_elsewhere(_ties(i, rows, comparison), elsewhere)
            verdict = tied or _dropped_by_policy(i, rows, comparison, recipe, verdicts)
        else:
            verdict = _Verdict(row.source, "given")
        if verdict:
            verdicts[i] = verdict
    return verdicts


def _ties(i: int, rows: Sequence[CleanRow], comparison: Comparison) -> list[tuple[str, str]]:
    """What row `i` must share a split for: the recipe's group, and what its kind of task does not tear apart."""
    ties = (("group", rows[i].group), (comparison.kin.what, comparison.kin.names_r[i]))
    return [(what, name) for what, name in ties if name is not None]


def _tied_elsewhere(
    ties: Sequence[tuple[str, str]], elsewhere: Mapping[Source, set[tuple[str, str]]]
) -> _Verdict | None:
    """The verdict on a row of train with something that a file of judges also has."""
    for split in ("test", "validation"):
        for what, name in ties:
            if (what, name) in elsewhere[split]:
                return _Verdict("dropped", f"shares_{what}_with_{split}", name)
    return None


def _dropped_by_policy(
    i: int, rows: Sequence[CleanRow], comparison: Comparison, recipe: Recipe, verdicts: Mapping[int, _Verdict]
) -> _Verdict | None:
    same, like = int(comparison.same_r[i]), int(comparison.near.like_r[i])
    if same >= 0 and recipe.data.duplicates == "drop":
        return _Verdict("dropped", "duplicate", rows[same].origin)
    if comparison.conflict_r[i] and recipe.data.conflicts == "drop":
        said = shown(say_answer(rows[i].answer))
        return _Verdict("dropped", "conflict", f"another row with this input is not {said}")
    if recipe.data.near_duplicates == "drop" and is_near_duplicate(rows, comparison, i):
        lost = verdicts.get(like)
        return None if lost and lost.reason == "conflict" else _Verdict("dropped", "near_duplicate", rows[like].origin)
    return None


def _untaught_labels(
    parts: Mapping[Source, Sequence[CleanRow]], recipe: Recipe, labels: Sequence[str]
) -> list[Finding]:
    """A finding about labels that are judged and were never taught, for tasks whose rows have several."""
    if not has_labels(recipe.task) or recipe.task.kind == "classification":
        return []
    counts = {split: count_labels(rows) for split, rows in parts.items()}
    untaught = [label for label in labels if not counts["train"][label]
                and counts["validation"][label] + counts["test"][label]]  # fmt: skip
    says = f"{len(untaught)} labels are in rows that judge and in none that trains"
    return [Finding("untaught_labels", "warn" if untaught else "ok", len(untaught), says, tuple(untaught[:_NAMED]))]


def _draw(
    rows: Sequence[CleanRow], decided: Mapping[int, _Verdict], comparison: Comparison, recipe: Recipe,
    labels: Sequence[str],
) -> dict[int, _Verdict]:  # fmt: skip
    """Verdicts on the rows of train that are left: drawn into the splits that have no file of their own."""
    data = recipe.data
    left = [i for i in range(len(rows)) if i not in decided]
    shares: dict[Fate, float] = {}
    if not data.has_file("test"):
        shares["test"] = data.share_of("test") or TEST_SHARE
    if not data.has_file("validation"):
        shares["validation"] = data.share_of("validation") or VALIDATION_SHARE
    chosen = [rows[i] for i in left]
    kin = [comparison.kin.names_r[i] for i in left]
    groups = [row.group for row in chosen]
    units = join_units([int(comparison.near.cluster_r[i]) for i in left], groups, kin)
    answers: list[Answer] = [row.answer for row in chosen if row.answer is not None]
    if recipe.task.kind == "classification":
        _refuse_thin_classes(chosen, units, recipe, labels, list(shares))
    fates = split_rows(
        [row.id for row in chosen], strata=strata_of(answers, recipe.task.kind), units=units, seed=recipe.seed,
        shares=shares, group_names=[group or name for group, name in zip(groups, kin, strict=True)],
    )  # fmt: skip
    reason = "drawn" if shares else "given"
    return {i: _Verdict(fate, reason) for i, fate in zip(left, fates, strict=True)}


def _ledger(verdicts: Mapping[int, _Verdict], cleaned: Mapping[Source, Cleaned]) -> Ledger:
    entries, rows_in, row_number = [], 0, 0
    for part in cleaned.values():
        for row in part.rows:
            verdict = verdicts[row_number]
            entries.append(Entry(rows_in + row.place, row.origin, row.id, verdict.fate, verdict.reason, verdict.detail))
            row_number += 1
        for fault in part.faults:
            entries.append(Entry(rows_in + fault.place, fault.origin, fault.id, "dropped", fault.reason, fault.detail))
        rows_in += part.rows_in
    return Ledger(rows_in, tuple(sorted(entries, key=lambda entry: entry.row)))


def _hash_of_split(rows: Sequence[CleanRow], verdicts: Mapping[int, _Verdict]) -> str:
    lines = sorted(f"{verdicts[i].fate} {content_hash(row.inputs, row.answer)} {row.id}" for i, row in enumerate(rows))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
