"""Prometheus metrics of one service: its own registry, so that two apps do not share counters."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterator, Mapping

import onnxruntime
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app import __version__
from app.clock import Clock

# Else each counter and histogram has a second series with the time of its first sample, which nothing here asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

# Around the periods of 60, 30 and 25 frames a second (16.7, 33, 40 ms) and the 120 ms of a cleared device.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.0167, 0.025, 0.033, 0.04, 0.06, 0.08, 0.12, 0.2, 0.5, 1, 2.5, 10)


STATES = ("ready", "refused", "unloaded")  # of a model folder

Runs = Callable[[], Mapping[str, Mapping[str, int]]]
Failures = Callable[[], Mapping[str, tuple[bool, int]]]
States = Callable[[], Mapping[str, Collection[str]]]
Facts = Callable[[], Mapping[str, Mapping[str, str]]]


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


class ModelStates(Collector):
    """Gauges of the model folders as they are now: a folder that is gone has no series any more."""

    def __init__(self, states: States, facts: Facts) -> None:
        self._states = states
        self._facts = facts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """1 for each state that holds and 0 for the others; 1 for each ready model with its facts as labels."""
        family = GaugeMetricFamily("polyprune_model_state", "1 where the folder is so", labels=["model", "state"])
        for model, states in self._states().items():
            for state in STATES:
                family.add_metric([model, state], state in states)
        yield family
        info = GaugeMetricFamily("polyprune_model_info", "Ready models", labels=["model", "variant", "provider"])
        for model, facts in self._facts().items():
            info.add_metric([model, facts["variant"], facts["provider"]], 1)
        yield info


class Metrics:
    """What the service counts and times."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        build = Info("polyprune_build", "What runs here", registry=self._registry)
        versions = {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__}
        build.info({"version": __version__, **versions})
        self.ready = self._gauge("polyprune_ready", "1 while /readyz says 200")
        self.requests = self._counter("polyprune_requests", "HTTP requests", "method", "route", "status")
        self.request_seconds = self._histogram("polyprune_request_seconds", "Time to answer", "method", "route")
        self.key_requests = self._counter("polyprune_key_requests", "HTTP requests by key", "key", "status")
        self.refusals = self._counter("polyprune_refusals", "Refused before any route: keys and limits", "type")
        self.in_flight = self._gauge("polyprune_requests_in_flight", "Being answered now")
        self.frames = self._counter("polyprune_frames", "Frames segmented", "model", "output")
        self.stage_seconds = self._histogram("polyprune_stage_seconds", "Time per frame and stage", "model", "stage")
        self.streams = self._gauge("polyprune_streams_open", "WebSocket streams open now")
        self.stream_frames = self._counter("polyprune_stream_frames", "Frames of WebSocket streams", "outcome")
        self.queue_depth = self._gauge("polyprune_queue_depth", "Waiting for a worker")
        self.queue_capacity = self._gauge("polyprune_queue_capacity", "Places of those that wait for a worker")
        self.workers_busy = self._gauge("polyprune_workers_busy", "Workers that work")
        self.workers = self._gauge("polyprune_workers", "Workers")
        self.rejections = self._counter("polyprune_rejections", "Turned away as overloaded", "reason")

    def frame_done(self, model: str, output: str, clock: Clock) -> None:
        """Count one frame and its stages."""
        self.frames.labels(model, output).inc()
        for stage, milliseconds in clock.timings.items():
            self.stage_seconds.labels(model, stage).observe(milliseconds / 1e3)

    def watch_runs(self, runs: Runs) -> None:
        """Show runs of networks, by model and session, as they are when the metrics are asked for."""
        self._registry.register(NetworkRuns(runs))

    def watch_failures(self, failures: Failures) -> None:
        """Show which models are in service, as it is when the metrics are asked for."""
        self._registry.register(ModelFailures(failures))

    def watch_models(self, states: States, facts: Facts) -> None:
        """Show the model folders as they are when the metrics are asked for.

        Args:
            states: by id, those of STATES that hold: a model serves on from memory when its folder is refused later.
            facts: by id of a ready model, its `variant` and `provider`.
        """
        self._registry.register(ModelStates(states, facts))

    def exposition(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self._registry)

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(name, meaning, labels, registry=self._registry, buckets=SECONDS)
