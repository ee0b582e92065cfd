"""From text to answer: the one way, for command line, API and evaluation. Must not know HTTP or queues."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from tunewright.data.blocks import BlockEncoder
from tunewright.data.encoders import AnyEncoder, encode_rows, load_encoder
from tunewright.data.masked import MaskedEncoder
from tunewright.data.turns import TurnEncoder
from tunewright.model.adapters import has_lora, merge_lora
from tunewright.model.answers import Generated
from tunewright.model.build import Model
from tunewright.model.generate import generate
from tunewright.model.packed import pack
from tunewright.model.quantized import count_weights, unquantize_layers
from tunewright.model.weights import hash_of, load_model
from tunewright.model.writing import Writing
from tunewright.recipe.errors import DataRefusal, nearest
from tunewright.recipe.tasks import KINDS
from tunewright.serve.answering import logits_of, nearest_passages, outputs_of, places_of
from tunewright.serve.orders import Order, Orders
from tunewright.values import Encoded, Rows, Span

Input = str | tuple[str, ...] | Mapping[str, str]
Row = tuple[str, ...]
Dtype = Literal["bfloat16", "float32"]

MULTI_LABEL_THRESHOLD = 0.5
PASSAGES_FOUND = 5
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECIMALS = 6  # about what a float32 near 1 holds
_ROWS_PER_PART = 8192  # bounds the token ids held at once


@dataclass(frozen=True, slots=True)
class LabelPrediction:
    """The most probable of several labels; the probabilities sum to 1."""

    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True, slots=True)
class LabelsPrediction:
    """Every label whose own probability is at least 0.5: any number of them, also none."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]


@dataclass(frozen=True, slots=True)
class ValuePrediction:
    """One number."""

    value: float


@dataclass(frozen=True, slots=True)
class SpanFound:
    """A part of the text: its characters, what it is, its text, and how probable that is."""

    start: int
    end: int
    label: str
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class SpansPrediction:
    """The parts of a text that have a label, in order."""

    spans: tuple[SpanFound, ...]


@dataclass(frozen=True, slots=True)
class AnswerPrediction:
    """The part of the context that answers the question; all None where the context does not say."""

    answer: str | None
    start: int | None = None
    end: int | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class TextPrediction:
    """What the model wrote."""

    text: str


@dataclass(frozen=True, slots=True)
class PassageFound:
    """A passage and the cosine that the query has with it."""

    passage: str
    value: float


@dataclass(frozen=True, slots=True)
class PassagesPrediction:
    """The cosine of a query with its own passage, the place of that one among all, and the nearest of all."""

    value: float
    place: int  # from 1
    nearest: tuple[PassageFound, ...]


Prediction = (
    LabelPrediction | LabelsPrediction | ValuePrediction | SpansPrediction | AnswerPrediction | TextPrediction
    | PassagesPrediction
)


class InputRefusal(DataRefusal):
    """An input that cannot be read. `index` is its place among the inputs, `column` the input column at fault."""

    def __init__(self, code: str, what: str, *, index: int, column: str | None = None, remedy: str = ""):
        self.code, self.index, self.column = code, index, column
        where = f"input {index}" + (f", column {column!r}" if column is not None else "")
        super().__init__(what, where=where, remedy=remedy)


