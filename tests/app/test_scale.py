"""The Ray Serve deployment without Ray: what it is told, and the service that a replica makes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import serving


class Deployed:
    """Stands in for `ray.serve`, and keeps what it was given."""

    Application = object

    def deployment(self, **options: Any) -> Any:
        self.options = options
        return lambda replica: replica

    def ingress(self, make: Any) -> Any:
        self.make = make
        return self._bound

    def _bound(self, replica: Any) -> Any:
        replica.bind = lambda: replica
        return replica


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> Iterator[Deployed]:
    stand_in, ray = Deployed(), ModuleType("ray")
    ray.serve = stand_in  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("POLYPRUNE_MODELS_DIR", str(models_dir))
    yield stand_in
    sys.modules.pop("app.scale", None)


def deploy(cpus: float) -> None:
    scale = importlib.import_module("app.scale")
    scale.application(scale.Scale(cpus=cpus))


@pytest.mark.parametrize(
    ("cpus", "chosen", "workers", "queue", "threads"),
    [
        (1, {}, 2, 4, 1),
        (0.5, {}, 2, 4, 1),
        (2, {}, 3, 8, 2),
        (8, {}, 9, 32, 8),
        (2, {"WORKERS": "5", "QUEUE": "7", "THREADS": "3"}, 5, 7, 3),
        (2, {"WORKERS": "5"}, 5, 20, 2),
        (2, {"QUEUE": "0"}, 3, 0, 2),
    ],
)
def test_ray_lets_in_one_more_than_the_service_takes(
    deployed: Deployed,
    monkeypatch: pytest.MonkeyPatch,
    cpus: float,
    chosen: dict[str, str],
    workers: int,
    queue: int,
    threads: int,
) -> None:
    """So that the service's own 503 is heard."""
    for name, value in chosen.items():
        monkeypatch.setenv(f"POLYPRUNE_{name}", value)
    deploy(cpus)
    assert deployed.options["max_ongoing_requests"] == workers + queue + 1
    app = deployed.make()
    with serving(app) as client:
        metrics = client.get("/metrics").text
        assert app.state.services.settings.threads == threads
    assert f"polyprune_workers {float(workers)}\n" in metrics
    assert f"polyprune_queue_capacity {float(queue)}\n" in metrics
