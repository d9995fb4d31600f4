"""Every error as a problem document (RFC 9457), FastAPI's and Starlette's own errors too."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.errors import BadParameter, PolypruneError

MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED_REQUEST = 499  # nginx's; nobody is left to read it, but the metrics count it

log = logging.getLogger(__name__)


class Problem(BaseModel):
    """A problem document; further members belong to its type (`id` of the running benchmark, say)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="identifies the kind of problem", examples=["urn:polyprune:problem:corrupt-frame"])
    title: str = Field(description="the kind in words; the same every time")
    status: int
    detail: str = Field(description="what was expected, what came, and what to do")
    instance: str = Field(description="path of the request")


def install(app: FastAPI) -> None:
    """Answer with problem documents and with nothing else."""
    app.add_exception_handler(PolypruneError, _on_own_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_bug)


def documented(*errors: type[PolypruneError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of a route for these errors, with an example of each."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        entry = responses.setdefault(error.status, {"description": error.title, "content": {MEDIA_TYPE: {}}})
        content = entry["content"][MEDIA_TYPE]
        content["schema"] = {"$ref": "#/components/schemas/Problem"}
        content.setdefault("examples", {})[error.slug] = {"summary": error.title, "value": _example(error)}
    return responses


def describe_validation(error: ValidationError | RequestValidationError) -> str:
    """`where: what` for each field, with no more of the input than its place."""
    return "; ".join(f"{_place(item['loc'])}: {item['msg']}" for item in error.errors())


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in ("query", "path", "body")) or "body"


def _example(error: type[PolypruneError]) -> dict[str, Any]:
    return {"type": _urn(error), "title": error.title, "status": error.status, "detail": error.example}


def _urn(error: type[PolypruneError]) -> str:
    return f"urn:polyprune:problem:{error.slug}"


def _respond(request: Request, problem: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    document = Problem.model_validate({"instance": request.url.path, **problem})
    content = document.model_dump_json()
    return Response(content, status_code=document.status, headers=headers, media_type=MEDIA_TYPE)


async def _on_own_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PolypruneError)  # noqa: S101  (what it was registered for; narrows the type)
    kind = {"type": _urn(type(error)), "title": error.title, "status": error.status, "detail": str(error)}
    wait = error.extra.get("retry_after")
    return _respond(request, {**error.extra, **kind}, {} if wait is None else {"Retry-After": str(wait)})


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return await _on_own_error(request, BadParameter(describe_validation(error)))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    title = HTTPStatus(error.status_code).phrase
    detail = f"{request.method} {request.url.path}: {error.detail}. The endpoints are listed at /docs."
    kind = {"type": "about:blank", "title": title, "status": error.status_code, "detail": detail}
    return _respond(request, kind, dict(error.headers or {}))


async def _on_disconnect(request: Request, _: Exception) -> Response:
    log.info("%s %s: the client left before it was answered", request.method, request.url.path)
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _on_bug(request: Request, _: Exception) -> Response:
    detail = "The service failed on this request; its log has the details."
    kind = {"type": "about:blank", "title": "Internal error", "status": 500, "detail": detail}
    # Starlette raises the error again, for the log, and uvicorn then closes the connection: say so.
    return _respond(request, kind, {"Connection": "close"})
