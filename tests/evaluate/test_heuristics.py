"""Rules of thumb by hand, BM25 against its formula written out, and on public data."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tunewright.data.spans import read_tags
from tunewright.evaluate import heuristics
from tunewright.evaluate.metrics import measure
from tunewright.evaluate.texts import words
from tunewright.values import Predictions, Span

DIALOGUE = "#P1#: Ms. Dawson, are you there?\n#P2#: Yes, sir. I have been waiting for an hour. Go on.\n#P1#: Good."
TRAIN = ["Ines lives in New York City.", "New York is big.", "May I see May?"]
SPANS = [
    (Span(0, 4, "per"), Span(14, 27, "loc")), (Span(0, 8, "loc"),), (Span(10, 13, "per"),)]  # fmt: skip


def judged(outputs, targets, kind: str) -> dict[str, float | None]:
    return measure(Predictions("rung", "test", tuple(map(str, range(len(targets)))), outputs, targets), kind)


def test_the_dictionary_finds_whole_words_the_longest_first():
    text = "NewYork, New  York City and New York; Inesita met Ines."
    (found,) = heuristics.dictionary(TRAIN, SPANS, [text])
    assert [(text[span.start : span.end], span.label) for span in found] == [
        ("New  York City", "loc"), ("New York", "loc"), ("Ines", "per")]


def test_the_dictionary_gives_the_commonest_label_and_of_equals_the_first_by_name():
    spans = [(Span(0, 3, "b"),), (Span(0, 3, "a"),), (Span(0, 3, "b"),), (Span(4, 5, "b"), Span(4, 5, "a"))]
    (found,) = heuristics.dictionary(["May x"] * 4, spans, ["x May"])
    assert [span.label for span in found] == ["a", "b"]
    assert heuristics.dictionary(["x"], [()], ["x y"]).tolist() == [()]


def test_a_span_of_three_words_is_found_where_no_shorter_one_was_seen():
    (found,) = heuristics.dictionary(["a b c"], [(Span(0, 5, "l"),)], ["a b a b c"])
    assert found == (Span(4, 9, "l"),)


def test_no_spans_and_no_answer_are_one_answer_a_row():
    assert heuristics.no_spans(2).tolist() == [(), ()] and heuristics.no_answer(2).tolist() == [None, None]


def test_sentences_are_spans_of_the_context_with_their_text():
    context = '  Dr. Lee of the U.S. team won 3.5 points. "Who?" asked Ann!\nNobody knew 你好。再见'
    (first,) = heuristics.first_sentence([context])
    assert first == Span(2, 42, "Dr. Lee of the U.S. team won 3.5 points.")
    (asked,) = heuristics.likest_sentence(["What did Ann ask?"], [context])
    assert asked.label == "asked Ann!" and context[asked.start : asked.end] == asked.label
    assert heuristics.first_sentence([" "]).tolist() == heuristics.likest_sentence(["q"], [""]).tolist() == [None]
    assert heuristics.parts(context)[-2:] == ["Nobody knew 你好。", "再见"]


def test_a_dialogue_has_turns_and_other_texts_have_sentences():
    assert len(heuristics.parts(DIALOGUE)) == 3
    assert heuristics.lead([DIALOGUE], 1).tolist() == ["#P1#: Ms. Dawson, are you there?"]
    assert heuristics.longest_turn([DIALOGUE])[0].startswith("#P2#: Yes, sir.")
    assert heuristics.lead(["One. Two! Three? Four."]).tolist() == ["One. Two! Three?"]
    assert heuristics.longest_turn(["", "a b. c d e."]).tolist() == ["", "c d e."]


def test_as_many_sentences_lead_as_answers_are_long():
    texts = ["a b c. d e f. g h i. j k l."] * 3
    assert heuristics.usual_sentences(["w x y z w x"] * 3, texts) == 2
    assert heuristics.usual_sentences(["w"], texts) == 1 and heuristics.usual_sentences(["w " * 90], texts) == 4


def test_copy_and_the_commonest_answer():
    assert heuristics.copy(["a", "b"]).tolist() == ["a", "b"]
    assert heuristics.most_common(["y", "x", "x", "y"], 2).tolist() == ["y", "y"]


def test_bm25_is_its_formula_written_out():
    passages = ["the cat sat on the mat", "a dog sat", "cat cat dog bird", "nothing here at all that fits"]
    queries = ["cat on mat", "dog?", "bird cat", "fits dog dog"]
    bags = [words(passage) for passage in passages]
    mean = sum(map(len, bags)) / len(bags)

    def score(query: str, bag: tuple[str, ...]) -> float:
        total = 0.0
        for term in set(words(query)):
            having = sum(term in other for other in bags)
            rarity = math.log(1 + (len(bags) - having + 0.5) / (having + 0.5))
            count = bag.count(term)
            total += rarity * count * 2.5 / (count + 1.5 * (1 - 0.75 + 0.75 * len(bag) / mean))
        return total

    expected = [sum(score(query, bag) >= score(query, bags[i]) - 1e-12 for bag in bags)
                for i, query in enumerate(queries)]
    assert heuristics.bm25_ranks(queries, passages).tolist() == expected
    own = np.array([2, 2, 2, 2])
    assert heuristics.bm25_ranks(queries, passages, own)[2] == 1
    assert heuristics.bm25_ranks(["zebra"], ["a", "b"]).tolist() == [2]  # all alike is nothing found


def test_a_unigram_model_is_counts_plus_one():
    train, asked, row = np.array([0, 0, 1, 3]), np.array([0, 2, 3]), np.array([0, 0, 2])
    loss = heuristics.unigram(train, asked, row, rows=3, vocabulary=4)
    assert loss == pytest.approx([-math.log(3 / 8) - math.log(1 / 8), 0, -math.log(2 / 8)])


@pytest.mark.data
def test_rungs_of_summaries_stand_where_the_field_finds_them(public_data):
    lines = (public_data("dialogsum") / "test.jsonl").read_text(encoding="utf-8").splitlines()[:120]
    rows = [json.loads(line) for line in lines]
    answers = np.array([row.get("summary1") or row["summary"] for row in rows], dtype=object)
    texts = [row["dialogue"] for row in rows]
    lead, longest, whole = (judged(rung, answers, "summarisation") for rung in (
        heuristics.lead(texts), heuristics.longest_turn(texts), heuristics.copy(texts)))
    assert 0.15 < lead["rouge_l"] < 0.32 and 0.15 < longest["rouge_l"] < 0.32
    assert whole["length_ratio"] > 4 and whole["rouge_l"] < lead["rouge_l"]


@pytest.mark.data
def test_bm25_finds_most_passages_of_a_public_set(public_data):
    lines = (public_data("xquad_en") / "test_en.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines][:300]
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    own = np.array([contexts.index(row["context"]) for row in rows])
    ranks = heuristics.bm25_ranks([row["question"] for row in rows], contexts, own)
    assert 0.7 < judged(ranks, np.ones(len(rows)), "retrieval")["mrr"] < 1


@pytest.mark.data
@pytest.mark.parametrize(("name", "least", "most"), [("crossner_ai", 0.2, 0.5), ("wnut17", 0, 0.01)])
def test_a_dictionary_finds_the_names_that_come_again(name, least, most, public_data):
    """wnut17 was made so that none of its test set's names come in training."""
    read = {}
    for split in ("train", "test"):
        lines = (public_data(name) / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        read[split] = [read_tags(row["tokens"], row["ner_tags"], scheme="BIO") for row in rows]
    train, test = (([row.text for row in rows], [row.spans for row in rows]) for rows in read.values())
    targets = np.fromiter(test[1], dtype=object, count=len(test[1]))
    assert judged(targets, targets, "token_classification")["span_f1"] == 1
    seen = judged(heuristics.dictionary(*train, test[0]), targets, "token_classification")
    assert least <= seen["span_f1"] <= most and seen["span_precision"] >= seen["span_recall"]
