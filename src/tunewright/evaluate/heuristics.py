"""Rungs that follow a rule of thumb: copy, lead, dictionary, BM25. Knows texts and spans; must not know models.

Each returns outputs as `Predictions` holds them; `baselines` lists which rung is for which kind of task. Shape legend:
r rows to answer, n tokens, p passages, v vocabulary.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import regex
from scipy import sparse

from tunewright.evaluate.baselines import rank_of_own
from tunewright.evaluate.texts import words
from tunewright.values import Span

LEAD = 3  # sentences or turns that open a text: lead-3, the usual baseline of summaries
BM25_SATURATION, BM25_LENGTH = 1.5, 0.75  # k₁ and b of Robertson and Zaragoza (2009)
_QUERIES_AT_ONCE = 256
_TOKEN = regex.compile(r"[\w\p{M}]+|[^\w\s]")
_TURN = regex.compile(r"^[^\s:][^:\n]{0,40}:\s", regex.MULTILINE)
_TITLE = r"(?<!\b(?:Mr|Mrs|Ms|Dr|St|Prof|vs|e\.g|i\.e|etc|\p{Lu}))"  # an abbreviation's full stop ends no sentence
_SENTENCE_END = regex.compile(rf"{_TITLE}[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[」』”’）]*|\n+")


def no_spans(rows: int) -> np.ndarray:
    """No span in any row, object [r]."""
    return _objects([()] * rows)


def dictionary(
    train_texts: Sequence[str], train_spans: Sequence[Sequence[Span]], texts: Sequence[str]
) -> np.ndarray:
    """Whatever was a span in training, wherever it occurs again, with its commonest label there; object [r] of spans.

    Letters count as they are, spaces do not. Of overlapping finds the longest of the leftmost stays, as in the baseline
    of CoNLL-2003.
    """
    labels_of: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for text, spans in zip(train_texts, train_spans, strict=True):
        for span in spans:
            labels_of[tuple(_TOKEN.findall(text[span.start : span.end]))][span.label] += 1
    label_of = {tokens: max(sorted(seen), key=seen.__getitem__) for tokens, seen in labels_of.items() if tokens}
    longest = max(map(len, label_of), default=0)
    return _objects([tuple(_find(text, label_of, longest)) for text in texts])


def no_answer(rows: int) -> np.ndarray:
    """None for every question, object [r]."""
    return np.full(rows, None, dtype=object)


def first_sentence(contexts: Sequence[str]) -> np.ndarray:
    """The first sentence of each context, object [r] of Span."""
    return _objects([next(_sentence_spans(context), None) for context in contexts])


def likest_sentence(questions: Sequence[str], contexts: Sequence[str]) -> np.ndarray:
    """The sentence of each context that shares most words with the question, object [r] of Span; of equals the first.

    After the sliding window of Richardson et al. (2013), the baseline of SQuAD.
    """
    said = []
    for question, context in zip(questions, contexts, strict=True):
        asked = set(words(question))
        said.append(max(_sentence_spans(context), key=lambda span: len(asked & set(words(span.label))), default=None))
    return _objects(said)


def bm25_ranks(queries: Sequence[str], passages: Sequence[str], own_r: np.ndarray | None = None) -> np.ndarray:
    """The place, int64 [r] from 1, of each query's own passage among all by BM25 (Robertson and Zaragoza, 2009).

    `own_r` [r] says which passage is each query's, where it is not the one at its own place.
    """
    own_r = np.arange(len(queries)) if own_r is None else own_r
    column_of: dict[str, int] = {}
    counts_pv = _count_terms([words(passage) for passage in passages], column_of, grow=True)
    asked_rv = _count_terms([tuple(dict.fromkeys(words(query))) for query in queries], column_of, grow=False)
    lengths_p = np.asarray(counts_pv.sum(axis=1)).ravel()
    having_v = np.asarray((counts_pv > 0).sum(axis=0)).ravel()
    rarity_v = np.log1p((len(passages) - having_v + 0.5) / (having_v + 0.5))
    scale_p = BM25_SATURATION * (1 - BM25_LENGTH + BM25_LENGTH * lengths_p / max(lengths_p.mean(), 1e-9))
    weights_pv = counts_pv.tocoo()
    weights_pv.data = (
        rarity_v[weights_pv.col] * weights_pv.data * (BM25_SATURATION + 1)
        / (weights_pv.data + scale_p[weights_pv.row])
    )  # fmt: skip
    weights_vp = weights_pv.tocsr().T.tocsr()
    scores = (
        (asked_rv[start : start + _QUERIES_AT_ONCE] @ weights_vp).toarray()
        for start in range(0, len(queries), _QUERIES_AT_ONCE)
    )
    return rank_of_own(scores, own_r)


def copy(texts: Sequence[str]) -> np.ndarray:
    """The input as the answer, object [r]."""
    return _objects([str(text) for text in texts])


def most_common(train_answers: Sequence[str], rows: int) -> np.ndarray:
    """The commonest answer of training for every row, object [r]; of equally common ones, the first."""
    (answer, _), = Counter(str(answer) for answer in train_answers).most_common(1)
    return _objects([answer] * rows)


def lead(texts: Sequence[str], sentences: int = LEAD) -> np.ndarray:
    """The sentences (of a dialogue: turns) that open each text, object [r]."""
    return _objects([" ".join(parts(text)[:sentences]) for text in texts])


def usual_sentences(answers: Sequence[str], texts: Sequence[str]) -> int:
    """How many opening sentences or turns of `texts` have, on average, about as many words as their `answers`."""
    wanted = float(np.mean([len(words(answer)) for answer in answers]))
    lengths: list[list[int]] = [[len(words(part)) for part in parts(text)] for text in texts]
    most = max(map(len, lengths), default=1)
    means = [float(np.mean([sum(of_text[:k]) for of_text in lengths])) for k in range(1, min(most, 50) + 1)]
    return 1 + int(np.argmin(np.abs(np.array(means) - wanted)))


def longest_turn(texts: Sequence[str]) -> np.ndarray:
    """The longest turn of each dialogue, speaker included (of another text: its longest sentence), object [r]."""
    return _objects([max(parts(text), key=lambda part: len(words(part)), default="") for text in texts])


def parts(text: str) -> list[str]:
    """The turns of a dialogue written in lines `Speaker: ...`, else the sentences of a text."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and len(_TURN.findall(text)) > len(lines) / 2:
        return lines
    return [span.label for span in _sentence_spans(text)]


