"""What is odd about answers, by what they are made of. Knows clean rows with answers; changes nothing.

A copied answer, a refusal or an unfinished sentence is learnt like any other: these checks show what a model would be
taught before it is. Few of them mean a mistake for certain, so none of them refuses.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tunewright.data.clean import CleanRow
from tunewright.data.findings import EXAMPLES, Finding, all_text, find_rows, show
from tunewright.data.labels import labels_in
from tunewright.recipe.schema import Recipe
from tunewright.recipe.tasks import KINDS, TaskKind
from tunewright.values import Span

RARE_ROWS = 10  # a label with fewer than this cannot be measured reliably
_COPIED_CHARACTERS = 20  # a shorter answer may well occur in what was asked
_REPEATED_CHARACTERS = 20
_SHORT_SHARE = 0.1  # an answer below this share of the median length is very short
_FINISHED_SHARE = 0.8  # from this share of finished answers on, one that is not looks cut
_FINISHED = re.compile(r"""[.!?…。！？।؟:;>}\])"'”’»`*|~]\s*$""")
_REFUSAL = re.compile(
    r"(i'?m sorry|sorry|i apologi[sz]e)?\W*(but )?(as an? (ai|artificial|large language|language model)"
    r"|i('m| am) (unable|not able) to|i (cannot|can'?t|can not|won'?t) (help|assist|provide|fulfil|comply|answer"
    r"|do that|generate|create))",
    re.IGNORECASE,
)
Check = Callable[[Sequence[CleanRow], Recipe], Finding]


def inspect_answers(rows: Sequence[CleanRow], recipe: Recipe) -> list[Finding]:
    """The checks that belong to the kind of task, in a fixed order, also those that found nothing.

    Only of what is not read there is a finding where there is something.
    """
    found = [check(rows, recipe) for check in _CHECKS[recipe.task.kind]]
    return [finding for finding in found if finding.count or finding.check != "unread"]


# -------------------------------------------------------------------------------------------- labels


