"""The bootstrap by cells is the bootstrap by rows."""

import numpy as np
import pytest
from scipy import stats

from tunewright.evaluate import metrics, resampling


def draws_of(cells: resampling.Cells, *, resamples: int = 300, seed: int = 1) -> np.ndarray:
    return resampling.resample(lambda drawn: {"drawn": drawn}, cells, resamples=resamples, seed=seed)["drawn"]


def test_rows_that_count_alike_share_a_cell() -> None:
    answers, said = np.array([0, 0, 1, 1, 1]), np.array([0, 0, 1, 0, 1])
    cells = resampling.group_rows(answers, said, stratum_r=answers)
    assert sorted(zip(answers[cells.first_m], said[cells.first_m], cells.size_m, strict=True)) == [
        (0, 0, 2), (1, 0, 1), (1, 1, 2)]
    assert (cells.stratum_m == answers[cells.first_m]).all()


@pytest.mark.parametrize("sizes", [[1] * 40, [30, 8, 2], [5]])
def test_every_resample_has_as_many_rows_as_there_are(sizes: list[int]) -> None:
    size_m = np.array(sizes)
    drawn = draws_of(resampling.Cells(size_m, np.arange(len(size_m)), np.zeros(len(size_m), int)))
    assert (drawn.sum(axis=1) == size_m.sum()).all()
    spread = np.sqrt(size_m * (1 - size_m / size_m.sum()) / len(drawn))
    assert (np.abs(drawn.mean(axis=0) - size_m) <= 5 * spread + 1e-9).all()


def test_strata_keep_their_rows_in_every_resample() -> None:
    cells = resampling.Cells(np.array([3, 7, 4, 1]), np.arange(4), np.array([0, 0, 1, 1]))
    drawn = draws_of(cells)
    assert (drawn[:, :2].sum(axis=1) == 10).all() and (drawn[:, 2:].sum(axis=1) == 5).all()
    assert drawn[:, 0].std() > 0


def test_resamples_are_a_function_of_the_seed() -> None:
    cells = resampling.single_rows(30)
    assert (draws_of(cells, seed=4) == draws_of(cells, seed=4)).all()
    assert (draws_of(cells, seed=4) != draws_of(cells, seed=5)).any()


def test_small_chunks_still_give_all_resamples(monkeypatch) -> None:
    monkeypatch.setattr(resampling, "_NUMBERS_AT_ONCE", 100)
    assert draws_of(resampling.single_rows(30), resamples=50).shape == (50, 30)


def test_macro_f1_of_cells_is_distributed_as_that_of_resampled_rows(predictions) -> None:
    some = predictions("model", rows=120, classes=4, skill=2)
    said = some.outputs.argmax(axis=1)
    cells = resampling.group_rows(some.targets, said, stratum_r=some.targets)
    statistic = resampling.label_scores(said[cells.first_m], some.targets[cells.first_m], 4)
    ours = resampling.resample(statistic, cells, resamples=3000, seed=1)["macro_f1"]
    rng, plain = np.random.default_rng(2), []
    for _ in range(3000):
        of_class = [np.flatnonzero(some.targets == c) for c in range(4)]
        rows = np.concatenate([rng.choice(members, len(members)) for members in of_class])
        plain.append(metrics.average_scores(metrics.count_classes(said[rows], some.targets[rows], 4))["macro_f1"])
    assert stats.ks_2samp(ours, plain).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["classification", "multi_label"])
def test_statistics_of_the_sample_itself_are_its_figures(kind: str, predictions) -> None:
    some = predictions("model", rows=90, classes=5, skill=2, kind=kind)
    figures, once = metrics.measure(some, kind), np.ones((1, 90))
    scores = resampling.label_scores(metrics.decide(some.outputs, kind), some.targets, 5)(once)
    for name in ("macro_f1", "micro_precision", "weighted_recall"):
        assert scores[name][0] == pytest.approx(figures[name])
    error = resampling.calibration(some.outputs, some.targets)(once)["calibration_error"][0]
    assert error == pytest.approx(figures["calibration_error"])


def test_errors_of_a_resample_are_those_of_its_rows_written_out() -> None:
    rng = np.random.default_rng(3)
    targets = rng.normal(size=40).round(1)  # rounding makes ties
    outputs = (targets + rng.normal(size=40)).round(1)
    statistic, drawn = resampling.errors(outputs, targets), draws_of(resampling.single_rows(40), resamples=20)
    figures = statistic(drawn)
    for k in range(20):
        rows = np.repeat(np.arange(40), drawn[k].astype(int))
        assert figures["spearman"][k] == pytest.approx(stats.spearmanr(outputs[rows], targets[rows]).statistic)
        assert figures["mae"][k] == pytest.approx(np.abs(outputs - targets)[rows].mean())
        assert figures["rmse"][k] == pytest.approx(np.sqrt(((outputs - targets)[rows] ** 2).mean()))


def test_a_share_is_that_of_the_drawn_rows() -> None:
    drawn = np.array([[2.0, 1.0, 1.0]])
    assert resampling.share("accuracy", np.array([1, 0, 1]))(drawn)["accuracy"] == pytest.approx(0.75)
