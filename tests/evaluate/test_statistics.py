"""Intervals hold what they promise; comparisons say better, worse or cannot tell."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tests.evaluate.inventions import objects

from tunewright.evaluate import metrics, statistics
from tunewright.recipe.errors import DataRefusal
from tunewright.recipe.tasks import KINDS
from tunewright.values import Predictions, Span


def draw_from(confusion_cc: np.ndarray, rows_c: np.ndarray, seed: int) -> Predictions:
    """Predictions whose chances of confusing labels are known; class sizes are fixed, as a stratified split does."""
    rng, classes = np.random.default_rng(seed), len(rows_c)
    targets = np.repeat(np.arange(classes), rows_c)
    said = np.concatenate([rng.choice(classes, size=n, p=confusion_cc[c]) for c, n in enumerate(rows_c)])
    return Predictions("model", "test", tuple(map(str, range(len(targets)))), np.eye(classes)[said], targets)


def random_confusion(classes: int, accuracy: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    wrong = rng.dirichlet(np.full(classes, 0.5), size=classes)
    np.fill_diagonal(wrong, 0)
    wrong *= (1 - accuracy) / wrong.sum(axis=1, keepdims=True)
    return wrong + accuracy * np.eye(classes)


def true_scores(confusion_cc: np.ndarray, rows_c: np.ndarray) -> dict[str, float]:
    expected = confusion_cc * rows_c[:, None]
    counts = metrics.ClassCounts(np.diag(expected), expected.sum(axis=0), expected.sum(axis=1))
    scores = metrics.average_scores(counts)
    return scores | {"accuracy": float(scores["micro_f1"])}


def coverage(confusion_cc: np.ndarray, rows_c: np.ndarray, wanted: tuple[str, ...], trials: int) -> dict[str, float]:
    truth, held = true_scores(confusion_cc, rows_c), dict.fromkeys(wanted, 0)
    for seed in range(trials):
        some = draw_from(confusion_cc, rows_c, seed)
        for metric, span in statistics.intervals(some, "classification", resamples=400, seed=seed, only=wanted).items():
            held[metric] += span.low <= truth[metric] <= span.high
    return {metric: count / trials for metric, count in held.items()}


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    for metric, share in coverage(random_confusion(6, 0.85), np.full(6, 40), ("accuracy", "macro_f1"), 150).items():
        assert 0.89 <= share <= 0.99, metric


@pytest.mark.heavy
@pytest.mark.parametrize(("classes", "rows", "accuracy"), [(2, 60, 0.9), (16, 20, 0.9), (16, 20, 0.97), (40, 30, 0.8)])
def test_coverage_over_many_classes_and_accuracies(classes: int, rows: int, accuracy: float) -> None:
    wanted = ("accuracy", "balanced_accuracy", "macro_precision", "macro_f1", "weighted_f1")
    for metric, share in coverage(random_confusion(classes, accuracy), np.full(classes, rows), wanted, 800).items():
        assert 0.9 <= share <= 0.98, metric


@pytest.mark.heavy
def test_coverage_of_auroc_calibration_and_regression() -> None:
    held, trials = dict.fromkeys(("auroc", "calibrated", "overconfident", "mae", "rmse", "spearman"), 0), 600
    true_auroc = stats.norm.cdf(1.5 / np.sqrt(2))
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        targets = rng.permutation(np.repeat([0, 1], [150, 50]))
        score = rng.normal(size=200) + 1.5 * targets
        held["auroc"] += holds(score_as_outputs(score), targets, "auroc", "classification", true_auroc)
        sure = rng.uniform(0.5, 1, size=400)
        wrong = (rng.random(400) >= sure).astype(int)
        held["calibrated"] += holds(two_sided(sure), wrong, "calibration_error", "classification", 0.0)
        wrong = (rng.random(400) >= sure - 0.2).astype(int)
        held["overconfident"] += holds(two_sided(sure), wrong, "calibration_error", "classification", 0.2)
        values = rng.normal(size=150)
        outputs = values + rng.normal(size=150)
        truth = {"mae": np.sqrt(2 / np.pi), "rmse": 1.0, "spearman": 6 / np.pi * np.arcsin(np.sqrt(0.5) / 2)}
        for metric, value in truth.items():
            held[metric] += holds(outputs, values, metric, "regression", value)
    for metric, count in held.items():
        assert count / trials >= (0.88 if metric == "overconfident" else 0.915), metric


def score_as_outputs(score: np.ndarray) -> np.ndarray:
    chance = 1 / (1 + np.exp(-score))
    return np.stack([1 - chance, chance], axis=1)


def two_sided(sure: np.ndarray) -> np.ndarray:
    return np.stack([sure, 1 - sure], axis=1)


def holds(outputs: np.ndarray, targets: np.ndarray, metric: str, kind: str, truth: float) -> bool:
    some = Predictions("model", "test", tuple(map(str, range(len(targets)))), outputs, targets)
    span = statistics.interval(metric, some, kind, resamples=400)
    assert span is not None
    return span.low <= truth <= span.high


@pytest.mark.parametrize(("hits", "rows"), [(0, 7), (3, 11), (480, 500), (12, 12)])
def test_wilson_is_that_of_scipy(hits: int, rows: int) -> None:
    theirs, ours = stats.binomtest(hits, rows).proportion_ci(0.95, "wilson"), statistics.wilson(hits, rows, 0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_figure_lies_in_its_interval(kind: str, predictions) -> None:
    some = predictions("model", rows=300, classes=4, skill=2.5, kind=kind)
    spans, values = statistics.intervals(some, kind, resamples=300), metrics.measure(some, kind)
    assert list(spans) == list(KINDS[kind].metrics)
    for metric, span in spans.items():
        assert span.low <= values[metric] <= span.high, metric
        assert span.low < span.high and span.level == 0.95 and span.reliable


def test_equal_figures_have_equal_intervals(predictions) -> None:
    spans = statistics.intervals(predictions("model", rows=200, classes=4, skill=2), "classification", resamples=200)
    assert spans["accuracy"] == spans["micro_f1"] == spans["weighted_recall"]


def test_an_interval_is_a_function_of_the_seed_and_says_its_resamples(predictions) -> None:
    some = predictions("model", rows=200, classes=4, skill=2)
    one, same = (statistics.interval("macro_f1", some, "classification", resamples=250, seed=3) for _ in range(2))
    other = statistics.interval("macro_f1", some, "classification", resamples=250, seed=4)
    assert one == same != other
    assert one.method == "stratified bootstrap, 250 resamples"


def test_more_confidence_is_wider(predictions) -> None:
    some = predictions("model", rows=200, classes=4, skill=2)
    for metric in ("accuracy", "macro_f1", "auroc"):
        narrow, wide = (statistics.interval(metric, some, "classification", confidence=c) for c in (0.8, 0.99))
        assert wide.low < narrow.low and narrow.high < wide.high


def test_a_rare_class_makes_averages_unreliable_and_is_named() -> None:
    some = draw_from(random_confusion(3, 0.8), np.array([3, 40, 40]), 1)
    spans = statistics.intervals(some, "classification", resamples=200, labels=("refund", "login", "other"))
    assert spans["macro_f1"].note == "interval unreliable: class refund has 3 rows" and not spans["macro_f1"].reliable
    assert spans["accuracy"].reliable
    several = draw_from(random_confusion(3, 0.8), np.array([1, 4, 40]), 1)
    note = statistics.interval("macro_f1", several, "classification", resamples=200).note
    assert note == "interval unreliable: class 0 has 1 row, 1 more class fewer than 10"


def test_a_faultless_model_is_not_certain_to_be_faultless() -> None:
    targets = np.repeat([0, 1], 15)
    some = Predictions("model", "test", tuple(map(str, range(30))), np.eye(2)[targets], targets)
    span = statistics.interval("macro_f1", some, "classification", resamples=200)
    assert span.high == 1 and span.low == pytest.approx(statistics.wilson(30, 30, 0.95).low) and not span.reliable


def test_the_interval_of_calibration_reaches_zero_where_chance_explains_it() -> None:
    rng = np.random.default_rng(1)
    sure = rng.uniform(0.5, 1, size=300)
    targets = (rng.random(300) >= sure).astype(int)
    some = Predictions("model", "test", tuple(map(str, range(300))), two_sided(sure), targets)
    span = statistics.interval("calibration_error", some, "classification", resamples=200)
    assert span.low == 0 and "perfectly calibrated" in span.note
    wrong = replace(some, targets=1 - targets)
    assert statistics.interval("calibration_error", wrong, "classification", resamples=200).low > 0.3


def test_delongs_error_is_the_spread_of_auroc_over_samples() -> None:
    areas, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        targets = np.repeat([0, 1], [60, 40])
        outputs = score_as_outputs(rng.normal(size=100) + targets)
        placed = metrics.place(outputs, targets)
        areas.append(np.nanmean(placed.auroc_c))
        errors.append(placed.influence_r.std() / 10)
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.12)


def test_what_is_unmeasured_has_no_interval_and_no_difference() -> None:
    some = Predictions("model", "test", ("a", "b"), np.eye(2), np.array([0, 0]))
    assert statistics.interval("auroc", some, "classification") is None
    assert statistics.compare("auroc", some, some, "classification") == statistics.Difference(
        None, None, None, "cannot tell", None)


def test_mcnemar_is_the_binomial_sum_written_out() -> None:
    from math import comb

    right_a = np.array([True] * 9 + [False] * 2 + [True] * 30)
    right_b = np.array([False] * 9 + [True] * 2 + [True] * 30)
    expected = 2 * sum(comb(11, k) for k in range(3)) / 2**11
    assert statistics.mcnemar(right_a, right_b) == pytest.approx(expected)
    assert statistics.mcnemar(right_a, right_a) == 1


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_clearly_better_rung_is_better_and_the_other_way_round_worse(kind: str, predictions) -> None:
    good, bad = (predictions(name, rows=400, classes=4, skill=skill, kind=kind, seed=seed)
                 for name, skill, seed in (("good", 5, 2), ("bad", 1.5, 3)))
    there, back = (statistics.compare_all(*pair, kind, resamples=300) for pair in ((good, bad), (bad, good)))
    for metric in set(KINDS[kind].metrics) - {"calibration_error"}:
        assert there[metric].verdict == "better" and back[metric].verdict == "worse", metric
        assert there[metric].value == pytest.approx(-back[metric].value)
        assert there[metric].interval.low <= there[metric].value <= there[metric].interval.high
        assert there[metric].p_value < 0.05 and there[metric].rows_needed is None


def test_a_rung_is_not_better_than_itself(predictions) -> None:
    some = predictions("model", rows=100, classes=3, skill=2)
    for metric, difference in statistics.compare_all(some, some, "classification", resamples=200).items():
        assert (difference.value, difference.verdict, difference.rows_needed) == (0, "cannot tell", None), metric
        assert difference.p_value == pytest.approx(1)


def test_equal_rungs_are_seldom_told_apart() -> None:
    chances, rows_c = random_confusion(4, 0.8), np.full(4, 40)
    told = dict.fromkeys(("accuracy", "macro_f1"), 0)
    for seed in range(120):
        a, b = draw_from(chances, rows_c, 2 * seed), draw_from(chances, rows_c, 2 * seed + 1)
        for metric, found in statistics.compare_all(a, b, "classification", resamples=200, only=tuple(told)).items():
            told[metric] += found.verdict != "cannot tell"
    assert all(count <= 14 for count in told.values())


def test_pairing_sees_what_two_separate_intervals_do_not() -> None:
    rng = np.random.default_rng(1)
    targets, hard = rng.integers(2, size=600), rng.random(600) < 0.3
    base = np.where(hard, 1 - targets, targets)
    gained = base.copy()
    gained[np.flatnonzero(hard)[:15]] = targets[np.flatnonzero(hard)[:15]]
    ids = tuple(map(str, range(600)))
    a, b = (Predictions(name, "test", ids, np.eye(2)[said], targets) for name, said in (("a", gained), ("b", base)))
    alone = [statistics.interval("accuracy", side, "classification") for side in (a, b)]
    assert alone[0].low < alone[1].high
    assert statistics.compare("accuracy", a, b, "classification").verdict == "better"


def test_as_many_rows_as_said_tell_the_difference_in_four_of_five_samples() -> None:
    needed = statistics.rows_needed(0.05, 0.04, 200)
    error = 0.04 * np.sqrt(200 / needed)
    assert stats.norm.sf(1.96 - 0.05 / error) == pytest.approx(0.8, abs=0.005)
    assert statistics.rows_needed(0.0, 0.04, 200) is None
    assert statistics.rows_needed(0.05, 0.04, 200, power=0.95) > needed


def test_rows_in_another_order_are_paired_by_their_ids(predictions) -> None:
    a, b = (predictions(name, rows=120, classes=3, skill=s, seed=s) for name, s in (("a", 4), ("b", 2)))
    order = np.random.default_rng(0).permutation(120)
    moved = replace(b, row_ids=tuple(b.row_ids[i] for i in order), outputs=b.outputs[order], targets=b.targets[order])
    assert statistics.compare("macro_f1", a, moved, "classification", resamples=200) == statistics.compare(
        "macro_f1", a, b, "classification", resamples=200)


def test_different_rows_are_refused(predictions) -> None:
    a, b = predictions("lora", rows=50, classes=3, skill=3), predictions("champion", rows=40, classes=3, skill=3)
    with pytest.raises(DataRefusal, match="lora and champion cannot be compared: .* .50 and 40, 40 in common"):
        statistics.compare("accuracy", a, b, "classification")
    with pytest.raises(DataRefusal, match="answers of their rows differ"):
        statistics.compare("accuracy", a, replace(a, targets=(a.targets + 1) % 3), "classification")


def covered(kind: str, metric: str, predictions, *, rows: int, trials: int) -> float:
    """How often the interval from `rows` drawn rows holds the figure of the many rows they were drawn from."""
    pool = predictions("model", rows=2500, classes=4, skill=2.5, kind=kind)
    truth, rng, held = metrics.measure(pool, kind, only=(metric,))[metric], np.random.default_rng(5), 0
    for _ in range(trials):
        drawn = rng.choice(2500, size=rows)
        some = replace(pool, row_ids=tuple(map(str, range(rows))), outputs=pool.outputs[drawn],
                       targets=pool.targets[drawn], sizes=None if pool.sizes is None else pool.sizes[drawn])
        span = statistics.interval(metric, some, kind, resamples=300)
        held += span.low <= truth <= span.high
    return held / trials


@pytest.mark.parametrize(("kind", "metric"), [
    ("token_classification", "span_f1"), ("summarisation", "rouge_l"), ("translation", "bleu"),
    ("pretraining", "perplexity")])  # fmt: skip
def test_intervals_of_sums_hold_the_truth_about_as_often_as_they_say(kind, metric, predictions) -> None:
    assert 0.9 <= covered(kind, metric, predictions, rows=120, trials=200) <= 0.99


@pytest.mark.heavy
@pytest.mark.parametrize(("kind", "metric"), [
    ("token_classification", "macro_span_f1"), ("token_classification", "span_f1"), ("summarisation", "rouge_l"),
    ("translation", "chrf"), ("retrieval", "mrr"), ("question_answering", "answered_f1"), ("generation", "json_f1")])
def test_coverage_of_figures_of_sums(kind, metric, predictions) -> None:
    assert 0.915 <= covered(kind, metric, predictions, rows=150, trials=800) <= 0.98


def test_a_figure_of_part_of_the_rows_is_doubted_by_how_many_they_are(predictions) -> None:
    some = predictions("model", rows=60, classes=4, skill=2, kind="question_answering")
    spans = statistics.intervals(some, "question_answering", resamples=300)
    unanswerable = sum(not answers for answers in some.targets)
    assert unanswerable < 30 <= 60 - unanswerable
    assert spans["unanswerable_accuracy"].note == (
        f"interval unreliable: only {unanswerable} questions without an answer")
    assert spans["answered_f1"].reliable and spans["answer_f1"].reliable
    few = predictions("model", rows=12, classes=4, skill=2, kind="summarisation")
    assert statistics.interval("rouge_l", few, "summarisation").note == "interval unreliable: only 12 rows"


def test_resamples_without_a_row_that_the_figure_speaks_of_are_left_out() -> None:
    answer, other = (Span(0, 1, "x"),), (Span(0, 1, "y"),)
    targets = objects([(), (), (), answer, answer])
    some = Predictions("m", "test", tuple("abcde"), objects([None, None, other[0], answer[0], other[0]]), targets)
    span = statistics.interval("answered_f1", some, "question_answering", resamples=500)
    assert 0 <= span.low < 0.5 < span.high <= 1 and not span.reliable


def test_faultless_spans_are_as_certain_as_rows_with_spans_are_many() -> None:
    spans = objects([(Span(0, 2, "a"),)] * 12 + [()] * 500)
    some = Predictions("m", "test", tuple(map(str, range(512))), spans, spans)
    span = statistics.interval("span_f1", some, "token_classification", resamples=200)
    assert span.high == 1 and span.low == pytest.approx(statistics.wilson(12, 12, 0.95).low) and not span.reliable


def test_perplexities_of_different_tokens_are_not_compared(predictions) -> None:
    a, b = (predictions("rung", rows=60, classes=4, skill=skill, kind="pretraining") for skill in (4, 1))
    other_tokens = replace(b, sizes=b.sizes * [1, 2, 1])
    assert statistics.compare("perplexity", a, b, "pretraining", resamples=200).verdict == "better"
    found = statistics.compare_all(a, other_tokens, "pretraining", resamples=200)
    assert found["perplexity"].value is None and found["bits_per_byte"].verdict == "better"


def test_the_better_length_ratio_is_the_one_nearer_to_one() -> None:
    targets = objects(["a b c d"] * 60)
    long, short, right = (
        Predictions(name, "test", tuple(map(str, range(60))), objects([text, text + end] * 30), targets)
        for name, text, end in (("long", "a b c d e f g", " h"), ("short", "a b c", ""), ("right", "a b c d", " e")))
    against = [
        statistics.compare("length_ratio", right, other, "summarisation", resamples=200) for other in (long, short)]
    assert [found.verdict for found in against] == ["better", "better"]
    assert against[0].value == pytest.approx(7.5 / 4 - 1 - (4.5 / 4 - 1))
    assert statistics.compare("length_ratio", long, short, "summarisation", resamples=200).verdict == "worse"


def test_rows_of_texts_in_another_order_keep_their_sizes(predictions) -> None:
    a, b = (predictions("rung", rows=40, classes=3, skill=s, seed=s, kind="generation") for s in (4, 2))
    order = np.random.default_rng(0).permutation(40)
    moved = replace(b, row_ids=tuple(b.row_ids[i] for i in order), outputs=b.outputs[order], targets=b.targets[order],
                    sizes=b.sizes[order])
    assert statistics.compare_all(a, moved, "generation", resamples=100) == statistics.compare_all(
        a, b, "generation", resamples=100)


@pytest.mark.parametrize(("kind", "metric"), [("retrieval", "recall_at_5"), ("summarisation", "exact_match")])
def test_shares_of_rows_of_the_other_kinds_have_the_same_interval_and_test(kind, metric, predictions) -> None:
    a, b = (predictions(name, rows=90, classes=3, skill=s, seed=s, kind=kind) for name, s in (("a", 6), ("b", 2)))
    right = [metrics.measure(side, kind)[metric] for side in (a, b)]
    assert statistics.interval(metric, a, kind) == statistics.wilson(round(right[0] * 90), 90, 0.95)
    hits = [side.outputs <= 5 if kind == "retrieval" else np.array([x == str(y) for x, y in zip(
        side.outputs, side.targets, strict=True)]) for side in (a, b)]
    assert statistics.compare(metric, a, b, kind, resamples=100).p_value == statistics.mcnemar(*hits)
