"""What OpenAI's clients may ask for, and what of it is meant here. Must not know models, tokens or queues.

The classes are the documentation and the reader at once: a parameter that would change the answer and that is not
supported may only have the value that changes nothing, one without effect says so, and any other key is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from tunewright.data.cells import Unusable
from tunewright.data.conversations import read_tools, read_turns
from tunewright.data.read import find_unfit_text
from tunewright.recipe.errors import nearest
from tunewright.serve.orders import Wanted
from tunewright.serve.protocol import ApiError, parse_json
from tunewright.values import Turn

_NOTHING = "no effect"
_DEEPEST = 64
_Text = Annotated[str, Field(min_length=1)]
_Asked = TypeVar("_Asked", bound="AnswerOptions")


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StreamOptions(_Shape):
    include_usage: bool | None = Field(None, description="a last chunk with the numbers of tokens")
    include_obfuscation: Any = Field(None, description=_NOTHING)


class AnswerOptions(_Shape):
    """What chats and completions have in common."""

    model: str | None = Field(None, description="name or name@version; may be left out where one model is served")
    max_tokens: int | None = Field(None, ge=1, description="the most tokens to write, the one that ends included")
    temperature: float | None = Field(
        None, ge=0, le=2, description="0, the default, takes the most probable token, as the model was judged; where "
        "only top_p is given, it is 1",
    )  # fmt: skip
    top_p: float | None = Field(None, gt=0, le=1, description="draw from the likeliest tokens that together reach it")
    stop: _Text | Annotated[list[_Text], Field(max_length=4)] | None = Field(
        None, description="up to 4 texts, before the first of which the answer ends"
    )
    seed: int | None = Field(None, description="the same seed draws the same answer; without one each differs")
    stream: bool | None = Field(None, description="answer in pieces, as server-sent events")
    stream_options: StreamOptions | None = Field(None, description="only with stream")
    n: Literal[1] | None = Field(None, description="a request gets one answer; send several, each with its seed")
    frequency_penalty: Literal[0] | None = Field(None, description="tokens are not penalised")
    presence_penalty: Literal[0] | None = Field(None, description="tokens are not penalised")
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = Field(
        None, description="tokens are not favoured"
    )
    user: Any = Field(None, description=_NOTHING)


class TextPart(_Shape):
    type: Literal["text"] = Field(description="only text is read")
    text: str


class CalledFunction(_Shape):
    name: str
    arguments: str = Field(description="a JSON object, as a text")


class ToolCall(_Shape):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(_Shape):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = Field(None, description="which call a tool answers: in the order of the calls")
    name: None = Field(None, description="names of speakers are not read")
    refusal: None = Field(None, description="put it into content")
    audio: None = Field(None, description="only text is read")
    function_call: None = Field(None, description="use tool_calls")
    annotations: Any = Field(None, description=_NOTHING)


class Function(_Shape):
    name: _Text
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: Literal[False] | None = Field(None, description="arguments are not held to a schema")


class Tool(_Shape):
    type: Literal["function"] = Field(description="only functions can be offered")
    function: Function


class JsonSchema(_Shape):
    name: str
    schema_: dict[str, Any] = Field(
        alias="schema", description="type, enum, const, anyOf, properties, required, items and lengths; other keywords "
        "are refused by name",
    )  # fmt: skip
    description: str | None = None
    strict: bool | None = Field(None, description="the answer keeps to the schema in any case")


class ResponseFormat(_Shape):
    type: Literal["text", "json_schema"] = Field(description="JSON without a schema cannot be promised")
    json_schema: JsonSchema | None = None


class ChatRequest(AnswerOptions):
    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1, description="the same as max_tokens")
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none"] | None = Field(None, description="with none, the model hears of no tools")
    parallel_tool_calls: Literal[True] | None = Field(None, description="an answer may hold any number of calls")
    response_format: ResponseFormat | None = None
    logprobs: Literal[False] | None = Field(None, description="probabilities of tokens are not told")
    top_logprobs: Literal[0] | None = Field(None, description="probabilities of tokens are not told")
    modalities: list[Literal["text"]] | None = Field(None, description="only text is written")
    audio: None = Field(None, description="only text is written")
    functions: None = Field(None, description="use tools")
    function_call: None = Field(None, description="use tool_choice")
    reasoning_effort: None = Field(None, description="the model answers at once")
    verbosity: None = Field(None, description="the model writes as it was taught")
    web_search_options: None = Field(None, description="nothing is searched")
    moderation: None = Field(None, description="nothing is moderated")
    metadata: Any = Field(None, description=_NOTHING)
    store: Any = Field(None, description=_NOTHING + ": nothing is stored")
    service_tier: Any = Field(None, description=_NOTHING)
    safety_identifier: Any = Field(None, description=_NOTHING)
    prediction: Any = Field(None, description=_NOTHING)
    prompt_cache_key: Any = Field(None, description=_NOTHING)
    prompt_cache_options: Any = Field(None, description=_NOTHING)
    prompt_cache_retention: Any = Field(None, description=_NOTHING)


class CompletionRequest(AnswerOptions):
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)] = Field(
        description="read as it stands, special tokens too; no chat template is put around it"
    )
    best_of: Literal[1] | None = Field(None, description="a request gets one answer")
    echo: Literal[False] | None = Field(None, description="the prompt is not repeated")
    suffix: Literal[""] | None = Field(None, description="texts are only continued at their end")
    logprobs: None = Field(None, description="probabilities of tokens are not told")


@dataclass(frozen=True, slots=True)
class TextAsked:
    """What a request for a text asks for: turns or a prompt, still without tokens, and how to answer."""

    said: tuple[Turn, ...] | str
    wanted: Wanted
    model: str | None
    stream: bool
    include_usage: bool
    offered: frozenset[str] = frozenset()

    @property
    def param(self) -> str:
        return "prompt" if isinstance(self.said, str) else "messages"


def read_chat(body: bytes) -> TextAsked:
    """What a body of /v1/chat/completions asks for. Raises ApiError."""
    values, asked = _read(body, ChatRequest)
    limits = {asked.max_tokens, asked.max_completion_tokens} - {None}
    if len(limits) > 1:
        _refuse("max_tokens", "'max_tokens' and 'max_completion_tokens' mean the same and differ.")
    tools = [] if asked.tool_choice == "none" else _tools(values.get("tools") or [])
    form = asked.response_format
    if form is not None and (form.type == "json_schema") != (form.json_schema is not None):
        _refuse("response_format.json_schema", "'json_schema' goes with the type json_schema, and only with it.")
    if form is not None and form.json_schema is not None and tools:
        _refuse("response_format", "An answer held to a schema cannot call tools; leave one of them out.")
    schema = None if form is None or form.json_schema is None else form.json_schema.schema_
    turns = _turns(asked.messages, values["messages"], tools)
    wanted = _wanted(asked, max_tokens=next(iter(limits), None), schema=schema)
    return _text_asked(asked, turns, wanted, offered=frozenset(tool["name"] for tool in tools))


def read_completion(body: bytes) -> TextAsked:
    """What a body of /v1/completions asks for. Raises ApiError."""
    _, asked = _read(body, CompletionRequest)
    prompt = asked.prompt if isinstance(asked.prompt, str) else asked.prompt[0]
    return _text_asked(asked, prompt, _wanted(asked, max_tokens=asked.max_tokens, schema=None))


def _text_asked(
    asked: AnswerOptions, said: tuple[Turn, ...] | str, wanted: Wanted, *, offered: frozenset[str] = frozenset()
) -> TextAsked:
    options = asked.stream_options
    if options is not None and not asked.stream:
        _refuse("stream_options", "'stream_options' goes with 'stream': true.")
    include_usage = options is not None and bool(options.include_usage)
    return TextAsked(said, wanted, asked.model, bool(asked.stream), include_usage, offered)


def _wanted(asked: AnswerOptions, *, max_tokens: int | None, schema: Mapping[str, Any] | None) -> Wanted:
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    return Wanted(
        max_tokens=max_tokens, temperature=asked.temperature, top_p=asked.top_p, stop=stop, seed=asked.seed,
        schema=schema,
    )  # fmt: skip


def _tools(written: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The functions as they were sent, since their keys and the order of these are what the model reads."""
    unsaid = ("strict",)
    return [
        {key: value for key, value in tool["function"].items() if key not in unsaid and value is not None}
        for tool in written
    ]