def _classes(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    """How often each label occurs: in rows, or, of spans, in all."""
    counted = "spans" if KINDS[recipe.task.kind].answers == "spans" else "rows"
    counts = Counter(dict.fromkeys(recipe.task.labels or (), 0))
    counts.update(label for row in rows for label in labels_in(row.answer))
    ordered = counts.most_common()
    rare = [f"{label}: {count} {counted}" for label, count in reversed(ordered) if count < RARE_ROWS]
    alike = _labels_alike(counts)
    says = f"{len(ordered)} labels"
    if ordered:
        says += f", from {ordered[-1][1]} {counted} ({ordered[-1][0]}) to {ordered[0][1]} ({ordered[0][0]})"
    if rare:
        says += f"; {len(rare)} have fewer than {RARE_ROWS} {counted}, too few to measure reliably"
    if alike:
        says += f"; {len(alike)} differ from another in case or spaces only"
    odd = (*alike, *rare)
    return Finding("classes", "warn" if odd else "ok", len(odd), says, odd[:EXAMPLES])


def _labels_alike(labels: Iterable[str]) -> list[str]:
    """Labels that are probably one label written twice."""
    first: dict[str, str] = {}
    found = []
    for label in sorted(labels):
        other = first.setdefault(" ".join(label.casefold().split()), label)
        if other != label:
            found.append(f"{other!r} and {label!r}")
    return found


# --------------------------------------------------------------------------------------------- spans


def _spans(row: CleanRow) -> list[Span]:
    return [span for span in row.answer if isinstance(span, Span)] if isinstance(row.answer, tuple) else []


def _stray_tags(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    found = [(row.origin, row.remark) for row in rows if row.remark]
    return find_rows("stray_tags", "warn", f"{len(found)} rows have tags that break their scheme; each such tag begins "
                     "a span of its own", found)


def _span_edges(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    """Spans that begin or end with a space, or within a word: offsets that are off by one look so."""
    found = []
    for row in rows:
        text = row.inputs[-1]
        odd = [span for span in _spans(row) if _has_odd_edge(text, span)]
        if odd:
            start, end = odd[0].start, odd[0].end
            found.append((row.origin, f"{text[max(start - 10, 0) : start]}[{text[start:end]}]{text[end : end + 10]}"))
    return find_rows("span_edges", "note", f"{len(found)} rows have spans that begin or end within a word, or with a "
                     "space", found)


def _has_odd_edge(text: str, span: Span) -> bool:
    inside = text[span.start : span.end]
    before, after = text[max(span.start - 1, 0) : span.start], text[span.end : span.end + 1]
    begins_within = before.isalnum() and inside[0].isalnum()
    return inside != inside.strip() or begins_within or (inside[-1].isalnum() and after.isalnum())


def _unmarked(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    """Rows without a span: texts that hold none, and questions that the context does not answer."""
    found = [(row.origin, all_text(row)) for row in rows if not row.answer]
    asks = recipe.task.kind == "question_answering"
    what = "questions have no answer in their context" if asks else "texts have no span"
    return find_rows("unmarked", "note", f"{len(found)} of {len(rows)} {what}", found)


# -------------------------------------------------------------------------------------- passages


def _shared_queries(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    """Queries with several passages: where other rows' passages count as wrong, so does the other right one."""
    passages: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        passages[row.inputs[0]].add(row.inputs[1])
    found = [(row.origin, row.inputs[0]) for row in rows if len(passages[row.inputs[0]]) > 1]
    return find_rows("shared_queries", "note", f"{len(found)} rows have a query that another passage answers too",
                     found)


# --------------------------------------------------------------------------------------------- texts


def _unread(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    found = [(row.origin, row.remark) for row in rows if row.remark]
    return find_rows("unread", "warn", f"{len(found)} rows ask for something that is not done", found)


def _short_answers(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    lengths_r = np.array([len(str(row.answer).strip()) for row in rows], dtype=np.int64)
    median = float(np.median(lengths_r)) if len(rows) else 0.0
    found = [(row.origin, str(row.answer)) for row, length in zip(rows, lengths_r, strict=True)
             if length < _SHORT_SHARE * median]  # fmt: skip
    return find_rows("short_answers", "note", f"{len(found)} answers have less than {_SHORT_SHARE:.0%} of the usual "
                     f"length, {median:.0f} characters", found)


def _copied_answers(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    """Answers that stand in what is read; of a translation or summary the whole of it counts at any length."""
    whole_matters = recipe.task.kind != "generation"
    found = []
    for row in rows:
        answer, asked = str(row.answer).strip(), [text.strip() for text in row.inputs]
        within = len(answer) >= _COPIED_CHARACTERS and any(answer in text for text in asked)
        if within or (whole_matters and answer in asked):
            found.append((row.origin, answer))
    return find_rows("copied_answers", "warn" if whole_matters else "note",
                     f"{len(found)} answers are copied, word for word, from what is asked", found)


def _repeated_prompts(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    found = []
    for row in rows:
        asked, answer = row.inputs[-1].strip(), str(row.answer).lstrip()
        if len(asked) >= _REPEATED_CHARACTERS and answer.startswith(asked) and len(answer) > len(asked):
            found.append((row.origin, answer))
    return find_rows("repeated_prompts", "warn", f"{len(found)} answers begin by repeating all of what is asked", found)


def _refusals(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    found = [(row.origin, str(row.answer)) for row in rows if _REFUSAL.match(str(row.answer).lstrip())]
    return find_rows("refusals", "warn", f"{len(found)} answers refuse to answer; they teach the model to", found)


def _unfinished_answers(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    open_ended = [row for row in rows if not _FINISHED.search(str(row.answer))]
    most_end = len(open_ended) <= (1 - _FINISHED_SHARE) * len(rows)
    found = [(row.origin, "…" + str(row.answer).rstrip()[-60:]) for row in open_ended] if most_end else []
    says = f"{len(found)} answers end without a mark, where most have one; they may have been cut"
    return find_rows("unfinished_answers", "note", says, found)


def _answer_lengths(rows: Sequence[CleanRow], recipe: Recipe) -> Finding:
    words_r = np.array([len(str(row.answer).split()) for row in rows], dtype=np.int64)
    if not len(words_r):
        return Finding("answer_lengths", "ok", 0, "no answers")
    median, most = np.percentile(words_r, [50, 95])
    longest = int(words_r.argmax())
    says = f"words in an answer: median {median:.0f}, 95th percentile {most:.0f}, longest {words_r[longest]}"
    return Finding("answer_lengths", "ok", len(rows), says, (show(rows[longest].origin, str(rows[longest].answer)),))


_TEXTS: tuple[Check, ...] = (
    _unread, _answer_lengths, _short_answers, _copied_answers, _repeated_prompts, _refusals, _unfinished_answers,
)  # fmt: skip
_CHECKS: dict[TaskKind, tuple[Check, ...]] = {
    "classification": (_classes,),
    "multi_label": (_classes,),
    "regression": (),
    "token_classification": (_classes, _stray_tags, _span_edges, _unmarked),
    "question_answering": (_span_edges, _unmarked),
    "similarity": (),
    "retrieval": (_shared_queries,),
    "generation": _TEXTS,
    "summarisation": _TEXTS,
    "translation": _TEXTS,
    "pretraining": (),
}
