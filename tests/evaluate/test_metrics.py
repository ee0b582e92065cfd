"""Figures against scikit-learn and plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from tunewright.evaluate import metrics
from tunewright.recipe.tasks import KINDS
from tunewright.values import Predictions, Span

AVERAGES = ("macro", "micro", "weighted")


def judged(outputs: np.ndarray, targets: np.ndarray) -> Predictions:
    return Predictions("model", "test", tuple(map(str, range(len(outputs)))), outputs, targets)


def random_softmax(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    outputs = rng.dirichlet(np.ones(classes), size=rows).round(2).astype(np.float32)  # rounding makes ties
    return outputs, rng.integers(classes, size=rows)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 60), classes=st.integers(2, 9))
def test_single_label_figures_are_those_of_scikit_learn(seed: int, rows: int, classes: int) -> None:
    outputs, targets = random_softmax(seed, rows, classes)
    said, ours = outputs.argmax(axis=1), metrics.measure(judged(outputs, targets), "classification")
    assert list(ours) == list(KINDS["classification"].metrics)
    assert ours["accuracy"] == pytest.approx(oracle.accuracy_score(targets, said))
    present = np.unique(targets)
    recalls = oracle.recall_score(targets, said, labels=present, average=None, zero_division=0)
    assert ours["balanced_accuracy"] == pytest.approx(recalls.mean())
    for average in AVERAGES:
        scores = oracle.precision_recall_fscore_support(targets, said, average=average, zero_division=0)[:3]
        for name, score in zip(("precision", "recall", "f1"), scores, strict=True):
            assert ours[f"{average}_{name}"] == pytest.approx(score), (average, name)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 60), classes=st.integers(2, 7))
def test_multi_label_figures_are_those_of_scikit_learn_over_labels_that_occur(
    seed: int, rows: int, classes: int
) -> None:
    rng = np.random.default_rng(seed)
    outputs, targets = rng.random((rows, classes)).astype(np.float32), (rng.random((rows, classes)) < 0.3).astype(float)
    said, ours = outputs >= 0.5, metrics.measure(judged(outputs, targets), "multi_label")
    assert ours["exact_match"] == pytest.approx(oracle.accuracy_score(targets, said))
    occurring = np.flatnonzero(targets.any(axis=0) | said.any(axis=0))
    for average in AVERAGES:
        scores = oracle.precision_recall_fscore_support(
            targets, said, average=average, labels=occurring, zero_division=0)[:3] if len(occurring) else (0, 0, 0)
        for name, score in zip(("precision", "recall", "f1"), scores, strict=True):
            assert ours[f"{average}_{name}"] == pytest.approx(score), (average, name)


def test_auroc_is_the_macro_one_vs_rest_of_scikit_learn_with_ties() -> None:
    outputs, targets = random_softmax(3, 200, 4)
    outputs = outputs.astype(np.float64)
    expected = np.mean([oracle.roc_auc_score(targets == c, outputs[:, c]) for c in range(4)])
    assert metrics.auroc(outputs, targets) == pytest.approx(expected)


def test_auroc_leaves_out_labels_that_have_one_side_only() -> None:
    outputs, targets = random_softmax(4, 50, 3)
    targets = targets % 2
    expected = np.mean([oracle.roc_auc_score(targets == c, outputs[:, c]) for c in range(2)])
    assert metrics.auroc(outputs, targets) == pytest.approx(expected)


def test_the_influences_of_rows_on_auroc_average_to_nothing() -> None:
    outputs, targets = random_softmax(5, 80, 3)
    assert metrics.place(outputs, targets).influence_r.mean() == pytest.approx(0, abs=1e-12)


def test_regression_figures_are_those_of_scikit_learn_and_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    targets = rng.normal(size=70).round(1).astype(np.float32)
    outputs = (targets + rng.normal(size=70)).round(1).astype(np.float32)
    ours = metrics.measure(judged(outputs, targets), "regression")
    assert ours["mae"] == pytest.approx(oracle.mean_absolute_error(targets, outputs), rel=1e-5)
    assert ours["rmse"] == pytest.approx(oracle.root_mean_squared_error(targets, outputs), rel=1e-5)
    assert ours["spearman"] == pytest.approx(stats.spearmanr(targets, outputs).statistic)


def test_calibration_error_is_the_mean_gap_of_equal_mass_bins() -> None:
    outputs, targets = random_softmax(6, 300, 3)
    outputs = np.random.default_rng(6).dirichlet(np.ones(3), size=300)  # no ties: bins of 20 rows each
    sure, right = outputs.max(axis=1), outputs.argmax(axis=1) == targets
    order = np.argsort(sure)
    gaps = [abs(sure[part].mean() - right[part].mean()) for part in np.array_split(order, metrics.CALIBRATION_BINS)]
    assert metrics.calibration_error(outputs, targets) == pytest.approx(np.mean(gaps))


def test_calibration_error_does_not_depend_on_the_order_of_rows_that_are_equally_sure() -> None:
    rng = np.random.default_rng(7)
    outputs, targets = np.tile([0.7, 0.3], (90, 1)), (rng.random(90) < 0.4).astype(int)
    shuffled = rng.permutation(90)
    assert metrics.calibration_error(outputs, targets) == pytest.approx(
        metrics.calibration_error(outputs[shuffled], targets[shuffled]))
    assert metrics.calibration_error(outputs, targets) == pytest.approx(abs(0.7 - (targets == 0).mean()))


def test_calibration_bins_hold_every_prediction_and_give_the_error_back() -> None:
    outputs, targets = random_softmax(8, 130, 4)
    bins = metrics.calibration_bins(outputs, targets)
    assert sum(item.count for item in bins) == 130
    error = sum(item.count * abs(item.confidence - item.accuracy) for item in bins) / 130
    assert error == pytest.approx(metrics.calibration_error(outputs, targets))


def test_what_cannot_be_measured_is_none() -> None:
    one_class = metrics.measure(judged(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 0])), "classification")
    assert one_class["auroc"] is None and one_class["accuracy"] == 1
    constant = metrics.measure(judged(np.ones(5), np.arange(5.0)), "regression")
    assert constant["spearman"] is None and constant["mae"] == pytest.approx(1.4)
    assert set(metrics.measure(judged(np.zeros((0, 3)), np.zeros(0, int)), "classification").values()) == {None}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_one_figure_is_the_same_alone_and_among_all(kind: str, predictions) -> None:
    some = predictions("model", rows=90, classes=4, skill=2, kind=kind)
    for metric, value in metrics.measure(some, kind).items():
        assert metrics.value_of(metric, some.outputs, some.targets, kind, sizes=some.sizes) == value


def test_the_confusion_matrix_is_that_of_scikit_learn_and_names_its_worst_pairs(predictions) -> None:
    some = predictions("model", rows=200, classes=5, skill=2)
    said = some.outputs.argmax(axis=1)
    expected = oracle.confusion_matrix(some.targets, said, labels=range(5))
    assert (metrics.confusion(some, 5) == expected).all()
    table = metrics.tabulate_confusion(some, list("abcde"), pairs=3)
    off = expected - np.diag(np.diag(expected))
    assert [pair.rows for pair in table.pairs] == sorted(off.ravel(), reverse=True)[:3]
    first = table.pairs[0]
    assert first.rows == off["abcde".index(first.answer), "abcde".index(first.said)]
    assert first.share == pytest.approx(first.rows / expected["abcde".index(first.answer)].sum())


def test_a_faultless_model_confuses_no_pair() -> None:
    assert metrics.tabulate_confusion(judged(np.eye(3), np.arange(3)), list("abc")).pairs == ()


def test_class_scores_are_those_of_scikit_learn_and_none_without_a_denominator() -> None:
    outputs, targets = random_softmax(9, 80, 4)
    outputs[:, 3] = 0  # never predicted
    targets[targets == 2] = 1  # never the answer
    precision, recall, f1, rows = oracle.precision_recall_fscore_support(
        targets, outputs.argmax(axis=1), labels=range(4), zero_division=np.nan)
    scores = metrics.per_class(judged(outputs, targets), list("abcd"))
    assert [score.rows for score in scores] == list(rows)
    for mine, theirs in (("precision", precision), ("recall", recall), ("f1", f1)):
        values = [getattr(score, mine) for score in scores]
        assert [np.nan if v is None else v for v in values] == pytest.approx(list(theirs), nan_ok=True)
    assert scores[3].precision is None and scores[2].recall is None


def test_label_scores_of_spans_are_those_of_seqeval() -> None:
    from seqeval.metrics import classification_report

    texts = ("B-a I-a O B-b", "O B-a B-b I-b", "B-c O O O"), ("B-a I-a B-b O", "B-a O B-b I-b", "O B-a O O")
    true, said = ([row.split() for row in rows] for rows in texts)
    spans = []
    for rows in (true, said):
        starts = [[Span(i, i + 1 + (i + 1 < len(row) and row[i + 1][0] == "I"), tag[2:])
                   for i, tag in enumerate(row) if tag[0] == "B"] for row in rows]
        spans.append(np.fromiter(map(tuple, starts), dtype=object, count=len(rows)))
    theirs = classification_report(true, said, output_dict=True, zero_division=0)
    for score in metrics.per_class(judged(spans[1], spans[0]), ["a", "b", "c"]):
        assert score.rows == theirs[score.label]["support"] and (score.f1 or 0) == pytest.approx(
            theirs[score.label]["f1-score"])
        assert (score.precision or 0) == pytest.approx(theirs[score.label]["precision"])
    assert score.predicted == 0 and score.precision is None


def test_only_what_is_asked_for_is_measured(predictions) -> None:
    some = predictions("model", rows=50, classes=3, skill=2)
    whole = metrics.measure(some, "classification")
    for only in (("auroc",), ("macro_f1", "auroc"), ()):
        assert metrics.measure(some, "classification", only=only) == {metric: whole[metric] for metric in only}


def test_a_length_ratio_stands_by_its_distance_from_one() -> None:
    assert metrics.standing("length_ratio", 1.25) == metrics.standing("length_ratio", 0.75) == -0.25
    assert metrics.standing("rouge_l", 0.4) == 0.4
    assert metrics.standing("length_ratio", np.array([1.0, 3.0])).tolist() == [0, -2]
