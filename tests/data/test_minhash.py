"""Near duplicates: nothing invented, nearly nothing missed, against a comparison of all with all."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.minhash import SIMILARITY, find_near_duplicates, plain_text

WORDS = [a + b for a in ("lam", "or", "tick", "re", "bul", "cou") for b in ("p", "der", "et", "fund", "rier", "ing")]


def shingles(text: str) -> set[str]:
    plain = plain_text(text)
    return {plain[i : i + 5] for i in range(max(1, len(plain) - 4))}


def varied_texts(seed: int, *, texts: int) -> list[str]:
    """Random texts, each followed by a copy in which one to five words changed."""
    random_ = random.Random(seed)
    made = []
    for _ in range(texts):
        words = random_.choices(WORDS, k=30)
        made.append(" ".join(words))
        for place in random_.sample(range(30), random_.randint(1, 5)):
            words[place] = random_.choice(WORDS)
        made.append(" ".join(words))
    return made


def test_the_pairs_found_are_those_that_comparing_all_with_all_finds():
    texts = varied_texts(3, texts=150)
    near = find_near_duplicates([(text,) for text in texts])
    sets = list(map(shingles, texts))
    alike = {j: [i for i in range(j) if len(sets[i] & sets[j]) >= SIMILARITY * len(sets[i] | sets[j])]
             for j in range(len(texts))}  # fmt: skip
    found = {j: int(i) for j, i in enumerate(near.like_r) if i >= 0}
    wanted = {j for j, earlier in alike.items() if earlier}
    assert len(wanted) > 50
    assert all(i in alike[j] for j, i in found.items())
    assert len(found) >= 0.95 * len(wanted)


def test_clusters_join_what_is_linked_and_name_their_first_row():
    base = "the courier left my parcel in the rain at the wrong house and nobody answers the phone"
    texts = [(base,), ("something else altogether, about a lamp",), (base.upper() + "!!",), (base + " any more",)]
    near = find_near_duplicates(texts)
    assert near.cluster_r.tolist() == [0, 1, 0, 0]
    assert near.like_r.tolist() == [-1, -1, 0, 0]


def test_each_text_of_a_row_must_be_alike():
    premise = "a man in a red jacket is riding a very old bicycle along the river in the early morning " * 3
    near = find_near_duplicates([(premise, "he is outside"), (premise, "he is asleep"), (premise, "He is outside.")])
    assert near.like_r.tolist() == [-1, -1, 0]


def test_texts_of_signs_only_are_compared_as_they_are():
    assert find_near_duplicates([("👍",), ("👎",), ("👍",), ("?",)]).like_r.tolist() == [-1, -1, 0, -1]
    assert find_near_duplicates([]).like_r.tolist() == []


@settings(max_examples=50)
@given(st.lists(st.text(max_size=12), max_size=30))
def test_any_texts_are_clustered_consistently(texts):
    near = find_near_duplicates([(text,) for text in texts])
    for j, (first, like) in enumerate(zip(near.cluster_r, near.like_r, strict=True)):
        assert first <= j and near.cluster_r[first] == first
        assert like < j and (like < 0 or near.cluster_r[like] == first)
        assert texts.index(texts[j]) == j or like >= 0


def test_thousands_of_copies_of_one_template_stay_one_cluster():
    texts = [(f"please tell me where my order number {n} is, it should have been here by tuesday already",)
             for n in range(1000, 4000)]  # fmt: skip
    assert np.unique(find_near_duplicates(texts).cluster_r).tolist() == [0]
