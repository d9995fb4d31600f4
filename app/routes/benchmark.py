"""`POST /benchmark` starts a comparison of dense with pruned, `GET /benchmark/{id}` shows how it goes."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ValidationError

from app import errors, machine
from app.benchmark import Job, Status
from app.comparison import Sample, Spec
from app.decoding import decode_first
from app.errors import BadBody, BadParameter, UnsupportedMediaType
from app.model import Model
from app.registry import Registry
from app.routes.body import FILE, FRAME_ERRORS, JSON, MAX_JSON_BYTES, MULTIPART, media_type, read_bytes, read_form
from app.routes.problems import describe_validation, documented
from app.routes.services import Serviced, Services
from app.settings import Settings

router = APIRouter(tags=["benchmark"])


class Started(BaseModel):
    """Where to look for the result."""

    id: str


SPEC_SCHEMA = Spec.model_json_schema()
BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "description": "Everything may be left out. Only a multipart body can bring a frame.",
        "content": {
            JSON: {"schema": SPEC_SCHEMA, "example": {"iterations": 100, "threads": 1}},
            MULTIPART: {
                "schema": {
                    **SPEC_SCHEMA,
                    "properties": {**SPEC_SCHEMA["properties"], FILE: {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
STARTED: dict[int | str, dict[str, Any]] = {
    202: {"headers": {"Location": {"description": "of the result", "schema": {"type": "string"}}}},
    **documented(
        errors.UnknownModel,
        errors.BenchmarkRunning,
        *FRAME_ERRORS,
        errors.BadParameter,
        errors.NoModelReady,
    ),
}


@router.post("/benchmark", status_code=202, responses=STARTED, openapi_extra=BODY)
async def start_benchmark(request: Request, response: Response, services: Serviced) -> Started:
    """Start a benchmark in the background: models in turns, on one frame, with sessions of their own.

    It measures the network alone. Requests that are served meanwhile share the machine with it.
    """
    asked, data = await _read(request, services.settings.max_body_bytes)
    spec = _spec(asked, services.settings)
    models = _models(spec, services.registry)
    job = Job(spec, models, await _sample(data, models[0], services))
    services.benchmarks.start(job)
    response.headers["Location"] = f"/benchmark/{job.id}"
    return Started(id=job.id)


@router.get("/benchmark/{benchmark_id}", responses=documented(errors.UnknownBenchmark, BadParameter))
async def get_benchmark(benchmark_id: Annotated[str, Path(max_length=64)], services: Serviced) -> Status:
    """Show a benchmark's progress, and its result once it is done."""
    return services.benchmarks.get(benchmark_id).status()


async def _read(request: Request, limit: int) -> tuple[Any, bytes | None]:
    """What was asked, not validated yet, and the frame's file where one was sent."""
    kind = media_type(request)
    if kind == MULTIPART:
        form = await read_form(request, limit)
        return {name: _field(name, values) for name, values in form.fields.items()}, form.file
    body = await read_bytes(request, MAX_JSON_BYTES)
    if not body:
        return {}, None
    if kind != JSON:
        raise UnsupportedMediaType(f"Expected {JSON} or {MULTIPART}, got {kind!r}.")
    try:
        return json.loads(body), None
    except (ValueError, RecursionError) as error:
        raise BadBody(f"The body is not JSON: {error}") from error


def _field(name: str, values: list[str]) -> str | list[str]:
    """`models` may be repeated, or hold several after commas; of other fields the last counts."""
    if name == "models":
        return [part.strip() for value in values for part in value.split(",")]
    return values[-1]


def _spec(asked: Any, settings: Settings) -> Spec:
    try:
        spec = Spec.model_validate(asked)
    except ValidationError as error:
        raise BadParameter(describe_validation(error)) from error
    _limit("iterations", spec.iterations, settings.benchmark_max_iterations)
    _limit("warmup", spec.warmup, settings.benchmark_max_iterations)
    _limit("batch", spec.batch, settings.benchmark_max_batch)
    _limit("threads", spec.threads, machine.cores())
    return spec


def _limit(name: str, value: int, most: int) -> None:
    if value > most:
        raise BadParameter(f"{name}: at most {most} here, got {value}.")


def _models(spec: Spec, registry: Registry) -> list[Model]:
    registry.resolve()  # says why, if nothing is ready
    models = [registry.resolve(name) for name in spec.models] if spec.models else registry.serving()
    if len({model.id for model in models}) < len(models):
        raise BadParameter("models: each only once.")
    return models


async def _sample(data: bytes | None, model: Model, services: Services) -> Sample:
    if data is None:
        return Sample.golden(model)
    if not data:
        raise BadBody("The frame has no bytes: send an image file.")
    most = services.settings.max_pixels
    return Sample.sent(await services.in_worker(lambda: decode_first(data, max_pixels=most)))
