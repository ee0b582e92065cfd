"""The values that travel between rooms. Knows shapes; must not know any method, file or library beyond numpy and torch.

Shape legend, used as suffixes everywhere:
    r rows of a data set      s sequences (a long row may be several windows)    n tokens of all sequences together
    b rows of a batch         t tokens of a padded sequence                      c classes or output columns
    k texts of a row, where each is read by itself
    d hidden width            v vocabulary
    m items of a batch: its rows, or the tokens at which an answer is asked
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The characters `start` to `end` (exclusive) of a text, and what they are; how probable, where a model says so."""

    start: int
    end: int
    label: str
    probability: float | None = field(default=None, compare=False)


ROLES = ("tools", "system", "user", "assistant", "call", "tool")


class Turn(str):
    """What one side of a conversation says, with its `role`: one of ROLES.

    `tools` holds the JSON list of the functions that may be called, `call` the JSON list of the assistant's calls
    ({"name", "arguments"} each), `tool` what a function returned. The model answers as `assistant` or `call`.
    Turns are equal where text and role are.
    """

    __slots__ = ("role",)
    role: str

    def __new__(cls, text: str, role: str) -> Turn:
        assert role in ROLES, f"no role {role!r}"
        turn = super().__new__(cls, text)
        turn.role = role
        return turn

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Turn) and str.__eq__(self, other) and self.role == other.role

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((str(self), self.role))

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.role


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one split, column-wise; row i is the same row in every field.

    `inputs` holds one tuple per row: a string per input column, or the turns of a conversation so far.
    `targets` is None where the rows have no answers (prediction), else by the kind of task:

    | kind | inputs of a row | targets |
    |---|---|---|
    | classification | texts | int64 [r] of class indices |
    | multi_label | texts | float32 [r, c] of 0 and 1 |
    | regression, similarity | texts, or a pair of them | float32 [r] |
    | token_classification | one text | object [r] of tuple[Span, ...], in order |
    | question_answering | question, context | object [r] of tuple[Span, ...]: right answers, () where there is none |
    | retrieval | query, passage, and perhaps a passage that does not answer | float32 [r] of 1 |
    | generation, summarisation, translation | turns | object [r] of Turn: the answer |
    | pretraining | one text | float32 [r] of 0: the text is its own answer |
    """

    ids: tuple[str, ...]
    origins: tuple[str, ...]
    inputs: tuple[tuple[str, ...], ...]
    targets: np.ndarray | None
    columns: tuple[tuple[str, ...], ...] | None = None  # the input columns, where a prompt made the inputs of them

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: np.ndarray) -> Rows:
        """The rows at `indices` (int [k]), in that order."""
        return Rows(
            ids=tuple(self.ids[i] for i in indices),
            origins=tuple(self.origins[i] for i in indices),
            inputs=tuple(self.inputs[i] for i in indices),
            targets=None if self.targets is None else self.targets[indices],
            columns=None if self.columns is None else tuple(self.columns[i] for i in indices),
        )


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of many rows, ragged, without padding.

    Sequence j is `tokens_n[starts_s[j]:starts_s[j + 1]]` and belongs to row `owner_s[j]`; rows are numbered from 0 and
    appear in order, so a row that needed windows owns several neighbouring sequences. Where each row has several
    `texts`, read one by one, `owner_s` numbers those instead: row i has i·k to i·k + k − 1. `cut_r` counts the tokens
    of each row that no sequence holds. Tasks that answer at tokens have `answers_n`: what the model shall say at each
    token (a class, or the token that follows), −1 where nothing is asked; and tasks that answer with parts of a text
    have `offsets_n2`: the characters of that text that each token stands for, (0, 0) for a token of none. `bytes_r`
    counts the UTF-8 bytes of the text that a row's asked tokens write.
    """

    tokens_n: np.ndarray  # int32
    starts_s: np.ndarray  # int64 [s + 1]
    owner_s: np.ndarray  # int64 [s]
    types_n: np.ndarray | None  # int8: 0 for the first text of a pair, 1 for the second
    cut_r: np.ndarray  # int64 [r]
    answers_n: np.ndarray | None = None  # int32
    offsets_n2: np.ndarray | None = None  # int32
    bytes_r: np.ndarray | None = None  # int64
    texts: int = 1  # k

    @property
    def rows(self) -> int:
        return len(self.cut_r)

    @property
    def extra_windows(self) -> int:
        """Sequences beyond the one that each text has at least."""
        return len(self.owner_s) - self.rows * self.texts

    @property
    def lengths_s(self) -> np.ndarray:
        """Tokens of each sequence, int64 [s]."""
        return np.diff(self.starts_s)

    def lengths_r(self) -> np.ndarray:
        """Tokens of each row over all its sequences, int64 [r]."""
        rows_s = self.owner_s // self.texts
        return np.bincount(rows_s, weights=self.lengths_s, minlength=self.rows).astype(np.int64)

    def sequences_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sequences of `rows` (int [k]) in that order, int64 [s], and how many each row has, int64 [k]."""
        first_k = np.searchsorted(self.owner_s, rows * self.texts, side="left")
        counts_k = np.searchsorted(self.owner_s, (rows + 1) * self.texts, side="left") - first_k
        return ranges(first_k, counts_k), counts_k

    def owners_anew(self, sequences_s: np.ndarray, counts_k: np.ndarray) -> np.ndarray:
        """As `owner_s`, int64 [s], of rows taken by `sequences_of` and numbered from 0."""
        rows_s = np.repeat(np.arange(len(counts_k)), counts_k)
        owner_s: np.ndarray = rows_s * self.texts + self.owner_s[sequences_s] % self.texts
        return owner_s

    def take(self, rows: np.ndarray) -> Encoded:
        """The sequences of `rows` (int [k]), numbered anew in that order."""
        sequences_s, counts_k = self.sequences_of(rows)
        places_n = ranges(self.starts_s[sequences_s], self.lengths_s[sequences_s])

        def taken(values: np.ndarray | None, places: np.ndarray) -> np.ndarray | None:
            return None if values is None else values[places]

        return Encoded(
            tokens_n=self.tokens_n[places_n],
            starts_s=np.concatenate([[0], np.cumsum(self.lengths_s[sequences_s])]),
            owner_s=self.owners_anew(sequences_s, counts_k), types_n=taken(self.types_n, places_n),
            cut_r=self.cut_r[rows], answers_n=taken(self.answers_n, places_n),
            offsets_n2=taken(self.offsets_n2, places_n), bytes_r=taken(self.bytes_r, rows), texts=self.texts,
        )  # fmt: skip


def ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The integers first[i], first[i] + 1, ... (counts[i] of them) for each i, one after the other: int64 [sum]."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    found: np.ndarray = np.arange(total) + np.repeat(first - (ends - counts), counts)
    return found


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one task, padded on the right, ready for a model.

    `owner_s` maps each sequence to a row of this batch, or to a text where rows have several, as in `Encoded` (identity
    unless there are windows). `row_indices_b` are the rows' places in the data set. `targets` and `weights_m` (0 for
    what must not count in the loss) have an entry an item: items are the rows, or, where `at_m` is given, the tokens at
    those places of the flattened `ids_st`. For retrieval `targets` number the texts: equal texts have equal numbers.
    """

    ids_st: Tensor  # int64
    lengths_s: Tensor  # int64
    types_st: Tensor | None
    owner_s: Tensor  # int64
    row_indices_b: Tensor  # int64
    targets: Tensor | None  # int64 [m] | float32 [m, c] | float32 [m] | int64 [m, k]
    weights_m: Tensor  # float32
    at_m: Tensor | None = None  # int64
    task: str = "main"
    texts: int = 1  # k

    @property
    def mask_st(self) -> Tensor:
        """True at real tokens, bool [s, t]."""
        import torch

        return torch.arange(self.ids_st.shape[1], device=self.ids_st.device)[None, :] < self.lengths_s[:, None]

    @property
    def rows(self) -> int:
        return len(self.row_indices_b)

    @property
    def tokens(self) -> int:
        return int(self.lengths_s.sum())


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model says about a batch: `logits` float [m, c] (numbers [m]) and the vectors under the head.

    A model that compares texts has `logits` [m], of each row the cosine of its first two, and vectors [m, k, d].
    A model that writes text has no `logits`, which would be large, but the weight of its output layer, by which
    `vectors_md` become logits over the vocabulary, a chunk at a time.
    """

    logits: Tensor | None
    vectors_md: Tensor
    vocabulary_vd: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LossItems:
    """Unreduced losses: one value and one weight per item (a row, a token, a pair). The engine alone reduces them."""

    values: Tensor  # float32 [items]
    weights: Tensor  # float32 [items]


@dataclass(frozen=True, slots=True)
class Context:
    """All that an objective may read. `teacher` is None unless the phase has one."""

    batch: Batch
    outputs: Outputs
    kind: str  # the kind of task
    teacher: Outputs | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one rung says about the rows of one split; the only thing `evaluate/` needs to judge it.

    `targets` are as in `Rows`, `outputs` by the kind of task:

    | kind | outputs |
    |---|---|
    | classification, multi_label | float32 [r, c] of probabilities; of classification they sum to 1 |
    | regression, similarity | float32 [r] of values |
    | token_classification | object [r] of tuple[Span, ...] |
    | question_answering | object [r] of Span, or None where there is no answer |
    | retrieval | int64 [r]: the place, from 1, of the row's own passage among all passages of the split |
    | generation, summarisation, translation | object [r] of str |
    | pretraining | float32 [r]: the sum of −log probability over the row's tokens |

    A span that answers a question has its text as label. `sizes` has, for tasks that write text and for pretraining,
    what figures per token need: float64 [r, 3] of the summed −log probability of the right answer, its tokens, and its
    bytes; NaN where a rung has no probabilities. `seconds` is the
    wall time of predicting all rows, after loading; 0 if not timed.
    """

    rung: str
    split: str
    row_ids: tuple[str, ...]
    outputs: np.ndarray
    targets: np.ndarray
    seconds: float = 0.0
    sizes: np.ndarray | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def named(self, rung: str) -> Predictions:
        return replace(self, rung=rung)
