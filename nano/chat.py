"""The chat template of the base, and conversations rendered by it. Knows no theme.

A turn is its role's token, its content, `<|end|>`; nothing else, so that rendering a conversation's beginning gives a
beginning of its rendering, in characters and in tokens. Tools come first, as a JSON list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

END, PAD = "<|end|>", "<|pad|>"
ROLES = ("system", "user", "assistant", "tools", "tool")
SPECIAL_TOKENS = (END, *(f"<|{role}|>" for role in ROLES), PAD)

TEMPLATE = """\
{%- if tools %}<|tools|>{{ tools | tojson }}<|end|>{% endif -%}
{%- for message in messages -%}
{%- if message.role not in ['system', 'user', 'assistant', 'tool'] -%}
{{ raise_exception('unknown role: ' ~ message.role ~ ' (known: system, user, assistant, tool)') }}
{%- endif -%}
<|{{ message.role }}|>
{%- if message.role == 'assistant' -%}
{%- generation -%}
{{- message.content or '' -}}
{%- for call in message.tool_calls or [] -%}
{%- set call = call.function or call -%}
{{- '<tool_call>{"name": ' ~ (call.name | tojson) ~ ', "arguments": ' -}}
{{- (call.arguments if call.arguments is string else call.arguments | tojson) ~ '}</tool_call>' -}}
{%- endfor -%}
{{- '<|end|>' -}}
{%- endgeneration -%}
{%- else -%}
{{- message.content ~ '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|assistant|>{% endif -%}
"""

Messages = Sequence[Mapping[str, Any]]

SYSTEM_PROMPTS = (
    "You are a helpful assistant.", "You answer briefly and to the point.",
    "You are a careful assistant. Answer in plain English.", "You help with texts, lists and numbers.",
    "You are a friendly assistant who explains things simply.",
    "You do exactly what the user asks, without adding anything.", "You read texts closely and answer from them alone.",
)  # fmt: skip


def render(messages: Messages, *, tools: Sequence[Mapping[str, Any]] | None = None) -> str:
    """The conversation as the base reads it."""
    rendered, _ = render_jinja_template([list(messages)], tools=list(tools) if tools else None, chat_template=TEMPLATE)
    return rendered[0]


def exchange(rng: Random, *turns: str, system: str = "") -> str:
    """Questions and answers in turn as a conversation; now and then under a system prompt."""
    messages = [
        {"role": "user" if index % 2 == 0 else "assistant", "content": text} for index, text in enumerate(turns)
    ]
    if system or rng.random() < 0.12:
        messages.insert(0, {"role": "system", "content": system or rng.choice(SYSTEM_PROMPTS)})
    return render(messages)
