"""Counts and durations per model since the start, as Triton's statistics extension has them.

They cover the requests of the Open Inference Protocol; `app.metrics` covers every request.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from app.clock import Clock

# This service's stages under the extension's names.
STAGES = {"queue": "queue", "compute_input": "decode", "compute_infer": "network", "compute_output": "render"}


@dataclass
class Duration:
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, milliseconds: float) -> None:
        """One more."""
        self.count += 1
        self.ns += round(milliseconds * 1e6)


def _stages() -> dict[str, Duration]:
    return {name: Duration() for name in STAGES}


@dataclass
class ModelStatistics:
    """One model version's numbers; `batches` by batch size."""

    last_inference: int = 0  # milliseconds since the epoch
    inference_count: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    stages: dict[str, Duration] = field(default_factory=_stages)
    batches: dict[int, dict[str, Duration]] = field(default_factory=dict)


class Statistics:
    """Every model's numbers, by `name/version`; safe to use from several threads."""

    def __init__(self) -> None:
        self._models: dict[str, ModelStatistics] = {}
        self._lock = threading.Lock()

    def succeeded(self, model: str, batch: int, clock: Clock) -> None:
        """Count an answered request of `batch` frames."""
        with self._lock:
            numbers = self._models.setdefault(model, ModelStatistics())
            numbers.last_inference = time.time_ns() // 1_000_000
            numbers.inference_count += batch
            numbers.success.add(sum(clock.timings.values()))
            sizes = numbers.batches.setdefault(batch, _stages())
            for name, stage in STAGES.items():
                numbers.stages[name].add(clock.timings[stage])
                sizes[name].add(clock.timings[stage])

    def failed(self, model: str, clock: Clock) -> None:
        """Count a request that was refused or that broke."""
        with self._lock:
            self._models.setdefault(model, ModelStatistics()).fail.add(sum(clock.timings.values()))

    def of(self, name: str, version: str) -> dict[str, Any]:
        """The extension's `$model_stat` object of one version."""
        with self._lock:
            numbers = self._models.get(f"{name}/{version}", ModelStatistics())
            return {
                "name": name,
                "version": version,
                "last_inference": numbers.last_inference,
                "inference_count": numbers.inference_count,
                "execution_count": numbers.success.count,  # each request is one run of the network
                "inference_stats": _inference_stats(numbers),
                "batch_stats": [_batch_stats(size, stages) for size, stages in sorted(numbers.batches.items())],
            }


def _inference_stats(numbers: ModelStatistics) -> dict[str, Any]:
    durations = {"success": numbers.success, "fail": numbers.fail, **numbers.stages}
    return {name: _json(duration) for name, duration in durations.items()}


def _batch_stats(size: int, stages: dict[str, Duration]) -> dict[str, Any]:
    compute = {name: _json(duration) for name, duration in stages.items() if name != "queue"}
    return {"batch_size": size, **compute}


def _json(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}
