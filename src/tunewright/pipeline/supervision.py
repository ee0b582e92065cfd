"""What training really asks of the model: which tokens, of which rows. Knows plans; must not know models or results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.data.asking import count_unseen_spans
from tunewright.data.masked import MaskedEncoder
from tunewright.data.turns import TurnEncoder
from tunewright.evaluate.wording import answer_in_words
from tunewright.model.predict import row_of_asked
from tunewright.pipeline.plan import Plan
from tunewright.recipe.errors import DataRefusal

_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One training row: its text in stretches, of each whether it is learned, and the right answer in words.

    Where answers are texts they are stretches of the row themselves, and `answer` is empty.
    """

    row: str
    stretches: tuple[tuple[str, bool], ...]
    answer: str

    @property
    def read(self) -> str:
        return "".join(text for text, _ in self.stretches)


def describe_supervision(plan: Plan) -> dict[str, Any]:
    """Counts of rows and tokens that are asked for, cut, or without any answer, and a few samples."""
    encoded = plan.encoded["train"]
    asked = int((encoded.answers_n >= 0).sum()) if encoded.answers_n is not None else encoded.rows
    tokens = int(encoded.lengths_s.sum())
    facts: dict[str, Any] = {
        "rows": encoded.rows, "tokens_per_epoch": tokens, "sequences": len(encoded.owner_s),
        "asked_per_epoch": asked, "rows_cut": int((encoded.cut_r > 0).sum()), "tokens_cut": int(encoded.cut_r.sum()),
        "rows_without_supervision": count_unsupervised(plan),
    }  # fmt: skip
    if encoded.answers_n is not None:
        facts["share_of_tokens_asked"] = asked / max(1, tokens)
    if isinstance(plan.encoder, TurnEncoder):
        facts["answers_whose_end_is_trained"] = _count_trained_ends(plan, plan.encoder)
    else:
        facts["labels_per_row"] = _labels_per_row(plan)
    if plan.recipe.task.kind == "token_classification":
        facts["spans_that_no_token_touches"] = count_unseen_spans(encoded, _targets(plan))
    facts["samples"] = [
        {"row": sample.row, "read": sample.read, "answer": sample.answer} for sample in samples(plan, _SAMPLES)
    ]
    return facts


def refuse_unsupervised(plan: Plan) -> None:
    """Raises DataRefusal where training rows ask nothing of a model that learns token by token."""
    count = count_unsupervised(plan)
    if count and plan.encoded["train"].answers_n is not None:
        raise DataRefusal(
            f"{count} of {plan.encoded['train'].rows} training rows have no token that is learned.", where="data.train",
            remedy="Leave out rows whose text or answer is empty, or raise encode.max_length.",
        )  # fmt: skip


def count_unsupervised(plan: Plan) -> int:
    """Training rows of which the model reads no token, or that ask for none, or whose answer is not a number."""
    encoded, targets = plan.encoded["train"], _targets(plan)
    if encoded.answers_n is not None:
        return int((np.bincount(row_of_asked(encoded), minlength=encoded.rows) == 0).sum())
    answered_r = np.isfinite(targets.reshape(len(targets), -1)).all(axis=1)
    return int((~answered_r | (encoded.lengths_r() == 0)).sum())


def read_in_pieces(plan: Plan) -> int:
    """Test rows that are too long to be read at once, and may be read in pieces."""
    encoder = plan.encoder
    if not isinstance(encoder, TurnEncoder) or encoder.long != "chunks":
        return 0
    return int((encoder.measure_prompts(plan.rows("test").inputs) > encoder.most_before_answers).sum())


def samples(plan: Plan, count: int) -> Iterator[Sample]:
    """What the model really reads of the first training rows, and what it is to say."""
    rows, encoded, encoder = plan.rows("train"), plan.encoded["train"], plan.encoder
    for row in range(min(count, len(rows))):
        if isinstance(encoder, (MaskedEncoder, TurnEncoder)):
            yield Sample(rows.ids[row], tuple(encoder.pieces(encoded, row=row)), "")
            continue
        read = " ⏎ ".join(encoder.decode_sample(encoded, row=row))
        learned = plan.recipe.task.kind == "pretraining"
        answer = "" if learned else answer_in_words(
            _targets(plan)[row], plan.recipe.task.kind, labels=plan.prepared.labels, text=rows.inputs[row][0]
        )
        yield Sample(rows.ids[row], ((read, learned),), answer)


def _count_trained_ends(plan: Plan, encoder: TurnEncoder) -> int:
    """Training rows whose last asked token ends the answer."""
    encoded, ends = plan.encoded["train"], np.array(sorted(encoder.end_ids()))
    assert encoded.answers_n is not None
    asked_m, row_m = encoded.answers_n[encoded.answers_n >= 0], row_of_asked(encoded)
    last = np.flatnonzero(np.diff(row_m, append=-1))
    return int(np.isin(asked_m[last], ends).sum())


def _labels_per_row(plan: Plan) -> float:
    targets = _targets(plan)
    if targets.dtype == object:
        return float(np.mean([len(answer) if isinstance(answer, tuple) else 1 for answer in targets]))
    return float(targets.sum(axis=1).mean()) if targets.ndim == 2 else 1.0


def _targets(plan: Plan) -> np.ndarray:
    targets = plan.rows("train").targets
    assert targets is not None
    return targets
