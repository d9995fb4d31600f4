"""`POST /benchmark` starts one, `GET /benchmark/{id}` shows how it goes; what is over is listed and exported."""

from __future__ import annotations

import json
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app import errors, machine
from app.benchmark import contender
from app.benchmark.jobs import Job
from app.benchmark.page import page
from app.benchmark.result import Status
from app.benchmark.spec import Sample, Spec
from app.benchmark.store import Summary, Trend
from app.benchmark.table import table
from app.decoding import decode_first
from app.device import Preference
from app.errors import BadBody, BadParameter, UnsupportedMediaType
from app.model import Model
from app.registry import Registry
from app.routes.body import FILE, FRAME_ERRORS, JSON, MAX_JSON_BYTES, MULTIPART, media_type, read_bytes, read_form
from app.routes.once import check_once, each_once
from app.routes.problems import describe_validation, documented
from app.routes.services import Serviced, Services
from app.settings import Settings

router = APIRouter(tags=["benchmark"])
MAX_CONTENDERS = 32  # models x providers x stages: each model on each provider has sessions of its own
LISTS = ("models", "providers", "stages")


class Started(BaseModel):
    """Where to look for the result."""

    id: str


class ListQuery(BaseModel):
    """Which stored benchmarks to list."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str | None, Field(max_length=129, description="`name` or `name/version` that was measured")] = None
    limit: Annotated[int, Field(ge=1, le=100, description="most that are listed")] = 20
    offset: Annotated[int, Field(ge=0, le=2**31, description="newer ones that are left out")] = 0


class TrendQuery(BaseModel):
    """Which ratios to follow."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str | None, Field(max_length=129, description="`name` or `name/version` that was compared")] = None


class Listing(BaseModel):
    """Benchmarks that are over, the newest first."""

    total: Annotated[int, Field(description="that there are, by the filter")]
    benchmarks: list[Summary]
    running: Annotated[str | None, Field(description="id of the one that runs")]
    persistent: Annotated[bool, Field(description="whether they outlive the service")]
    providers: Annotated[list[Preference], Field(description="where networks can be measured here")]


class Trends(BaseModel):
    """Each ratio under the same conditions, over time."""

    trends: list[Trend]


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


Id = Annotated[str, Path(max_length=64)]
STORED = (errors.UnknownBenchmark, errors.ResultsUnavailable, BadParameter)
LISTED = documented(errors.ResultsUnavailable, BadParameter)


