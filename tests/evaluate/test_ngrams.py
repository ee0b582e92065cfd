"""BLEU and chrF from sums of rows are those that sacreBLEU gives the whole corpus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from tunewright.evaluate.ngrams import bleu_score, chrf_score, count_bleu, count_chrf, tokenizer_for

WORDS = ["the", "a", "cat,", "dog", "sat", "on", "Matte.", "über", "$5.30", "(no)", "&amp;", "3-4", "ran", ""]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
CORPORA = st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=6)
ENGLISH = ["The cat sat on the mat.", "A dog ran past, twice!", "Nobody saw it happen at 3.30 pm."]
SAID = ["The cat sat on a mat.", "The dog ran past us twice.", "Nobody saw it."]


def bleu(said, true) -> float:
    return float(bleu_score(count_bleu(said, true).sum(axis=0))["bleu"])


def chrf(said, true) -> float:
    return float(chrf_score(count_chrf(said, true).sum(axis=0))["chrf"])


@given(CORPORA)
def test_both_are_those_of_sacrebleu(pairs):
    said, true = [list(side) for side in zip(*pairs, strict=True)]
    assert bleu(said, true) == pytest.approx(BLEU().corpus_score(said, [true]).score / 100, abs=1e-9)
    assert chrf(said, true) == pytest.approx(CHRF().corpus_score(said, [true]).score / 100, abs=1e-9)


def test_a_resample_has_the_figures_of_its_rows_written_out():
    drawn_kr = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, size=20)
    ours = bleu_score(drawn_kr @ count_bleu(SAID, ENGLISH)) | chrf_score(drawn_kr @ count_chrf(SAID, ENGLISH))
    for k, drawn_r in enumerate(drawn_kr):
        said, true = ([text for text, times in zip(texts, drawn_r, strict=True) for _ in range(times)]
                      for texts in (SAID, ENGLISH))
        assert ours["bleu"][k] == pytest.approx(BLEU().corpus_score(said, [true]).score / 100, abs=1e-9)
        assert ours["chrf"][k] == pytest.approx(CHRF().corpus_score(said, [true]).score / 100, abs=1e-9)


def test_chinese_is_parted_into_characters_as_sacrebleu_does_when_told():
    true, said = ["今天天气很好，我们去公园玩。", "他买了3本书。"], ["今天天气不错，我们去公园。", "他买了3本书。"]
    assert tokenizer_for(true) == "zh" and tokenizer_for(ENGLISH) == "13a" == tokenizer_for([])
    assert bleu(said, true) == pytest.approx(BLEU(tokenize="zh").corpus_score(said, [true]).score / 100, abs=1e-9)
    assert bleu(true, true) == pytest.approx(1) and BLEU().corpus_score(true, [true]).score < 50


def test_equal_texts_are_perfect_and_nothing_said_is_nothing():
    assert bleu(ENGLISH, ENGLISH) == pytest.approx(1) and chrf(ENGLISH, ENGLISH) == pytest.approx(1)
    assert bleu(["", ""], ENGLISH[:2]) == 0 == chrf(["", ""], ENGLISH[:2]) and bleu([""], [""]) == 0