def unigram(
    train_tokens_n: np.ndarray, asked_n: np.ndarray, row_n: np.ndarray, *, rows: int, vocabulary: int
) -> np.ndarray:
    """−log probability of each row's tokens by their share of the training tokens, one added to each; float32 [r].

    `asked_n` holds the tokens that are to be said, of all rows together, `row_n` which row each belongs to.
    """
    counts_v = np.bincount(train_tokens_n, minlength=vocabulary).astype(np.float64) + 1
    assert len(counts_v) == vocabulary, "a token beyond the vocabulary"
    loss_v = np.log(counts_v.sum()) - np.log(counts_v)
    return np.bincount(row_n, weights=loss_v[asked_n], minlength=rows).astype(np.float32)


def _find(text: str, label_of: dict[tuple[str, ...], str], longest: int) -> Iterator[Span]:
    tokens = [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
    start = 0
    while start < len(tokens):
        for end in range(min(len(tokens), start + longest), start, -1):
            label = label_of.get(tuple(token for token, _, _ in tokens[start:end]))
            if label is not None:
                yield Span(tokens[start][1], tokens[end - 1][2], label)
                start = end
                break
        else:
            start += 1


def _sentence_spans(text: str) -> Iterator[Span]:
    """The sentences of a text, without the spaces around them; `label` is the sentence."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        sentence = text[start:end].strip()
        if sentence:
            begin = start + text[start:end].index(sentence)
            yield Span(begin, begin + len(sentence), sentence)


def _count_terms(bags: Sequence[Sequence[str]], column_of: dict[str, int], *, grow: bool) -> sparse.csr_matrix:
    """How often each term occurs in each bag, [bags, v]; terms without a column get one, or are left out."""
    rows, columns = [], []
    for row, bag in enumerate(bags):
        for term in bag:
            column = column_of.setdefault(term, len(column_of)) if grow else column_of.get(term)
            if column is not None:
                rows.append(row)
                columns.append(column)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(bags), len(column_of)))


def _objects(answers: Sequence[object]) -> np.ndarray:
    """One answer a row, object [r], whatever the answers are."""
    return np.fromiter(answers, dtype=object, count=len(answers))
