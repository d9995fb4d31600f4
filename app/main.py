"""The only place where the parts meet: `create_app(settings)`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import cv2
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI

from app import __version__, machine, registry
from app.benchmark import Benchmarks
from app.metrics import Metrics
from app.registry import Registry
from app.render import Report
from app.routes import benchmark, health, models, problems, segment, stream
from app.routes.observe import Observe
from app.routes.problems import Problem
from app.routes.services import Services
from app.settings import Settings
from app.stream import Streams

DESCRIPTION = (
    "Real-time polyp segmentation: a colonoscopy frame in, a mask out; `/benchmark` compares a dense network "
    "with its pruned version. Research software, not a medical device."
)

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
    for module in (segment, stream, models, benchmark, health):
        app.include_router(module.router)
    _document(app)
    return app


async def _open(settings: Settings, metrics: Metrics) -> Services:
    # One frame is one core's work: OpenCV's own threads would take the cores from the other frames.
    cv2.setNumThreads(1)
    found = await to_thread.run_sync(_scan, settings)
    metrics.models.labels("ready").set(len(found.ready))
    metrics.models.labels("refused").set(len(found.refused))
    return Services(
        settings=settings,
        registry=found,
        benchmarks=Benchmarks(
            preference=settings.provider,
            max_seconds=settings.benchmark_max_seconds,
            history=settings.benchmark_history,
        ),
        metrics=metrics,
        streams=Streams(settings.max_streams, metrics.streams),
        workers=CapacityLimiter(settings.workers or machine.cores()),
    )


def _scan(settings: Settings) -> Registry:
    return registry.scan(
        settings.models_dir,
        threads=settings.threads,
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
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
