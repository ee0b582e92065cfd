"""From a file of rows to a commented recipe that `check` accepts. Knows tables and bases; writes no file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tunewright.data.clean import Cleaned, clean_rows
from tunewright.data.encode import Encoder
from tunewright.data.read import Table, read_table
from tunewright.model.bases import find_base
from tunewright.model.describe import Description, describe, load_tokenizer, refuse_unfit
from tunewright.pipeline.columns import Guess, guess_task, look_at_columns
from tunewright.recipe.errors import BaseRefusal, DataRefusal
from tunewright.recipe.schema import Recipe, Task
from tunewright.recipe.tasks import KINDS, better

ENCODER_BASE = "minilm"
DECODER_BASE = "wright-nano"  # of tasks whose answers are texts
_ROWS_OF_A_CLASS = 3  # one for each of train, validation and test
_MALFORMED_LIMIT = 0.01
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]*[A-Za-z0-9_]|[A-Za-z_]")
_RESERVED = ("true", "false", "null")
_LABELS_SHOWN = 40


def propose_recipe(
    data: Path, *, base: str | None = None, inputs: Sequence[str] = (), outputs: Sequence[str] = (),
    kind: str | None = None, folder: Path = Path(),
) -> str:  # fmt: skip
    """The text of a recipe for the rows in `data`, to be saved in `folder`; each guess stands beside its reason.

    `kind`, `inputs` and `outputs` name the kind of task and the columns of texts and answers where the guess would be
    wrong; without `base` the recipe has the usual one of the kind. Raises DataRefusal where the columns do not tell, or
    the rows could not be trained on, and BaseRefusal for a `base` that cannot be used.
    """
    table = read_table([data])
    if not table.rows:
        raise DataRefusal(f"None of the {table.rows_in} rows can be read; the first: {table.malformed[0].reason}.",
                          where=table.malformed[0].origin, remedy="Correct the file.")
    guess = guess_task(look_at_columns(table), inputs=inputs, outputs=outputs, kind=kind, where=str(data))
    _refuse_few(guess, data)
    cleaned = _cleaned(guess, table)
    name, description, longest = _measured(base, guess, cleaned, folder)
    lines = [
        "# Made by `tunewright init`. What is left out is decided from your data, your base and this machine;",
        "# `tunewright check` shows each decision with its reason.",
        f"name: {_name(data)}",
        *_task(guess, table),
        f"base: {_quoted(name)}  # {_about(description)}",
        *_masks(guess, description),
        *_data(guess, table, cleaned, data, folder),
        *_encode(guess, longest, description),
        *_gate(guess),
    ]
    return "\n".join(lines) + "\n"


def _cleaned(guess: Guess, table: Table) -> Cleaned:
    """The rows as a run with the guess would read them."""
    separator = {"separator": guess.separator} if guess.separator else {}
    task = Task(kind=guess.kind, input=guess.inputs, output=guess.outputs or None, **separator)
    return clean_rows(table, Recipe(name="x", task=task, base="x", data={"train": "x"}), source="train", answers=True)


def _measured(
    base: str | None, guess: Guess, cleaned: Cleaned, folder: Path
) -> tuple[str, Description | None, tuple[int, int]]:
    """The base to name, what is known of it, and how many rows are too long for it (see `_longest`).

    The usual base of a kind is named also where it is not to be found here; the base that somebody chose is not.
    """
    name = base or (DECODER_BASE if KINDS[guess.kind].answers == "texts" else ENCODER_BASE)
    try:
        found = find_base(name, root=folder)
        description = describe(found)
        refuse_unfit(description, guess.kind)
    except BaseRefusal:
        if base is not None:
            raise
        return name, None, (0, 0)
    return name, description, _longest(guess, cleaned, description, load_tokenizer(found.folder))


def _refuse_few(guess: Guess, data: Path) -> None:
    """Refuse classes that cannot be in train, validation and test."""
    if guess.kind != "classification":
        return
    thin = [label for label, count in guess.labels.items() if count < _ROWS_OF_A_CLASS]
    if not thin:
        return
    shown = ", ".join(f"{label!r} ({guess.labels[label]})" for label in thin[:5])
    more = f" and {len(thin) - 5} more" if len(thin) > 5 else ""
    raise DataRefusal(
        f"{len(thin)} of the {len(guess.labels)} labels in {guess.outputs[0]!r} have fewer than {_ROWS_OF_A_CLASS} "
        f"rows: {shown}{more}.", where=str(data),
        remedy="Give each label more rows, merge or leave out rare ones, or name another column with --output.",
    )  # fmt: skip


def _longest(guess: Guess, cleaned: Cleaned, description: Description, tokenizer: object) -> tuple[int, int]:
    """Rows whose text is longer than the base takes, and the tokens of the longest."""
    texts = list(_texts(guess, cleaned))
    columns = len(texts[0]) if texts else 1
    pair = columns == 2 and description.takes_types
    join = None if columns == 1 else ("pair" if pair else "lines")
    encoder = Encoder(max_length=1 << 20, long="truncate", overlap=0, join=join, inputs=("",) * columns,
                      tokenizer=tokenizer)  # fmt: skip
    lengths_r = encoder.measure(texts)
    over = int((lengths_r > description.longest).sum()) if description.longest else 0
    return over, int(np.max(lengths_r, initial=0))


def _texts(guess: Guess, cleaned: Cleaned) -> Iterator[tuple[str, ...]]:
    """What is read at once: the inputs of a row; each of them where they are compared; all turns where texts answer."""
    kind = KINDS[guess.kind]
    for row in cleaned.rows:
        if kind.answers == "texts":
            yield ("\n".join((*row.inputs, str(row.answer))),)
        elif kind.compares:
            yield from ((text,) for text in row.inputs)
        else:
            yield row.inputs


def _task(guess: Guess, table: Table) -> Iterator[str]:
    unused = [name for name in table.columns if name not in (*guess.inputs, *guess.outputs, guess.id, guess.group)
              and (name, guess.outputs) != ("tools", ())]  # fmt: skip
    yield "task:"
    yield f"  kind: {guess.kind}  # {_OTHER_KINDS[guess.kind]}"
    yield f"  input: {_listed(guess.inputs)}  # {guess.why_inputs}"
    if guess.outputs:
        yield f"  output: {_listed(guess.outputs)}  # {guess.why_outputs}"
    if unused:
        yield f"  # not used: {', '.join(map(_quoted, unused))}"
    if guess.separator not in (None, ","):
        yield f"  separator: {json.dumps(guess.separator)}"
    if guess.kind == "classification" and len(guess.labels) <= _LABELS_SHOWN:
        yield "  # Describe each label, and asking the untouched base (zero-shot) is measured beside the model:"
        yield "  # labels:"
        for label, count in sorted(guess.labels.items()):
            yield f"  #   {_quoted(label)}: ...  # {count} rows"
    if KINDS[guess.kind].answers == "texts" and guess.outputs:
        yield "  # Ask in words, each row in one of several ways, and see how the model takes those it never met:"
        yield f"  # prompts: [{json.dumps(_prompt('Answer this', guess), ensure_ascii=False)}]"
        yield f"  # unseen_prompts: [{json.dumps(_prompt('What follows from this?', guess), ensure_ascii=False)}]"


def _prompt(words: str, guess: Guess) -> str:
    return f"{words}\n\n" + "\n\n".join(f"{{{name}}}" for name in guess.inputs)


_OTHER_KINDS = {
    "classification": "one label a row; multi_label would allow several, regression answers a number",
    "multi_label": "any number of labels a row; classification would ask for exactly one",
    "regression": "a number; with few different numbers, classification would treat each as a label",
    "token_classification": "parts of a text, each with a label; generation could write them out as JSON",
    "question_answering": "a part of the context, or none; generation would answer in words of its own",
    "similarity": "how alike two texts are; regression would read both as one text",
    "retrieval": "finds the passage that belongs to a query among all; generation would write it",
    "generation": "writes the answer; retrieval would find it among those that are there",
    "summarisation": "writes a short text; it is generation with figures and baselines of summaries",
    "translation": "writes the same in another language; it is generation with figures of translations",
    "pretraining": "learns from the text alone; any other kind needs a column that answers",
}


def _data(guess: Guess, table: Table, cleaned: Cleaned, data: Path, folder: Path) -> Iterator[str]:
    path = os.path.relpath(data.resolve(), folder.resolve())
    yield "data:"
    yield f"  train: {_quoted(path)}  # {table.rows_in:,} rows; 1 in 10 is held out for choosing, 1 in 5 for judging"
    if guess.id is not None:
        yield f"  id: {_quoted(guess.id)}  # different in every row"
    if guess.group is not None:
        yield f"  group: {_quoted(guess.group)}  # rows with the same value stay together in train or in test"
    unusable = len(cleaned.faults)
    example = f"{cleaned.faults[0].origin}, {cleaned.faults[0].detail}".replace("\n", " ") if unusable else ""
    if unusable > _MALFORMED_LIMIT * table.rows_in:
        yield f"  malformed: drop  # {unusable:,} rows cannot be used, more than 1 in 100; the first: {example}"
    elif unusable:
        yield f"  # {unusable:,} rows cannot be used and are left out; the first: {example}"


def _encode(guess: Guess, longest: tuple[int, int], description: Description | None) -> Iterator[str]:
    over, tokens = longest
    if not over or description is None or guess.kind == "pretraining":
        return
    what = f"{over:,} texts have more than {description.longest} tokens (up to {tokens:,})"
    yield "encode:"
    if KINDS[guess.kind].answers == "spans":
        yield f"  long: windows  # {what}; they are read in pieces that overlap"
    elif KINDS[guess.kind].answers == "texts":
        yield f"  long: truncate  # {what}, answers included; refuse would stop there"
    else:
        yield f"  long: truncate  # {what}; windows would read all of each"


def _masks(guess: Guess, description: Description | None) -> Iterator[str]:
    if guess.kind == "pretraining" and description is not None and description.family == "encoder":
        yield "# An encoder learns from plain text by hidden words; what comes out is a base for others."
        yield "phases: [{objective: masked}]"


def _gate(guess: Guess) -> Iterator[str]:
    metric = KINDS[guess.kind].metric
    bar = "at_most: ..." if better(metric, guess.kind) < 0 else "at_least: 0.85"
    yield "gate:  # what a version must pass; `tunewright run` exits with 0 only then"
    yield f"  {metric}: {{better_than: best_baseline}}  # add your own bar, as in {{{bar}, better_than: best_baseline}}"


def _about(description: Description | None) -> str:
    if description is None:
        return "the usual base of such tasks; it was not looked at"
    return f"{description.parameters / 1e6:.1f} M parameters, reads {description.longest_says}"


def _listed(names: Sequence[str]) -> str:
    return _quoted(names[0]) if len(names) == 1 else f"[{', '.join(map(_quoted, names))}]"


def _quoted(text: str) -> str:
    """The text as YAML: bare where that is safe, else in double quotes."""
    safe = _PLAIN.fullmatch(text) or re.fullmatch(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*[A-Za-z][A-Za-z0-9_./-]*", text)
    return text if safe and text.lower() not in _RESERVED else json.dumps(text, ensure_ascii=False)


def _name(data: Path) -> str:
    slug = re.sub(r"[^a-z0-9._-]+", "-", data.stem.lower()).strip("-._")
    return slug[:64] or "model"
