"""Chat templates as bases have them, tokenizers with them, and conversations of every shape."""

from __future__ import annotations

import copy
import functools
import re

import transformers
from hypothesis import strategies as st
from tests.tiny_generators import byte_tokenizer, piece_tokenizer, word_tokenizer

from tunewright.values import Turn

_MARKS = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")

TEMPLATES = {
    # as Qwen's and many more: the line break after the end of a turn is nobody's
    "chatml": (
        "{%- if tools %}{{- '<s>tools\\n' + (tools | tojson) + '</s>\\n' }}{%- endif %}"
        "{%- for message in messages %}"
        "{{- '<s>' + message.role + '\\n' }}"
        "{%- if message.role == 'assistant' %}{% generation %}"
        "{{- message.content }}{%- if message.tool_calls %}{{- message.tool_calls | tojson }}{%- endif %}{{- '</s>' }}"
        "{% endgeneration %}{%- else %}{{- message.content + '</s>' }}{%- endif %}{{- '\\n' }}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<s>assistant\\n' }}{%- endif %}"
    ),
    # as Llama 2's: a turn of the user is put into brackets, an answer is closed by the end of sequence alone
    "brackets": (
        "{{- bos_token }}"
        "{%- for message in messages %}"
        "{%- if message.role == 'assistant' %}{% generation %}{{- message.content + eos_token }}{% endgeneration %}"
        "{%- else %}{{- '[INST]' + message.role + ': ' + message.content + '[/INST]\\n' }}{%- endif %}"
        "{%- endfor %}"
    ),
    # no special token at all: an answer ends with its line
    "lines": (
        "{%- for message in messages %}"
        "{%- if message.role == 'assistant' %}{{- 'assistant:\\n' }}{% generation %}{{- message.content + '\\n' }}"
        "{% endgeneration %}"
        "{%- else %}{{- message.role + ':\\n' + message.content + '\\n' }}{%- endif %}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}{{- 'assistant:\\n' }}{%- endif %}"
    ),
}
FORGETFUL = (  # as DeepSeek R1's and Qwen 3's: what was said before the last question is written otherwise
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' and not loop.last %}{{- 'earlier: ' + message.content + '</s>' }}"
    "{%- else %}{{- message.role + ': ' + message.content + '</s>' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'assistant: ' }}{%- endif %}"
)


def unmarked(template: str) -> str:
    """The template without its marks of what is generated."""
    return _MARKS.sub("", template)


@functools.cache
def tokenizer_of(kind: str, template: str | None = None) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer by bytes, pieces or words, with one of TEMPLATES."""
    makers = {"bytes": byte_tokenizer, "pieces": piece_tokenizer, "words": word_tokenizer}
    tokenizer = copy.deepcopy(makers[kind]())
    tokenizer.chat_template = TEMPLATES.get(template, template) if template else None
    return tokenizer


def as_json(turns: tuple[Turn, ...]) -> list[dict[str, str]]:
    """Turns as transformers reads them."""
    return [{"role": turn.role, "content": str(turn)} for turn in turns]


words = st.sampled_from(["my card", "refund", "now", "why?", "where\nis it", "größe", "日本", "😀", "a, b", "{x}"])
texts = st.lists(words, min_size=1, max_size=6).map(" ".join)


@st.composite
def conversations(draw, *, system: bool | None = None) -> tuple[tuple[Turn, ...], Turn]:
    """The turns up to the last answer, and that answer."""
    turns: list[Turn] = []
    if draw(st.booleans()) if system is None else system:
        turns.append(Turn(draw(texts), "system"))
    for _ in range(draw(st.integers(0, 2))):
        turns += [Turn(draw(texts), "user"), Turn(draw(texts), "assistant")]
    turns.append(Turn(draw(texts), "user"))
    return tuple(turns), Turn(draw(texts), "assistant")
