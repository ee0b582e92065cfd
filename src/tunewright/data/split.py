"""Which rows train, which choose, which judge. Knows ids, strata and what must stay together; must not know texts.

A pure function of ids and seed: in each stratum the rows stand in the order of a hash of their ids and the first share
is held out, so a row that is added moves only rows at the borders of the shares.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.data.cells import Answer
from tunewright.data.labels import labels_in
from tunewright.data.ledger import Fate
from tunewright.recipe.tasks import TaskKind

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
_QUANTILES = 10  # strata of answers that are numbers, or of the lengths of texts


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that stay together. `rows` are indices; `order` a hash that ranks units."""

    rows: tuple[int, ...]
    stratum: Hashable
    order: bytes


def split_rows(
    ids: Sequence[str], *, strata: Sequence[Hashable], units: Sequence[int], seed: int, shares: Mapping[Fate, float],
    group_names: Sequence[str | None] | None = None,
) -> list[Fate]:  # fmt: skip
    """A fate for each row: the held-out splits named in `shares` (share of all rows), else train.

    `units` numbers what must stay together, one number per row. A stratum of enough units has at least one in every
    split. `group_names` (a customer) rank a unit where given, so that new rows of a known group do not move it.
    """
    fates: list[Fate] = ["train"] * len(ids)
    by_stratum: dict[Hashable, list[Unit]] = defaultdict(list)
    for unit in _units(ids, strata, units, seed, group_names or [None] * len(ids)):
        by_stratum[unit.stratum].append(unit)
    for members in by_stratum.values():
        members.sort(key=lambda unit: unit.order)
        for unit, fate in zip(members, _fates_of_units(members, shares), strict=True):
            for row in unit.rows:
                fates[row] = fate
    return fates


def _fates_of_units(units: Sequence[Unit], shares: Mapping[Fate, float]) -> list[Fate]:
    """Fates of one stratum's units in their order: a unit belongs where its middle row falls."""
    wanted: list[Fate] = ["train", *shares]
    if len(units) <= len(shares):
        return wanted[: len(units)]
    sizes = np.array([len(unit.rows) for unit in units])
    total = int(sizes.sum())
    ends: list[tuple[Fate, int]] = []
    taken = 0
    for fate, share in shares.items():
        taken += max(1, round(share * total))
        ends.append((fate, taken))
    middles = np.cumsum(sizes) - sizes / 2
    fates: list[Fate] = [next((fate for fate, end in ends if middle < end), "train") for middle in middles]
    return _fill_empty(fates, sizes, wanted=wanted)


def _fill_empty(fates: list[Fate], sizes: np.ndarray, *, wanted: Sequence[Fate]) -> list[Fate]:
    """Give each empty split the smallest unit of the split that has most, as far as the units go round."""
    filled = list(fates)
    for empty in wanted:
        counts = Counter(filled)
        richest, most = max(counts.items(), key=lambda item: (item[1], item[0]))
        if counts[empty] or most < 2:
            continue
        own = [i for i, fate in enumerate(filled) if fate == richest]
        filled[min(own, key=lambda i: (sizes[i], i))] = empty
    return filled


def _units(
    ids: Sequence[str], strata: Sequence[Hashable], units: Sequence[int], seed: int, names: Sequence[str | None]
) -> list[Unit]:
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, unit in enumerate(units):
        rows_of[unit].append(row)
    size_of = Counter(strata)
    return [
        Unit(
            tuple(rows),
            min((strata[row] for row in rows), key=lambda stratum: (size_of[stratum], str(stratum))),
            min(_rank(seed, names[row] or ids[row]) for row in rows),
        )
        for rows in rows_of.values()
    ]


def _rank(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest()


def join_units(clusters: Sequence[int], *names: Sequence[str | None]) -> list[int]:
    """One number per row, equal where rows are linked by cluster or by a name of one list, over any number of steps.

    Each list of `names` has an entry a row, None where nothing links it: a customer, the context of a question.
    """
    parent = list(range(len(clusters)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[Hashable, int] = {}
    for row, links in enumerate(zip(clusters, *names, strict=True)):
        for number, link in enumerate(links):
            if link is not None:
                a, b = root(first.setdefault((number, link), row)), root(row)
                parent[max(a, b)] = min(a, b)
    return [root(row) for row in range(len(parent))]


def strata_of(answers: Sequence[Answer], kind: TaskKind) -> list[Hashable]:
    """What each row is stratified by, so that splits are alike: by the kind of task, as `_STRATA` says."""
    return _STRATA[kind](answers)


def _each(answers: Sequence[Answer]) -> list[Hashable]:
    """The label itself."""
    return list(answers)


def _rarest_label(answers: Sequence[Answer]) -> list[Hashable]:
    """The rarest label of each row, None without any."""
    rows = [labels_in(answer) for answer in answers]
    counts = Counter(label for row in rows for label in row)
    return [min(row, key=lambda label: (counts[label], label), default=None) for row in rows]


def _tenth(answers: Sequence[Answer]) -> list[Hashable]:
    """The tenth of all that a row's number is in."""
    numbers = np.asarray(answers, dtype=np.float64)
    tenths = min(_QUANTILES, max(1, len(numbers) // 10))
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, tenths + 1)[1:-1])) if len(numbers) else numbers
    return list(np.searchsorted(edges, numbers, side="right").tolist())


def _tenth_by_length(answers: Sequence[Answer]) -> list[Hashable]:
    """The tenth of all that the length of a row's answer is in, in characters."""
    return _tenth([float(len(str(answer))) for answer in answers])


def _whether_any(answers: Sequence[Answer]) -> list[Hashable]:
    """Whether there is an answer."""
    return [bool(answer) for answer in answers]


def _nothing(answers: Sequence[Answer]) -> list[Hashable]:
    """One stratum: the answers do not differ."""
    return [None] * len(answers)


_STRATA: dict[TaskKind, Callable[[Sequence[Answer]], list[Hashable]]] = {
    "classification": _each,
    "multi_label": _rarest_label,
    "regression": _tenth,
    "token_classification": _rarest_label,
    "question_answering": _whether_any,
    "similarity": _tenth,
    "retrieval": _nothing,
    "generation": _tenth_by_length,
    "summarisation": _tenth_by_length,
    "translation": _tenth_by_length,
    "pretraining": _nothing,
}
