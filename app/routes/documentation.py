"""What the OpenAPI document has beyond what FastAPI reads from the routes."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI

from app.errors import Overloaded
from app.kserve.tensors import InferenceRequest
from app.render import FeatureCollection, PairReport, Report
from app.routes import access
from app.routes.problems import Failure, Problem
from app.routes.services import DEADLINE_HEADER

# Routes that answer with bytes, or read their body themselves, refer to these by hand.
SCHEMAS = (Problem, Failure, Report, FeatureCollection, PairReport, InferenceRequest)


def install(app: FastAPI) -> None:
    """Complete the app's document when it is first asked for."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(generate())
        return generate()  # FastAPI keeps it

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(schema: dict[str, Any]) -> None:
    for model in SCHEMAS:
        definition = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["components"]["schemas"] |= definition.pop("$defs", {}) | {model.__name__: definition}
    access.document(schema)
    for path in schema["paths"].values():
        for operation in path.values():
            _tell_defaults(operation)
            _add_deadline(operation)


def _tell_defaults(operation: dict[str, Any]) -> None:
    """In words: Swagger UI sends a `default` as if it had been given, and an option of another output is refused."""
    for parameter in operation.get("parameters", ()):
        default = parameter["schema"].pop("default", None)
        if default is not None:
            value = json.dumps(default).strip('"')
            parameter["description"] = f"{parameter.get('description', '')}; {value} where unset".removeprefix("; ")


def _add_deadline(operation: dict[str, Any]) -> None:
    """Whatever may be turned away as overloaded takes a deadline."""
    if Overloaded.slug in json.dumps(operation["responses"].get("503")):
        operation.setdefault("parameters", []).append(DEADLINE_HEADER)