def _turns(
    messages: Sequence[Message], written: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> tuple[Turn, ...]:
    """The conversation by the reader of training files."""
    if messages[-1].role == "assistant":
        _refuse("messages", "The last message is the assistant's; the model answers a user or a tool.")
    _refuse_other_calls(messages)
    try:
        offered = read_tools(list(tools))
        return tuple(read_turns(written, opening=(Turn(offered, "tools"),) if offered else ()))
    except Unusable as fault:
        _refuse("messages", f"The messages cannot be read: {fault.detail}.")


def _refuse_other_calls(messages: Sequence[Message]) -> None:
    """Tools answer the calls before them, in their order: what is read does not hold the ids of calls."""
    due: list[str] = []
    for place, message in enumerate(messages):
        where = f"messages.{place}"
        if message.role == "tool":
            if not due or message.tool_call_id != due[0]:
                expected = f"the call {due[0]!r} is next" if due else "no call is open"
                _refuse(f"{where}.tool_call_id", f"A tool answers {message.tool_call_id!r}, and {expected}.")
            due.pop(0)
            continue
        if message.tool_call_id is not None or (message.tool_calls and message.role != "assistant"):
            _refuse(where, f"A message of the role {message.role} neither calls nor answers a call.")
        if due:
            _refuse(where, f"The call {due[0]!r} has no answer of a tool.")
        due = [call.id for call in message.tool_calls or ()]


def _read(body: bytes, shape: type[_Asked]) -> tuple[dict[str, Any], _Asked]:
    values = parse_json(body)
    if not isinstance(values, dict):
        raise ApiError(400, "not_an_object", "The body must be a JSON object.")
    _refuse_deep(values)
    try:
        asked = shape.model_validate(values)
    except ValidationError as problem:
        _refuse_shape(problem, shape)
    unfit = next(((key, fault) for key, value in values.items() if (fault := find_unfit_text(value))), None)
    if unfit is not None:
        _refuse(unfit[0], f"A text in {unfit[0]!r} {unfit[1]}.", code="invalid_text")
    return values, asked


def _refuse_deep(values: dict[str, Any]) -> None:
    """Schemas and tools are walked by functions that call themselves, so their depth is bounded."""
    level: list[Any] = [values]
    for _ in range(_DEEPEST):
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)
                 if isinstance(inner, (dict, list))]  # fmt: skip
        if not level:
            return
    raise ApiError(400, "nested_too_deeply", f"The body is nested more than {_DEEPEST} levels deep.")


