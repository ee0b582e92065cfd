"""The rungs measured beside the model, as predictions on the same frozen rows. Knows how to run each, judges none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from tunewright.data.apart import gather_passages
from tunewright.data.masked import MaskedEncoder
from tunewright.evaluate.baselines import knn, majority, zero_shot
from tunewright.evaluate.heuristics import (
    bm25_ranks,
    copy,
    dictionary,
    first_sentence,
    lead,
    longest_turn,
    most_common,
    no_answer,
    no_spans,
    unigram,
    usual_sentences,
)
from tunewright.evaluate.results import CHAMPION
from tunewright.model.build import writes_text
from tunewright.model.predict import judge_tokens, row_of_asked
from tunewright.model.probe import fit_probe
from tunewright.pipeline.features import BaseFeatures
from tunewright.pipeline.fit import answer_in_units, mean_loss, rebuild, target_scale
from tunewright.pipeline.plan import Plan
from tunewright.recipe.errors import Refusal
from tunewright.recipe.tasks import KINDS
from tunewright.serve.answering import sizes_of
from tunewright.serve.predictor import Predictor, ready_to_serve
from tunewright.store.registry import Registry
from tunewright.values import Encoded, Predictions, Rows

_NEIGHBOURS = (1, 3, 5, 10, 20)
_SEEN_ROWS = 1000


def predict_rungs(plan: Plan, features: BaseFeatures) -> list[Predictions]:
    """The baselines that the recipe names, on the test rows; `seconds` leaves out vectors that were cached before."""
    return [_RUNGS[name](plan, features, name) for name in plan.recipe.evaluate.baselines or ()]


def predict_champion(plan: Plan, registry: Registry) -> tuple[Predictions | None, str]:
    """What the registered champion of this name says of the test rows, or None and why there is nothing to compare."""
    name = plan.recipe.name
    if not any(version.name == name and CHAMPION in version.aliases for version in registry.versions()):
        return None, "there is no champion of this name yet"
    try:
        version = registry.resolve(f"{name}@{CHAMPION}")
        predictor = Predictor.load(version.folder, name=name, version=str(version.number))
        if (predictor.task, predictor.labels) != (plan.recipe.task.kind, plan.prepared.labels):
            return None, f"the champion {version.reference} answers with other labels"
        if predictor.encoder.inputs != plan.recipe.task.inputs:
            return None, f"the champion {version.reference} reads other columns"
        return predict_with(predictor, plan, CHAMPION), ""
    except Refusal as error:
        return None, f"the champion cannot answer: {error}"


def predict_with(
    predictor: Predictor, plan: Plan, rung: str, split: str = "test", *, writing: bool = True
) -> Predictions:
    """What a loaded model says of the rows of one split; `writing` as in `predictions_of`."""
    return predictions_of(predictor, plan.rows(split), plan.encoded[split], rung=rung, split=split, writing=writing)


def predict_seen(predictor: Predictor, plan: Plan) -> Predictions:
    """What a loaded model says of rows that it was trained on: of all, or of as many as are tested but at least 1,000.

    Which of them, the recipe's seed decides. Texts are not written.
    """
    rows, most = plan.rows("train"), max(len(plan.rows("test")), _SEEN_ROWS)
    if len(rows) > most:
        drawn = np.sort(np.random.default_rng(plan.recipe.seed).choice(len(rows), most, replace=False))
        encoded, rows = plan.encoded["train"].take(drawn), rows.take(drawn)
    else:
        encoded = plan.encoded["train"]
    return predictions_of(predictor, rows, encoded, rung="model", split="train", writing=False)


def predictions_of(
    predictor: Predictor, rows: Rows, encoded: Encoded, *, rung: str, split: str, writing: bool = True
) -> Predictions:
    """What a loaded model says of rows with answers, timed, and how likely it holds right answers that are texts.

    Without `writing`, which takes long, texts are left empty, for figures that do not look at them.
    """
    assert rows.targets is not None
    kind, sizes = predictor.task, None
    if writes_text(kind):
        sizes = sizes_of(judge_tokens(predictor.model, encoded), encoded)
    started = time.perf_counter()
    if kind == "pretraining":
        assert sizes is not None
        outputs = sizes[:, 0].astype(np.float32)
    elif writes_text(kind) and not writing:
        outputs = np.full(len(rows), "", dtype=object)
    else:
        outputs = predictor.judged_outputs(rows.inputs)
    return Predictions(rung, split, rows.ids, outputs, rows.targets, time.perf_counter() - started, sizes=sizes)


def _predictions(plan: Plan, rung: str, answer: Callable[[], np.ndarray], split: str = "test") -> Predictions:
    rows = plan.rows(split)
    assert rows.targets is not None
    started = time.perf_counter()
    outputs = answer()
    seconds = time.perf_counter() - started
    if outputs.dtype.kind == "f":
        outputs = outputs.astype(np.float32)
    return Predictions(
        rung=rung, split=split, row_ids=rows.ids, outputs=outputs, targets=rows.targets, seconds=seconds
    )


def _majority(plan: Plan) -> np.ndarray:
    return majority(_targets(plan, "train"), len(plan.rows("test")), plan.recipe.task.kind, classes=_classes(plan))


def _zero_shot(plan: Plan, features: BaseFeatures) -> np.ndarray:
    descriptions: Mapping[str, str] = plan.recipe.task.labels or {}
    texts = [(descriptions[label],) + ("",) * (len(plan.recipe.task.inputs) - 1) for label in plan.prepared.labels]
    return zero_shot(features.split("test"), features.of(plan.encoder.encode(texts)), kind=plan.recipe.task.kind)


def _knn(plan: Plan, features: BaseFeatures) -> np.ndarray:
    """Nearest neighbours, their number chosen on the validation rows."""
    kind, train, targets = plan.recipe.task.kind, features.split("train"), _targets(plan, "train")

    def answers(split: str, k: int) -> np.ndarray:
        return knn(train, targets, features.split(split), kind, k=k, classes=_classes(plan))

    def loss(k: int) -> float:
        return mean_loss(answers("validation", k), plan.rows("validation").targets, kind)

    return answers("test", min(_NEIGHBOURS, key=loss))


def _probe(plan: Plan, features: BaseFeatures) -> np.ndarray:
    probe = fit_probe(
        features.split("train"), _targets(plan, "train"), features.split("validation"), _targets(plan, "validation"),
        kind=plan.recipe.task.kind,
    )  # fmt: skip
    return probe.predict(features.split("test"))


def _targets(plan: Plan, split: str) -> np.ndarray:
    targets = plan.rows(split).targets
    assert targets is not None
    return targets


def _classes(plan: Plan) -> int | None:
    return len(plan.prepared.labels) or None


def _untouched(plan: Plan, features: BaseFeatures, rung: str) -> Predictions:
    """The base as it came, asked like the model."""
    model = rebuild(plan.untouched, {}, phases=0)
    if KINDS[plan.recipe.task.kind].answers == "numbers":
        answer_in_units(model, target_scale(plan))
    model = ready_to_serve(model.eval(), str(plan.recipe.compute.dtype))
    predictor = Predictor(model, plan.encoder, plan.prepared.labels, name=rung, writing=plan.writing)
    return predict_with(predictor, plan, rung)


def _unigram(plan: Plan, features: BaseFeatures, rung: str) -> Predictions:
    """Each token by how often it occurs in the training blocks, whatever stands beside it."""
    rows, encoded, learned = plan.rows("test"), plan.encoded["test"], plan.encoded["train"]
    assert rows.targets is not None and learned.answers_n is not None and encoded.answers_n is not None
    started = time.perf_counter()
    words_n = plan.encoder.words(learned) if isinstance(plan.encoder, MaskedEncoder) else learned.answers_n
    asked_m, row_m = encoded.answers_n[encoded.answers_n >= 0], row_of_asked(encoded)
    lost_r = unigram(words_n, asked_m, row_m, rows=encoded.rows, vocabulary=plan.outputs)
    asked_r = np.bincount(row_m, minlength=encoded.rows)
    sizes = np.stack([lost_r, asked_r.astype(float), encoded.bytes_r.astype(float)], axis=1)
    return Predictions(
        rung=rung, split="test", row_ids=rows.ids, outputs=lost_r.astype(np.float32), targets=rows.targets,
        seconds=time.perf_counter() - started, sizes=sizes,
    )  # fmt: skip


def _texts(plan: Plan, split: str) -> list[str]:
    """What each row asks about: its first input column, or the last thing that was said to the model."""
    rows = plan.rows(split)
    if rows.columns is not None:
        return [max(columns, key=len) for columns in rows.columns]
    return [str(turns[-1]) for turns in rows.inputs]


def _dictionary(plan: Plan) -> np.ndarray:
    train = plan.rows("train")
    return dictionary([text for (text,) in train.inputs], _targets(plan, "train"),
                      [text for (text,) in plan.rows("test").inputs])  # fmt: skip


def _bm25(plan: Plan) -> np.ndarray:
    inputs = plan.rows("test").inputs
    passages = gather_passages(inputs)
    return bm25_ranks([row[0] for row in inputs], passages.texts(inputs), passages.own_r)


def _lead(plan: Plan) -> np.ndarray:
    sentences = usual_sentences([str(answer) for answer in _targets(plan, "train")], _texts(plan, "train"))
    return lead(_texts(plan, "test"), sentences)


_Rung = Callable[[Plan, BaseFeatures, str], Predictions]


def _saying(answer: Callable[[Plan], np.ndarray]) -> _Rung:
    """A rung of a function that answers all test rows of a plan."""
    return lambda plan, features, rung: _predictions(plan, rung, lambda: answer(plan))


def _seeing(answer: Callable[[Plan, BaseFeatures], np.ndarray]) -> _Rung:
    """A rung of a function that also sees the base's vectors."""
    return lambda plan, features, rung: _predictions(plan, rung, lambda: answer(plan, features))


_RUNGS: dict[str, _Rung] = {
    "majority": _saying(_majority),
    "zero_shot": _seeing(_zero_shot),
    "knn": _seeing(_knn),
    "probe": _seeing(_probe),
    "no_spans": _saying(lambda plan: no_spans(len(plan.rows("test")))),
    "dictionary": _saying(_dictionary),
    "no_answer": _saying(lambda plan: no_answer(len(plan.rows("test")))),
    "first_sentence": _saying(lambda plan: first_sentence([context for _, context in plan.rows("test").inputs])),
    "most_common": _saying(lambda plan: most_common(_targets(plan, "train"), len(plan.rows("test")))),
    "copy": _saying(lambda plan: copy(_texts(plan, "test"))),
    "lead": _saying(_lead),
    "longest_turn": _saying(lambda plan: longest_turn(_texts(plan, "test"))),
    "bm25": _saying(_bm25),
    "unigram": _unigram,
    "untouched": _untouched,
}