class Predictor:
    """A trained model with its encoder and its labels; `orders` says how to ask it for texts, None if it writes none.

    `columns` are the input columns of its recipe; an input is one text, a tuple with one text per column, or a mapping
    from column to text. Several threads may call at once.
    """

    def __init__(
        self, model: Model, encoder: AnyEncoder, labels: Sequence[str], *, name: str = "model", version: str = "",
        writing: Writing | None = None,
    ):  # fmt: skip
        self.model, self.encoder, self.labels = model.eval(), encoder, tuple(labels)
        self.name, self.version = name, version
        self._encoding = threading.Lock()  # tokenizers keep settings between calls
        self.orders = _orders_of(self.model, encoder, self._encoding, writing)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        dtype: Dtype | None = None,
        threads: int | None = None,
        name: str | None = None,
        version: str | None = None,
    ) -> Predictor:
        """The model in `folder`, as a run or the registry keeps it.

        `dtype` is that of the arithmetic, by default the model's own where the hardware has it, else float32; `threads`
        sets those of the whole process. Without `name` and `version` the folder's name and its content hash stand in.
        """
        folder = Path(folder)
        if threads is not None:
            torch.set_num_threads(threads)
        saved = load_model(folder)
        own = "float32" if saved.arithmetic == "float32" else fastest_dtype()
        return cls(
            ready_to_serve(saved.model, dtype or own),
            load_encoder(saved.encoder_json, saved.tokenizer),
            saved.labels,
            name=name or folder.resolve().name,
            version=version or hash_of(folder)[:12],
            writing=None if saved.writing_json is None else Writing.from_json(saved.writing_json),
        )

    @property
    def task(self) -> str:
        """The kind of task."""
        return self.model.shape.kind

    @property
    def writes(self) -> bool:
        """Whether its answers are texts that it writes, token by token."""
        return self.orders is not None

    @property
    def columns(self) -> tuple[str, ...]:
        """What an input consists of: the input columns, without passages that are known not to answer."""
        return self.encoder.inputs[:2] if KINDS[self.task].compares else self.encoder.inputs

    @property
    def parameters(self) -> int:
        return count_weights(self.model)

    @property
    def dtype(self) -> str:
        return str(self.model.trunk.dtype).removeprefix("torch.")

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """One prediction per input, in order. Raises InputRefusal for the first that cannot be read."""
        rows = self.rows(inputs)
        return self.answers(self.outputs_of_rows(rows), rows)

    def outputs(self, inputs: Sequence[Input]) -> np.ndarray:
        """As `Predictions.outputs` by the kind of task, of retrieval cosines float32 [r]. Raises InputRefusal."""
        return self.outputs_of_rows(self.rows(inputs))

    def logits(self, inputs: Sequence[Input]) -> np.ndarray:
        """What the model says before any probability, float32 [r, c] or [r], or vectors [r, k, d]. Raises InputRefusal.

        What these mean by the kind of task is said in `answering.logits_of`.
        """
        return self._logits_of_rows(self.rows(inputs))

    def rows(self, inputs: Sequence[Input]) -> list[Row]:
        """The inputs checked and brought into the order of `columns`. Raises InputRefusal, DataRefusal."""
        if isinstance(inputs, (str, Mapping)):
            raise DataRefusal("The inputs must be a list; this is a single one.", remedy="Put it in a list: [input].")
        if isinstance(self.encoder, MaskedEncoder):
            raise DataRefusal("This model was made to be a base: it fills in hidden words and answers nothing.",
                              where=self.name, remedy="Name its folder trunk/ as the base of another recipe.")
        rows = [self._row(value, index) for index, value in enumerate(inputs)]
        if isinstance(self.encoder, TurnEncoder):
            return [self.encoder.turns_of(row) for row in rows]
        return rows

    def outputs_of_rows(self, rows: Sequence[Row]) -> np.ndarray:
        """As `outputs`, of rows that `rows` has checked; a row's answer does not depend on its company."""
        parts = [rows[start : start + _ROWS_PER_PART] for start in range(0, max(len(rows), 1), _ROWS_PER_PART)]
        return np.concatenate([self._outputs(part) for part in parts])

    def judged_outputs(self, rows: Sequence[Row]) -> np.ndarray:
        """As `Predictions.outputs` of a whole split: as `outputs_of_rows`, but of retrieval the places of own passages
        among all passages of `rows`, int64 [r].
        """
        return self.outputs_of_rows(rows) if self.task != "retrieval" else places_of(self._logits_of_rows(rows), rows)

    def search(self, rows: Sequence[Row], *, count: int = PASSAGES_FOUND) -> list[PassagesPrediction]:
        """For each row of query and passage the passages, among those of all rows, that are nearest to the query.

        Only of retrieval. `rows` are as `rows` gives them, or as a file of the recipe has them.
        """
        assert self.task == "retrieval", f"a {self.task} finds no passages"
        if not rows:
            return []
        vectors_rkd = self._logits_of_rows(rows)
        own_r, place_r = (vectors_rkd[:, 0] * vectors_rkd[:, 1]).sum(axis=1), places_of(vectors_rkd, rows)
        found_r = nearest_passages(vectors_rkd, rows, count=count)
        return [
            PassagesPrediction(
                round(float(own), _DECIMALS), int(place),
                tuple(PassageFound(passage, round(value, _DECIMALS)) for passage, value in found),
            )
            for own, place, found in zip(own_r, place_r, found_r, strict=True)
        ]  # fmt: skip

    def answers(self, outputs: np.ndarray, rows: Sequence[Row]) -> list[Prediction]:
        """What the outputs of rows mean, with probabilities to six decimals."""
        if KINDS[self.task].answers in ("numbers", "passages"):
            return [ValuePrediction(float(value)) for value in outputs]
        if self.task == "token_classification":
            return [_spans_found(spans, text) for spans, (text, *_) in zip(outputs, rows, strict=True)]
        if self.task == "question_answering":
            return [_answer_found(span) for span in outputs]
        if self.writes:
            return [TextPrediction(text) for text in outputs]
        rounded = np.round(outputs.astype(np.float64), _DECIMALS).tolist()
        if self.task == "classification":
            best = outputs.argmax(axis=1).tolist()
            return [
                LabelPrediction(self.labels[i], dict(zip(self.labels, row, strict=True)))
                for i, row in zip(best, rounded, strict=True)
            ]
        return [
            LabelsPrediction(
                tuple(label for label, p in zip(self.labels, row, strict=True) if p >= MULTI_LABEL_THRESHOLD),
                dict(zip(self.labels, row, strict=True)),
            )
            for row in rounded
        ]

    def _logits_of_rows(self, rows: Sequence[Row]) -> np.ndarray:
        parts = [rows[start : start + _ROWS_PER_PART] for start in range(0, max(len(rows), 1), _ROWS_PER_PART)]
        return np.concatenate([logits_of(self.model, self._encoded(part)) for part in parts])

    def _outputs(self, rows: Sequence[Row]) -> np.ndarray:
        if self.orders is not None:
            return self._written(self.orders, rows)
        encoded = self._encoded(rows)
        logits = logits_of(self.model, encoded)
        return outputs_of(logits, encoded, self.task, labels=self.labels, inputs=rows)

    def _written(self, orders: Orders, rows: Sequence[Row]) -> np.ndarray:
        """What the model writes in answer to rows, as it was chosen for it: object [r] of str."""

        def write(asked: Sequence[Order]) -> list[Generated]:
            return generate(
                self.model.trunk, orders.tokenizer, [order.prompt for order in asked], sampling=orders.writing.sampling,
                constraint=[order.constraint for order in asked], ends=orders.ends,
            )  # fmt: skip

        condensing = orders.condensing(rows)
        try:
            pieces = next(condensing)
            while True:
                pieces = condensing.send([said.text for said in write(pieces)])
        except StopIteration as done:
            return texts_of(write(done.value))

    def _encoded(self, rows: Sequence[Row]) -> Encoded:
        nameless = ("",) * len(rows)
        with self._encoding:
            given = Rows(ids=nameless, origins=nameless, inputs=tuple(rows), targets=None)
            return encode_rows(self.encoder, given, kind=self.task, labels=self.labels)

    def _row(self, value: Input, index: int) -> Row:
        if isinstance(value, str):
            row: Row = (value,)
        elif isinstance(value, Mapping):
            row = self._by_column(value, index)
        elif isinstance(value, tuple):
            row = value
        else:
            raise InputRefusal("wrong_type", f"An input must be a text, not {type(value).__name__}.", index=index)
        if len(row) != len(self.columns):
            raise InputRefusal(
                "wrong_columns",
                f"The model reads {len(self.columns)} columns and the number of texts given is {len(row)}.",
                index=index,
                remedy=f"Name the columns: {', '.join(self.columns)}.",
            )
        for column, text in zip(self.columns, row, strict=True):
            _refuse_unreadable(text, index, column if len(row) > 1 else None)
        self._refuse_empty(row, index)
        return row

    def _refuse_empty(self, row: Row, index: int) -> None:
        """As in training, where one of several texts may be empty unless they are compared."""
        empty = [column for column, text in zip(self.columns, row, strict=True) if not text.strip()]
        if len(empty) == len(row) or (empty and KINDS[self.task].compares):
            what = "The text is empty." if len(row) == 1 else f"{' and '.join(empty)} {_is_or_are(empty)} empty."
            raise InputRefusal("empty_text", what, index=index, remedy="Leave the input out.")

    def _by_column(self, value: Mapping[str, str], index: int) -> Row:
        for column in value:
            if column not in self.columns:
                shown = str(column)[:64]
                raise InputRefusal(
                    "unknown_column",
                    f"The model reads no column {shown!r}.{nearest(shown, self.columns)}",
                    index=index,
                    column=shown,
                    remedy=f"It reads: {', '.join(self.columns)}.",
                )
        for column in self.columns:
            if column not in value:
                raise InputRefusal(
                    "missing_column",
                    f"The column {column!r} is missing.",
                    index=index,
                    column=column,
                    remedy=f"The model reads: {', '.join(self.columns)}.",
                )
        return tuple(value[column] for column in self.columns)


