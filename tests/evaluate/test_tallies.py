"""Sums of rows give every figure of every kind they are for: of all rows, of any resample, and of one row alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluate.inventions import objects

from tunewright.evaluate.metrics import measure
from tunewright.evaluate.tallies import (
    FAMILIES,
    Support,
    count_ranks,
    likelihood_scores,
    rank_scores,
    row_figures,
    tally,
)
from tunewright.recipe.tasks import KINDS
from tunewright.values import Predictions, Span

TALLIED = sorted(FAMILIES)


def repeated(some: Predictions, rows: np.ndarray) -> Predictions:
    """The same rows again, as a resample draws them."""
    sizes = None if some.sizes is None else some.sizes[rows]
    return replace(some, outputs=some.outputs[rows], targets=some.targets[rows], sizes=sizes)


def judged(outputs, targets, sizes=None) -> Predictions:
    return Predictions("model", "test", tuple(map(str, range(len(targets)))), outputs, targets, sizes=sizes)


def test_every_kind_is_measured_by_labels_by_numbers_or_by_sums():
    others = {name for name, kind in KINDS.items() if kind.answers in ("labels", "numbers")}
    assert others | set(FAMILIES) == set(KINDS) and not others & set(FAMILIES)
    for kind in TALLIED:
        figures = [figure for family in FAMILIES[kind] for figure in family.figures]
        assert sorted(figures) == sorted(KINDS[kind].metrics), kind


@pytest.mark.parametrize("kind", TALLIED)
def test_the_figures_of_a_resample_are_those_of_its_rows_written_out(kind, predictions):
    some = predictions("model", rows=40, classes=4, skill=2, kind=kind)
    tallies, rng = tally(some, kind), np.random.default_rng(3)
    drawn_kr = rng.multinomial(40, np.full(40, 1 / 40), size=12)
    ours = tallies.figures(drawn_kr @ tallies.counts_rn)
    for k, drawn_r in enumerate(drawn_kr):
        expected = measure(repeated(some, np.repeat(np.arange(40), drawn_r)), kind)
        for metric, value in expected.items():
            assert ours[metric][k] == pytest.approx(value, rel=1e-9), metric


@pytest.mark.parametrize("kind", TALLIED)
def test_a_row_alone_has_the_figure_of_a_set_of_one(kind, predictions):
    some, metric = predictions("model", rows=12, classes=4, skill=2, kind=kind), KINDS[kind].metric
    for row, value in enumerate(row_figures(some, kind, metric)):
        alone = measure(repeated(some, np.array([row])), kind)[metric]
        assert value == pytest.approx(alone)


@pytest.mark.parametrize("kind", TALLIED)
def test_only_what_is_asked_is_counted(kind, predictions):
    some = predictions("model", rows=20, classes=4, skill=2, kind=kind)
    for metric in KINDS[kind].metrics:
        total = tally(some, kind, (metric,)).total()
        assert set(total) == {metric} and total[metric] == pytest.approx(measure(some, kind)[metric])


def test_perplexity_needs_no_texts_and_texts_no_perplexity():
    sizes = np.array([[2.0, 4, 9], [6.0, 4, 11]])
    blind = judged(np.full(2, None), objects(["a", "b"]), sizes)
    assert measure(blind, "generation", only=("perplexity",)) == {"perplexity": pytest.approx(np.e)}
    spoken = measure(judged(objects(["a", "c"]), objects(["a", "b"])), "summarisation")
    assert spoken["perplexity"] is None and spoken["exact_match"] == 0.5
    unknown = np.where([[True], [False]], np.nan, sizes)
    assert measure(judged(objects(["a", "c"]), objects(["a", "b"]), unknown), "translation")["perplexity"] is None


def test_pretraining_is_measured_by_the_token_and_by_the_byte():
    some = judged(np.array([10.0, 30.0]), np.zeros(2), np.array([[0.0, 8, 16], [0.0, 8, 24]]))
    seen = measure(some, "pretraining")
    assert seen["perplexity"] == pytest.approx(np.exp(40 / 16)) and seen["bits_per_byte"] == pytest.approx(
        40 / np.log(2) / 40)
    assert set(measure(replace(some, sizes=None), "pretraining").values()) == {None}
    hopeless = replace(some, outputs=np.array([1e5, 1e5]))
    assert measure(hopeless, "pretraining")["perplexity"] is None
    assert np.isnan(likelihood_scores(np.zeros(3))["perplexity"])


def test_ranks_by_hand():
    seen = {name: float(value) for name, value in rank_scores(count_ranks(np.array([1, 3, 11, 2])).sum(axis=0)).items()}
    assert seen["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 11 + 1 / 2) / 4)
    assert (seen["recall_at_1"], seen["recall_at_5"], seen["recall_at_10"]) == (1 / 4, 3 / 4, 3 / 4)
    assert seen["ndcg_at_10"] == pytest.approx((1 + 1 / np.log2(4) + 1 / np.log2(3)) / 4)


def test_ranks_are_those_of_scikit_learn():
    from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

    rng = np.random.default_rng(0)
    scores = rng.random((60, 60)) + np.eye(60) * 0.6
    ranks = (scores >= np.diag(scores)[:, None]).sum(axis=1)
    seen = measure(judged(ranks, np.ones(60)), "retrieval")
    assert seen["mrr"] == pytest.approx(label_ranking_average_precision_score(np.eye(60, dtype=int), scores))
    assert seen["ndcg_at_10"] == pytest.approx(ndcg_score(np.eye(60), scores, k=10))
    for k in (1, 5, 10):
        assert seen[f"recall_at_{k}"] == pytest.approx(top_k_accuracy_score(np.arange(60), scores, k=k))


def test_figures_say_what_they_rest_on():
    spans = judged(objects([(Span(0, 1, "a"),), (), ()]), objects([(Span(0, 1, "a"), Span(2, 3, "b")), (), ()]))
    supports = tally(spans, "token_classification").supports
    assert supports["span_f1"] == Support(1, "row with spans", "rows with spans")
    assert supports["macro_span_f1"].number == 1
    asked = judged(np.full(3, None), objects([(Span(0, 1, "x"),), (), ()]))
    supports = tally(asked, "question_answering").supports
    assert supports["answered_f1"].number == 1 and supports["unanswerable_accuracy"].number == 2
    said = judged(objects(["{}", "", "x"]), objects(['{"a": 1}', "text", "x"]))
    assert tally(said, "generation").supports["json_f1"].number == 1


def test_no_spans_anywhere_is_no_error():
    none = judged(objects([(), ()]), objects([(), ()]))
    assert set(measure(none, "token_classification").values()) == {0.0}
    assert tally(none, "token_classification").supports["macro_span_f1"].number == 0
    assert row_figures(none, "token_classification", "span_f1").tolist() == [0, 0]


@pytest.mark.parametrize("kind", TALLIED)
def test_no_rows_measure_nothing(kind):
    empty = judged(np.zeros(0, dtype=object), np.zeros(0, dtype=object))
    assert set(measure(empty, kind).values()) == {None}
