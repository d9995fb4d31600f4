"""The only place where the parts meet: `create_app(settings)`."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import cv2
from anyio import Event, to_thread
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware import Middleware

from app import __version__, keys, machine
from app.admission import Admission
from app.benchmark.jobs import Benchmarks
from app.benchmark.store import Store
from app.device import ON_GPU, DeviceOptions
from app.errors import Draining, GpuRequired, ModelOutOfService, NoModelReady, ResultsUnavailable
from app.keys import Keys
from app.kserve.statistics import Statistics
from app.limits import Limits
from app.loader import Loader
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
    reference,
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

if TYPE_CHECKING:
    from app.tracing import Traces

DESCRIPTION = (
    "Real-time polyp segmentation: a colonoscopy frame in, a mask out; `/benchmark` compares a dense network "
    "with its pruned version. Research software, not a medical device."
)

# The last in the queue waits about as long as this many frames take: within the 120 ms that a cleared device promises,
# if a frame takes less than 24 ms.
QUEUE_PER_WORKER = 4

# While a frame is handed over, its core would be idle: one worker more than cores gave 1.08 of the frames a second
# (4 clients, 2 cores, a network of 10 ms), two more 1.09.
SPARE_WORKERS = 1

# Tried in this order: first what is asked for most.
ROUTES = (
    segment,
    batch,
    compare,
    stream,
    kserve,
    kserve_repository,
    models,
    benchmark,
    health,
    web,
    reference,
)

# Where OpenTelemetry sends traces; with neither set, none are made.
COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

# FastAPI's own: its spans and records have paths, queries and messages of errors in them, which may name patients.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}

log = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """A service with these settings; models are loaded when it starts, not here.

    Raises:
        KeysRefused: the keys file cannot be used.
    """
    metrics = Metrics()
    traces = _traces()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = await _open(settings, metrics)
        app.state.services = services
        yield
        await to_thread.run_sync(services.benchmarks.close)
        await to_thread.run_sync(services.repository.close)
        if traces:
            await to_thread.run_sync(traces.close)

    app = FastAPI(
        title="Polyprune",
        description=DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # `reference` has it
        redoc_url=None,
        middleware=_middleware(settings, metrics, traces),
        telemetry=NO_TELEMETRY,
    )
    problems.install(app)
    for module in ROUTES:
        app.include_router(module.router)
    documentation.install(app)
    return app


def drain(app: FastAPI) -> None:
    """Tell a service that runs that it is about to stop."""
    app.state.services.draining.set()


async def end_streams(app: FastAPI) -> None:
    """Close the streams of a service that runs."""
    await app.state.services.streams.close()


def _traces() -> Traces | None:
    """Traces, if the environment names a collector."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(map(os.environ.get, COLLECTORS)):
        return None
    try:
        from app.tracing import Traces  # noqa: PLC0415  (costs time and memory, and is not always installed)
    except ModuleNotFoundError as error:
        log.warning("no traces, though %s names a collector: install polyprune[tracing] (%s)", COLLECTORS[0], error)
        return None
    return Traces()


def _trace(traces: Traces | None) -> list[Middleware]:
    if traces is None:
        return []
    from app.routes.trace import Trace  # noqa: PLC0415  (as above)

    return [Middleware(Trace, traces=traces)]


def _middleware(settings: Settings, metrics: Metrics, traces: Traces | None) -> list[Middleware]:
    """What a request passes before its route, from the outside to the inside."""
    limits = Limits(settings.rate_limit, settings.rate_burst, settings.concurrency_limit)
    known = keys.load(settings.keys_file, limits) if settings.keys_file else Keys()
    open_control = settings.model_control == "open"
    return [
        # First the id, so that whatever the others answer carries it and is counted and logged.
        Middleware(Observe, metrics=metrics),
        *_trace(traces),
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
    if settings.require_gpu:
        _check_gpu(repository)
    metrics.watch_models(lambda: _states(repository), lambda: _facts(repository))
    metrics.watch_runs(lambda: {model.id: model.engine.runs for model in repository.registry.ready})
    metrics.watch_failures(
        lambda: {model.id: (model.engine.fault is None, model.engine.failures) for model in repository.registry.ready}
    )
    services = Services(
        settings=settings,
        repository=repository,
        benchmarks=await to_thread.run_sync(_benchmarks, settings, _workers(settings, repository)),
        metrics=metrics,
        streams=Streams(settings.max_streams, metrics.streams),
        admission=_admission(settings, metrics, repository),
        draining=Event(),
        statistics=Statistics(),
    )
    metrics.ready.set_function(lambda: _is_ready(services))
    return services


def _benchmarks(settings: Settings, workers: int) -> Benchmarks:
    store = Store(settings.data_dir, settings.benchmark_history)
    try:
        store.check()
    except ResultsUnavailable as error:  # no reason to serve no masks
        log.error("%s: %s", settings.data_dir, error)
    return Benchmarks(
        store=store,
        preference=settings.provider,
        max_seconds=settings.benchmark_max_seconds,
        workers=workers,
    )


def _states(repository: Repository) -> dict[str, set[str]]:
    """Of each version folder by id; one that is ready may have been refused since."""
    entries = repository.registry.entries()
    return {entry.id: {entry.state, "refused"} if entry.reason else {entry.state} for entry in entries}


def _facts(repository: Repository) -> dict[str, dict[str, str]]:
    ready = repository.registry.ready
    return {model.id: {"variant": model.manifest.variant, "provider": model.engine.provider} for model in ready}


def _is_ready(services: Services) -> bool:
    try:
        services.check_ready()
    except (Draining, NoModelReady, ModelOutOfService):
        return False
    return True


def _admission(settings: Settings, metrics: Metrics, repository: Repository) -> Admission:
    workers = _workers(settings, repository)
    return Admission(workers=workers, queue=queue_for(settings, workers), metrics=metrics)


def queue_for(settings: Settings, workers: int) -> int:
    """Requests that may wait for so many workers: as the settings say, or some for each that is not to spare."""
    if settings.queue is not None:
        return settings.queue
    return QUEUE_PER_WORKER * (settings.workers or workers - SPARE_WORKERS)


def _workers(settings: Settings, repository: Repository) -> int:
    """One for each core, one to spare, and one for each frame that is with a device and takes no core meanwhile."""
    in_batches = max((model.engine.in_flight for model in repository.registry.ready), default=0)
    return settings.workers or machine.cores() + in_batches + SPARE_WORKERS


def _scan(settings: Settings) -> Repository:
    insisted = settings.require_gpu and settings.provider == "auto"
    loader = Loader(
        settings.models_dir,
        threads=settings.threads or machine.cores(),
        preference="cuda" if insisted else settings.provider,
        options=_device_options(settings),
    )
    return Repository(loader, settings.default_model)


def _device_options(settings: Settings) -> DeviceOptions:
    return DeviceOptions(
        instances=settings.instances,
        sizes=tuple(sorted({int(size) for size in settings.batch_sizes.split(",")})),
        delay_ms=settings.batch_delay_ms,
        graphs=settings.cuda_graphs,
        fallback=settings.cpu_fallback,
        engine_cache=settings.tensorrt_cache,
    )


def _check_gpu(repository: Repository) -> None:
    """Raises GpuRequired unless a model runs on one; those that do not were refused."""
    registry = repository.registry
    if all(model.engine.provider not in ON_GPU for model in registry.ready):
        reasons = "; ".join(f"{refusal.id}: {refusal.reason}" for refusal in registry.refused) or "there are no models"
        raise GpuRequired(f"No model runs on a GPU, and POLYPRUNE_REQUIRE_GPU asks for one. {reasons}")
