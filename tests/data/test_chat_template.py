"""Rendering against the library's own, and what is trained by marks against what is trained by beginnings."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import chats

from tunewright.data import chat_template
from tunewright.data.chat_template import ChatTemplate, as_messages, find_template, first_difference, overlapping
from tunewright.recipe.errors import DataRefusal, RecipeRefusal
from tunewright.values import Turn

QUESTION, ANSWER = Turn("where is it", "user"), Turn("on its way", "assistant")
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
NAMES = pytest.mark.parametrize("name", chats.TEMPLATES)


def trained_parts(rendered) -> list[str]:
    return [rendered.text[start:end] for start, end in rendered.trained]


@NAMES
@settings(max_examples=25)
@given(said=chats.conversations())
def test_the_text_is_that_of_the_library_with_and_without_a_prompt_for_an_answer(name, said):
    turns, answer = said
    tokenizer = chats.tokenizer_of("bytes", name)
    ours = find_template(None, tokenizer)
    whole = tokenizer.apply_chat_template(chats.as_json((*turns, answer)), tokenize=False)
    asking = tokenizer.apply_chat_template(chats.as_json(turns), tokenize=False, add_generation_prompt=True)
    assert ours.conversation((*turns, answer)).text == whole
    assert ours.prompt(turns) == asking


@NAMES
@settings(max_examples=25)
@given(said=chats.conversations())
def test_by_marks_and_by_beginnings_the_same_is_trained(name, said):
    turns, answer = said
    marked = ChatTemplate(chats.TEMPLATES[name], SPECIAL).conversation((*turns, answer))
    bare = ChatTemplate(chats.unmarked(chats.TEMPLATES[name]), SPECIAL).conversation((*turns, answer))
    assert bare == marked
    closing = "\n" if name == "lines" else "</s>"
    spoken = [f"{turn}{closing}" for turn in (*turns, answer) if turn.role == "assistant"]
    assert trained_parts(marked) == spoken


@pytest.mark.parametrize("name", chat_template.TEMPLATES)
@settings(max_examples=25)
@given(said=chats.conversations())
def test_the_templates_for_bases_without_one_train_each_answer_and_its_end(name, said):
    turns, answer = said
    template = ChatTemplate(chat_template.TEMPLATES[name], SPECIAL)
    rendered = template.conversation((*turns, answer))
    assert trained_parts(rendered) == [f"{t}</s>" for t in (*turns, answer) if t.role == "assistant"]
    bare = ChatTemplate(chats.unmarked(template.source), SPECIAL)
    assert bare.conversation((*turns, answer)) == rendered
    assert rendered.text.startswith(template.prompt(turns))
    assert all(str(turn) in rendered.text for turn in turns)


def test_the_templates_for_bases_without_one_look_as_they_are_known():
    turns = (Turn("Be brief.", "system"), QUESTION)
    instruction, plain = (ChatTemplate(chat_template.TEMPLATES[name], SPECIAL) for name in ("instruction", "plain"))
    assert instruction.prompt(turns) == "Be brief.\n\n### Instruction:\nwhere is it\n\n### Response:\n"
    assert plain.prompt(turns) == "Be brief.\nwhere is it\n"
    assert plain.conversation((*turns, ANSWER)).text == "Be brief.\nwhere is it\non its way</s>\n"


def test_tools_and_calls_reach_the_template_and_calls_are_trained():
    tools = json.dumps([{"type": "function", "function": {"name": "find", "parameters": {}}}])
    call = Turn(json.dumps([{"name": "find", "arguments": {"id": 7}}]), "call")
    turns = (Turn(tools, "tools"), QUESTION, call, Turn('{"at": "shop"}', "tool"), ANSWER)
    tokenizer = chats.tokenizer_of("bytes", "chatml")
    messages = [
        {"role": "user", "content": "where is it"},
        {"role": "assistant", "content": "",
         "tool_calls": [{"type": "function", "function": {"name": "find", "arguments": {"id": 7}}}]},
        {"role": "tool", "content": '{"at": "shop"}'},
        {"role": "assistant", "content": "on its way"},
    ]  # fmt: skip
    assert as_messages(turns) == messages
    for template in (find_template(None, tokenizer), ChatTemplate(chats.unmarked(tokenizer.chat_template), SPECIAL)):
        rendered = template.conversation(turns)
        theirs = tokenizer.apply_chat_template(messages, tools=json.loads(tools), tokenize=False)
        assert rendered.text == theirs and "find" in rendered.text.partition("user")[0]
        first, second = trained_parts(rendered)
        assert first.endswith("</s>") and '"name": "find"' in first and second == "on its way</s>"


def test_what_closes_a_turn_is_trained_and_the_white_space_behind_it_is_not():
    for ends, trained in (("</s>\\n", "</s>"), ("\\n\\n", "\n\n"), (" END \\n", " END"), ("", "")):
        source = (
            "{%- for m in messages %}{{- m.role + ': ' + m.content }}"
            f"{{%- if m.role == 'assistant' %}}{{{{- '{ends}' }}}}{{%- else %}}{{{{- '\\n' }}}}{{%- endif %}}"
            "{%- endfor %}{%- if add_generation_prompt %}{{- 'assistant: ' }}{%- endif %}"
        )
        rendered = ChatTemplate(source, {}).conversation((QUESTION, ANSWER))
        assert trained_parts(rendered) == ["on its way" + trained]


def test_a_template_that_writes_the_past_otherwise_is_refused():
    template = ChatTemplate(chats.FORGETFUL, SPECIAL)
    assert trained_parts(template.conversation((QUESTION, ANSWER))) == ["on its way</s>"]
    with pytest.raises(DataRefusal, match="renders 1 turns otherwise than as a beginning of all 4") as refused:
        template.conversation((QUESTION, ANSWER, QUESTION, ANSWER))
    assert refused.value.where == "encode.chat_template" and "generation" in refused.value.remedy


@pytest.mark.parametrize(
    "source",
    ["{{ raise_exception('roles alternate') }}", "{{ 1 + 'a' }}", "{% for m in messages %}", "{{ messages[9].x }}"],
)
def test_a_template_that_fails_is_refused_with_its_reason(source):
    with pytest.raises(DataRefusal, match="cannot render this conversation") as refused:
        ChatTemplate(source, {}).prompt((QUESTION,))
    assert "user" in refused.value.remedy


def test_the_template_is_the_bases_unless_one_is_named(tmp_path):
    tokenizer = chats.tokenizer_of("bytes", "chatml")
    assert find_template(None, tokenizer).source == chats.TEMPLATES["chatml"]
    assert find_template("plain", tokenizer).source == chat_template.TEMPLATES["plain"]
    (tmp_path / "own.jinja").write_text("{{ bos_token }}é", encoding="utf-8")
    own = find_template("own.jinja", tokenizer, root=tmp_path)
    assert own.prompt((QUESTION,)) == "<s>é"
    assert own.special == {**SPECIAL, "pad_token": "<pad>", "unk_token": "<unk>"}


@pytest.mark.parametrize(
    ("named", "says"),
    [(None, "has no chat template"), ("plane", "Did you mean 'plain'"), ("gone.jinja", "no chat template")],
)
def test_where_there_is_no_template_it_is_refused(tmp_path, named, says):
    with pytest.raises(RecipeRefusal, match=says) as refused:
        find_template(named, chats.tokenizer_of("bytes"), root=tmp_path)
    assert "instruction" in refused.value.remedy and refused.value.where == "encode.chat_template"


ranges = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=5).map(
    lambda parts: [(sum(map(sum, parts[:i])) + gap, sum(map(sum, parts[: i + 1]))) for i, (gap, _) in enumerate(parts)]
)


@given(ranges, ranges, st.integers(0, 40))
def test_a_token_is_touched_where_it_shares_a_character_with_a_range(trained, tokens, empty_at):
    tokens = sorted([*tokens, (empty_at, empty_at)])
    marked = {place for start, end in trained for place in range(start, end)}
    assert overlapping(trained, tokens) == [bool(marked & set(range(start, end))) for start, end in tokens]


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_sequences_part_where_they_first_differ(a, b):
    place = first_difference(a, b)
    assert a[:place] == b[:place]
    assert place in (len(a), len(b)) or a[place] != b[place]


def test_a_conversation_that_ends_with_a_question_is_our_mistake():
    with pytest.raises(AssertionError, match="ends with an answer"):
        replace(ChatTemplate(chats.TEMPLATES["lines"], {})).conversation((QUESTION,))
