"""What is wrong with rows, found and counted. Knows clean rows, faults and the recipe's policies; changes nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.data.cells import Answer
from tunewright.data.clean import CleanRow, Fault, Source
from tunewright.data.findings import Finding, Severity, all_text, find_rows, said_in, show
from tunewright.data.inspect_answers import inspect_answers
from tunewright.data.kin import Kin, find_kin
from tunewright.data.minhash import NearDuplicates, find_near_duplicates
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS
from tunewright.values import Span, Turn

# What UTF-8 looks like once it was read as Latin-1 or Windows-1252, what replaced a lost character, and the control
# characters that neither of them prints.
_TAIL = "[\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d" \
        "\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]"  # fmt: skip
_MOJIBAKE = re.compile(
    f"[\u00c2\u00c3]{_TAIL}|\u00e2{_TAIL}{_TAIL}|\u00f0{_TAIL}{_TAIL}{_TAIL}|(?:[\u00ce-\u00d1]{_TAIL}){{2}}"
    "|\u00ef\u00bb\u00bf|\ufffd|[\u0080-\u009f]"
)


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
    validation) that a given test (or validation) file has too; `kin` are rows that share more than their kind lets be
    torn apart.
    """

    same_r: np.ndarray
    conflict_r: np.ndarray
    near: NearDuplicates
    leaks: tuple[Leak, ...]
    kin: Kin


def compare_rows(rows: Sequence[CleanRow], *, kind: str = "classification") -> Comparison:
    """Find duplicates, near duplicates, conflicts, leaks and kin among `rows` of this kind of task.

    Rows of train stand first, then those of validation, then of test.
    """
    first: dict[tuple[Source, tuple[str, ...], Answer | None], int] = {}
    answers_to: dict[tuple[Source, tuple[str, ...]], set[Answer | None]] = defaultdict(set)
    same_r = np.full(len(rows), -1, dtype=np.int64)
    for i, row in enumerate(rows):
        earlier = first.setdefault((row.source, row.inputs, _unordered(row.answer)), i)
        same_r[i] = earlier if earlier != i else -1
        answers_to[row.source, row.inputs].add(_unordered(row.answer))
    conflict_r = np.array([len(answers_to[row.source, row.inputs]) > 1 for row in rows], dtype=bool)
    near = find_near_duplicates([_compared(row.inputs) for row in rows])
    return Comparison(same_r, conflict_r, near, tuple(_find_leaks(rows, near)), find_kin(rows, kind))


def _compared(inputs: tuple[str, ...]) -> tuple[str, ...]:
    """The texts by which a row is like another; of a conversation, which has any number of turns, one text."""
    return ("\n".join(said_in(inputs)),) if any(isinstance(text, Turn) for text in inputs) else inputs


def _unordered(answer: Answer | None) -> Answer | None:
    ordered: Any = sorted(answer) if isinstance(answer, tuple) else answer  # labels, or spans
    return tuple(ordered) if isinstance(answer, tuple) else answer


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
    return [*findings, *inspect_answers(rows, recipe), _lengths(rows)]


# -------------------------------------------------------------------------------------- rows by row


def say_answer(answer: Answer | None) -> str:
    """An answer in words: of spans their places and labels."""
    if isinstance(answer, tuple):
        return ", ".join(f"{part.start}-{part.end} {part.label}" if isinstance(part, Span) else part for part in answer)
    return str(answer)


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
    limit = {"refuse": 0.0, "drop": 1.0}.get(str(recipe.data.malformed), recipe.data.malformed)
    over = [source for source, count in unusable.items() if count > limit * totals[source]]
    shares = "; ".join(f"{count} of {totals[source]} rows of {source} ({count / totals[source]:.1%})"
                       for source, count in unusable.items())  # fmt: skip
    severity: Severity = "ok" if not faults else "warn"
    says = f"{shares} cannot be used and are dropped" if faults else "every row can be used"
    if over:
        severity = "refuse"
        says = f"{shares} cannot be used, and data.malformed allows {limit:.1%}"
    whole = find_rows("unusable", severity, says, [(fault.origin, fault.detail) for fault in faults])
    parts = []
    for check, reasons, words in _FAULT_CHECKS:
        found = [(fault.origin, fault.detail) for fault in faults if fault.reason in reasons]
        parts.append(find_rows(check, "warn", f"{len(found)} rows {words}", found))
    return [whole, *parts]


