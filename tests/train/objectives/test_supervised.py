"""The supervised objective against the losses of torch and of transformers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from transformers.loss.loss_utils import (
    ForQuestionAnsweringLoss,
    ForSequenceClassificationLoss,
    ForTokenClassification,
)
from transformers.trainer_pt_utils import LabelSmoother

from tunewright.train.objectives.supervised import Supervised
from tunewright.values import Batch, Context, Outputs

KINDS = ("classification", "multi_label", "regression")
PROBLEMS = dict(zip(KINDS, ("single_label_classification", "multi_label_classification", "regression"), strict=True))


def context(kind: str, *, rows: int = 7, classes: int = 4, seed: int = 0, scale: float = 3.0) -> Context:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=generator) * scale
    targets = {
        "classification": torch.randint(0, classes, (rows,), generator=generator),
        "multi_label": torch.randint(0, 2, (rows, classes), generator=generator).float(),
        "regression": torch.randn(rows, generator=generator),
    }[kind]
    batch = Batch(
        ids_st=torch.zeros(rows, 1, dtype=torch.int64), lengths_s=torch.ones(rows, dtype=torch.int64), types_st=None,
        owner_s=torch.arange(rows), row_indices_b=torch.arange(rows), targets=targets,
        weights_m=torch.rand(rows, generator=generator),
    )  # fmt: skip
    return Context(batch, Outputs(logits[:, 0] if kind == "regression" else logits, torch.zeros(rows, 2)), kind)


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 90))
@settings(max_examples=20)
def test_the_mean_of_the_values_is_the_loss_of_transformers(kind, seed, rows, classes):
    given = context(kind, rows=rows, classes=classes, seed=seed)
    config = SimpleNamespace(problem_type=PROBLEMS[kind], num_labels=1 if kind == "regression" else classes)
    expected = ForSequenceClassificationLoss(given.batch.targets, given.outputs.logits, config)
    torch.testing.assert_close(Supervised().values(given).mean(), expected)
    assert Supervised().values(given).shape == (rows,)


@pytest.mark.parametrize("smoothing", [0.05, 0.3, 0.9])
def test_smoothed_classification_is_that_of_transformers_and_of_the_formula(smoothing):
    given = context("classification", rows=11)
    values = Supervised(label_smoothing=smoothing).values(given)
    logits, targets = given.outputs.logits, given.batch.targets
    theirs = LabelSmoother(epsilon=smoothing)({"logits": logits}, targets)
    torch.testing.assert_close(values.mean(), theirs)
    soft = F.one_hot(targets, 4) * (1 - smoothing) + smoothing / 4
    torch.testing.assert_close(values, -(soft * logits.log_softmax(-1)).sum(-1))


def test_smoothed_multi_label_draws_each_answer_towards_a_half():
    given = context("multi_label")
    p, y = given.outputs.logits.double().sigmoid(), given.batch.targets.double() * 0.8 + 0.1
    by_hand = -(y * p.log() + (1 - y) * (1 - p).log()).mean(1)
    torch.testing.assert_close(Supervised(label_smoothing=0.2).values(given).double(), by_hand, atol=1e-5, rtol=1e-5)


def test_balanced_weights_give_every_class_the_same_total_and_the_rows_their_number():
    targets = np.array([0] * 6 + [1] * 3 + [2] * 1)
    fitted = Supervised(class_weights="balanced").fitted(targets, kind="classification", classes=3)
    batch = context("classification", rows=10, classes=3).batch
    batch = replace(batch, targets=torch.from_numpy(targets), weights_m=torch.ones(10))
    weights = fitted.weights(batch)
    totals = [float(weights[torch.from_numpy(targets) == c].sum()) for c in range(3)]
    assert totals == pytest.approx([10 / 3] * 3)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    np.testing.assert_allclose(fitted.weight_c.numpy(), expected, rtol=1e-6)


def test_weighted_classification_is_the_weighted_mean_of_torch():
    given = context("classification", rows=30)
    targets = given.batch.targets
    fitted = Supervised(class_weights="balanced").fitted(targets.numpy(), kind="classification", classes=4)
    batch = replace(given.batch, weights_m=torch.ones(30))
    weights = fitted.weights(batch)
    ours = (fitted.values(given) * weights).sum() / weights.sum()
    torch.testing.assert_close(ours, F.cross_entropy(given.outputs.logits, targets, weight=fitted.weight_c))


def test_a_class_that_no_training_row_has_gets_a_finite_weight():
    fitted = Supervised(class_weights="balanced").fitted(np.array([0, 0, 2]), kind="classification", classes=3)
    assert torch.isfinite(fitted.weight_c).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_class_weights_the_weights_are_those_of_the_rows(kind):
    given = context(kind)
    objective = Supervised().fitted(given.batch.targets.numpy(), kind="classification", classes=4)
    assert torch.equal(objective.weights(given.batch), given.batch.weights_m)


def test_class_weights_multiply_the_weights_of_the_rows():
    given = context("classification")
    fitted = Supervised(class_weights="balanced").fitted(given.batch.targets.numpy(), kind="classification", classes=4)
    expected = given.batch.weights_m * fitted.weight_c[given.batch.targets]
    assert torch.equal(fitted.weights(given.batch), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_computed_in_float32_whatever_the_logits_are(kind):
    given = context(kind)
    narrow = Context(given.batch, Outputs(given.outputs.logits.bfloat16(), given.outputs.vectors_md), kind)
    assert Supervised().values(narrow).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_a_thousand_stay_finite(kind):
    given = context(kind, scale=1000.0)
    assert torch.isfinite(Supervised(label_smoothing=0 if kind == "regression" else 0.1).values(given)).all()


# ---- answers at tokens


def tagged(seed: int, *, rows: int = 5, tags: int = 7) -> tuple[Context, torch.Tensor, torch.Tensor]:
    """A batch of asked tokens, and the same as the library has it: logits [s, t, c], labels −100 where none is."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 9, tags, generator=generator)
    labels = torch.randint(-1, tags, (rows, 9), generator=generator)
    labels[0, 0] = 1
    at_m = (labels.flatten() >= 0).nonzero().squeeze(1)
    batch = Batch(
        ids_st=torch.zeros(rows, 9, dtype=torch.int64), lengths_s=torch.full((rows,), 9), types_st=None,
        owner_s=torch.arange(rows), row_indices_b=torch.arange(rows), targets=labels.flatten()[at_m],
        weights_m=torch.ones(len(at_m)), at_m=at_m,
    )  # fmt: skip
    outputs = Outputs(logits.flatten(0, 1)[at_m], torch.zeros(len(at_m), 2))
    return Context(batch, outputs, "token_classification"), logits, labels.where(labels >= 0, -100)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_the_mean_over_tags_is_the_loss_of_transformers(seed):
    given, logits, labels = tagged(seed)
    expected = ForTokenClassification(logits, labels, SimpleNamespace(num_labels=logits.shape[-1]))
    objective = Supervised().fitted(np.zeros(0), kind="token_classification", classes=3)
    weights = objective.weights(given.batch)
    torch.testing.assert_close((objective.values(given) * weights).sum() / weights.sum(), expected)
    smooth = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.2)
    torch.testing.assert_close(Supervised(label_smoothing=0.2).values(given).mean(), smooth)