def _is_or_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def texts_of(said: Sequence[Generated]) -> np.ndarray:
    """What was written, as `Predictions.outputs` holds it: object [r] of str."""
    written = np.empty(len(said), dtype=object)
    written[:] = [one.text for one in said]
    return written


def _orders_of(
    model: Model, encoder: AnyEncoder, encoding: threading.Lock, writing: Writing | None
) -> Orders | None:
    writes = isinstance(encoder, (TurnEncoder, BlockEncoder))
    return Orders(model.trunk, encoder, encoding, writing) if writes else None


def _spans_found(spans: Sequence[Span], text: str) -> SpansPrediction:
    return SpansPrediction(tuple(
        SpanFound(span.start, span.end, span.label, text[span.start : span.end],
                  round(span.probability or 0.0, _DECIMALS))
        for span in spans
    ))  # fmt: skip


def _answer_found(span: Span | None) -> AnswerPrediction:
    if span is None:
        return AnswerPrediction(None)
    return AnswerPrediction(span.label, span.start, span.end, round(span.probability or 0.0, _DECIMALS))


def ready_to_serve(model: Model, dtype: str) -> Model:
    """`model` itself, changed for good into what answers: adapters merged, trunk in `dtype`, weights laid out.

    Weights in 4 or 8 bits are unpacked: a model that answers reads them at every token.
    """
    if has_lora(model):
        merge_lora(model)  # in float32, before any rounding
    unquantize_layers(model.trunk)
    model.trunk.to(getattr(torch, dtype))
    pack(model.trunk)
    return model


def fastest_dtype() -> Dtype:
    """bfloat16 where the hardware computes in it, else float32."""
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "float32"


def _refuse_unreadable(text: object, index: int, column: str | None) -> None:
    if not isinstance(text, str):
        what = f"An input must be a text, not {type(text).__name__}."
        raise InputRefusal("wrong_type", what, index=index, column=column)
    if not text.isascii() and _SURROGATE.search(text):
        raise InputRefusal(
            "invalid_text",
            "The text holds half of a surrogate pair, which is no character.",
            index=index,
            column=column,
            remedy="Encode the text as UTF-8 or with whole surrogate pairs.",
        )
