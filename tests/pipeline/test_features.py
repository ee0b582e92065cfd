"""Cached vectors equal computed ones and are never stale."""

from __future__ import annotations

import numpy as np

from tunewright.model.predict import pooled_rows
from tunewright.pipeline import features
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.fit import rebuild
from tunewright.store import files


def made(plan):
    return BaseFeatures(plan, lambda: rebuild(plan, {}, phases=0))


def refuse_to_build():
    raise AssertionError("the vectors are cached, so no model is needed")


def test_cached_vectors_are_those_of_the_untouched_base(tiny_plan):
    plan = tiny_plan("compute.dtype=float32")
    computed = pooled_rows(rebuild(plan, {}, phases=0), plan.encoded["train"])
    assert np.array_equal(made(plan).split("train"), computed)
    assert np.array_equal(BaseFeatures(plan, refuse_to_build).split("train"), computed)


def test_other_texts_pooling_or_number_types_are_other_entries(tiny_plan):
    folder = files.home() / "cache" / "features"
    for count, overrides in enumerate(((), ("encode.pooling=cls",), ("compute.dtype=float32",)), start=1):
        plan = tiny_plan("compute.dtype=bfloat16", *overrides)
        made(plan).split("test")
        assert len(list(folder.glob("*.npy"))) == count
    made(plan).split("validation")
    assert len(list(folder.glob("*.npy"))) == 4


def test_the_cache_is_bounded_and_drops_what_was_used_longest_ago(tiny_plan, monkeypatch):
    import os

    plan = tiny_plan()
    folder = files.home() / "cache" / "features"
    made(plan).split("train")
    (oldest,) = folder.glob("*.npy")
    os.utime(oldest, (1, 1))
    monkeypatch.setattr(features, "CACHE_BYTES", oldest.stat().st_size + 64)
    made(plan).split("test")
    assert not oldest.exists() and len(list(folder.glob("*.npy"))) == 1
