"""Tunewright: a task, some data and a language model in; a fine-tuned, judged model with its evidence out.

The same verbs as the command line. Nothing heavy is imported until a verb is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

# oneDNN and the layer between it and torch each keep a kernel for every shape of batch, and batches have many: at their
# defaults of 1,024 both together hold more memory than the model. They read these when the first kernel is made.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "64")

__version__ = "0.1.0"

_HOMES = {
    "run": "tunewright.pipeline.run",
    "check": "tunewright.pipeline.check",
    "evaluate_model": "tunewright.pipeline.evaluate",
    "load": "tunewright.pipeline.evaluate",
    "Refusal": "tunewright.recipe.errors",
    "Predictor": "tunewright.serve.predictor",
}

__all__ = ["Predictor", "Refusal", "check", "evaluate_model", "load", "run"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tunewright' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
