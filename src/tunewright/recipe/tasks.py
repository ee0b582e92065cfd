"""The kinds of task and what each asks of data, heads and metrics. Knows no torch and no rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskKind = Literal[
    "classification", "multi_label", "regression", "token_classification", "question_answering", "similarity",
    "retrieval", "generation", "summarisation", "translation", "pretraining",
]  # fmt: skip
Baseline = Literal[
    "majority", "zero_shot", "knn", "probe", "no_spans", "dictionary", "no_answer", "first_sentence", "untouched",
    "bm25", "most_common", "copy", "lead", "longest_turn", "unigram",
]  # fmt: skip
Answers = Literal["labels", "numbers", "spans", "passages", "texts", "nothing"]


@dataclass(frozen=True, slots=True)
class KindOfTask:
    """One kind of task.

    `answers` is what an answer is made of: code that differs between kinds asks for this, not for the name. `metric` is
    what the gate uses unless the recipe says otherwise, and early stopping too, unless measuring it takes generating
    text: then that goes by `watched`. `metrics` are all that are reported, `lower_is_better` those where less is more.
    `baselines` are the rungs that can be measured beside the model. `objective` is what is minimised unless the recipe
    says otherwise. A kind that `compares` reads each column as a text of its own, and answers by how alike they are.
    """

    name: TaskKind
    says: str
    answers: Answers
    metric: str
    metrics: tuple[str, ...]
    lower_is_better: frozenset[str] = frozenset()
    watched: str = ""
    baselines: tuple[Baseline, ...] = ("majority", "zero_shot", "knn", "probe")
    objective: str = "supervised"
    compares: bool = False

    @property
    def labelled(self) -> bool:
        """Whether the answers are labels of rows, with names and perhaps descriptions."""
        return self.answers == "labels"


_LABEL_METRICS = tuple(f"{average}_{score}" for average in ("macro", "micro", "weighted")
                       for score in ("precision", "recall", "f1"))
_SPAN_METRICS = ("span_precision", "span_recall", "span_f1", "macro_span_f1", "partial_precision", "partial_recall",
                 "partial_f1")
_TEXT_METRICS = ("exact_match", "token_f1", "rouge_1", "rouge_2", "rouge_l", "bleu", "chrf", "length_ratio")

_KINDS = (
    KindOfTask(
        "classification", "exactly one label per row", "labels", "macro_f1",
        ("accuracy", "balanced_accuracy", *_LABEL_METRICS, "auroc", "calibration_error"),
        frozenset({"calibration_error"}),
    ),
    KindOfTask(
        "multi_label", "any number of labels per row", "labels", "micro_f1",
        ("exact_match", *_LABEL_METRICS, "auroc", "calibration_error"),
        frozenset({"calibration_error"}),
    ),
    KindOfTask(
        "regression", "one number per row", "numbers", "rmse", ("mae", "rmse", "spearman"),
        frozenset({"mae", "rmse"}), baselines=("majority", "knn", "probe"),
    ),
    KindOfTask(
        "token_classification", "parts of a text, each with a label", "spans", "span_f1", _SPAN_METRICS,
        baselines=("no_spans", "dictionary"),
    ),
    KindOfTask(
        "question_answering", "the part of a context that answers a question, or none", "spans", "answer_f1",
        ("exact_match", "answer_f1", "answered_exact_match", "answered_f1", "unanswerable_accuracy"),
        baselines=("no_answer", "first_sentence"),
    ),
    KindOfTask(
        "similarity", "how alike two texts are, a number", "numbers", "spearman", ("spearman", "mae", "rmse"),
        frozenset({"mae", "rmse"}), baselines=("untouched", "majority"), compares=True,
    ),
    KindOfTask(
        "retrieval", "the passage that belongs to a query, among all passages", "passages", "mrr",
        ("mrr", "recall_at_1", "recall_at_5", "recall_at_10", "ndcg_at_10"), baselines=("untouched", "bm25"),
        objective="contrastive", compares=True,
    ),
    KindOfTask(
        "generation", "a text in answer to a prompt or a conversation", "texts", "rouge_l",
        ("perplexity", *_TEXT_METRICS, "json_f1"), frozenset({"perplexity"}), "perplexity",
        ("untouched", "most_common", "copy"),
    ),
    KindOfTask(
        "summarisation", "a short text that says what a long one does", "texts", "rouge_l",
        ("perplexity", *_TEXT_METRICS), frozenset({"perplexity"}), "perplexity",
        ("untouched", "lead", "longest_turn"),
    ),
    KindOfTask(
        "translation", "the same text in another language", "texts", "chrf",
        ("perplexity", *_TEXT_METRICS), frozenset({"perplexity"}), "perplexity", ("untouched", "copy"),
    ),
    KindOfTask(
        "pretraining", "nothing but the text itself", "nothing", "perplexity",
        ("perplexity", "bits_per_byte"), frozenset({"perplexity", "bits_per_byte"}),
        baselines=("untouched", "unigram"),
    ),
)  # fmt: skip
KINDS: dict[str, KindOfTask] = {kind.name: kind for kind in _KINDS}


def watched_metric(kind: str, metric: str) -> str:
    """The figure by which early stopping chooses, where the recipe's is `metric`."""
    return KINDS[kind].watched or metric


def better(metric: str, kind: str) -> int:
    """+1 if a larger value of `metric` is better for this kind of task, -1 if a smaller one is."""
    return -1 if metric in KINDS[kind].lower_is_better else 1
