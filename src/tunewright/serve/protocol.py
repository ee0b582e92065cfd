"""What the bytes of the HTTP API mean: bodies, answers and errors. Must not know sockets, queues or models.

Every error has one shape, {"error": {"message", "type", "param", "code"}}; the classes here are also its documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from tunewright.recipe.errors import nearest

TYPES = {
    401: "authentication_error", 404: "not_found_error", 408: "timeout_error", 413: "request_too_large",
    429: "rate_limit_error", 500: "server_error", 503: "unavailable_error",
}  # fmt: skip
KEYS = ("input", "model")


class ApiError(Exception):
    """An answer that is not a prediction. `param` names the part of the request at fault, as `input.3.subject`."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = dict(headers or {})
        super().__init__(message)

    def body(self) -> bytes:
        kind = TYPES.get(self.status, "invalid_request_error")
        return to_json({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})


class ErrorDetail(BaseModel):
    message: str = Field(description="what is wrong and what to do, for a person")
    type: str = Field(description="the family of the error, by status")
    param: str | None = Field(description="the part of the request at fault, as input.3.subject")
    code: str = Field(description="what is wrong, for a program")


class ErrorBody(BaseModel):
    error: ErrorDetail


class PredictRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input: str | dict[str, str] | list[str | dict[str, str]] = Field(
        description="one text or a list of them; an object names its input columns, which a task with several needs",
        examples=["My card has not arrived yet"],
    )
    model: str | None = Field(None, description="name or name@version; may be left out where one model is served")


class PredictedLabel(BaseModel):
    label: str = Field(description="the most probable label")
    probabilities: dict[str, float] = Field(description="of every label; they sum to 1")


class PredictedLabels(BaseModel):
    labels: list[str] = Field(description="every label with a probability of at least 0.5")
    probabilities: dict[str, float] = Field(description="of every label, each by itself")


class PredictedValue(BaseModel):
    value: float = Field(description="a number; of retrieval the cosine of query and passage")


class PredictedSpan(BaseModel):
    start: int = Field(description="its first character")
    end: int = Field(description="the character after its last")
    label: str
    text: str
    probability: float


class PredictedSpans(BaseModel):
    spans: list[PredictedSpan] = Field(description="the parts of the text that have a label, in order")


class PredictedAnswer(BaseModel):
    answer: str | None = Field(description="the part of the context that answers; null where it does not say")
    start: int | None = Field(description="its first character in the context")
    end: int | None = Field(description="the character after its last")
    probability: float | None


class PredictedText(BaseModel):
    text: str = Field(description="what the model wrote, the most probable token each time")


class PredictResponse(BaseModel):
    model: str
    version: str
    predictions: list[
        PredictedLabel | PredictedLabels | PredictedValue | PredictedSpans | PredictedAnswer | PredictedText
    ] = Field(description="one per input, in order")
    latency_ms: float = Field(description="from the whole request received to the answer ready, waiting included")


class ServedModel(BaseModel):
    id: str = Field(description="what `model` may say")
    object: str = "model"
    name: str
    version: str
    task: str = Field(description="the kind of task, as in a recipe")
    inputs: list[str] = Field(description="the input columns")
    labels: list[str]
    max_length: int = Field(description="longest sequence in tokens; of a model that writes, its answer included")
    dtype: str
    created: int = Field(description="when it was loaded, in seconds since 1970")
    owned_by: str = "tunewright"
    endpoints: list[str] = Field(description="where it may be asked")
    prompt: str | None = Field(description="the text into which /v1/predict puts the input columns")


class ServedModels(BaseModel):
    object: str = "list"
    data: list[ServedModel]


class Health(BaseModel):
    status: str


def to_json(value: Any) -> bytes:
    """Compact UTF-8; refuses NaN, which is not JSON. A lone surrogate becomes its JSON escape."""
    return _ENCODER.encode(value).encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a predict body asks for: inputs, each still unchecked, and a model. `listed` where the body had a list."""

    inputs: list[Any]
    model: str | None
    listed: bool

    def param(self, index: int, column: str | None) -> str:
        """Where in the body an input or one of its columns stands."""
        place = f"input.{index}" if self.listed else "input"
        return place if column is None else f"{place}.{column}"


def read_request(body: bytes, *, max_inputs: int) -> Asked:
    """What a predict body asks for. Raises ApiError."""
    request = parse_json(body)
    if not isinstance(request, dict):
        raise ApiError(400, "not_an_object", f"The body must be an object with the key 'input', not {_type(request)}.")
    for key in request:
        if key not in KEYS:
            shown = key[:64]
            raise ApiError(400, "unknown_key", f"There is no key {shown!r}.{nearest(shown, KEYS)}", param=shown)
    if "input" not in request:
        raise ApiError(400, "missing_input", "The key 'input' is missing: a text, an object, or a list.", param="input")
    model = request.get("model")
    if not (model is None or isinstance(model, str)):
        raise ApiError(400, "wrong_type", f"'model' must be a text, not {_type(model)}.", param="model")
    value = request["input"]
    return Asked(_listed(value, max_inputs), model, isinstance(value, list))


def parse_json(body: bytes) -> Any:
    """The value of a strict JSON text: UTF-8, no NaN, no key twice, nesting bounded. Raises ApiError."""
    if not body:
        raise ApiError(400, "empty_body", "The body is empty; send a JSON object.")
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ApiError(400, "invalid_utf8", f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None
    except RecursionError:
        raise ApiError(400, "nested_too_deeply", "The body is nested too deeply.") from None
    except ValueError as error:  # also integers of thousands of digits
        raise ApiError(400, "invalid_json", f"The body is not valid JSON: {error}.") from None


def _listed(value: Any, max_inputs: int) -> list[Any]:
    if isinstance(value, (str, dict)):
        return [value]
    if not isinstance(value, list):
        message = f"'input' must be a text, an object or a list of them, not {_type(value)}."
        raise ApiError(400, "wrong_type", message, param="input")
    if not value:
        raise ApiError(400, "empty_list", "'input' is an empty list; send at least one text.", param="input")
    if len(value) > max_inputs:
        message = f"'input' has {len(value)} items and a request may have {max_inputs}; send several requests."
        raise ApiError(400, "too_many_inputs", message, param="input")
    return value


def _type(value: Any) -> str:
    names = {type(None): "null", bool: "true or false", list: "a list", dict: "an object", str: "a text"}
    return names.get(type(value), "a number")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeated)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
