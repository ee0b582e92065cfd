"""What logits amount to: spans and answers there and back, the best of all pairs, losses as the libraries have them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import tiny_texts
from tests.annotated import LABELS, TOKENIZERS, annotated, located_encoder
from tests.tiny_training import tiny_model
from torch.nn import functional
from transformers.loss.loss_utils import ForQuestionAnsweringLoss

from tunewright.data.asking import ask_answer, ask_tags
from tunewright.model.predict import forward_rows, forward_tokens, judge_tokens
from tunewright.serve import answering
from tunewright.serve.answering import located_answers, located_spans, logits_of, mean_loss_of, outputs_of, sizes_of
from tunewright.values import Encoded, Span

KINDS = pytest.mark.parametrize("kind", TOKENIZERS)
few = settings(max_examples=25, deadline=None)


def certain(encoded: Encoded, columns: int) -> np.ndarray:
    """Logits of the asked tokens that say exactly what is asked, float32 [m, c]."""
    asked_m = encoded.answers_n[encoded.answers_n >= 0]
    return np.where(np.arange(columns) == asked_m[:, None], 9.0, -9.0).astype(np.float32)


def certain_ends(encoded: Encoded) -> np.ndarray:
    asked_m = encoded.answers_n[encoded.answers_n >= 0]
    return np.stack([asked_m & 1, asked_m >> 1 & 1], axis=1).astype(np.float32) * 18 - 9


@KINDS
@few
@given(said=st.lists(annotated(), min_size=1, max_size=3), max_length=st.integers(8, 30), overlap=st.integers(0, 3))
def test_spans_survive_the_way_to_tags_and_back(kind, said, max_length, overlap):
    ours = located_encoder(kind, max_length=max_length, overlap=overlap)
    encoded = ask_tags(ours.encode([(text,) for text, _ in said]), [spans for _, spans in said], LABELS)
    logits = certain(encoded, 1 + 2 * len(LABELS))
    assert located_spans(logits, encoded, LABELS) == [spans for _, spans in said]
    outputs = outputs_of(logits, encoded, "token_classification", labels=LABELS, inputs=[])
    assert outputs.dtype == object and list(outputs) == [spans for _, spans in said]
    assert all(span.probability > 0.99 for spans in outputs for span in spans)


@KINDS
@few
@given(said=st.lists(annotated(), min_size=1, max_size=3), max_length=st.integers(16, 40), overlap=st.integers(0, 6))
def test_answers_survive_the_way_to_their_ends_and_back(kind, said, max_length, overlap):
    ours = located_encoder(kind, max_length=max_length, overlap=overlap, question=True)
    encoded = ask_answer(ours.encode([("my card", text) for text, _ in said]), [spans for _, spans in said])
    contexts = [text for text, _ in said]
    outputs = outputs_of(
        certain_ends(encoded), encoded, "question_answering", labels=(), inputs=[("my card", text) for text in contexts]
    )
    elsewhere_s = encoded.answers_n[encoded.starts_s[:-1]] == 0
    whole_r = np.bincount(encoded.owner_s, weights=elsewhere_s, minlength=encoded.rows) > 0
    for found, (text, spans), shown in zip(outputs, said, whole_r, strict=True):
        if not shown:  # no answer, or one that no window shows whole
            assert found is None
        else:
            answer = spans[0]
            assert found == Span(answer.start, answer.end, text[answer.start : answer.end]) and found.probability > 0.99


def one_window(tokens: int) -> tuple[Encoded, str]:
    """A question of one token and a context of one-letter tokens, all candidates asked."""
    text = "abcdefghijklmnopqrstuvwxyz" * 4
    offsets = np.array([(0, 0), (0, 0), *((i, i + 1) for i in range(tokens))], dtype=np.int32)
    encoded = Encoded(
        tokens_n=np.zeros(tokens + 2, np.int32), starts_s=np.array([0, tokens + 2]), owner_s=np.zeros(1, np.int64),
        types_n=None, cut_r=np.zeros(1, np.int64), offsets_n2=offsets,
        answers_n=np.array([0, -1, *[0] * tokens], dtype=np.int32),
    )  # fmt: skip
    return encoded, text


@few
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_answer_is_the_best_pair_in_order_and_not_too_long(tokens, longest, seed):
    encoded, text = one_window(tokens)
    logits = np.random.default_rng(seed).normal(size=(tokens + 1, 2)) * 3
    ordered = [(i, j) for i in range(tokens) for j in range(i, min(i + longest, tokens))]
    pairs = {(i, j): logits[1 + i, 0] + logits[1 + j, 1] for i, j in ordered}
    (i, j), score = max(pairs.items(), key=lambda pair: pair[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "LONGEST_ANSWER_TOKENS", longest)
        (found,) = located_answers(logits, encoded, [text])
    if score < logits[0].sum():
        assert found is None
    else:
        assert found == Span(i, j + 1, text[i : j + 1])
        assert found.probability == pytest.approx(1 / (1 + np.exp(logits[0].sum() - score)))


def test_an_answer_has_thirty_tokens_at_most():
    encoded, text = one_window(40)
    logits = np.zeros((41, 2))
    logits[0] = -50
    logits[1, 0] = logits[40, 1] = 9  # these are too far apart
    (found,) = located_answers(logits, encoded, [text])
    assert found.end - found.start <= 30 and (found.start == 0 or found.end == 40)
    logits[30, 1] = 1
    assert located_answers(logits, encoded, [text]) == [Span(0, 30, text[:30])]


def test_one_window_that_has_the_answer_outweighs_others_that_have_not():
    ours = located_encoder("words", max_length=8, overlap=2, question=True)
    text = " ".join(["my card refund now"] * 6)
    encoded = ask_answer(ours.encode([("now", text)]), [(Span(8, 14, "refund"),)])
    windows = np.repeat(np.arange(len(encoded.owner_s)), encoded.lengths_s)[encoded.answers_n >= 0]
    assert len(encoded.owner_s) > 2
    logits = certain_ends(encoded)
    logits[np.flatnonzero(np.diff(windows, prepend=0)), :] += 30  # the other windows say loudly that they have nothing
    (found,) = located_answers(logits, encoded, [text])
    assert found == Span(8, 14, "refund")


def test_a_text_without_tokens_has_no_spans_and_no_answer():
    ours = located_encoder("bert", max_length=12)
    encoded = ask_tags(ours.encode([("",), ("my card",)]), None, LABELS)
    assert located_spans(np.eye(5)[[0, 1]], encoded, LABELS) == [(), (Span(3, 7, "thing"),)]
    asked = ask_answer(located_encoder("bert", max_length=12, question=True).encode([("now", "")]), None)
    assert located_answers(np.zeros((1, 2)), asked, [""]) == [None]


# ---- losses and sizes


def test_the_loss_of_tags_is_torchs():
    ours = located_encoder("bert", max_length=9, overlap=2)
    encoded = ask_tags(ours.encode([("my card now my card now",), ("now",)]), [(Span(3, 7, "thing"),), ()], LABELS)
    asked = torch.from_numpy(encoded.answers_n[encoded.answers_n >= 0].astype(np.int64))
    logits = torch.randn(len(asked), 5, generator=torch.Generator().manual_seed(1))
    expected = functional.cross_entropy(logits, asked)
    assert mean_loss_of(logits.numpy(), encoded, "token_classification") == pytest.approx(float(expected), rel=1e-6)


def test_the_loss_of_answers_is_that_of_transformers_over_all_windows():
    ours = located_encoder("bert", max_length=12, overlap=2, question=True)
    given = [("my card", "now my card now my card now my card now my card"), ("now", "my card")]
    encoded = ask_answer(ours.encode(given), [(Span(4, 11, "my card"),), ()])
    assert len(encoded.owner_s) > 2
    places = np.flatnonzero(encoded.answers_n >= 0)
    logits = np.random.default_rng(0).normal(size=(len(places), 2)).astype(np.float32)
    every = torch.full((len(encoded.owner_s), int(encoded.lengths_s.max()), 2), -1e9)
    sequence_m = np.repeat(np.arange(len(encoded.owner_s)), encoded.lengths_s)[places]
    every[sequence_m, places - encoded.starts_s[sequence_m]] = torch.from_numpy(logits)
    begins, ends = (
        torch.tensor([int(np.flatnonzero((part >= 0) & (part & bit > 0))[0])
                      for part in np.split(encoded.answers_n, encoded.starts_s[1:-1])])
        for bit in (1, 2)
    )  # fmt: skip
    theirs = ForQuestionAnsweringLoss(every[..., 0], every[..., 1], begins, ends)
    assert mean_loss_of(logits, encoded, "question_answering") == pytest.approx(float(theirs), rel=1e-6)


@pytest.mark.parametrize("name", tiny_texts.MAIN)
def test_the_loss_of_texts_is_that_of_transformers(name):
    model, encoded = tiny_texts.tiny_text_model(name), tiny_texts.tiny_text_rows(name).encoded
    with torch.no_grad():
        expected = float(tiny_texts.library_loss(model.trunk, encoded))
    judged = logits_of(model, encoded)
    assert mean_loss_of(judged, encoded, "generation") == pytest.approx(expected, rel=1e-5)
    sizes = sizes_of(judged, encoded)
    assert sizes.dtype == np.float64 and sizes[:, 0].sum() / sizes[:, 1].sum() == pytest.approx(expected, rel=1e-5)
    asked = [int((part >= 0).sum()) for part in np.split(encoded.answers_n, encoded.starts_s[1:-1])]
    assert sizes[:, 1].tolist() == asked and sizes[:, 2].tolist() == encoded.bytes_r.tolist()
    np.testing.assert_allclose(outputs_of(judged, encoded, "pretraining", labels=(), inputs=[]), sizes[:, 0], rtol=1e-6)


def test_each_kind_has_its_numbers():
    material = tiny_texts.tiny_text_rows("llama")
    text = tiny_texts.tiny_text_model("llama")
    assert np.array_equal(logits_of(text, material.encoded), judge_tokens(text, material.encoded))
    head, rows = tiny_model("bert"), replace(material.encoded, answers_n=None)
    assert np.array_equal(logits_of(head, rows), forward_rows(head, rows))
    tokens = replace(material.encoded, answers_n=np.zeros_like(material.encoded.answers_n))
    assert np.array_equal(logits_of(head, tokens), forward_tokens(head, tokens))
    said = outputs_of(logits_of(head, rows), rows, "classification", labels=("a", "b", "c"), inputs=[])
    np.testing.assert_allclose(said.sum(1), 1, rtol=1e-6)


def test_kinds_that_are_asked_at_rows_have_no_loss_of_tokens():
    with pytest.raises(AssertionError):
        mean_loss_of(np.zeros((1, 3)), SimpleNamespace(answers_n=None), "classification")
