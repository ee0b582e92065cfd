"""Prompts are filled with columns, drawn by the row's id, and refused where they ask nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.prompts import Prompting
from tunewright.recipe.errors import RecipeRefusal
from tunewright.recipe.schema import Task
from tunewright.values import Turn

COLUMNS = ["title", "body text"]


def prompting(*prompts, unseen=None, system=None, input=COLUMNS):
    return Prompting.of(Task(kind="generation", input=input, output="answer", prompts=prompts or None,
                             unseen_prompts=unseen, system=system))  # fmt: skip


def test_a_prompt_is_filled_with_columns_and_doubled_braces_mean_themselves():
    (turn,) = prompting('{{"t": "{title}"}} {body text}/{title}').turns(("T", "B {x}"), row_id="1")
    assert turn == Turn('{"t": "T"} B {x}/T', "user")


def test_without_prompts_columns_are_joined_by_blank_lines():
    assert prompting().turns(("T", "B"), row_id="1") == (Turn("T\n\nB", "user"),)
    assert prompting().turns(("T", " "), row_id="1") == (Turn("T", "user"),)
    assert prompting(input="title").turns((" as is ",), row_id="1") == (Turn(" as is ", "user"),)


def test_each_row_has_one_prompt_by_its_id_alone():
    made = prompting("a {title}", "b {title}", "c {title}")
    drawn = [made.turns(("T", ""), row_id=f"row {i}")[0] for i in range(600)]
    assert drawn == [made.turns(("T", ""), row_id=f"row {i}")[0] for i in range(600)]
    assert all(150 < count < 250 for count in Counter(drawn).values()) and len(set(drawn)) == 3


def test_prompts_that_are_held_out_are_used_on_request_only():
    made = prompting("seen {title}", unseen=("unseen {title}",))
    assert made.turns(("T", ""), row_id="1") == (Turn("seen T", "user"),)
    assert made.turns(("T", ""), row_id="1", prompts=made.unseen) == (Turn("unseen T", "user"),)
    assert prompting("seen {title}").unseen == prompting("seen {title}").prompts


def test_the_system_stands_before_rows_that_have_none():
    made = prompting(system="S", input="title")
    conversation = (Turn("[]", "tools"), Turn("hi", "user"))
    assert made.turns(("T",), row_id="1") == (Turn("S", "system"), Turn("T", "user"))
    assert made.turns(conversation, row_id="1") == (Turn("[]", "tools"), Turn("S", "system"), Turn("hi", "user"))
    own = (Turn("own", "system"), Turn("hi", "user"))
    assert made.turns(own, row_id="1") == own


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("Summarise {boddy text}", r"names 'boddy text', which is no input column\. Did you mean 'body text'\?"),
        ("Summarise {}", "names '', which is no input column"),
        ("Summarise this.", "uses no input column"),
        ("{{title}}", "uses no input column"),
        ("{title} }", "brace stands alone"),
        ("{ {title}", "brace stands alone"),
    ],
)
def test_a_prompt_that_cannot_be_filled_is_refused_by_name(prompt, says):
    with pytest.raises(RecipeRefusal, match=says) as refused:
        prompting("{title}", prompt)
    assert refused.value.where == "task.prompts.1" and refused.value.remedy


@given(st.text(), st.text(), st.text())
def test_whatever_a_column_holds_stands_in_the_prompt_unchanged(before, title, after):
    template = before.replace("{", "{{").replace("}", "}}") + "{title}" + after.replace("{", "{{").replace("}", "}}")
    assert prompting(template).turns((title, "x"), row_id="1") == (Turn(before + title + after, "user"),)
