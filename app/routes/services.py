"""What `main` wires up once, and how a route gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar, cast

from anyio import CapacityLimiter, to_thread
from fastapi import Depends
from fastapi.requests import HTTPConnection

from app.benchmark import Benchmarks
from app.metrics import Metrics
from app.registry import Registry
from app.repository import Repository
from app.settings import Settings
from app.statistics import Statistics
from app.stream import Streams

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """One app's parts."""

    settings: Settings
    repository: Repository
    benchmarks: Benchmarks
    metrics: Metrics
    streams: Streams
    workers: CapacityLimiter
    statistics: Statistics

    @property
    def registry(self) -> Registry:
        """The models as they are now; what is looked up in one such picture fits together."""
        return self.repository.registry

    async def in_worker(self, work: Callable[[], T]) -> T:
        """Run CPU work in a thread, as many at once as there are workers, while the event loop stays free."""
        return await to_thread.run_sync(work, limiter=self.workers)


async def services_of(connection: HTTPConnection) -> Services:
    """The app's services, for a request or a WebSocket."""
    return cast(Services, connection.app.state.services)


Serviced = Annotated[Services, Depends(services_of)]
