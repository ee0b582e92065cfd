"""Answers that are texts, as OpenAI's clients read them: whole, or as chunks. Must not know models, queues or sockets.

The classes describe the bodies; the functions that write them are beside them.
"""

from __future__ import annotations

import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tunewright.model.answers import Generated
from tunewright.serve.openai_requests import ToolCall
from tunewright.serve.tool_calls import Call, CallForm, CallWatch


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Usage(_Shape):
    prompt_tokens: int
    completion_tokens: int = Field(description="the one that ended the answer included")
    total_tokens: int


class AnswerMessage(_Shape):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCall] | None = Field(None, description="there only where offered functions are called")


class ChatChoice(_Shape):
    index: Literal[0] = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length", "tool_calls"]


class _Completion(_Shape):
    """A whole answer; its subclasses say of which kind, in the same places."""

    id: str
    object: str
    created: int = Field(description="seconds since 1970")
    model: str
    system_fingerprint: str = Field(description="the version: equal versions draw equal answers from equal seeds")
    choices: Sequence[_Shape]
    usage: Usage


class ChatCompletion(_Completion):
    object: Literal["chat.completion"] = "chat.completion"
    choices: list[ChatChoice]


class TextChoice(_Shape):
    index: Literal[0] = 0
    text: str
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class TextCompletion(_Completion):
    object: Literal["text_completion"] = "text_completion"
    choices: list[TextChoice]


@dataclass
class Reply(ABC):
    """One answer on its way out: the body of it whole, or its chunks: `opening`, each `piece`, `closing`."""

    model: str
    version: str
    created: int = field(default_factory=lambda: int(time.time()))

    @abstractmethod
    def whole(self, said: Generated, prompt_tokens: int) -> dict[str, Any]:
        """The body of an answer that is not streamed."""

    @abstractmethod
    def opening(self) -> Iterator[dict[str, Any]]:
        """The chunks before the first piece."""

    @abstractmethod
    def piece(self, text: str) -> Iterator[dict[str, Any]]:
        """The chunks of the next piece: none while it cannot be shown."""

    @abstractmethod
    def closing(self, said: Generated) -> Iterator[dict[str, Any]]:
        """The chunks after the last piece; `said` is the whole answer."""

    @abstractmethod
    def counts(self, said: Generated, prompt_tokens: int) -> dict[str, Any]:
        """The chunk without a choice that counts tokens."""


class ChatReply(Reply):
    """An answer of the assistant; where functions were offered, one that may call them."""

    def __init__(self, model: str, version: str, *, calls: CallForm | None, offered: frozenset[str]):
        super().__init__(model, version)
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self._form, self._offered = (calls if offered else None), offered
        self._watch = None if self._form is None else CallWatch(self._form)

    def whole(self, said: Generated, prompt_tokens: int) -> dict[str, Any]:
        content, calls = self._read(said)
        message: dict[str, Any] = {"role": "assistant", "content": content or (None if calls else ""), "refusal": None}
        if calls:
            message["tool_calls"] = [_written(call) for call in calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(said, calls)}
        return {**self._frame("chat.completion"), "choices": [choice], "usage": _usage(said, prompt_tokens)}

    def opening(self) -> Iterator[dict[str, Any]]:
        yield self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> Iterator[dict[str, Any]]:
        shown = text if self._watch is None else self._watch.add(text)
        if shown:
            yield self._chunk({"content": shown})

    def closing(self, said: Generated) -> Iterator[dict[str, Any]]:
        content, calls = self._read(said)
        rest = "" if self._watch is None else self._watch.rest(content)
        if rest:
            yield self._chunk({"content": rest})
        for index, call in enumerate(calls):
            yield self._chunk({"tool_calls": [{"index": index, **_written(call)}]})
        yield self._chunk({}, finish=_finish(said, calls))

    def counts(self, said: Generated, prompt_tokens: int) -> dict[str, Any]:
        return {**self._frame("chat.completion.chunk"), "choices": [], "usage": _usage(said, prompt_tokens)}

    def _read(self, said: Generated) -> tuple[str, tuple[Call, ...]]:
        return (said.text, ()) if self._form is None else self._form.read(said.text, self._offered)

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._frame("chat.completion.chunk"), "choices": [choice]}

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model,
                "system_fingerprint": self.version}  # fmt: skip


class TextReply(Reply):
    """The continuation of a text."""

    def __init__(self, model: str, version: str):
        super().__init__(model, version)
        self.id = f"cmpl-{secrets.token_hex(12)}"

    def whole(self, said: Generated, prompt_tokens: int) -> dict[str, Any]:
        return {**self._body(said.text, finish=_finish(said, ())), "usage": _usage(said, prompt_tokens)}

    def opening(self) -> Iterator[dict[str, Any]]:
        yield from ()

    def piece(self, text: str) -> Iterator[dict[str, Any]]:
        yield self._body(text)

    def closing(self, said: Generated) -> Iterator[dict[str, Any]]:
        yield self._body("", finish=_finish(said, ()))

    def counts(self, said: Generated, prompt_tokens: int) -> dict[str, Any]:
        return {**self._body(""), "choices": [], "usage": _usage(said, prompt_tokens)}

    def _body(self, text: str, *, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return {"id": self.id, "object": "text_completion", "created": self.created, "model": self.model,
                "system_fingerprint": self.version, "choices": [choice]}  # fmt: skip


def _written(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


def _finish(said: Generated, calls: tuple[Call, ...]) -> str:
    return "tool_calls" if calls and said.finish == "stop" else said.finish


def _usage(said: Generated, prompt_tokens: int) -> dict[str, int]:
    written = len(said.ids)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": written, "total_tokens": prompt_tokens + written}
