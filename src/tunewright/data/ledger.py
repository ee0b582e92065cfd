"""What became of every row. Knows rows by number, origin and id; must not know their content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow
from pyarrow import parquet

Fate = Literal["train", "validation", "test", "dropped"]
FATES: tuple[Fate, ...] = ("train", "validation", "test", "dropped")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row's fate.

    `row` counts from 0 over all rows of all files, `origin` is file:line, `id` is empty for a row that could not be
    read. `reason` is a fixed name ("drawn", "duplicate", ...), `detail` what explains it (the row it duplicates).
    """

    row: int
    origin: str
    id: str
    fate: Fate
    reason: str
    detail: str = ""


_COLUMNS = tuple(column.name for column in fields(Entry))
_SCHEMA = pyarrow.schema([(name, pyarrow.int64() if name == "row" else pyarrow.string()) for name in _COLUMNS])


@dataclass(frozen=True, slots=True)
class Ledger:
    """One entry for each of `rows_in` rows; `rows_in` is counted where files are read, so that `check` can fail."""

    rows_in: int
    entries: tuple[Entry, ...]

    def counts(self) -> dict[str, Any]:
        """rows, each fate, and under `dropped_because` the number of rows for each reason."""
        by_fate = Counter(entry.fate for entry in self.entries)
        because = Counter(entry.reason for entry in self.entries if entry.fate == "dropped")
        return {"rows": self.rows_in, **{fate: by_fate[fate] for fate in FATES}, "dropped_because": dict(because)}

    def check(self) -> None:
        """Assert that rows in = trained + held out + dropped, each row once, each with a reason."""
        counted = self.counts()
        total = sum(counted[fate] for fate in FATES)
        assert total == self.rows_in == len(self.entries), f"{self.rows_in} rows in, {total} with a fate"
        assert sorted(entry.row for entry in self.entries) == list(range(self.rows_in)), "a row is missing or twice"
        assert all(entry.reason for entry in self.entries), "a row has a fate without a reason"
        kept = Counter((entry.fate, entry.id) for entry in self.entries if entry.fate != "dropped")
        assert all(number == 1 for number in kept.values()), "an id occurs twice in one split"

    def without(self, named: Mapping[tuple[Fate, str], str], reason: str) -> Ledger:
        """The same with rows dropped for `reason`, given as (split, id) with what explains it."""
        return Ledger(self.rows_in, tuple(
            replace(entry, fate="dropped", reason=reason, detail=named[entry.fate, entry.id])
            if (entry.fate, entry.id) in named else entry
            for entry in self.entries
        ))  # fmt: skip

    def write(self, path: Path) -> None:
        """Write as parquet, one row an entry, columns as the fields of `Entry`."""
        columns = list(zip(*map(astuple, self.entries), strict=True)) or [()] * len(_COLUMNS)
        arrays = [pyarrow.array(column, kind.type) for column, kind in zip(columns, _SCHEMA, strict=True)]
        schema = _SCHEMA.with_metadata({"rows_in": str(self.rows_in)})
        parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), path)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """The ledger that `write` left at `path`."""
        table = parquet.read_table(path)
        columns: Sequence[Sequence[Any]] = [table.column(name).to_pylist() for name in _COLUMNS]
        entries = tuple(Entry(*values) for values in zip(*columns, strict=True))
        return cls(int(table.schema.metadata[b"rows_in"]), entries)
