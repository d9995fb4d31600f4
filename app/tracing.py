"""OpenTelemetry traces, sent by OTLP over HTTP to where the standard `OTEL_*` variables say (docs/metrics.md).

Spans carry names, times, routes, status and ids: no frame, no query, no key, no address, and of an error its type,
since a message may repeat what was sent. Needs the extra `tracing`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, format_trace_id

from app import __version__

# For what is not sent yet when the service stops. A collector that answers needs little, and a stop waits for no other.
FLUSH_SECONDS = 1.0

Attributes = Mapping[str, str | int]


class Request:
    """The span of one request, or of one WebSocket."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        """32 hex digits: those of the caller's trace, where it brought one."""
        return format_trace_id(self._span.get_span_context().trace_id)

    def describe(self, name: str, attributes: Attributes, *, failed: bool) -> None:
        """Say what it was, once that is known."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)
        if failed:
            self._span.set_status(StatusCode.ERROR)


class Traces:
    """A `spans.Tracer`, and the thread that sends what it made. To be closed."""

    def __init__(self) -> None:
        ours = {"service.name": "polyprune", "service.version": __version__}
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("polyprune", __version__)

    @contextmanager
    def request(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Request]:
        """A span of what happens inside, in the trace of the caller's `traceparent` (W3C Trace Context, section 3.2).

        Args:
            headers: of the request, names in lower case.
        """
        parent = propagate.extract({str(name, "latin-1"): str(value, "latin-1") for name, value in headers})
        with self._open("request", kind=SpanKind.SERVER, context=parent) as span:
            yield Request(span)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A span of what happens inside."""
        with self._open(name):
            yield

    def waited(self, name: str, seconds: float) -> None:
        """A span that began so long ago and ends now."""
        self._tracer.start_span(name, start_time=_ago(seconds)).end()

    @contextmanager
    def frame(self, seconds: float) -> Iterator[None]:
        """A trace of its own for what happens inside, which began so long ago, with a link to the one around it."""
        stream = Link(trace.get_current_span().get_span_context())
        with self._open("frame", context=Context(), links=[stream], start_time=_ago(seconds)):
            yield

    def close(self) -> None:
        """Send what is left, for at most FLUSH_SECONDS."""
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(FLUSH_SECONDS)

    @contextmanager
    def _open(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        context: Context | None = None,
        links: list[Link] | None = None,
        start_time: int | None = None,
    ) -> Iterator[Span]:
        span = self._tracer.start_span(name, context, kind, links=links, start_time=start_time)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(StatusCode.ERROR)
                raise


def _ago(seconds: float) -> int:
    """A time in nanoseconds since 1970."""
    return time.time_ns() - int(seconds * 1e9)
