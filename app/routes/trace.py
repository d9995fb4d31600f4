"""Gives every request a trace, or a place in that of its caller, where traces are wanted."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs, spans
from app.routes.observe import QUIET, UNMATCHED
from app.tracing import Traces


class Trace:
    """ASGI middleware. Probes have no trace: they would be most of them."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, inside of a span."""
        if scope["type"] == "lifespan" or scope["path"] in QUIET:
            await self._app(scope, receive, send)
            return
        # Neither is reset afterwards: the request's line in the log is written outside of here.
        spans.tracer.set(self._traces)
        with self._traces.request(scope["headers"]) as span:
            logs.trace_id.set(span.trace_id)
            answer = Answer(send)
            try:
                await self._app(scope, receive, answer.send)
            finally:
                name, attributes = _described(scope, answer)
                span.describe(name, attributes, failed=answer.status >= 500)


class Answer:
    """What is seen of it when it begins."""

    def __init__(self, send: Send) -> None:
        self.status = 500  # what the server answers if the app raises
        self.model = ""
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass a message of the app on."""
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status = message["status"]
                self.model = str(dict(message.get("headers", ())).get(b"x-polyprune-model", b""), "latin-1")
            case "websocket.accept":
                self.status = 101
            case "websocket.close" if self.status != 101:
                self.status = 403  # what the server answers instead of accepting
        await self._send(message)


def _described(scope: Scope, answer: Answer) -> tuple[str, dict[str, str | int]]:
    """Name and attributes of a request's span (OpenTelemetry semantic conventions, HTTP spans)."""
    method = scope.get("method", "GET")  # a WebSocket begins as one
    route = getattr(scope.get("route"), "path", UNMATCHED)
    known = {"polyprune.model": answer.model, "polyprune.request_id": logs.current_request() or ""}
    return f"{method} {route}", {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": answer.status,
        **{name: value for name, value in known.items() if value},
    }