def _refuse_shape(problem: ValidationError, shape: type[BaseModel]) -> NoReturn:
    """Of a value that could be one of several things, the error of the one that it is most like."""
    errors = problem.errors(include_url=False)
    error = max(errors, key=lambda one: (not one["type"].endswith("_type"), len(one["loc"])))
    names = [part for part in error["loc"] if isinstance(part, int) or re.fullmatch(r"[a-z_]+", part)]
    names = [part for part in names if part not in ("str", "none")]
    param = ".".join(str(part)[:64] for part in names) or str(error["loc"][-1])[:64]
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])[:64]
        hint = nearest(key, shape.model_fields) if len(error["loc"]) == 1 else ""
        _refuse(param, f"There is no parameter {key!r} here.{hint}", code="unknown_key")
    if error["type"] == "missing":
        _refuse(param, f"The key {param!r} is missing.", code="missing_key")
    why = _description(shape, [part for part in names if isinstance(part, str)])
    _refuse(param, f"{param!r} cannot be {_shown(error['input'])}: {_expected(error)}{f' ({why})' if why else ''}.",
            code="unsupported_value" if error["type"] in ("literal_error", "none_required") else "wrong_value")


def _description(shape: type[BaseModel], names: Sequence[str]) -> str:
    """What is said of the field that `names` lead to, "" where nothing is."""
    field = shape.model_fields.get(names[0]) if names else None
    if field is None:
        return ""
    inner = [part for part in _parts(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    deeper = [_description(part, names[1:]) for part in inner] if names[1:] else []
    return next(filter(None, deeper), "") if names[1:] else field.description or ""


def _parts(annotation: Any) -> list[Any]:
    """What a type is made of, at any depth, itself included."""
    return [annotation, *(part for one in get_args(annotation) for part in _parts(one))]


def _expected(error: ErrorDetails) -> str:
    if error["type"] == "none_required":
        return "it must be left out"
    if error["type"] == "too_long":
        return f"it should have at most {error['ctx']['max_length']}"
    return error["msg"][0].lower() + error["msg"][1:].replace(" after validation", "")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:60] + "…"


def _refuse(param: str, message: str, *, code: str = "wrong_value") -> NoReturn:
    raise ApiError(400, code, message, param=param)
