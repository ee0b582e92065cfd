from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.chatters import TEMPLATE

from tunewright.data.chat_template import TEMPLATES, ChatTemplate
from tunewright.serve.tool_calls import Call, CallForm, CallWatch

MARKED = CallForm("<tool_call>", "</tool_call>")
BARE = CallForm()
WRITTEN = '<tool_call>{"name": "weather", "arguments": {"city": "Köln"}}</tool_call>'
OFFERED = {"weather", "time"}

LLAMA = (
    "{%- for m in messages %}{%- if m.tool_calls %}{%- set call = m.tool_calls[0].function %}"
    "{{- '[a]' + '{\"name\": \"' + call.name + '\", \"parameters\": ' + (call.arguments | tojson) + '}' + '[/a]' }}"
    "{%- elif m.role == 'user' %}{{- '[u]' + m.content + '[/u]' }}"
    "{%- else %}{{- '[a]' + m.content + '[/a]' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '[a]' }}{% endif %}"
)
MISTRAL = (
    "{%- for m in messages %}{%- if m.tool_calls %}{{- '[TOOL_CALLS] [' }}{%- for call in m.tool_calls %}"
    "{{- call.function | tojson }}{{- ', ' if not loop.last }}{%- endfor %}{{- ']</s>' }}"
    "{%- else %}{{- '[INST] ' + m.content + '[/INST]' }}{%- endif %}{%- endfor %}"
)


@pytest.mark.parametrize(
    ("source", "special", "form"),
    [
        (TEMPLATE, ["<|end|>"], MARKED),
        (LLAMA, ["[a]", "[/a]"], BARE),
        (MISTRAL, ["[TOOL_CALLS]", "</s>"], BARE),
        (TEMPLATES["plain"], ["<|end|>"], None),
        ("{{ raise_exception('no') }}", [], None),
    ],
    ids=["marked", "llama", "mistral", "no calls", "broken"],
)
def test_the_form_is_read_off_what_the_template_renders(source: str, special: list[str], form: CallForm | None) -> None:
    assert CallForm.of(ChatTemplate(source, {"eos_token": "<|end|>"}), special) == form


def test_who_has_no_template_learned_the_bare_list() -> None:
    assert CallForm.of(None, ()) == BARE


@pytest.mark.parametrize(
    ("form", "text", "content", "names"),
    [
        (MARKED, WRITTEN, "", ["weather"]),
        (MARKED, f"Let me look. {WRITTEN}\n{WRITTEN}\n", "Let me look. ", ["weather", "weather"]),
        (MARKED, '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>', "", ["time"]),
        (BARE, '{"name": "time", "parameters": {}}', "", ["time"]),
        (BARE, ' [{"name": "time", "arguments": {}}, {"name": "weather", "arguments": {"a": 1}}]', "",
         ["time", "weather"]),
    ],
)  # fmt: skip
def test_calls_are_read(form: CallForm, text: str, content: str, names: list[str]) -> None:
    said, calls = form.read(text, OFFERED)
    assert (said, [call.name for call in calls]) == (content, names)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (MARKED, "no call at all"),
        (MARKED, '{"name": "time", "arguments": {}}'),
        (MARKED, '<tool_call>{"name": "time", "arguments": {}}'),
        (MARKED, '<tool_call>{"name": "time", "arguments": {}</tool_call>'),
        (MARKED, '<tool_call>{"name": "time", "arguments": [1]}</tool_call>'),
        (MARKED, '<tool_call>{"name": "delete_all", "arguments": {}}</tool_call>'),
        (MARKED, f"{WRITTEN} and more"),
        (MARKED, f'{WRITTEN}<tool_call>{{"name": 3}}</tool_call>'),
        (BARE, '{"answer": 4}'),
        (BARE, "[]"),
        (BARE, "[" * 100_000),
        (BARE, 'It is {"name": "time", "arguments": {}}'),
    ],
)
def test_what_is_no_call_of_an_offered_function_is_said_as_it_is(form: CallForm, text: str) -> None:
    assert form.read(text, OFFERED) == (text, ())


TEXTS = st.lists(st.sampled_from([WRITTEN, "<tool", "_call>", "<", "hello ", "{", "[1]", " ", "\n", "ö"]), max_size=6)


@given(TEXTS.map("".join), st.lists(st.integers(0, 200)), st.sampled_from([MARKED, BARE]))
def test_shown_piece_by_piece_an_answer_is_what_it_is_whole_and_never_shows_a_call(
    text: str, cuts: list[int], form: CallForm
) -> None:
    watch = CallWatch(form)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    shown = "".join(watch.add(text[a:b]) for a, b in zip(places, places[1:], strict=False))
    said, calls = form.read(text, OFFERED)
    assert said.startswith(shown)
    assert shown + watch.rest(said) == said
    assert said != text or not calls


def test_plain_text_is_not_held_back() -> None:
    watch = CallWatch(MARKED)
    assert [watch.add(piece) for piece in ("a < b", " and <to", "day")] == ["a < b", " and ", "<today"]
    assert CallWatch(BARE).add("It is") == "It is"


def test_arguments_come_back_as_they_were_written() -> None:
    arguments = {"a": [1, None, {"b": "ö"}], "c": True}
    text = json.dumps({"name": "time", "arguments": arguments})
    assert BARE.read(text, OFFERED) == ("", (Call("time", arguments),))