def asked(seed: int, *, rows: int = 4, windows: int = 6) -> tuple[Context, torch.Tensor, torch.Tensor]:
    """Questions, some over several windows: candidates are the first token and those from the fourth on."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(windows, 10, 2, generator=generator) * 3
    lengths = torch.randint(4, 11, (windows,), generator=generator)
    candidate = (torch.arange(10) < lengths[:, None]) & ((torch.arange(10) == 0) | (torch.arange(10) >= 3))
    ends = torch.zeros(windows, 2, dtype=torch.int64)
    marks = torch.zeros(windows, 10, dtype=torch.int64)
    for window in range(windows):
        places = candidate[window].nonzero().squeeze(1)
        pair = torch.randint(0, len(places), (2,), generator=generator).sort().values
        ends[window] = places[pair]
        marks[window, ends[window, 0]] |= 1
        marks[window, ends[window, 1]] |= 2
    at_m = candidate.flatten().nonzero().squeeze(1)
    owner = torch.randint(0, rows, (windows,), generator=generator).sort().values
    batch = Batch(
        ids_st=torch.zeros(windows, 10, dtype=torch.int64), lengths_s=lengths, types_st=None, owner_s=owner,
        row_indices_b=torch.arange(rows), targets=marks.flatten()[at_m], weights_m=torch.ones(len(at_m)), at_m=at_m,
    )  # fmt: skip
    context = Context(batch, Outputs(logits.flatten(0, 1)[at_m], torch.zeros(len(at_m), 2)), "question_answering")
    return context, logits.masked_fill(~candidate[..., None], -1e9), ends


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_the_mean_over_ends_of_answers_is_the_loss_of_transformers(seed):
    given, logits, ends = asked(seed)
    objective = Supervised().fitted(np.zeros(0), kind="question_answering", classes=0)
    weights, values = objective.weights(given.batch), objective.values(given)
    expected = ForQuestionAnsweringLoss(logits[..., 0], logits[..., 1], ends[:, 0], ends[:, 1])
    torch.testing.assert_close((values * weights).sum() / weights.sum(), expected)
    assert float(weights.sum()) == len(ends), "every window counts once, a beginning and an end half each"
    assert values.shape == weights.shape == given.batch.targets.shape
    assert not values[given.batch.targets == 0].any()


def test_ends_of_answers_have_the_gradient_of_transformers_and_logits_of_a_thousand_are_no_trouble():
    given, logits, ends = asked(3)
    ours, theirs = given.outputs.logits.clone().requires_grad_(), logits.clone().requires_grad_()
    objective = Supervised().fitted(np.zeros(0), kind="question_answering", classes=0)
    weights = objective.weights(given.batch)
    context = Context(given.batch, Outputs(ours, given.outputs.vectors_md), "question_answering")
    ((objective.values(context) * weights).sum() / weights.sum()).backward()
    ForQuestionAnsweringLoss(theirs[..., 0], theirs[..., 1], ends[:, 0], ends[:, 1]).backward()
    torch.testing.assert_close(ours.grad, theirs.grad.flatten(0, 1)[given.batch.at_m])
    loud = Context(given.batch, Outputs(ours.detach() * 1000, given.outputs.vectors_md), "question_answering")
    assert torch.isfinite(objective.values(loud)).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_texts_have_the_loss_of_torch_over_the_whole_vocabulary(smoothing):
    generator = torch.Generator().manual_seed(2)
    vectors, vocabulary = torch.randn(11, 8, generator=generator), torch.randn(40, 8, generator=generator)
    batch = context("classification", rows=11, classes=40).batch
    outputs = Outputs(None, vectors, vocabulary)
    values = Supervised(label_smoothing=smoothing).values(Context(batch, outputs, "generation"))
    logits = vectors @ vocabulary.t()
    expected = F.cross_entropy(logits, batch.targets, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(values, expected)


@pytest.mark.parametrize(("options", "refused"), [
    ({}, set()),
    ({"label_smoothing": 0.1}, {"regression"}),
    ({"class_weights": "balanced"}, {"regression", "multi_label"}),
], ids=["none", "smoothing", "weights"])  # fmt: skip
def test_options_that_make_no_sense_for_a_kind_are_refused(options, refused):
    assert {kind for kind in KINDS if Supervised(**options).refusal(kind)} == refused


def test_cosines_are_fitted_to_answers_and_passages_are_not_fitted():
    batch = context("regression").batch
    cosines = torch.linspace(-1, 1, batch.rows)
    seen = Supervised().values(Context(batch, Outputs(cosines, torch.zeros(batch.rows, 2, 2)), "similarity"))
    assert torch.equal(seen, torch.nn.functional.mse_loss(cosines, batch.targets, reduction="none"))
    assert Supervised().refusal("similarity") is None
    assert "similarity has none" in Supervised(label_smoothing=0.1).refusal("similarity")
    assert "contrastive" in Supervised().refusal("retrieval")


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_outside_its_range_is_refused(smoothing):
    with pytest.raises(ValueError, match="label_smoothing must be at least 0 and below 1"):
        Supervised(label_smoothing=smoothing)
