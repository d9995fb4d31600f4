"""Every error as a problem document (RFC 9457), FastAPI's and Starlette's own errors too.

Under `/v2` it is `{"error": detail}` instead, the form of the Open Inference Protocol, with the same status.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.errors import BadParameter, BodyTooSlow, PolypruneError, TooManyFailures, Unauthorized
from app.metrics import Metrics

MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED_REQUEST = 499  # nginx's; nobody is left to read it, but the metrics count it

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")  # that any route takes

# Statuses of what may be over soon.
MAY_PASS = (429, 503)
RETRY_AFTER = {"Retry-After": {"description": "seconds to wait, where that is known", "schema": {"type": "integer"}}}

# For kinds of pydantic's errors whose message does not say what to do.
OWN_WORDS = {"extra_forbidden": "unknown here: correct its spelling, or leave it out"}

# Header fields of an answer that belong to its kind of error.
FIELDS: dict[type[PolypruneError], dict[str, str]] = {
    Unauthorized: {"WWW-Authenticate": 'Bearer realm="polyprune"'},
    TooManyFailures: {"Connection": "close"},  # a new connection for each guess
    BodyTooSlow: {"Connection": "close"},  # the rest of it is not waited for
}

log = logging.getLogger(__name__)


class Problem(BaseModel):
    """A problem document; further members belong to its type (`id` of the running benchmark, say)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="identifies the kind of problem", examples=["urn:polyprune:problem:corrupt-frame"])
    title: str = Field(description="the kind in words; the same every time")
    status: int
    detail: str = Field(description="what was expected, what came, and what to do")
    instance: str = Field(description="path of the request")
    request_id: str | None = Field(
        default_factory=logs.current_request, description="the answer's X-Request-Id, which the log knows"
    )


class Problems:
    """ASGI middleware: answers what the middlewares inside of it raise, and every bug, http and WebSocket alike.

    It stands inside of those that add headers; Starlette's own answer to a bug would stand outside of them.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. An error after the answer began is the server's: it closes the connection."""
        started = scope["type"] == "lifespan"

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            if started:
                raise
            await self._answer(HTTPConnection(scope), error)(scope, receive, send)

    def _answer(self, connection: HTTPConnection, error: Exception) -> Response:
        if isinstance(error, PolypruneError):
            self._metrics.refusals.labels(error.slug).inc()
            return respond_to(connection, error)
        log.error("a bug", exc_info=error)
        return _respond(connection, describe(error))


class Failure(BaseModel):
    """Every failure under `/v2`."""

    error: str = Field(description="what was expected, what came, and what to do")


def install(app: FastAPI) -> None:
    """Answer what routes raise so and in no other way; `Problems` answers the rest."""
    app.add_exception_handler(PolypruneError, _on_own_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


Responses = dict[int | str, dict[str, Any]]


def documented(*errors: type[PolypruneError]) -> Responses:
    """OpenAPI responses of a route for these errors, with an example of each."""
    return _responses(MEDIA_TYPE, Problem, {error: _example(error) for error in errors})


def failures(*errors: type[PolypruneError]) -> Responses:
    """As `documented`, for a route under `/v2`."""
    return _responses("application/json", Failure, {error: {"error": error.example} for error in errors})


def _responses(media_type: str, form: type[BaseModel], examples: Mapping[type[PolypruneError], Any]) -> Responses:
    responses: Responses = {}
    for error, example in examples.items():
        schema = {"$ref": f"#/components/schemas/{form.__name__}"}
        media = {media_type: {"schema": schema, "examples": {}}}
        entry = responses.setdefault(error.status, {"description": error.title, "content": media})
        if error.status in MAY_PASS:
            entry["headers"] = RETRY_AFTER
        entry["content"][media_type]["examples"][error.slug] = {"summary": error.title, "value": example}
    return responses


def describe(error: Exception) -> dict[str, Any]:
    """A problem document's members but `instance`; what is not one of our own errors is a bug."""
    if isinstance(error, PolypruneError):
        kind = {"type": _urn(type(error)), "title": error.title, "status": error.status, "detail": str(error)}
        return {**error.extra, **kind}
    detail = "The service failed on this request; its log has the details."
    return {"type": "about:blank", "title": "Internal error", "status": 500, "detail": detail}


def is_inference_protocol(path: str) -> bool:
    """Whether failures there have the Open Inference Protocol's form."""
    return f"{path}/".startswith("/v2/")


def describe_validation(error: ValidationError | RequestValidationError) -> str:
    """`where: what` for each field, with no more of the input than its place."""
    return "; ".join(f"{_place(item['loc'])}: {OWN_WORDS.get(item['type'], item['msg'])}" for item in error.errors())


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in ("query", "path", "body")) or "body"


def _example(error: type[PolypruneError]) -> dict[str, Any]:
    return {"type": _urn(error), "title": error.title, "status": error.status, "detail": error.example}


def _urn(error: type[PolypruneError]) -> str:
    return f"urn:polyprune:problem:{error.slug}"


def respond_to(connection: HTTPConnection, error: PolypruneError) -> Response:
    """The answer to an error of the tree, with the header fields that belong to it."""
    return _respond(connection, describe(error), _fields(error))


def _fields(error: PolypruneError) -> dict[str, str]:
    fields = dict(FIELDS.get(type(error), {}))
    wait = error.extra.get("retry_after")
    if isinstance(wait, int | float):
        fields["Retry-After"] = str(math.ceil(wait))
    return fields


def _respond(connection: HTTPConnection, problem: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    path = connection.url.path
    if is_inference_protocol(path):
        return JSONResponse({"error": problem["detail"]}, problem["status"], headers)
    document = Problem.model_validate({"instance": path, **problem})
    content = document.model_dump_json()
    return Response(content, status_code=document.status, headers=headers, media_type=MEDIA_TYPE)


async def _on_own_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PolypruneError)  # noqa: S101  (what it was registered for; narrows the type)
    return respond_to(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  (what it was registered for; narrows the type)
    return await _on_own_error(request, BadParameter(describe_validation(error)))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    title = HTTPStatus(error.status_code).phrase
    detail = f"{request.method} {request.url.path}: {error.detail}. The endpoints are listed at /docs."
    kind = {"type": "about:blank", "title": title, "status": error.status_code, "detail": detail}
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))  # Starlette's has the methods of one route of the path
    return _respond(request, kind, headers)


def _allowed(request: Request) -> list[str]:
    """The methods that the request's path takes, by all of the app's routes."""

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in METHODS if takes(method)]


async def _on_disconnect(_: Request, __: Exception) -> Response:
    log.info("the client left before it was answered")  # the request's own line has its id too, and the route
    return Response(status_code=CLIENT_CLOSED_REQUEST)
