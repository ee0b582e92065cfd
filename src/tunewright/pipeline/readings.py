"""Which tasks other than labels and numbers a table's columns may hold, by their form and their names.

Knows columns; must not know recipes' text, bases or tokens. A reading is proposed only if the rows can be read so: the
reader of its kind of task is tried on the first of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunewright.data.annotations import find_scheme
from tunewright.data.cells import Asked, Unusable
from tunewright.data.clean import READERS
from tunewright.pipeline.forms import Column
from tunewright.recipe.schema import Task
from tunewright.recipe.tasks import TaskKind

_READABLE_SHARE = 0.9  # of the first rows; a few may be broken
_ANSWER_WORDS = 8  # texts of this many words answer a question even where they recur, as templates do
_DOCUMENT_WORDS = 40  # texts of this many words, and nothing else, are to be read and not answered

_QUESTIONS, _CONTEXTS = ("question", "query"), ("context", "paragraph", "passage", "article", "document")
_ANSWERS = ("answers", "answer")
_INSTRUCTIONS = ("instruction", "prompt", "question", "query", "request", "input")
_RESPONSES = ("output", "response", "completion", "answer", "reply")
_LONG = ("dialogue", "dialog", "article", "document", "text", "conversation", "report", "source", "content", "body")
_SUMMARIES = ("summary", "highlights", "abstract", "tldr")
_PAIRS = (("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"),
          ("text_a", "text_b"), ("text1", "text2"), ("text_1", "text_2"), ("question1", "question2"))  # fmt: skip
_LIKENESS = ("score", "similarity", "similarity_score", "relatedness", "relatedness_score", "sim")
_QUERIES, _POSITIVES = ("query", "anchor"), ("passage", "positive", "pos", "document")
_NEGATIVES = ("negative", "neg", "hard_negative")
_LANGUAGES = frozenset({  # of ISO 639-1; `id` is left out, because columns of ids are called so
    "af", "am", "ar", "az", "be", "bg", "bn", "bs", "ca", "cs", "cy", "da", "de", "el", "en", "es", "et", "eu", "fa",
    "fi", "fr", "ga", "gl", "gu", "he", "hi", "hr", "hu", "hy", "is", "it", "ja", "ka", "kk", "km", "kn", "ko", "ky",
    "lb", "lo", "lt", "lv", "mg", "mk", "ml", "mn", "mr", "ms", "mt", "my", "nb", "ne", "nl", "nn", "no", "pa", "pl",
    "ps", "pt", "ro", "ru", "si", "sk", "sl", "so", "sq", "sr", "sv", "sw", "ta", "te", "tg", "th", "tk", "tl", "tr",
    "uk", "ur", "uz", "vi", "zh", "zu",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a table. `certain` ones stand in the form of the values, others in the names of columns."""

    kind: TaskKind
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    why_inputs: str
    why_outputs: str
    certain: bool

    @property
    def says(self) -> str:
        answer = f" → {', '.join(self.outputs)}" if self.outputs else ""
        return f"{self.kind} ({', '.join(self.inputs)}{answer})"

    @property
    def task(self) -> Task:
        return Task(kind=self.kind, input=self.inputs, output=self.outputs or None)


def find_readings(columns: Sequence[Column]) -> list[Reading]:
    """Every reading of the columns that their first rows bear out; certain ones alone where there are any."""
    found: list[Reading] = []
    proposed = itertools.chain(
        _tagged(columns), _spanned(columns), _asked_in_context(columns), _conversations(columns), _translated(columns),
        _summarised(columns), _alike(columns), _retrieved(columns), _instructed(columns),
    )  # fmt: skip
    for reading in proposed:
        taken = {(other.kind, other.outputs) for other in found if not other.certain}
        if (reading.kind, reading.outputs) not in taken and is_readable(reading.task, columns):
            found.append(reading)
    return [reading for reading in found if reading.certain] or found


def find_plain_text(columns: Sequence[Column]) -> Reading | None:
    """The reading of a table with one column of long texts and no other to be read, if it is one."""
    texts = [column for column in columns if column.is_prose]
    if len(texts) != 1 or texts[0].words < _DOCUMENT_WORDS:
        return None
    why = f"texts of {texts[0].words:,.0f} words on average, and no column that answers"
    return Reading("pretraining", (texts[0].name,), (), why, "", certain=False)


def is_readable(task: Task, columns: Sequence[Column]) -> bool:
    """Whether nearly all of the first rows can be read as `task` says."""
    rows = [dict(zip([column.name for column in columns], cells, strict=True))
            for cells in zip(*(column.first for column in columns), strict=True)]  # fmt: skip
    scheme = find_scheme(rows, task) if task.kind == "token_classification" else ""
    fine = 0
    for row in rows:
        try:
            READERS[task.kind](row, Asked(task, scheme=scheme))
        except Unusable:
            continue
        fine += 1
    return fine >= _READABLE_SHARE * len(rows)


def _in_form(columns: Sequence[Column], form: str) -> list[Column]:
    return [column for column in columns if column.form == form]


