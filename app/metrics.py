"""Prometheus metrics of one service: its own registry, so that two apps do not share counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.clock import Clock

# Around the periods of 60, 30 and 25 frames a second (16.7, 33, 40 ms) and the 120 ms of a cleared device.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.0167, 0.025, 0.033, 0.04, 0.06, 0.08, 0.12, 0.2, 0.5, 1, 2.5, 10)


Runs = Callable[[], Mapping[str, Mapping[str, int]]]
Failures = Callable[[], Mapping[str, tuple[bool, int]]]
Providers = Callable[[], Mapping[str, str]]


class NetworkRuns(Collector):
    """Counters that the models keep: how often each of their sessions ran."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def collect(self) -> Iterator[CounterMetricFamily]:
        """One sample for each model and session."""
        family = CounterMetricFamily("polyprune_network_runs", "Runs of networks", labels=["model", "session"])
        for model, runs in self._runs().items():
            for session, count in runs.items():
                family.add_metric([model, session], count)
        yield family


class ModelProviders(Collector):
    """Where each model really runs, as labels of a gauge that is always 1."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample for each model."""
        family = GaugeMetricFamily("polyprune_model_info", "Where a model runs", labels=["model", "provider"])
        for model, provider in self._providers().items():
            family.add_metric([model, provider], 1)
        yield family


class ModelFailures(Collector):
    """Whether each model is in service, and how many runs of its sessions failed."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """One sample of both for each model."""
        up = GaugeMetricFamily("polyprune_model_up", "1 while in service", labels=["model"])
        failed = CounterMetricFamily("polyprune_network_failures", "Runs of networks that failed", labels=["model"])
        for model, (serves, count) in self._failures().items():
            up.add_metric([model], serves)
            failed.add_metric([model], count)
        yield up
        yield failed


class Metrics:
    """What the service counts and times."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = self._counter("polyprune_requests", "HTTP requests", "method", "route", "status")
        self.request_seconds = self._histogram("polyprune_request_seconds", "Time to answer", "method", "route")
        self.key_requests = self._counter("polyprune_key_requests", "HTTP requests by key", "key", "status")
        self.refusals = self._counter("polyprune_refusals", "Refused before any route: keys and limits", "type")
        self.in_flight = Gauge("polyprune_requests_in_flight", "Being answered now", registry=self._registry)
        self.frames = self._counter("polyprune_frames", "Frames segmented", "model", "output")
        self.stage_seconds = self._histogram("polyprune_stage_seconds", "Time per frame and stage", "stage")
        self.streams = Gauge("polyprune_streams_open", "WebSocket streams open now", registry=self._registry)
        self.stream_frames = self._counter("polyprune_stream_frames", "Frames of WebSocket streams", "outcome")
        self.queue_depth = Gauge("polyprune_queue_depth", "Waiting for a worker", registry=self._registry)
        self.workers_busy = Gauge("polyprune_workers_busy", "Workers that work", registry=self._registry)
        self.rejections = self._counter("polyprune_rejections", "Turned away as overloaded", "reason")
        self.models = Gauge("polyprune_models", "Model folders", ["state"], registry=self._registry)

    def frame_done(self, model: str, output: str, clock: Clock) -> None:
        """Count one frame and its stages."""
        self.frames.labels(model, output).inc()
        for stage, milliseconds in clock.timings.items():
            self.stage_seconds.labels(stage).observe(milliseconds / 1e3)

    def watch_runs(self, runs: Runs) -> None:
        """Show runs of networks, by model and session, as they are when the metrics are asked for."""
        self._registry.register(NetworkRuns(runs))

    def watch_providers(self, providers: Providers) -> None:
        """Show where each model runs, as it is when the metrics are asked for."""
        self._registry.register(ModelProviders(providers))

    def watch_failures(self, failures: Failures) -> None:
        """Show which models are in service, as it is when the metrics are asked for."""
        self._registry.register(ModelFailures(failures))

    def exposition(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self._registry)

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(name, meaning, labels, registry=self._registry, buckets=SECONDS)
