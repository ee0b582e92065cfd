"""Texts that are nearly equal, found without comparing all with all. Knows texts only; must not know rows or splits.

MinHash (Broder 1997) over character shingles, banded for locality-sensitive hashing (Leskovec, Rajaraman, Ullman,
Mining of Massive Datasets, chapter 3); every candidate is then compared exactly: a pair can be missed, not invented.
With 14 bands of 8 a pair of similarity 0.8 is met with probability 0.92, one of 0.9 with 0.9998.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SIMILARITY = 0.8  # share of shingles in common (Jaccard) from which texts are near duplicates
SHINGLE_CHARACTERS = 5
_BANDS, _ROWS_PER_BAND = 14, 8
_TEXTS_PER_CHUNK = 256  # keeps one chunk of shingles inside a core's cache
_NEIGHBOURS = 8  # in a bucket larger than this each text is compared with its first and its nearest members only
_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """`cluster_r` is the first row of each row's cluster (the row itself if it is alone), `like_r` an earlier row that
    this one nearly equals, or -1; both int64 [r]. Clusters are transitive: first and last may be less alike.
    """

    cluster_r: np.ndarray
    like_r: np.ndarray


def find_near_duplicates(texts: Sequence[tuple[str, ...]]) -> NearDuplicates:
    """Rows (a tuple of texts each, equally many) that are alike, each of their texts for itself, by `SIMILARITY`.

    Case, punctuation and spacing do not count.
    """
    plain = [tuple(map(plain_text, row)) for row in texts]
    first_of: dict[tuple[str, ...], int] = {}
    parent = [first_of.setdefault(row, i) for i, row in enumerate(plain)]
    like_r = np.array([first if first != i else -1 for i, first in enumerate(parent)], dtype=np.int64)
    distinct = np.array(list(first_of.values()), dtype=np.int64)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    signatures = _signatures(["\n".join(plain[i]) for i in distinct])
    for i, j in _candidates(signatures):
        earlier, later = int(distinct[i]), int(distinct[j])
        a, b = root(earlier), root(later)
        if a == b and like_r[later] >= 0:
            continue
        if all(_similarity(x, y) >= SIMILARITY for x, y in zip(plain[earlier], plain[later], strict=True)):
            parent[max(a, b)] = min(a, b)
            if like_r[later] < 0:
                like_r[later] = earlier
    return NearDuplicates(np.array([root(i) for i in range(len(plain))], dtype=np.int64), like_r)


def plain_text(text: str) -> str:
    """The text in one case, its words separated by single spaces; as it is where it has no letters or digits."""
    return _NOT_LETTERS.sub(" ", text.casefold()).strip() or text


def _similarity(a: str, b: str) -> float:
    """Jaccard similarity of the shingles of two plain texts."""
    first, second = _shingles(a), _shingles(b)
    return len(first & second) / len(first | second)


@lru_cache(maxsize=1024)
def _shingles(text: str) -> frozenset[str]:
    last = max(len(text) - SHINGLE_CHARACTERS, 0)
    return frozenset(text[i : i + SHINGLE_CHARACTERS] for i in range(last + 1))


def _signatures(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures, uint32 [r, bands * rows per band]."""
    random = np.random.default_rng(20_011)
    hashes = _BANDS * _ROWS_PER_BAND
    factors = random.integers(0, 2**32, hashes, dtype=np.uint32) | np.uint32(1)
    addends = random.integers(0, 2**32, hashes, dtype=np.uint32)
    signatures = np.empty((len(texts), hashes), dtype=np.uint32)
    for start in range(0, len(texts), _TEXTS_PER_CHUNK):
        chunk = texts[start : start + _TEXTS_PER_CHUNK]
        shingles, bounds = _hashed_shingles(chunk)
        mixed = np.empty_like(shingles)
        for k in range(hashes):
            np.multiply(shingles, factors[k], out=mixed)
            np.add(mixed, addends[k], out=mixed)
            signatures[start : start + len(chunk), k] = np.minimum.reduceat(mixed, bounds)[::2]
    return signatures


def _hashed_shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """A hash for each position of the joined texts, and for each text the bounds of its own shingles, interleaved."""
    padded = [text.ljust(SHINGLE_CHARACTERS) for text in texts]
    ends = np.cumsum([len(text) for text in padded])
    starts = np.concatenate([[0], ends[:-1]])
    joined = "".join(padded) + " " * SHINGLE_CHARACTERS
    characters = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
    positions = len(characters) - SHINGLE_CHARACTERS + 1
    hashed = np.zeros(positions, dtype=np.uint32)
    for k in range(SHINGLE_CHARACTERS):
        hashed *= np.uint32(0x9E3779B1)
        hashed += characters[k : k + positions]
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # the finaliser of MurmurHash3
        hashed ^= hashed >> np.uint32(shift)
        hashed *= np.uint32(factor)
    hashed ^= hashed >> np.uint32(16)
    return hashed, np.stack([starts, ends - SHINGLE_CHARACTERS + 1], axis=1).ravel()


def _candidates(signatures: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs (i < j) that share a band and whose signatures agree about as much as near duplicates do, by j, then i."""
    bands = np.split(signatures, _BANDS, axis=1)
    pairs = [_pairs_of_band(band) for band in bands]
    unique = np.unique(np.concatenate(pairs))
    rows = max(len(signatures), 1)
    lowest = SIMILARITY - 0.2  # five standard errors of the estimate from 112 hashes
    for start in range(0, len(unique), 65_536):
        later, earlier = np.divmod(unique[start : start + 65_536], rows)
        agreement = (signatures[earlier] == signatures[later]).mean(axis=1)
        alike = agreement >= lowest
        yield from zip(earlier[alike].tolist(), later[alike].tolist(), strict=True)


def _pairs_of_band(band: np.ndarray) -> np.ndarray:
    """Pairs of rows equal in one band, each as later * rows + earlier, int64 [p]; bounded in large buckets."""
    rows = len(band)
    key = np.zeros(rows, dtype=np.uint64)
    for k in range(band.shape[1]):
        key = (key ^ band[:, k]) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if rows else np.empty(0, np.int64)
    first = np.repeat(order[begins], np.diff(np.append(begins, rows)))
    found = [order * rows + first]
    for offset in range(1, _NEIGHBOURS + 1):
        together = ordered[offset:] == ordered[:-offset]
        found.append(order[offset:][together] * rows + order[:-offset][together])
    pairs = np.concatenate(found)
    return pairs[pairs // max(rows, 1) != pairs % max(rows, 1)]
