"""Splits are stratified, keep together what belongs together, and barely move when rows are added."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.split import join_units, split_rows, strata_of
from tunewright.values import Span, Turn

SHARES = {"test": 0.2, "validation": 0.1}


def split(ids, strata, *, units=None, seed=1, shares=SHARES, groups=None):
    return split_rows(ids, strata=strata, units=units or list(range(len(ids))), seed=seed, shares=shares,
                      group_names=groups)  # fmt: skip


def test_every_stratum_is_shared_out_alike():
    strata = ["a"] * 500 + ["b"] * 50 + ["c"] * 3
    fates = split([f"r{i}" for i in range(553)], strata)
    counts = Counter(zip(strata, fates, strict=True))
    assert [counts["a", fate] for fate in ("train", "test", "validation")] == [350, 100, 50]
    assert [counts["b", fate] for fate in ("train", "test", "validation")] == [35, 10, 5]
    assert [counts["c", fate] for fate in ("train", "test", "validation")] == [1, 1, 1]


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    ids = [f"r{i}" for i in range(300)]
    strata = [i % 3 for i in range(300)]
    fates = dict(zip(ids, split(ids, strata), strict=True))
    assert dict(zip(ids[::-1], split(ids[::-1], strata[::-1]), strict=True)) == fates
    assert dict(zip(ids, split(ids, strata, seed=2), strict=True)) != fates


def test_added_rows_move_few_of_those_that_were_there():
    ids = [f"r{i}" for i in range(2000)]
    before = split(ids, ["x"] * 2000)
    after = split(ids + [f"new{i}" for i in range(200)], ["x"] * 2200)[:2000]
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    assert moved < 0.03 * 2000


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=80), st.integers(0, 9))
def test_units_never_straddle_and_train_is_never_empty(rows, seed):
    strata, units = [stratum for stratum, _ in rows], [unit for _, unit in rows]
    fates = split([f"r{i}" for i in range(len(rows))], strata, units=units, seed=seed)
    for unit in set(units):
        assert len({fate for fate, own in zip(fates, units, strict=True) if own == unit}) == 1
    assert "train" in fates


def test_large_units_do_not_flood_a_split():
    units = [0] * 60 + list(range(1, 41))
    for seed in range(20):
        fates = split([f"r{i}" for i in range(100)], ["x"] * 100, units=units, seed=seed)
        assert fates[0] == "train" or Counter(fates)["test"] >= 60
        assert set(fates) == {"train", "test", "validation"}


def test_without_shares_all_rows_train():
    assert split(["a", "b"], [0, 0], shares={}) == ["train", "train"]


def test_linked_rows_are_one_unit_over_any_number_of_steps():
    units = join_units([0, 1, 1, 3, 4], ["x", None, "x", None, "y"])
    assert units[0] == units[1] == units[2]
    assert len({units[0], units[3], units[4]}) == 3


def test_any_number_of_lists_of_names_link_rows():
    units = join_units([0, 1, 2, 3], [None, "x", "x", None], ["c", "c", None, None])
    assert units == [0, 0, 0, 3]


def test_a_named_group_keeps_its_place_when_it_gets_new_rows():
    ids = [f"r{i}" for i in range(90)]
    groups = [f"customer {i // 3}" for i in range(90)]
    units = [i // 3 for i in range(90)]
    before = split(ids, ["x"] * 90, units=units, groups=groups)
    after = split([*ids, "zz"], ["x"] * 91, units=[*units, 29], groups=[*groups, "customer 29"])
    assert before[87:] == after[87:90]
    assert sum(a != b for a, b in zip(before, after, strict=False)) <= 3


def test_strata_are_labels_rarest_labels_and_tenths():
    assert strata_of(["b", "a"], "classification") == ["b", "a"]
    assert strata_of([("a", "b"), ("a",), ()], "multi_label") == ["b", "a", None]
    counts = Counter(strata_of(list(np.random.default_rng(1).normal(size=1000)), "regression"))
    assert sorted(counts.values()) == [100] * 10
    assert len(set(strata_of([1.0] * 50, "regression"))) == 1


def test_strata_of_spans_texts_and_nothing():
    spans = [(Span(0, 1, "a"), Span(2, 3, "b")), (Span(0, 1, "a"),), ()]
    assert strata_of(spans, "token_classification") == ["b", "a", None]
    assert strata_of(spans, "question_answering") == [True, True, False]
    assert strata_of([1.0, 1.0], "retrieval") == strata_of([0.0, 0.0], "pretraining") == [None, None]
    texts = [Turn("x" * (i + 1), "assistant") for i in range(100)]
    for kind in ("generation", "summarisation", "translation"):
        assert sorted(Counter(strata_of(texts, kind)).values()) == [10] * 10
    assert strata_of([1.0] * 5 + [2.0] * 5, "similarity") == strata_of([1.0] * 5 + [2.0] * 5, "regression")