def _named(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """The columns of text among `names`, in the order of these."""
    by_name = {column.name.lower(): column for column in columns if column.kind == "text"}
    return [by_name[name] for name in names if name in by_name]


# ---------------------------------------------------------------------------- readings by their form


def _tagged(columns: Sequence[Column]) -> Iterator[Reading]:
    tokens = _in_form(columns, "tokens")
    for tags in _in_form(columns, "tags"):
        label = next(tag for tag in tags.values if tag.split()[0] != "O")
        for words in tokens or [column for column in columns if column.kind == "text"]:
            what = "lists of tokens" if words in tokens else "as many words as there are tags"
            yield Reading("token_classification", (words.name,), (tags.name,), what,
                          f"a tag for each of them, such as {label.split()[-1]!r}", certain=True)


def _spanned(columns: Sequence[Column]) -> Iterator[Reading]:
    for spans in _in_form(columns, "spans"):
        for text in columns:
            if text.kind == "text":
                yield Reading("token_classification", (text.name,), (spans.name,),
                              "the text that the spans are parts of", "lists of spans, by characters", certain=True)


def _asked_in_context(columns: Sequence[Column]) -> Iterator[Reading]:
    answers = _in_form(columns, "answers") + _named(columns, _ANSWERS)
    for question, context in itertools.product(_named(columns, _QUESTIONS), _named(columns, _CONTEXTS)):
        for answer in answers if question is not context else ():
            what = "answers with their places, as SQuAD's" if answer.form else "texts that stand in the context"
            yield Reading("question_answering", (question.name, context.name), (answer.name,),
                          "a question and the context that answers it", what, certain=True)
            if not answer.form:
                yield Reading("generation", (question.name, context.name), (answer.name,), "a question and its context",
                              "texts that do not stand in the context, or more than once", certain=False)


def _conversations(columns: Sequence[Column]) -> Iterator[Reading]:
    for said in _in_form(columns, "conversations"):
        form = "role and content, as OpenAI's" if "'role'" in str(said.first[:1]) else "from and value, as ShareGPT's"
        tools = "; tools is read beside it" if any(column.name == "tools" for column in columns) else ""
        yield Reading("generation", (said.name,), (), f"conversations ({form}){tools}", "", certain=True)


# ---------------------------------------------------------------------------- readings by their names


def _instructed(columns: Sequence[Column]) -> Iterator[Reading]:
    more = _named(columns, ("input",))
    for asked, answer in itertools.product(_named(columns, _INSTRUCTIONS), _named(columns, _RESPONSES)):
        is_alpaca = (asked.name.lower(), answer.name.lower()) == ("instruction", "output")
        is_text = answer.is_prose or answer.words >= _ANSWER_WORDS
        if asked is not answer and (is_alpaca or is_text):
            inputs = (asked, *more) if is_alpaca else (asked,)
            what = "an instruction and what it is about" if len(inputs) > 1 else "what is asked, by its name"
            yield Reading("generation", tuple(column.name for column in inputs), (answer.name,), what,
                          f"texts of {answer.words:.0f} words on average", certain=False)


def _summarised(columns: Sequence[Column]) -> Iterator[Reading]:
    for text, summary in itertools.product(_named(columns, _LONG), _named(columns, _SUMMARIES)):
        if summary.is_prose and text.words > summary.words:
            yield Reading("summarisation", (text.name,), (summary.name,), f"{text.words:.0f} words on average",
                          f"{summary.words:.0f} words on average", certain=False)


def _translated(columns: Sequence[Column]) -> Iterator[Reading]:
    texts = [column for column in columns if column.kind == "text" and column.name.lower() in _LANGUAGES]
    if len(texts) == 2:
        names = tuple(column.name for column in texts)
        yield Reading("translation", names[:1], names[1:], "named after a language, and the first of two",
                      "named after a language; change the two names for the other direction", certain=False)


def _alike(columns: Sequence[Column]) -> Iterator[Reading]:
    numbers = [column for column in columns
               if column.name.lower() in _LIKENESS and column.kind in ("number", "whole number")]  # fmt: skip
    for names, number in itertools.product(_PAIRS, numbers):
        pair = _named(columns, names)
        if len(pair) == 2:
            yield Reading("similarity", (pair[0].name, pair[1].name), (number.name,), "two texts to compare",
                          f"{number.distinct:,} different numbers", certain=False)


def _retrieved(columns: Sequence[Column]) -> Iterator[Reading]:
    found = [_named(columns, names)[:1] for names in (_QUERIES, _POSITIVES, _NEGATIVES)]
    graded = any(_is_grade(column) for column in columns)
    if found[0] and found[1] and not graded:
        names = tuple(column.name for part in found for column in part)
        what = "a query, its passage and one that does not answer" if len(names) == 3 else "a query and its passage"
        yield Reading("retrieval", names, (), what, "", certain=False)


def _is_grade(column: Column) -> bool:
    """Whether the column says how well, or whether at all, a passage answers."""
    return column.name.lower() in ("label", "labels", "score", "relevance", "grade", "rating", *_ANSWERS)


