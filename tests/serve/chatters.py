"""A small model that has learned a few conversations by heart, and a real server of it on loopback."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import threading
import time
from collections.abc import Iterator

import torch
import transformers as t
import uvicorn
from fastapi import FastAPI
from tests.tiny_generators import byte_tokenizer
from torch.nn import functional

from tunewright.data.blocks import BlockEncoder
from tunewright.data.chat_template import find_template
from tunewright.data.turns import TurnEncoder
from tunewright.model.heads import Shape
from tunewright.model.text import TextModel
from tunewright.serve.predictor import Predictor
from tunewright.values import Turn

TOKEN = "secret"
CONTEXT = 256
TEMPLATE = (
    "{%- if tools %}<|tools|>{{ tools | tojson }}<|end|>{% endif %}"
    "{%- for message in messages %}<|{{ message.role }}|>"
    "{%- if message.role == 'assistant' %}{% generation %}{{- message.content }}"
    "{%- for call in message.tool_calls or [] %}{{- '<tool_call>' ~ (call.function | tojson) ~ '</tool_call>' }}"
    "{%- endfor %}{{- '<|end|>' }}{% endgeneration %}"
    "{%- else %}{{- message.content ~ '<|end|>' }}{% endif %}{% endfor %}"
    "{%- if add_generation_prompt %}<|assistant|>{% endif %}"
)
UNICODE = "日本語 😀, größe naïve. привет!"
COUNTING = "one, two, three, four, five, six, seven, eight, nine, ten, " * 2
TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "w", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}}]  # fmt: skip
CALL = {"name": "weather", "arguments": {"city": "Köln"}}
_OFFERED = Turn(json.dumps([TOOLS[0]["function"]]), "tools")
TAUGHT: list[tuple[tuple[Turn, ...], Turn]] = [
    ((Turn("hello", "user"),), Turn(UNICODE, "assistant")),
    ((Turn("count", "user"),), Turn(COUNTING, "assistant")),
    ((Turn("be rude", "system"), Turn("hello", "user")), Turn("go away", "assistant")),
    ((_OFFERED, Turn("rain?", "user")), Turn(json.dumps([CALL], ensure_ascii=False), "call")),
    ((_OFFERED, Turn("hello", "user")), Turn("no call", "assistant")),
    (
        (_OFFERED, Turn("rain?", "user"), Turn(json.dumps([CALL], ensure_ascii=False), "call"), Turn("4 mm", "tool")),
        Turn("yes, 4 mm", "assistant"),
    ),
    ((Turn("hello", "user"), Turn(UNICODE, "assistant"), Turn("and?", "user")), Turn("no more", "assistant")),
]


@functools.cache
def chat_tokenizer() -> t.PreTrainedTokenizerFast:
    """Byte-level, with the special tokens of TEMPLATE; a token may be half a character."""
    backend = type(byte_tokenizer().backend_tokenizer).from_str(byte_tokenizer().backend_tokenizer.to_str())
    roles = [f"<|{role}|>" for role in ("system", "user", "assistant", "tools", "tool")]
    tokenizer = t.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": roles})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def turn_encoder(**options: object) -> TurnEncoder:
    tokenizer = chat_tokenizer()
    settings: dict = {"max_length": CONTEXT, "long": "refuse", "inputs": ("text",), "prompts": (), "system": "",
                      "room": 100, "start": None, "template": find_template(None, tokenizer)}  # fmt: skip
    return TurnEncoder(**settings | options, tokenizer=tokenizer)


def block_encoder() -> BlockEncoder:
    return BlockEncoder(max_length=CONTEXT, inputs=("text",), tokenizer=chat_tokenizer())


@functools.cache
def taught_lm() -> t.PreTrainedModel:
    """A Llama that knows the taught conversations by heart; it takes about a second to teach."""
    tokenizer, encoder = chat_tokenizer(), turn_encoder()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        lm = t.LlamaForCausalLM(t.LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=128, max_position_embeddings=CONTEXT, eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None, pad_token_id=tokenizer.pad_token_id, initializer_range=0.05, tie_word_embeddings=True,
        ))  # fmt: skip
    encoded = encoder.encode([turns for turns, _ in TAUGHT], [answer for _, answer in TAUGHT])
    ids_bt = torch.zeros(encoded.rows, int(encoded.lengths_s.max()), dtype=torch.long)
    asked_bt = torch.full_like(ids_bt, -1)
    for row in range(encoded.rows):
        part = slice(int(encoded.starts_s[row]), int(encoded.starts_s[row + 1]))
        ids_bt[row, : part.stop - part.start] = torch.from_numpy(encoded.tokens_n[part].copy())
        asked_bt[row, : part.stop - part.start] = torch.from_numpy(encoded.answers_n[part].copy())
    _teach(lm, ids_bt, asked_bt)
    return lm.eval()


def _teach(lm: t.PreTrainedModel, ids_bt: torch.Tensor, asked_bt: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(lm.parameters(), lr=1e-2)
    at = asked_bt.flatten() >= 0
    for _ in range(200):
        vectors_md = lm.model(ids_bt).last_hidden_state.flatten(0, 1)[at]
        loss = functional.cross_entropy(lm.lm_head(vectors_md), asked_bt.flatten()[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.01:
            return
    raise AssertionError(f"the tiny model did not learn: its loss is {loss.item():.3f}")


def chatter(kind: str = "generation", *, lm: t.PreTrainedModel | None = None, **options: object) -> Predictor:
    """A predictor of the taught model or of `lm`, as one that chats or, of `pretraining`, only continues texts."""
    shape = Shape(kind=kind, outputs=1, pooling="last", family="decoder", takes_types=False, dropout=0.0)
    encoder = block_encoder() if kind == "pretraining" else turn_encoder(**options)
    return Predictor(TextModel(lm or taught_lm(), shape), encoder, (), name="chatter", version="1")


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The address of a real server of `app`."""
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def watched_lm(*, seconds_per_step: float = 0.0, fails_at: int | None = None) -> tuple[t.PreTrainedModel, list[int]]:
    """The taught model, slower, with the rows of each of its steps; at step `fails_at` it fails."""
    lm, steps = copy.deepcopy(taught_lm()), []
    forward = lm.forward

    @functools.wraps(forward)
    def slowly(*args: object, **options: object) -> object:
        steps.append(len(options["input_ids"]))
        time.sleep(seconds_per_step)
        if len(steps) - 1 == fails_at:
            raise RuntimeError("secret detail of the model")
        return forward(*args, **options)

    lm.forward = slowly
    return lm, steps
