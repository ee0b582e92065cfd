"""Rows that share a context, a query or a file belong together."""

from __future__ import annotations

from tunewright.data.clean import CleanRow
from tunewright.data.kin import find_kin

CONTEXT = "The parcel was left in the rain behind the house of our neighbours at number fourteen."


def rows(*inputs, origins=None):
    origins = origins or [f"a.jsonl:{i}" for i in range(len(inputs))]
    return [CleanRow(i, origin, f"id{i}", one, (), None, "train")
            for i, (one, origin) in enumerate(zip(inputs, origins, strict=True))]  # fmt: skip


def test_questions_about_one_context_belong_together_also_where_it_is_written_a_little_differently():
    kin = find_kin(rows(("a?", CONTEXT), ("b?", CONTEXT.upper()), ("a?", "Another")), "question_answering")
    assert kin.what == "context" and kin.names_r[0] == kin.names_r[1] != kin.names_r[2]


def test_passages_for_one_query_belong_together():
    kin = find_kin(rows(("q", "one"), ("q", "two"), ("r", "one")), "retrieval")
    assert kin.what == "query" and kin.names_r[0] == kin.names_r[1] != kin.names_r[2]


def test_files_of_a_text_stay_whole_where_there_are_many():
    texts = [(f"text {i}",) for i in range(20)]
    few = find_kin(rows(*texts, origins=[f"{i % 3}.txt:{i}" for i in range(20)]), "pretraining")
    many = find_kin(rows(*texts, origins=[f"{i % 10}.txt:{i}" for i in range(20)]), "pretraining")
    assert few.what == "nothing" and set(few.names_r) == {None}
    assert many.what == "file" and len(set(many.names_r)) == 10 and many.names_r[0] == many.names_r[10]


def test_other_rows_stand_for_themselves():
    assert find_kin(rows(("a",), ("a",)), "classification").names_r == (None, None)
