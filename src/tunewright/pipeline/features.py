"""The pooled vectors of the untouched base, computed once and kept on disk. Knows plans; must not know what reads them.

They serve the baselines of every run and the training of every phase whose trunk is frozen. A file is keyed by base,
encoding of the texts, pooling, arithmetic and code, so nothing stale is ever read.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import tunewright
from tunewright.model.heads import TaskModel
from tunewright.model.predict import pooled_rows
from tunewright.pipeline.plan import Plan, digest
from tunewright.store import files
from tunewright.values import Encoded

CACHE_BYTES = 4 << 30


class BaseFeatures:
    """Pooled vectors of rows of `plan` by its untouched base, which is built only if something is not cached yet."""

    def __init__(self, plan: Plan, build: Callable[[], TaskModel]):
        self.plan, self._build = plan, build
        self._model: TaskModel | None = None
        self._splits: dict[str, np.ndarray] = {}

    def split(self, name: str) -> np.ndarray:
        """The vectors of one split's rows, float32 [r, d]."""
        if name not in self._splits:
            self._splits[name] = self.of(self.plan.encoded[name])
        return self._splits[name]

    def of(self, encoded: Encoded) -> np.ndarray:
        """The vectors of encoded texts, float32 [r, d]."""
        path = files.home() / "cache" / "features" / f"{self._key(encoded)}.npy"
        if path.exists():
            with files.refusing(path):
                os.utime(path)
                found: np.ndarray = np.load(path, allow_pickle=False)
            return found
        if self._model is None:
            dtype = getattr(torch, str(self.plan.recipe.compute.dtype))
            self._model = self._build()
            self._model.trunk.to(dtype)
        pooled_rd = pooled_rows(self._model, encoded)
        with files.refusing(path.parent):
            _make_room(path.parent, pooled_rd.nbytes)
        content = io.BytesIO()
        np.save(content, pooled_rd, allow_pickle=False)
        files.write_atomically(path, content.getvalue())
        return pooled_rd

    def _key(self, encoded: Encoded) -> str:
        parts = {
            "base": dict(self.plan.base.hashes),
            "adaptations": [repr(adaptation) for adaptation in self.plan.adaptations],
            "seed": self.plan.recipe.seed if self.plan.adaptations else None,
            "importance": [_hash_of(s.numpy()) for scores in self.plan.importance.values() for s in scores],
            "pooling": self.plan.recipe.encode.pooling,
            "dtype": self.plan.recipe.compute.dtype,
            "threads": self.plan.recipe.compute.threads,
            "code": [tunewright.__version__, torch.__version__],
            "tokens": _hash_of(encoded.tokens_n),
            "types": None if encoded.types_n is None else _hash_of(encoded.types_n),
            "starts": _hash_of(encoded.starts_s),
            "owners": _hash_of(encoded.owner_s),
        }
        return digest(parts)[:32]


def _hash_of(numbers: np.ndarray) -> str:
    return hashlib.sha256(numbers.tobytes()).hexdigest()


def _make_room(folder: Path, needed_bytes: int) -> None:
    """Remove the files used longest ago until `needed_bytes` more stay within the cache's bound."""
    if not folder.is_dir():
        return
    kept = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = needed_bytes
    for path in kept:
        total += path.stat().st_size
        if total > CACHE_BYTES:
            path.unlink(missing_ok=True)
