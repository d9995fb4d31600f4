"""The only place where the parts meet: `create_app(settings)`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import cv2
from anyio import Event, to_thread
from fastapi import FastAPI

from app import __version__, machine, registry
from app.admission import Admission
from app.benchmark import Benchmarks
from app.errors import Overloaded
from app.metrics import Metrics
from app.registry import Registry
from app.render import Report
from app.routes import benchmark, health, models, problems, segment
from app.routes.observe import Observe
from app.routes.problems import Problem
from app.routes.services import DEADLINE_HEADER, Services
from app.settings import Settings

DESCRIPTION = (
    "Real-time polyp segmentation: a colonoscopy frame in, a mask out; `/benchmark` compares a dense network "
    "with its pruned version. Research software, not a medical device."
)

# The last in the queue waits about as long as this many frames take: within the 120 ms that a cleared device promises,
# if a frame takes less than 24 ms.
QUEUE_PER_WORKER = 4

log = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """A service with these settings; models are loaded when it starts, not here."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = await _open(settings, metrics)
        app.state.services = services
        yield
        await to_thread.run_sync(services.benchmarks.close)

    app = FastAPI(
        title="Polyprune",
        description=DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.add_middleware(Observe, metrics=metrics)
    problems.install(app)
    for module in (segment, models, benchmark, health):
        app.include_router(module.router)
    _document(app)
    return app


def drain(app: FastAPI) -> None:
    """Tell a service that runs that it is about to stop."""
    app.state.services.draining.set()


async def _open(settings: Settings, metrics: Metrics) -> Services:
    # One frame is one core's work: OpenCV's own threads would take the cores from the other frames.
    cv2.setNumThreads(1)
    found = await to_thread.run_sync(_scan, settings)
    metrics.models.labels("ready").set(len(found.ready))
    metrics.models.labels("refused").set(len(found.refused))
    metrics.watch_runs(lambda: {model.id: model.engine.runs for model in found.ready})
    return Services(
        settings=settings,
        registry=found,
        benchmarks=Benchmarks(
            preference=settings.provider,
            max_seconds=settings.benchmark_max_seconds,
            history=settings.benchmark_history,
        ),
        metrics=metrics,
        admission=_admission(settings, metrics),
        draining=Event(),
    )


def _admission(settings: Settings, metrics: Metrics) -> Admission:
    workers = settings.workers or machine.cores()
    queue = QUEUE_PER_WORKER * workers if settings.queue is None else settings.queue
    return Admission(workers=workers, queue=queue, metrics=metrics)


def _scan(settings: Settings) -> Registry:
    return registry.scan(
        settings.models_dir,
        threads=settings.threads or machine.cores(),
        preference=settings.provider,
        default=settings.default_model,
    )


def _document(app: FastAPI) -> None:
    """Add the schemas that routes refer to by hand, since they answer with bytes."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        schema = generate()
        template = "#/components/schemas/{model}"
        for model in (Problem, Report):
            definition = model.model_json_schema(ref_template=template)
            schema["components"]["schemas"] |= definition.pop("$defs", {}) | {model.__name__: definition}
        _add_deadline(schema)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_deadline(schema: dict[str, Any]) -> None:
    """Whatever may be turned away as overloaded takes a deadline."""
    for path in schema["paths"].values():
        for operation in path.values():
            if Overloaded.slug in json.dumps(operation["responses"].get("503")):
                parameters = operation.setdefault("parameters", [])
                parameters.extend(() if DEADLINE_HEADER in parameters else (DEADLINE_HEADER,))  # the schema is kept