def _duplicates(rows: Sequence[CleanRow], comparison: Comparison, recipe: Recipe) -> Finding:
    found = [(row.origin, f"same as {rows[same].origin}: {all_text(row)}")
             for row, same in zip(rows, comparison.same_r, strict=True) if same >= 0]  # fmt: skip
    in_train = sum(same >= 0 and row.source == "train" for row, same in zip(rows, comparison.same_r, strict=True))
    policy = recipe.data.duplicates
    does = {"drop": "those of train are dropped", "keep": "they are kept", "refuse": "data.duplicates refuses them"}
    says = f"{len(found)} rows equal an earlier one, answer included; {does[policy]}"
    return find_rows("duplicates", "refuse" if policy == "refuse" and in_train else "note", says, found)


def _near_duplicates(rows: Sequence[CleanRow], comparison: Comparison, recipe: Recipe) -> Finding:
    pairs = [(row, rows[like]) for i, (row, like) in enumerate(zip(rows, comparison.near.like_r, strict=True))
             if is_near_duplicate(rows, comparison, i)]  # fmt: skip
    otherwise = sum(_unordered(row.answer) != _unordered(like.answer) for row, like in pairs)
    does = "they are dropped" if recipe.data.near_duplicates == "drop" else "they are kept, in one split with it"
    says = f"{len(pairs)} rows nearly equal an earlier one ({otherwise} with another answer); {does}"
    found = [(row.origin, f"like {like.origin}: {all_text(row)}") for row, like in pairs]
    return find_rows("near_duplicates", "warn" if otherwise and _has_one_answer(recipe) else "note", says, found)


def _has_one_answer(recipe: Recipe) -> bool:
    """Whether two answers to equal inputs contradict each other; good texts may differ."""
    return KINDS[recipe.task.kind].answers != "texts"


def is_near_duplicate(rows: Sequence[CleanRow], comparison: Comparison, i: int) -> bool:
    """Whether row `i` nearly, but not exactly, equals an earlier row of the same file."""
    like = comparison.near.like_r[i]
    return bool(
        like >= 0 and comparison.same_r[i] < 0 and rows[like].source == rows[i].source
        and rows[like].inputs != rows[i].inputs
    )  # fmt: skip


def _conflicts(rows: Sequence[CleanRow], comparison: Comparison, recipe: Recipe) -> Finding:
    found = [(row.origin, f"{say_answer(row.answer)}: {all_text(row)}")
             for row, conflict in zip(rows, comparison.conflict_r, strict=True) if conflict]  # fmt: skip
    in_train = any(row.source == "train" for row, conflict in zip(rows, comparison.conflict_r, strict=True) if conflict)
    policy = recipe.data.conflicts
    does = {"drop": "those of train are dropped", "keep": "they are kept", "refuse": "data.conflicts refuses them"}
    says = f"{len(found)} rows have the input of another row and a different answer; {does[policy]}"
    severity: Severity = "warn" if _has_one_answer(recipe) else "note"
    return find_rows("conflicts", "refuse" if policy == "refuse" and in_train else severity, says, found)


def _leakage(rows: Sequence[CleanRow], comparison: Comparison) -> Finding:
    found = [(rows[leak.row].origin, f"{'is' if leak.exact else 'is like'} {rows[leak.partner].origin}: "
              f"{all_text(rows[leak.row])}") for leak in comparison.leaks]  # fmt: skip
    exact = sum(leak.exact for leak in comparison.leaks)
    says = f"{len(found)} rows also occur in a given file that judges them ({exact} exactly); they are dropped here"
    return find_rows("leakage", "warn", says, found)


def _encoding(rows: Sequence[CleanRow]) -> Finding:
    found = [(row.origin, all_text(row)) for row in rows if any(looks_misread(text) for text in row.inputs)]
    says = f"{len(found)} texts look as if read in a wrong encoding; they are kept"
    return find_rows("encoding", "warn", says, found)


def looks_misread(text: str) -> bool:
    """Whether the text shows UTF-8 that was read as Latin-1 or Windows-1252, or a replaced character."""
    return not text.isascii() and _MOJIBAKE.search(text) is not None


# ----------------------------------------------------------------------------------- rows as a whole


def _lengths(rows: Sequence[CleanRow]) -> Finding:
    words = np.array([sum(len(text.split()) for text in row.inputs) for row in rows], dtype=np.int64)
    if not len(words):
        return Finding("lengths", "ok", 0, "no texts")
    median, most = np.percentile(words, [50, 95])
    longest = int(words.argmax())
    says = f"words in a text: median {median:.0f}, 95th percentile {most:.0f}, longest {words[longest]}"
    return Finding("lengths", "ok", len(words), says, (show(rows[longest].origin, all_text(rows[longest])),))
