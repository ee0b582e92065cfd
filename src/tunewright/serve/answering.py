"""What a model says of encoded rows, as `Predictions` holds it. Knows models and encodings; must not know texts.

Shape legend: r rows, m tokens that are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax

from tunewright.model.build import Model, writes_text
from tunewright.model.predict import forward_rows, forward_tokens, judge_tokens, probabilities, row_of_asked
from tunewright.values import Encoded


def logits_of(model: Model, encoded: Encoded) -> np.ndarray:
    """The numbers by which two forms of a model are compared: float32 [r, c] or [r], of tokens [m, c].

    Of a model that writes text [m, 3], as `judge_tokens`.
    """
    if writes_text(model.shape.kind):
        return judge_tokens(model, encoded)
    return forward_rows(model, encoded) if encoded.answers_n is None else forward_tokens(model, encoded)


def outputs_of(logits: np.ndarray, encoded: Encoded, kind: str, labels: Sequence[str]) -> np.ndarray:
    """What logits amount to, as `Predictions.outputs` holds it; texts are not read off logits, but written."""
    if kind == "pretraining":
        return sizes_of(logits, encoded)[:, 0].astype(np.float32)
    return probabilities(logits, kind)


def sizes_of(judged_m3: np.ndarray, encoded: Encoded) -> np.ndarray:
    """As `Predictions.sizes`: float64 [r, 3] of summed −log probability, tokens and bytes of each row's answer."""
    row_m = row_of_asked(encoded)
    assert encoded.bytes_r is not None
    lost_r = np.bincount(row_m, weights=-judged_m3[:, 0].astype(np.float64), minlength=encoded.rows)
    tokens_r = np.bincount(row_m, minlength=encoded.rows).astype(np.float64)
    return np.stack([lost_r, tokens_r, encoded.bytes_r.astype(np.float64)], axis=1)


def mean_loss_of(logits: np.ndarray, encoded: Encoded, kind: str) -> float:
    """The mean loss of the tokens that are asked for."""
    assert encoded.answers_n is not None
    if writes_text(kind):
        return float(-logits[:, 0].astype(np.float64).mean())
    answers_m = encoded.answers_n[encoded.answers_n >= 0]
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(answers_m)), answers_m].mean())
