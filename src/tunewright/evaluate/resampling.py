"""Bootstrap resamples as counts. Knows cells of rows that count alike; must not know intervals, gates or reports.

Rows with the same answer and the same predictions contribute alike, so a resample is a draw of how often each *cell* of
such rows occurs: exactly the bootstrap over rows, at the price of the cells. A statistic maps draws [k, m] to one value
per resample. Shape legend: r rows, m cells, c classes, k resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from tunewright.evaluate import metrics
from tunewright.evaluate.metrics import ClassCounts
from tunewright.evaluate.tallies import Tallies

Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]

_NUMBERS_AT_ONCE = 4_000_000  # float64 numbers of one chunk of draws: 32 MB


@dataclass(frozen=True, slots=True)
class Cells:
    """Groups of rows that count alike.

    `size_m` rows are in each cell, `first_m` is one row of it, and cells of one `stratum_m` are resampled among
    themselves, so that the number of rows of a stratum never changes.
    """

    size_m: np.ndarray
    first_m: np.ndarray
    stratum_m: np.ndarray


def single_rows(rows: int) -> Cells:
    """Every row a cell of its own, all in one stratum."""
    return Cells(np.ones(rows, np.int64), np.arange(rows), np.zeros(rows, np.int64))


def group_rows(*columns_r: np.ndarray, stratum_r: np.ndarray | None = None) -> Cells:
    """Rows with equal entries in all columns (integers [r]) form a cell; strata must be one of the columns, or None."""
    _, first_m, size_m = np.unique(np.stack(columns_r, axis=1), axis=0, return_index=True, return_counts=True)
    stratum_m = np.zeros(len(first_m), np.int64) if stratum_r is None else stratum_r[first_m]
    return Cells(size_m, first_m, stratum_m)


def resample(statistic: Statistic, cells: Cells, *, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """The statistic in each of `resamples` bootstrap samples: float64 [k] per figure, a function of the seed."""
    chunks = [statistic(drawn_km) for drawn_km in _draw(cells, resamples, np.random.default_rng(seed))]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _draw(cells: Cells, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each cell occurs in each resample, float64 [k, m], in chunks of resamples."""
    rows = int(cells.size_m.sum())
    strata = [np.flatnonzero(cells.stratum_m == s) for s in np.unique(cells.stratum_m)]
    at_once = max(1, _NUMBERS_AT_ONCE // max(rows, len(cells.size_m)))
    for start in range(0, resamples, at_once):
        k = min(at_once, resamples - start)
        drawn_km = np.empty((k, len(cells.size_m)))
        for members in strata:
            drawn_km[:, members] = _draw_stratum(cells.size_m[members], k, rng)
        yield drawn_km


def _draw_stratum(size_m: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Multinomial counts [k, m]; by drawing rows where there are nearly as many cells as rows, which is faster."""
    rows, m = int(size_m.sum()), len(size_m)
    if m == 1 or 8 * m < rows:
        return rng.multinomial(rows, size_m / rows, size=resamples)
    cell_of = np.repeat(np.arange(m), size_m)[rng.integers(rows, size=(resamples, rows), dtype=np.int32)]
    cell_of += np.arange(resamples)[:, None] * m
    return np.bincount(cell_of.ravel(), minlength=resamples * m).reshape(resamples, m)


def label_scores(decided: np.ndarray, targets: np.ndarray, classes: int) -> Statistic:
    """Macro, micro and weighted scores of cells whose decisions and answers are int64 [m] or bool [m, c]."""
    if decided.ndim == 1:
        decided, targets = (x[:, None] == np.arange(classes) for x in (decided, targets))
    has = targets.astype(bool)
    parts = sparse.csr_matrix(np.concatenate([decided & has, decided, has], axis=1), dtype=np.float64)

    def scores(drawn_km: np.ndarray) -> dict[str, np.ndarray]:
        return metrics.average_scores(ClassCounts(*np.split(drawn_km @ parts, 3, axis=1)))

    return scores


def sums(tallies: Tallies) -> Statistic:
    """The figures of tallied rows; cells are single rows."""
    return lambda drawn_km: tallies.figures(drawn_km @ tallies.counts_rn)


def share(name: str, right_m: np.ndarray) -> Statistic:
    """The share of rows that are right, from bool (or −1, 0, 1) [m]."""
    return lambda drawn_km: {name: drawn_km @ right_m.astype(np.float64) / drawn_km.sum(axis=1)}


def calibration(outputs: np.ndarray, targets: np.ndarray) -> Statistic:
    """Expected calibration error of resampled rows, bins as in the whole sample; cells are single rows."""
    gap, bin_of, _ = metrics.calibration_gaps(outputs, targets)
    row_of = np.repeat(np.arange(len(outputs)), len(gap) // len(outputs))
    gap_mb = sparse.csr_matrix((gap, (row_of, bin_of)), shape=(len(outputs), metrics.CALIBRATION_BINS))
    return lambda drawn_km: {"calibration_error": np.abs(drawn_km @ gap_mb).sum(axis=1) / len(gap)}


def errors(outputs: np.ndarray, targets: np.ndarray) -> Statistic:
    """MAE, RMSE and Spearman's rank correlation of resampled rows; cells are single rows."""
    error = outputs.astype(np.float64) - targets
    sizes_m2 = np.stack([np.abs(error), error**2], axis=1)
    rank_outputs, rank_targets = _ranker(outputs), _ranker(targets)

    def figures(drawn_km: np.ndarray) -> dict[str, np.ndarray]:
        mae, squared = (drawn_km @ sizes_m2 / drawn_km.sum(axis=1, keepdims=True)).T
        correlation = _correlation(rank_outputs(drawn_km), rank_targets(drawn_km), drawn_km)
        return {"mae": mae, "rmse": np.sqrt(squared), "spearman": correlation}

    return figures


def _ranker(values_m: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Mid-ranks [k, m] of the rows within each resample."""
    order = np.argsort(values_m, kind="stable")
    ranked = stats.rankdata(values_m, method="dense")[order] - 1
    starts = np.flatnonzero(np.diff(ranked, prepend=-1))
    place_m = np.empty(len(order), np.int64)
    place_m[order] = ranked

    def ranks(drawn_km: np.ndarray) -> np.ndarray:
        tied_kg = np.add.reduceat(drawn_km[:, order], starts, axis=1)
        return (np.cumsum(tied_kg, axis=1) - (tied_kg - 1) / 2)[:, place_m]

    return ranks


def _correlation(a_km: np.ndarray, b_km: np.ndarray, weight_km: np.ndarray) -> np.ndarray:
    """Weighted Pearson correlation [k]; 0 where one side does not vary."""
    total_k = weight_km.sum(axis=1, keepdims=True)
    a_km = a_km - (a_km * weight_km).sum(axis=1, keepdims=True) / total_k
    b_km = b_km - (b_km * weight_km).sum(axis=1, keepdims=True) / total_k
    above, aa, bb = ((x * y * weight_km).sum(axis=1) for x, y in ((a_km, b_km), (a_km, a_km), (b_km, b_km)))
    return np.divide(above, np.sqrt(aa * bb), out=np.zeros(len(above)), where=aa * bb > 0)
