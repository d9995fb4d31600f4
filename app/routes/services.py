"""What `main` wires up once, and how a route gets it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar, cast

from anyio import CancelScope, Event
from fastapi import Depends, Request
from fastapi.requests import HTTPConnection
from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from app.admission import Admission
from app.benchmark.jobs import Benchmarks
from app.errors import BadParameter, Draining
from app.kserve.statistics import Statistics
from app.metrics import Metrics
from app.model import Model
from app.registry import Registry
from app.repository import Repository
from app.settings import Settings
from app.stream.places import Streams

T = TypeVar("T")
DEADLINE = "X-Deadline-Ms"
DEADLINE_MS = TypeAdapter[float](Annotated[float, Field(gt=0)])
# Not a parameter of `services_of`, with which every route would document it.
DEADLINE_HEADER = {
    "name": DEADLINE,
    "in": "header",
    "description": "milliseconds within which the answer is wanted; 503 `overloaded` if that cannot be",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}


@dataclass(frozen=True)
class Services:
    """One app's parts. Set `draining` to tell them that the service is about to stop.

    The copy that an HTTP request gets knows that request, and the reading of `time.monotonic` by which its caller
    wants the answer.
    """

    settings: Settings
    repository: Repository
    benchmarks: Benchmarks
    metrics: Metrics
    streams: Streams
    admission: Admission
    draining: Event
    statistics: Statistics
    request: Request | None = None
    deadline: float = math.inf

    @property
    def registry(self) -> Registry:
        """The models as they are now; what is looked up in one such picture fits together."""
        return self.repository.registry

    def check_ready(self) -> Model:
        """The default model, while the service takes requests.

        Raises:
            Draining: it is about to stop.
            NoModelReady: the default model is not ready.
            ModelOutOfService: its sessions failed, and new ones are not there yet.
        """
        if self.draining.is_set():
            raise Draining(Draining.example)
        model = self.registry.resolve()
        model.engine.check()
        return model

    def expect_worker(self) -> None:
        """To be called before a body is read for `in_worker`: nothing is read of a request that will not be worked on.

        Raises:
            Overloaded: as it looks now, there is no place, or not in time.
        """
        self.admission.expect_worker(self.deadline)

    async def in_worker(self, work: Callable[[], T]) -> T:
        """Run CPU work in a thread, as many at once as there are workers, while the event loop stays free.

        To be called when the request's body has been read.

        Raises:
            Overloaded: there is no place, or not in time.
            ClientDisconnect: the request's caller left before a worker was free. In both cases nothing was run.
        """
        if self.request is None or self.admission.is_free:
            return await self.admission.run(work, self.deadline)
        with _while_connected(self.request):
            return await self.admission.run(work, self.deadline)


@contextmanager
def _while_connected(request: Request) -> Iterator[None]:
    """Cancel what waits inside once the caller is gone. A thread's work is not cut short by that."""
    with CancelScope() as presence:
        watch = asyncio.create_task(_cancel_on_disconnect(request, presence))
        try:
            yield
        finally:
            watch.cancel()
    if presence.cancelled_caught:
        raise ClientDisconnect


async def _cancel_on_disconnect(request: Request, presence: CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    presence.cancel()


async def services_of(connection: HTTPConnection) -> Services:
    """The app's services, for this request or WebSocket."""
    services = cast(Services, connection.app.state.services)
    if not isinstance(connection, Request):
        return services
    wanted = _wanted_ms(connection) or services.settings.deadline_ms or math.inf
    return replace(services, request=connection, deadline=time.monotonic() + wanted / 1e3)


def _wanted_ms(request: Request) -> float | None:
    """The header `X-Deadline-Ms`. Raises BadParameter."""
    text = request.headers.get(DEADLINE)
    if text is None:
        return None
    try:
        return DEADLINE_MS.validate_python(text)
    except ValidationError as error:
        raise BadParameter(f"{DEADLINE}: expected a number of milliseconds above 0, got {text!r}.") from error


Serviced = Annotated[Services, Depends(services_of)]
