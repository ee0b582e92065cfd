"""From a file of rows to a commented recipe that `check` accepts. Knows tables and bases; writes no file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tunewright.data.encode import Encoder
from tunewright.data.read import Table, read_table
from tunewright.model.bases import find_base
from tunewright.model.describe import Description, describe, load_tokenizer, refuse_unfit
from tunewright.pipeline.columns import Guess, guess_task, look_at_columns
from tunewright.recipe.errors import DataRefusal

_ROWS_OF_A_CLASS = 3  # one for each of train, validation and test
_MALFORMED_LIMIT = 0.01
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]*[A-Za-z0-9_]|[A-Za-z_]")
_RESERVED = ("true", "false", "null")
_LABELS_SHOWN = 40


def propose_recipe(
    data: Path, *, base: str = "minilm", inputs: Sequence[str] = (), outputs: Sequence[str] = (), folder: Path = Path()
) -> str:
    """The text of a recipe for the rows in `data`, to be saved in `folder`; each guess stands beside its reason.

    `inputs` and `outputs` name the columns of text and answers where the guess would be wrong. Raises DataRefusal where
    the columns do not tell, or the rows could not be trained on, and BaseRefusal for a base that cannot be used.
    """
    table = read_table([data])
    if not table.rows:
        raise DataRefusal(f"None of the {table.rows_in} rows can be read; the first: {table.malformed[0].reason}.",
                          where=table.malformed[0].origin, remedy="Correct the file.")
    guess = guess_task(look_at_columns(table), inputs=inputs, outputs=outputs, where=str(data))
    _refuse_few(guess, table, data)
    found = find_base(base, root=folder)
    description = describe(found)
    refuse_unfit(description, guess.kind)
    longest = _longest(guess, table, description, load_tokenizer(found.folder))
    lines = [
        "# Made by `tunewright init`. What is left out is decided from your data, your base and this machine;",
        "# `tunewright check` shows each decision with its reason.",
        f"name: {_name(data)}",
        *_task(guess),
        f"base: {_quoted(base)}  # {_about(description)}",
        *_data(guess, table, data, folder),
        *_encode(longest, description),
        *_gate(guess),
    ]
    return "\n".join(lines) + "\n"


def _refuse_few(guess: Guess, table: Table, data: Path) -> None:
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


def _longest(guess: Guess, table: Table, description: Description, tokenizer: object) -> tuple[int, int]:
    """Rows whose text is longer than the base takes, and the tokens of the longest."""
    pair = len(guess.inputs) == 2 and description.takes_types
    join = None if len(guess.inputs) == 1 else ("pair" if pair else "lines")
    encoder = Encoder(
        max_length=1 << 20, long="truncate", overlap=0, join=join, inputs=guess.inputs, tokenizer=tokenizer
    )
    texts = [tuple(str(row.get(name) or "") for name in guess.inputs) for row in table.rows]
    lengths_r = encoder.measure(texts)
    over = int((lengths_r > description.longest).sum()) if description.longest else 0
    return over, int(np.max(lengths_r, initial=0))


def _task(guess: Guess) -> Iterator[str]:
    yield "task:"
    yield f"  kind: {guess.kind}  # {_other_kinds(guess)}"
    yield f"  input: {_listed(guess.inputs)}  # {guess.why_inputs}"
    yield f"  output: {_listed(guess.outputs)}  # {guess.why_outputs}"
    if guess.separator not in (None, ","):
        yield f"  separator: {json.dumps(guess.separator)}"
    if guess.kind == "classification" and len(guess.labels) <= _LABELS_SHOWN:
        yield "  # Describe each label, and asking the untouched base (zero-shot) is measured beside the model:"
        yield "  # labels:"
        for label, count in sorted(guess.labels.items()):
            yield f"  #   {_quoted(label)}: ...  # {count} rows"


def _other_kinds(guess: Guess) -> str:
    if guess.kind == "classification":
        return "one label a row; multi_label would allow several, regression answers a number"
    if guess.kind == "multi_label":
        return "any number of labels a row; classification would ask for exactly one"
    return "a number; with few different numbers, classification would treat each as a label"


def _data(guess: Guess, table: Table, data: Path, folder: Path) -> Iterator[str]:
    path = os.path.relpath(data.resolve(), folder.resolve())
    yield "data:"
    yield f"  train: {_quoted(path)}  # {table.rows_in:,} rows; 1 in 10 is held out for choosing, 1 in 5 for judging"
    if guess.id is not None:
        yield f"  id: {_quoted(guess.id)}  # different in every row"
    if guess.group is not None:
        yield f"  group: {_quoted(guess.group)}  # rows with the same value stay together in train or in test"
    unusable, example = _unusable(guess, table)
    if unusable > _MALFORMED_LIMIT * table.rows_in:
        yield f"  malformed: drop  # {unusable:,} rows cannot be used, more than 1 in 100; the first: {example}"
    elif unusable:
        yield f"  # {unusable:,} rows cannot be used and are left out; the first: {example}"


def _unusable(guess: Guess, table: Table) -> tuple[int, str]:
    """How many rows have nothing to read or no answer, or cannot be read at all, and where the first is."""
    places = [bad.origin for bad in table.malformed]
    for origin, row in zip(table.origins, table.rows, strict=True):
        texts = [row.get(name) for name in guess.inputs]
        answers = [row.get(name) for name in guess.outputs]
        nothing = not any(str(text).strip() for text in texts if text is not None)
        if nothing or any(answer is None or (isinstance(answer, str) and not answer.strip()) for answer in answers):
            places.append(origin)
    return len(places), places[0] if places else ""


def _encode(longest: tuple[int, int], description: Description) -> Iterator[str]:
    over, tokens = longest
    if over:
        yield "encode:"
        yield (f"  long: truncate  # {over:,} texts have more than {description.longest} tokens (up to {tokens:,}); "
               "windows would read all of each")  # fmt: skip


def _gate(guess: Guess) -> Iterator[str]:
    metric = {"classification": "macro_f1", "multi_label": "micro_f1", "regression": "rmse"}[guess.kind]
    bar = "at_most: ..." if guess.kind == "regression" else "at_least: 0.85"
    yield "gate:  # what a version must pass; `tunewright run` exits with 0 only then"
    yield f"  {metric}: {{better_than: best_baseline}}  # add your own bar, as in {{{bar}, better_than: best_baseline}}"


def _about(description: Description) -> str:
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