def _file(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string"}}}
    return {200: {"description": "the file", "content": content}, **documented(*STORED, errors.NoResult)}


@router.post("/benchmark", status_code=202, responses=STARTED, openapi_extra=BODY)
async def start_benchmark(request: Request, response: Response, services: Serviced) -> Started:
    """Start a benchmark in the background: models in turns, on one frame, with sessions of their own.

    Requests that are served meanwhile share the machine with it.
    """
    asked, data = await _read(request, services.settings.max_body_bytes)
    spec = _spec(asked, services.settings)
    models = _models(spec, services.registry)
    await to_thread.run_sync(_check_providers, spec)
    job = Job(spec, models, await _sample(data, models[0], services))
    services.benchmarks.start(job)
    response.headers["Location"] = f"/benchmark/{job.id}"
    return Started(id=job.id)


@router.get("/benchmark", responses=LISTED, dependencies=[Depends(each_once)])
async def list_benchmarks(query: Annotated[ListQuery, Query()], services: Serviced) -> Listing:
    """List benchmarks that are over."""
    benchmarks = services.benchmarks

    def work() -> Listing:
        total, found = benchmarks.store.page(model=query.model, limit=query.limit, offset=query.offset)
        return Listing(
            total=total,
            benchmarks=found,
            running=benchmarks.running,
            persistent=services.settings.data_dir is not None,
            providers=contender.available(),
        )

    return await to_thread.run_sync(work)  # not in_worker: a file's lock may be waited for, and frames must not wait


@router.get("/benchmark/trends", responses=LISTED, dependencies=[Depends(each_once)])
async def list_trends(query: Annotated[TrendQuery, Query()], services: Serviced) -> Trends:
    """Show how each ratio went on from benchmark to benchmark, of the same models on the same machine."""
    return Trends(trends=await to_thread.run_sync(lambda: services.benchmarks.store.trends(model=query.model)))


@router.get("/benchmark/{benchmark_id}.csv", response_class=Response, responses=_file("text/csv"))
async def export_table(benchmark_id: Id, services: Serviced) -> Response:
    """Give the raw samples of a benchmark that is done: one row for each run."""
    return await to_thread.run_sync(_table, services, benchmark_id)


@router.get("/benchmark/{benchmark_id}.html", response_class=Response, responses=_file("text/html"))
async def export_page(benchmark_id: Id, services: Serviced) -> Response:
    """Give a benchmark that is done as one page that needs nothing else, with the distributions of its latencies."""
    return await to_thread.run_sync(_page, services, benchmark_id)


@router.get("/benchmark/{benchmark_id}", responses=documented(*STORED))
async def get_benchmark(benchmark_id: Id, services: Serviced) -> Status:
    """Show a benchmark's progress, and its result once it is done."""
    return await to_thread.run_sync(services.benchmarks.get, benchmark_id)


@router.delete("/benchmark/{benchmark_id}", status_code=204, responses=documented(*STORED, errors.BenchmarkRunning))
async def delete_benchmark(benchmark_id: Id, services: Serviced) -> None:
    """Forget a benchmark that is over, with its samples; needs an admin key."""
    await to_thread.run_sync(services.benchmarks.delete, benchmark_id)


def _table(services: Services, benchmark_id: str) -> Response:
    status, _, series = services.benchmarks.result(benchmark_id)
    return _download(table(status, series), "text/csv; header=present", f"benchmark-{status.id}.csv")


def _page(services: Services, benchmark_id: str) -> Response:
    status, result, series = services.benchmarks.result(benchmark_id)
    return Response(page(status, result, series), media_type="text/html")


def _download(content: bytes, media_type: str, name: str) -> Response:
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


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
    """Lists may be repeated, or hold several after commas. Raises BadParameter for another field that comes twice."""
    if name in LISTS:
        return [part.strip() for value in values for part in value.split(",")]
    check_once([name] * len(values))
    return values[0]


def _spec(asked: Any, settings: Settings) -> Spec:
    try:
        spec = Spec.model_validate(asked)
    except ValidationError as error:
        raise BadParameter(describe_validation(error)) from error
    _limit("iterations", spec.iterations, settings.benchmark_max_iterations)
    _limit("warmup", spec.warmup, settings.benchmark_max_iterations)
    _limit("batch", spec.batch, settings.benchmark_max_batch)
    _limit("threads", spec.threads, machine.cores())
    _limit("concurrency", spec.concurrency or 1, settings.benchmark_max_concurrency)
    return spec


def _limit(name: str, value: int, most: int) -> None:
    if value > most:
        raise BadParameter(f"{name}: at most {most} here, got {value}.")


def _models(spec: Spec, registry: Registry) -> list[Model]:
    registry.resolve()  # says why, if nothing is ready
    models = [registry.resolve(name) for name in spec.models] if spec.models else registry.serving()
    if len({model.id for model in models}) < len(models):
        raise BadParameter("models: each only once.")
    contenders = len(models) * len(spec.providers or [None]) * len(spec.stages)
    _limit("models x providers x stages", contenders, MAX_CONTENDERS)
    return models


def _check_providers(spec: Spec) -> None:
    here = contender.available()
    for provider in spec.providers or []:
        if provider not in ("auto", *here):
            raise BadParameter(f"providers: {provider!r} has no device or no library here: take from {here}.")


async def _sample(data: bytes | None, model: Model, services: Services) -> Sample:
    if data is None:
        return Sample.golden(model)
    if not data:
        raise BadBody("The frame has no bytes: send an image file.")
    most = services.settings.max_pixels
    frame = await services.in_worker(lambda: decode_first(data, max_pixels=most))
    return Sample.sent(data, frame)
