"""Answers in words, and marked in their text, for people to read. Knows targets and outputs; must not know figures.

Every function takes one row: a target as `Rows` has it, an output as `Predictions` has it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from tunewright.recipe.tasks import KINDS
from tunewright.values import Predictions, Span

By = Literal["both", "answer", "said"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text: whether a span of the answer, of what was said, and of both covers it, and which end there.

    `ends` names each span with its label: one that both have is there once, as "both".
    """

    text: str
    answer: bool = False
    said: bool = False
    both: bool = False
    ends: tuple[tuple[By, str], ...] = ()


def answer_in_words(target: Any, kind: str, *, labels: Sequence[str] = (), text: str = "") -> str:
    """A right answer. `labels` names classes, `text` is what was read, which spans point into."""
    return _ANSWERS[kind](target, labels, text)


def said_in_words(
    predictions: Predictions, row: int, kind: str, *, labels: Sequence[str] = (), text: str = ""
) -> tuple[str, float | None]:
    """What a rung said of a row, and how probable it held that (several labels: all of them together), if it says."""
    output = predictions.outputs[row]
    if kind == "classification":
        return labels[int(output.argmax())], float(output.max())
    if kind == "multi_label":
        chosen = output >= 0.5
        return answer_in_words(chosen, kind, labels=labels), float(np.where(chosen, output, 1 - output).prod())
    if kind == "question_answering":
        return "no answer" if output is None else output.label, None
    if kind == "retrieval":
        return f"its passage at place {int(output):,}", None
    if kind == "pretraining":
        return _likelihood_in_words(predictions, row), None
    return answer_in_words(output, kind, labels=labels, text=text), None


def mark(text: str, answer: Iterable[Span], said: Iterable[Span]) -> tuple[Piece, ...]:
    """The text cut at both ends of every span; joined, the pieces are the text."""
    answer, said = set(answer), set(said)
    cuts = sorted({0, len(text), *(place for span in answer | said for place in (span.start, span.end))})
    ends: dict[int, list[tuple[By, str]]] = defaultdict(list)
    by: tuple[tuple[By, set[Span]], ...] = (("both", answer & said), ("answer", answer - said), ("said", said - answer))
    for name, spans in by:
        for span in sorted(spans):
            ends[span.end].append((name, span.label))
    covered = zip(*(_covered(spans, cuts) for spans in (answer, said, answer & said)), strict=True)
    return tuple(
        Piece(text[start:end], *sides, tuple(ends[end]))
        for start, end, sides in zip(cuts[:-1], cuts[1:], covered, strict=False)
    )


def _covered(spans: Iterable[Span], cuts: Sequence[int]) -> Iterator[bool]:
    """Whether any of the spans covers the letters after each cut."""
    change: Counter[int] = Counter()
    for span in spans:
        change[span.start] += 1
        change[span.end] -= 1
    return (depth > 0 for depth in accumulate(change[cut] for cut in cuts))


def _spans_in_words(spans: Iterable[Span], labels: Sequence[str], text: str) -> str:
    return "; ".join(f"{span.label}: {text[span.start:span.end]}" for span in sorted(spans)) or "none"


def _labels_in_words(target: Any, labels: Sequence[str], text: str) -> str:
    return ", ".join(label for label, has in zip(labels, target, strict=True) if has) or "none"


def _likelihood_in_words(predictions: Predictions, row: int) -> str:
    if predictions.sizes is None:
        return f"{float(predictions.outputs[row]):.4g} nats"
    tokens = predictions.sizes[row, 1]
    return f"{float(predictions.outputs[row]) / max(tokens, 1):.2f} nats a token over {int(tokens):,} tokens"


_ANSWERS: dict[str, Callable[[Any, Sequence[str], str], str]] = {
    "classification": lambda target, labels, text: labels[int(target)],
    "multi_label": _labels_in_words,
    "regression": lambda target, labels, text: f"{float(target):.4g}",
    "similarity": lambda target, labels, text: f"{float(target):.4g}",
    "token_classification": _spans_in_words,
    "question_answering": lambda target, labels, text: " · ".join(
        dict.fromkeys(span.label for span in target)) or "no answer",
    "retrieval": lambda target, labels, text: "its passage at place 1",
    "generation": lambda target, labels, text: str(target),
    "summarisation": lambda target, labels, text: str(target),
    "translation": lambda target, labels, text: str(target),
    "pretraining": lambda target, labels, text: "the text itself",
}  # fmt: skip
assert set(_ANSWERS) == set(KINDS), "every kind has words for its answers"
