"""Gives every request an id, counts and times it, and logs one line: by route and never by path or query.

What went through is measured from outside, so that routes need not know of it: the model and the times of the
stages are read from the answer's headers.
"""

from __future__ import annotations

import itertools
import logging
import re
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.metrics import Metrics
from app.routes.access import CALLER, Caller, address_of

SANE = re.compile(rb"[A-Za-z0-9._:=+/@-]{1,128}")  # an id that may be repeated in a header and in the log
# Of an id that we give: the process, then the number of the request. Random bytes for each would be a system call.
PROCESS = uuid.uuid4().hex[:16]
NUMBERS = itertools.count(1)
QUIET = ("/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready")  # asked every few seconds
UNMATCHED = "unmatched"

log = logging.getLogger(__name__)


class Exchange:
    """One request, or one WebSocket, as it looks from outside."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.id = request_id_of(scope)
        self.status = 500  # what the server answers if the app raises
        self.code: int | None = None  # of a closed WebSocket
        self.model: str | None = None
        self.timings: str = ""
        self.bytes_in = self.bytes_out = self.messages_in = self.messages_out = 0
        self._receive = receive
        self._send = send
        self._start = time.perf_counter()

    async def receive(self) -> Message:
        """Pass a message of the client on, and count it."""
        message = await self._receive()
        match message["type"]:
            case "http.request":
                self.bytes_in += len(message.get("body", b""))
            case "websocket.receive":
                self.messages_in += 1
                self.bytes_in += _size(message)
            case "websocket.disconnect":
                self.code = self.code or message.get("code")
        return message

    async def send(self, message: Message) -> None:
        """Pass a message of the app on, and count it."""
        match message["type"]:
            case "http.response.body" | "websocket.http.response.body":
                self.bytes_out += len(message.get("body", b""))
            case "http.response.start" | "websocket.http.response.start":
                self._answered(message, message["status"])
            case "websocket.accept":
                self._answered(message, 101)
                log.info("WebSocket %s opened", self.route, extra={"fields": self._who()})
            case "websocket.send":
                self.messages_out += 1
                self.bytes_out += _size(message)
            case "websocket.close":
                self.code = message.get("code", 1000)
                self.status = 101 if self.status == 101 else 403  # what the server answers instead of accepting
        await self._send(message)

    @property
    def route(self) -> str:
        """The route's path as it is declared; what fits none, or was refused before, has none."""
        return getattr(self.scope.get("route"), "path", UNMATCHED)

    @property
    def key(self) -> str | None:
        """Name of the key that it came with."""
        caller: Caller | None = self.scope.get(CALLER)
        return caller.key if caller else None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._start

    def log(self) -> None:
        """One line: what it was, for whom, and how it went."""
        if self.scope["type"] == "websocket" and self.status == 101:
            log.info("WebSocket %s closed", self.route, extra={"fields": self._closed()})
            return
        level = logging.DEBUG if self.route in QUIET and self.status < 400 else logging.INFO
        if log.isEnabledFor(level):
            asked = (self.scope.get("method", "WebSocket"), self.route, self.status)
            log.log(level, "%s %s %d", *asked, extra={"fields": self._requested()})

    def _answered(self, message: Message, status: int) -> None:
        self.status = status
        headers = list(message.get("headers", ()))
        for name, value in headers:
            if name == b"x-polyprune-model":
                self.model = value.decode("latin-1")
            elif name == b"server-timing":
                self.timings = value.decode("latin-1")
        message["headers"] = [*headers, (b"x-request-id", self.id.encode())]

    def _requested(self) -> dict[str, object]:
        asked = {"method": self.scope.get("method"), "route": self.route, "status": self.status}
        return {**asked, **self._how(), **self._who(), "model": self.model, "timings": _parsed(self.timings)}

    def _closed(self) -> dict[str, object]:
        counts = {"code": self.code, "messages_in": self.messages_in, "messages_out": self.messages_out}
        return {"route": self.route, **counts, **self._how(), **self._who()}

    def _how(self) -> dict[str, object]:
        return {"ms": round(self.seconds * 1e3, 3), "bytes_in": self.bytes_in, "bytes_out": self.bytes_out}

    def _who(self) -> dict[str, object]:
        return {"key": self.key, "client": address_of(self.scope)}


class Observe:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it went."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        # Not reset afterwards: the server runs each request in a task of its own, and logs what failed after us.
        logs.request_id.set(exchange.id)
        try:
            if scope["type"] == "http":
                with self._metrics.in_flight.track_inprogress():
                    await self._app(scope, exchange.receive, exchange.send)
            else:
                await self._app(scope, exchange.receive, exchange.send)
        finally:
            self._note(exchange)
            exchange.log()

    def _note(self, exchange: Exchange) -> None:
        if exchange.scope["type"] != "http":
            return
        route = exchange.route
        method = exchange.scope["method"] if route != UNMATCHED else "any"
        self._metrics.requests.labels(method, route, exchange.status).inc()
        self._metrics.request_seconds.labels(method, route).observe(exchange.seconds)
        if exchange.key:
            self._metrics.key_requests.labels(exchange.key, exchange.status).inc()


def request_id_of(scope: Scope) -> str:
    """The id that came with `X-Request-Id`, if it is a sane one, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SANE.fullmatch(value):
            return str(value, "ascii")
    return f"{PROCESS}{next(NUMBERS):016x}"


def _size(message: Message) -> int:
    data = message.get("bytes")
    return len(data) if data is not None else len(message.get("text") or "")


def _parsed(timings: str) -> dict[str, float] | None:
    """Milliseconds by stage, from a `Server-Timing` header."""
    parts = [part.partition(";dur=") for part in timings.split(", ")]
    return {name: float(duration) for name, _, duration in parts if duration} or None
