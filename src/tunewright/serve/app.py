"""The HTTP application and its server. Knows routes, readiness and shutdown; must not know how a model answers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Route

from tunewright.recipe.errors import Refusal
from tunewright.serve.counters import CONTENT_TYPE
from tunewright.serve.front import Front, Page, Receive, Scope, Send, read_body, refuse_media_type, start
from tunewright.serve.openai_answers import ChatCompletion, TextCompletion
from tunewright.serve.openai_requests import ChatRequest, CompletionRequest, read_chat, read_completion
from tunewright.serve.predictor import LabelPrediction, LabelsPrediction, Prediction
from tunewright.serve.protocol import (
    ApiError,
    ErrorBody,
    Health,
    PredictRequest,
    PredictResponse,
    ServedModels,
    read_request,
    to_json,
)
from tunewright.serve.service import DRAIN_SECONDS, Limits, Predictors, Service, not_ready
from tunewright.serve.texts import CHAT, COMPLETIONS, Texts

PREDICT = "/v1/predict"
_ROUTES = ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics", "/v1/models", PREDICT, CHAT, COMPLETIONS)
_BARE: dict[str, tuple[str, type[BaseModel], type[BaseModel]]] = {  # POST routes: summary, what is sent, what comes
    PREDICT: ("Predict one or many inputs", PredictRequest, PredictResponse),
    CHAT: ("The assistant's next message", ChatRequest, ChatCompletion),
    COMPLETIONS: ("A text goes on", CompletionRequest, TextCompletion),
}
_DEFAULT_LIMITS = Limits()


class Predict:
    """POST /v1/predict as a bare ASGI application: it is called thousands of times a second."""

    def __init__(self, service: Service):
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_media_type(scope)
        body = await read_body(scope, receive, max_bytes=self._service.limits.body_bytes)
        began = time.perf_counter()
        asked = read_request(body, max_inputs=self._service.limits.inputs)
        served = self._service.find(asked.model)
        rows = served.rows(asked)
        outputs = await self._service.answer(served, rows, receive)
        content = to_json(
            {
                "model": served.name,
                "version": served.version,
                "predictions": [_written(prediction) for prediction in served.predictor.answers(outputs, rows)],
                "latency_ms": round((time.perf_counter() - began) * 1000, 2),
            }
        )
        await send(start(200, content))
        await send({"type": "http.response.body", "body": content})


def create_app(
    predictors: Predictors | Callable[[], Predictors], *, token: str, limits: Limits = _DEFAULT_LIMITS
) -> FastAPI:
    """The application that serves `predictors`, by `name` or `name@version`, to whoever has `token`.

    Given a function, it calls it after startup in a thread of its own, and is not ready until then.
    """
    load = predictors if callable(predictors) else lambda: predictors
    service = Service(load, limits, routes=_ROUTES)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opening = asyncio.create_task(service.open())
        if not callable(predictors):
            await opening
        try:
            yield
        finally:
            await service.drain()
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)  # a failure is kept in service.failure

    app = FastAPI(
        title="Tunewright", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan
    )
    app.state.service = service
    bare = {PREDICT: Predict(service), CHAT: Texts(service, read_chat), COMPLETIONS: Texts(service, read_completion)}
    app.router.routes += [Route(path, endpoint, methods=["POST"]) for path, endpoint in bare.items()]
    _add_machine_routes(app, service)
    page = Page.read()
    _add_pages(app, page)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_middleware(Front, token=token, sign_in=page, count=service.counters.count_request)
    return app


def serve(
    predictors: Predictors | Callable[[], Predictors],
    *,
    token: str,
    port: int = 8000,
    limits: Limits = _DEFAULT_LIMITS,
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Serves on loopback until SIGTERM or SIGINT, then answers what it has taken and returns.

    Port 0 takes a free one; `announce` hears the address once the port is open. Raises Refusal where the port is taken,
    and whatever loading the models raised.
    """
    app = create_app(predictors, token=token, limits=limits)
    with _listen(port) as listener:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=int(DRAIN_SECONDS),
        )
        server = _Server(config, app.state.service)
        announce(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server.run(sockets=[listener])
    failure = app.state.service.failure
    if failure is not None:
        raise failure


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


class _Server(uvicorn.Server):
    """Drains before it stops listening: /readyz says 503 meanwhile. A second signal does not wait."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service
        self._drain: asyncio.Task[None] | None = None

    async def on_tick(self, counter: int) -> bool:
        if self._service.failure is not None:
            self.should_exit = True
        return await super().on_tick(counter)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self._drain is None and not self.should_exit:
            self._loop.call_soon_threadsafe(self._begin_drain)
        else:
            self.should_exit = True
            self.force_exit = sig == signal.SIGINT

    def _begin_drain(self) -> None:
        async def drain_and_exit() -> None:
            await self._service.drain()
            self.should_exit = True

        self._drain = self._drain or asyncio.create_task(drain_and_exit())


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise Refusal(
            f"Port {port} cannot be opened: {error.strerror}.",
            where=f"127.0.0.1:{port}",
            remedy="Choose another with --port, or 0 for any free one.",
        ) from None
    return listener


def _add_machine_routes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", response_model=Health, summary="Is the process alive?")
    async def healthz() -> Response:
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", response_model=Health, summary="May predictions be asked for?")
    async def readyz() -> Response:
        if service.state != "ready":
            raise not_ready(service.state)
        return JSONResponse({"status": "ready"})

    @app.get("/v1/models", response_model=ServedModels, summary="The models served here")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [served.described() for served in service.models.values()]})

    @app.get("/metrics", response_class=Response, summary="Counters for Prometheus")
    async def metrics() -> Response:
        return Response(service.counters.exposition(), media_type=CONTENT_TYPE)


def _add_pages(app: FastAPI, page: Page) -> None:
    schema = _describe_api(app)

    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def index() -> Response:
        return HTMLResponse(page.content, headers={"content-security-policy": page.policy.decode()})

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return JSONResponse(schema)


def _describe_api(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description: what FastAPI knows of its routes, and the POST routes, which bypass it."""
    schema = get_openapi(title=app.title, version="1", routes=app.routes)
    schemas = schema["components"]["schemas"]
    error = {"description": "what was wrong", **_content(ErrorBody, schemas)}
    for path, (summary, asked, answered) in _BARE.items():
        schema["paths"][path] = {
            "post": {
                "summary": summary,
                "operationId": path.removeprefix("/v1/").replace("/", "_"),
                "requestBody": {"required": True, **_content(asked, schemas)},
                "responses": {"200": {"description": "the answer", **_content(answered, schemas)}}
                | {str(status): error for status in (400, 401, 404, 408, 413, 415, 429, 500, 503)},
            }
        }
    schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"token": []}]
    for path in ("/healthz", "/readyz"):
        schema["paths"][path]["get"]["security"] = []
    schema["paths"]["/readyz"]["get"]["responses"]["503"] = error
    return schema


def _content(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    """A body of JSON that `model` describes, whose description is put among `schemas`."""
    described = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(described.pop("$defs", {}))
    schemas[model.__name__] = described
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}}


async def _refuse_route(request: Request, error: Exception) -> NoReturn:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        message, code = f"{request.method} is not allowed here.", "wrong_method"
    else:
        message, code = "There is nothing at this path; see /docs.", "unknown_path"
    raise ApiError(error.status_code, code, message, headers=error.headers)


def _written(prediction: Prediction) -> dict[str, Any]:
    if isinstance(prediction, LabelPrediction):
        return {"label": prediction.label, "probabilities": prediction.probabilities}
    if isinstance(prediction, LabelsPrediction):
        return {"labels": prediction.labels, "probabilities": prediction.probabilities}
    return dataclasses.asdict(prediction)
