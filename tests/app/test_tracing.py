"""Traces of a real process, as a collector receives them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from websockets.sync.client import connect

from tests.process import PATIENCE, ROOT, process
from tests.synthetic import colonoscopy, encode

FRAME = encode(colonoscopy())
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
FROM_CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
STAGES = {"queue", "decode", "fit", "network", "mask", "render"}
PATIENT = "Jane_Doe_1961-04-12"


@dataclass
class Collector:
    """Takes OTLP over HTTP (OTLP specification 1.5, section "OTLP/HTTP"), and keeps what came."""

    url: str
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)

    @property
    def spans(self) -> list[Span]:
        return [span for r in self.requests for of in r.resource_spans for s in of.scope_spans for span in s.spans]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def children(self, parent: Span) -> list[Span]:
        return [span for span in self.spans if span.parent_span_id == parent.span_id]


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.paths.add(self.path)
            collector.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def traced(models_dir: Path) -> tuple[Collector, list[dict[str, Any]]]:
    """What a collector has got when the service has stopped, and the service's log."""
    with collecting() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",  # spans with paths and queries, logs with messages: not ours
            "POLYPRUNE_LOG_FORMAT": "json",
        }
        with process(models_dir, **variables) as (child, client, log):
            client.post("/v1/segment", content=FRAME, headers=FROM_CALLER | {"x-request-id": "first"})
            client.post("/v1/segment", files={"file": (f"{PATIENT}.jpg", b"no image")}, params={"model": PATIENT})
            client.post("/v1/segment", files={"file": (f"{PATIENT}.jpg", b"no image")})
            client.post("/v1/compare", content=FRAME)
            client.get("/healthz", headers=FROM_CALLER)
            with connect(str(client.base_url).replace("http", "ws") + "/v1/stream", proxy=None) as stream:
                for _ in range(2):
                    stream.send(FRAME)
                    stream.recv()
            child.send_signal(signal.SIGTERM)
            assert child.wait(PATIENCE) == 0
    return collector, [json.loads(line) for line in log if line.startswith("{")]


def attributes(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_request_is_in_the_trace_of_its_caller_with_a_child_for_each_stage(traced: Any) -> None:
    collector, _ = traced
    (request,) = [span for span in collector.named("POST /v1/segment") if span.trace_id.hex() == TRACE]
    assert request.parent_span_id.hex() == PARENT
    assert request.kind == Span.SPAN_KIND_SERVER
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/segment",
        "http.response.status_code": 200,
        "polyprune.model": "red-pruned/1",
        "polyprune.request_id": "first",
    }
    stages = collector.children(request)
    assert {span.name for span in stages} == STAGES
    for span in stages:
        assert span.trace_id == request.trace_id
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano


def test_stages_inside_of_stages(traced: Any) -> None:
    collector, _ = traced
    (request,) = collector.named("POST /v1/compare")
    children = {span.name: span for span in collector.children(request)}
    assert set(children) == {"queue", "decode", "dense", "pruned", "render"}
    for name in ("dense", "pruned"):
        assert {span.name for span in collector.children(children[name])} == {"fit", "network", "mask"}


def test_a_frame_that_fails_says_where_and_with_which_error(traced: Any) -> None:
    collector, _ = traced
    (failed,) = [span for span in collector.named("decode") if span.status.code == Status.STATUS_CODE_ERROR]
    assert attributes(failed) == {"error.type": "NotAnImage"}
    (request,) = [span for span in collector.spans if span.span_id == failed.parent_span_id]
    assert attributes(request)["http.response.status_code"] == 415
    assert request.status.code == Status.STATUS_CODE_UNSET  # the caller's error (semantic conventions, HTTP server)


def test_each_frame_of_a_stream_is_a_trace_that_links_to_the_stream(traced: Any) -> None:
    collector, _ = traced
    (stream,) = collector.named("GET /v1/stream")
    frames = collector.named("frame")
    assert len(frames) == 2
    assert len({span.trace_id for span in (stream, *frames)}) == 3
    for frame in frames:
        assert [link.span_id for link in frame.links] == [stream.span_id]
        assert {span.name for span in collector.children(frame)} == {*STAGES, "smooth", "lesions"}
    assert attributes(stream)["http.response.status_code"] == 101


def test_probes_have_no_trace(traced: Any) -> None:
    collector, _ = traced
    assert "/healthz" not in {attributes(span).get("http.route") for span in collector.spans}


def test_resource_says_which_service_it_is(traced: Any) -> None:
    collector, _ = traced
    (resource, *_) = [of.resource for request in collector.requests for of in request.resource_spans]
    known = {a.key: a.value.string_value for a in resource.attributes}
    assert known["service.name"] == "polyprune"
    assert known["service.version"]


def test_no_name_of_a_file_and_no_query_leaves_the_service(traced: Any) -> None:
    collector, _ = traced
    assert collector.paths == {"/v1/traces"}
    assert len(collector.named("POST /v1/segment")) == 3
    for request in collector.requests:
        assert PATIENT.encode() not in request.SerializeToString()


def test_the_log_knows_the_trace(traced: Any) -> None:
    collector, log = traced
    (line,) = [entry for entry in log if entry.get("request_id") == "first"]
    assert line["trace_id"] == TRACE
    logged = {entry["trace_id"] for entry in log if "trace_id" in entry}
    frames = {span.trace_id.hex() for span in collector.named("frame")}
    assert logged == {span.trace_id.hex() for span in collector.spans} - frames


def test_without_a_collector_nothing_that_makes_or_sends_spans_is_imported(models_dir: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom app.main import create_app\nfrom app.settings import Settings\n"
        f"create_app(Settings(models_dir=Path({str(models_dir)!r})))\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_collector_that_is_not_there_costs_a_stop_no_more_than_the_flush(models_dir: Path) -> None:
    with process(models_dir, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as (child, client, log):
        assert client.post("/v1/segment", content=FRAME).status_code == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0
    assert [line for line in log if "Traceback" in line] == []
