"""The only place where the parts meet: `create_app(settings)`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import cv2
from anyio import Event, to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware

from app import __version__, keys, machine
from app.admission import Admission
from app.benchmark import Benchmarks
from app.keys import Keys
from app.kserve.statistics import Statistics
from app.limits import Limits
from app.metrics import Metrics
from app.repository import Repository
from app.routes import (
    batch,
    benchmark,
    compare,
    documentation,
    health,
    kserve,
    kserve_repository,
    models,
    problems,
    segment,
    stream,
    web,
)
from app.routes.access import Access
from app.routes.headers import SecurityHeaders, cors, origins
from app.routes.limit import Limit
from app.routes.observe import Observe
from app.routes.origin import Origin
from app.routes.patience import Patience
from app.routes.problems import Problems
from app.routes.services import Services
from app.settings import Settings
from app.stream.places import Streams

DESCRIPTION = (
    "Real-time polyp segmentation: a colonoscopy frame in, a mask out; `/benchmark` compares a dense network "
    "with its pruned version. Research software, not a medical device."
)

# The last in the queue waits about as long as this many frames take: within the 120 ms that a cleared device promises,
# if a frame takes less than 24 ms.
QUEUE_PER_WORKER = 4

log = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """A service with these settings; models are loaded when it starts, not here.

    Raises:
        KeysRefused: the keys file cannot be used.
    """
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
        middleware=_middleware(settings, metrics),
    )
    problems.install(app)
    for module in (web, segment, batch, compare, stream, models, kserve, kserve_repository, benchmark, health):
        app.include_router(module.router)
    documentation.install(app)
    return app


def drain(app: FastAPI) -> None:
    """Tell a service that runs that it is about to stop."""
    app.state.services.draining.set()


async def end_streams(app: FastAPI) -> None:
    """Close the streams of a service that runs."""
    await app.state.services.streams.close()


def _middleware(settings: Settings, metrics: Metrics) -> list[Middleware]:
    """What a request passes before its route, from the outside to the inside."""
    limits = Limits(settings.rate_limit, settings.rate_burst, settings.concurrency_limit)
    known = keys.load(settings.keys_file, limits) if settings.keys_file else Keys()
    open_control = settings.model_control == "open"
    return [
        # First the id, so that whatever the others answer carries it and is counted and logged.
        Middleware(Observe, metrics=metrics),
        Middleware(SecurityHeaders),
        # Before the keys: a browser's preflight brings none, and its page has to be able to read a refusal.
        *cors(settings.cors_origins),
        # Answers for those below, which raise, and for bugs.
        Middleware(Problems, metrics=metrics),
        # Nothing of a body is read, and no WebSocket accepted, before these let it pass.
        Middleware(Access, keys=known, limits=limits, open_control=open_control),
        Middleware(Origin, allowed=origins(settings.cors_origins)),
        Middleware(Limit),
        Middleware(Patience, seconds=settings.receive_seconds),
    ]


async def _open(settings: Settings, metrics: Metrics) -> Services:
    # One frame is one core's work: OpenCV's own threads would take the cores from the other frames.
    cv2.setNumThreads(1)
    repository = await to_thread.run_sync(_scan, settings)
    for state in ("ready", "refused", "unloaded"):
        metrics.models.labels(state).set_function(partial(_count, repository, state))
    metrics.watch_runs(lambda: {model.id: model.engine.runs for model in repository.registry.ready})
    return Services(
        settings=settings,
        repository=repository,
        benchmarks=Benchmarks(
            preference=settings.provider,
            max_seconds=settings.benchmark_max_seconds,
            history=settings.benchmark_history,
        ),
        metrics=metrics,
        streams=Streams(settings.max_streams, metrics.streams),
        admission=_admission(settings, metrics),
        draining=Event(),
        statistics=Statistics(),
    )


def _count(repository: Repository, state: str) -> int:
    return len(getattr(repository.registry, state))


def _admission(settings: Settings, metrics: Metrics) -> Admission:
    workers = settings.workers or machine.cores()
    queue = QUEUE_PER_WORKER * workers if settings.queue is None else settings.queue
    return Admission(workers=workers, queue=queue, metrics=metrics)


def _scan(settings: Settings) -> Repository:
    return Repository(
        settings.models_dir,
        threads=settings.threads or machine.cores(),
        preference=settings.provider,
        default=settings.default_model,
    )
