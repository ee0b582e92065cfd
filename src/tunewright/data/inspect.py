"""What is wrong with rows, found and counted. Knows clean rows, faults and the recipe's policies; changes nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunewright.data.clean import Answer, CleanRow, Fault, Source
from tunewright.data.minhash import NearDuplicates, find_near_duplicates
from tunewright.recipe.schema import Recipe

Severity = Literal["ok", "note", "warn", "refuse"]
_EXAMPLES = 5
_EXAMPLE_CHARACTERS = 80
RARE_ROWS = 10  # a class with fewer rows than this cannot be measured reliably

# What UTF-8 looks like once it was read as Latin-1 or Windows-1252, what replaced a lost character, and the control
# characters that neither of them prints.
_TAIL = "[\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d" \
        "\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]"  # fmt: skip
_MOJIBAKE = re.compile(
    f"[\u00c2\u00c3]{_TAIL}|\u00e2{_TAIL}{_TAIL}|\u00f0{_TAIL}{_TAIL}{_TAIL}|(?:[\u00ce-\u00d1]{_TAIL}){{2}}"
    "|\u00ef\u00bb\u00bf|\ufffd|[\u0080-\u009f]"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw: `count` rows, said in a sentence, a few of them shown; `origins` names every one of them."""

    check: str
    severity: Severity
    count: int
    says: str
    examples: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leak:
    """Row `row` also occurs as row `partner` of a given file that judges it."""

    row: int
    partner: int
    into: Source
    exact: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows compared. `same_r` (int64 [r]) is the first row of the same file with equal inputs and answer, else -1;
    `conflict_r` is True where the same file has equal inputs with another answer; `leaks` are rows of train (or
    validation) that a given test (or validation) file has too.
    """

    same_r: np.ndarray
    conflict_r: np.ndarray
    near: NearDuplicates
    leaks: tuple[Leak, ...]


def compare_rows(rows: Sequence[CleanRow]) -> Comparison:
    """Find duplicates, near duplicates, conflicts and leaks among `rows` (train first, then validation, then test)."""
    first: dict[tuple[Source, tuple[str, ...], Answer | None], int] = {}
    answers_to: dict[tuple[Source, tuple[str, ...]], set[Answer | None]] = defaultdict(set)
    same_r = np.full(len(rows), -1, dtype=np.int64)
    for i, row in enumerate(rows):
        earlier = first.setdefault((row.source, row.inputs, _unordered(row.answer)), i)
        same_r[i] = earlier if earlier != i else -1
        answers_to[row.source, row.inputs].add(_unordered(row.answer))
    conflict_r = np.array([len(answers_to[row.source, row.inputs]) > 1 for row in rows], dtype=bool)
    near = find_near_duplicates([row.inputs for row in rows])
    return Comparison(same_r, conflict_r, near, tuple(_find_leaks(rows, near)))


def _unordered(answer: Answer | None) -> Answer | None:
    return tuple(sorted(answer)) if isinstance(answer, tuple) else answer


_JUDGES: dict[Source, tuple[Source, ...]] = {"train": ("test", "validation"), "validation": ("test",), "test": ()}


def _find_leaks(rows: Sequence[CleanRow], near: NearDuplicates) -> Iterable[Leak]:
    exact: dict[tuple[Source, tuple[str, ...]], int] = {}
    alike: dict[tuple[Source, int], int] = {}
    for i, row in enumerate(rows):
        exact.setdefault((row.source, row.inputs), i)
        alike.setdefault((row.source, int(near.cluster_r[i])), i)
    for i, row in enumerate(rows):
        for judge in _JUDGES[row.source]:
            twin = exact.get((judge, row.inputs))
            partner = alike.get((judge, int(near.cluster_r[i]))) if twin is None else twin
            if partner is not None:
                yield Leak(i, partner, judge, exact=twin is not None)
                break


def inspect_rows(
    rows: Sequence[CleanRow], *, comparison: Comparison, faults: Sequence[Fault], recipe: Recipe
) -> list[Finding]:
    """Every check, in a fixed order, also those that found nothing. Severity `refuse` means that the recipe's policy
    does not let training go on.
    """
    findings = [
        *find_unusable(rows, faults, recipe),
        _duplicates(rows, comparison, recipe), _near_duplicates(rows, comparison, recipe),
        _conflicts(rows, comparison, recipe), _leakage(rows, comparison), _encoding(rows),
    ]  # fmt: skip
    if recipe.task.kind != "regression":
        findings.append(_classes(rows, recipe))
    return [*findings, _lengths(rows)]


# -------------------------------------------------------------------------------------- rows by row


def _shown(origin: str, text: str) -> str:
    cut = text if len(text) <= _EXAMPLE_CHARACTERS else text[:_EXAMPLE_CHARACTERS] + "…"
    return f"{origin}: {' '.join(cut.split())}"


def _text(row: CleanRow) -> str:
    return " | ".join(row.inputs)


def _finding(check: str, severity: Severity, says: str, found: Sequence[tuple[str, str]]) -> Finding:
    """A finding about rows, given as (origin, what to show); `ok` where there are none."""
    return Finding(
        check, severity if found else "ok", len(found), says,
        tuple(_shown(origin, text) for origin, text in found[:_EXAMPLES]), tuple(origin for origin, _ in found),
    )  # fmt: skip


_FAULT_CHECKS = (
    ("malformed", ("malformed",), "cannot be read"),
    ("empty_input", ("no_input", "bad_input"), "have no text to read"),
    ("missing_answer", ("no_answer",), "have no answer"),
    ("unusable_answer", ("bad_answer",), "have an answer that is none"),
    ("missing_id", ("no_id",), "have no id"),
)


def find_unusable(rows: Sequence[CleanRow], faults: Sequence[Fault], recipe: Recipe) -> list[Finding]:
    """The checks of rows that cannot be used: all together, judged by data.malformed, then by their fault."""
    totals = Counter(row.source for row in rows) + Counter(fault.source for fault in faults)
    unusable = Counter(fault.source for fault in faults)
    limit = recipe.data.malformed_limit
    over = [source for source, count in unusable.items() if count > limit * totals[source]]
    shares = "; ".join(f"{count} of {totals[source]} rows of {source} ({count / totals[source]:.1%})"
                       for source, count in unusable.items())  # fmt: skip
    severity: Severity = "ok" if not faults else "warn"
    says = f"{shares} cannot be used and are dropped" if faults else "every row can be used"
    if over and recipe.data.malformed == "refuse":
        severity = "refuse"
        says = f"{shares} cannot be used, and data.malformed_limit allows {limit:.1%}"
    whole = _finding("unusable", severity, says, [(fault.origin, fault.detail) for fault in faults])
    parts = []
    for check, reasons, words in _FAULT_CHECKS:
        found = [(fault.origin, fault.detail) for fault in faults if fault.reason in reasons]
        parts.append(_finding(check, "warn", f"{len(found)} rows {words}", found))
    return [whole, *parts]


def _duplicates(rows: Sequence[CleanRow], comparison: Comparison, recipe: Recipe) -> Finding:
    found = [(row.origin, f"same as {rows[same].origin}: {_text(row)}")
             for row, same in zip(rows, comparison.same_r, strict=True) if same >= 0]  # fmt: skip
    in_train = sum(same >= 0 and row.source == "train" for row, same in zip(rows, comparison.same_r, strict=True))
    policy = recipe.data.duplicates
    does = {"drop": "those of train are dropped", "keep": "they are kept", "refuse": "data.duplicates refuses them"}
    says = f"{len(found)} rows equal an earlier one, answer included; {does[policy]}"
    return _finding("duplicates", "refuse" if policy == "refuse" and in_train else "note", says, found)


def _near_duplicates(rows: Sequence[CleanRow], comparison: Comparison, recipe: Recipe) -> Finding:
    pairs = [(row, rows[like]) for i, (row, like) in enumerate(zip(rows, comparison.near.like_r, strict=True))
             if is_near_duplicate(rows, comparison, i)]  # fmt: skip
    otherwise = sum(_unordered(row.answer) != _unordered(like.answer) for row, like in pairs)
    does = "they are dropped" if recipe.data.near_duplicates == "drop" else "they are kept, in one split with it"
    says = f"{len(pairs)} rows nearly equal an earlier one ({otherwise} with another answer); {does}"
    found = [(row.origin, f"like {like.origin}: {_text(row)}") for row, like in pairs]
    return _finding("near_duplicates", "warn" if otherwise else "note", says, found)


def is_near_duplicate(rows: Sequence[CleanRow], comparison: Comparison, i: int) -> bool:
    """Whether row `i` nearly, but not exactly, equals an earlier row of the same file."""
    like = comparison.near.like_r[i]
    return bool(
        like >= 0 and comparison.same_r[i] < 0 and rows[like].source == rows[i].source
        and rows[like].inputs != rows[i].inputs
    )  # fmt: skip


def _conflicts(rows: Sequence[CleanRow], comparison: Comparison, recipe: Recipe) -> Finding:
    found = [(row.origin, f"{row.answer}: {_text(row)}")
             for row, conflict in zip(rows, comparison.conflict_r, strict=True) if conflict]  # fmt: skip
    in_train = any(row.source == "train" for row, conflict in zip(rows, comparison.conflict_r, strict=True) if conflict)
    policy = recipe.data.conflicts
    does = {"drop": "those of train are dropped", "keep": "they are kept", "refuse": "data.conflicts refuses them"}
    says = f"{len(found)} rows have the input of another row and a different answer; {does[policy]}"
    return _finding("conflicts", "refuse" if policy == "refuse" and in_train else "warn", says, found)


def _leakage(rows: Sequence[CleanRow], comparison: Comparison) -> Finding:
    found = [(rows[leak.row].origin, f"{'is' if leak.exact else 'is like'} {rows[leak.partner].origin}: "
              f"{_text(rows[leak.row])}") for leak in comparison.leaks]  # fmt: skip
    exact = sum(leak.exact for leak in comparison.leaks)
    says = f"{len(found)} rows also occur in a given file that judges them ({exact} exactly); they are dropped here"
    return _finding("leakage", "warn", says, found)


def _encoding(rows: Sequence[CleanRow]) -> Finding:
    found = [(row.origin, _text(row)) for row in rows if any(looks_misread(text) for text in row.inputs)]
    return _finding("encoding", "warn", f"{len(found)} texts look as if read in a wrong encoding; they are kept", found)


def looks_misread(text: str) -> bool:
    """Whether the text shows UTF-8 that was read as Latin-1 or Windows-1252, or a replaced character."""
    return not text.isascii() and _MOJIBAKE.search(text) is not None


# ----------------------------------------------------------------------------------- rows as a whole


def _labels(answer: Answer | None) -> tuple[str, ...]:
    return answer if isinstance(answer, tuple) else (str(answer),)


def _classes(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    counts = Counter(dict.fromkeys(recipe.task.labels or (), 0))
    counts.update(label for row in rows for label in _labels(row.answer))
    ordered = counts.most_common()
    rare = [f"{label}: {count} rows" for label, count in reversed(ordered) if count < RARE_ROWS]
    alike = _labels_alike(counts)
    says = f"{len(ordered)} labels"
    if ordered:
        says += f", from {ordered[-1][1]} rows ({ordered[-1][0]}) to {ordered[0][1]} ({ordered[0][0]})"
    if rare:
        says += f"; {len(rare)} have fewer than {RARE_ROWS} rows, too few to measure reliably"
    if alike:
        says += f"; {len(alike)} differ from another in case or spaces only"
    odd = (*alike, *rare)
    return Finding("classes", "warn" if odd else "ok", len(odd), says, odd[:_EXAMPLES])


def _labels_alike(labels: Iterable[str]) -> list[str]:
    """Labels that are probably one label written twice."""
    first: dict[str, str] = {}
    found = []
    for label in sorted(labels):
        other = first.setdefault(" ".join(label.casefold().split()), label)
        if other != label:
            found.append(f"{other!r} and {label!r}")
    return found


def _lengths(rows: Sequence[CleanRow]) -> Finding:
    words = np.array([sum(len(text.split()) for text in row.inputs) for row in rows], dtype=np.int64)
    if not len(words):
        return Finding("lengths", "ok", 0, "no texts")
    median, most = np.percentile(words, [50, 95])
    longest = int(words.argmax())
    says = f"words in a text: median {median:.0f}, 95th percentile {most:.0f}, longest {words[longest]}"
    return Finding("lengths", "ok", len(words), says, (_shown(rows[longest].origin, _text(rows[longest])),))
