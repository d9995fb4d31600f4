"""A real Prometheus that scrapes a service, with the files of docker/observe/."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

OBSERVE = Path("docker/observe")
DASHBOARD = OBSERVE / "grafana/dashboards/polyprune.json"
PATIENCE = 60  # seconds for a start that always comes
# What Grafana puts in: two scrapes at least have to lie in the window of a rate.
VARIABLES = {"$__rate_interval": "30s", "$instance": ".*", "${datasource}": "prometheus"}

Sample = dict[str, Any]


class Prometheus:
    """Answers queries, as of one moment once that is set: on a busy machine the next scrape may come too late."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.moment: float | None = None

    def get(self, path: str, **parameters: str) -> Any:
        """Data of an answer of the HTTP API; a query that it does not take is an error."""
        response = self._client.get(f"/api/v1/{path}", params=parameters)
        assert response.status_code == 200, f"{parameters}: {response.text}"
        return response.json()["data"]

    def query(self, expression: str) -> list[Sample]:
        """What an expression is now."""
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        at = {} if self.moment is None else {"time": str(self.moment)}
        return list(self.get("query", query=expression, **at)["result"])

    def settle(self, expression: str) -> bool:
        """Stay with this moment, if the expression has a value now."""
        found = self.query(expression)
        if found:
            self.moment = found[0]["value"][0]
        return bool(found)

    def is_up(self) -> bool:
        """Whether it takes queries."""
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def prometheus(folder: Path, address: str, key: str) -> Iterator[Prometheus]:
    """One with the configuration of the repository, but for where the service is, and how often it is asked.

    Args:
        folder: for its data.
        address: host and port of the service.
        key: of the service's API.
    """
    config = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (scrape,) = config["scrape_configs"]
    del scrape["dns_sd_configs"]
    (folder / "key").write_text(key)
    scrape["static_configs"] = [{"targets": [address]}]
    scrape["authorization"] = {"type": "Bearer", "credentials_file": str(folder / "key")}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(OBSERVE / "rules.yml", folder)
    with _started(folder, f"127.0.0.1:{_free_port()}") as service:
        yield service


@contextmanager
def _started(folder: Path, address: str) -> Iterator[Prometheus]:
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": address,
    }
    with (folder / "log").open("w") as log:
        command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
        child = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=60) as client:
            service = Prometheus(client)
            until(lambda: service.is_up() or child.poll() is not None)
            assert child.poll() is None, (folder / "log").read_text()
            yield service
    finally:
        child.terminate()
        child.wait(PATIENCE)


def until(holds: Any) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.1)


def panels() -> list[dict[str, Any]]:
    """Of the dashboard, without its rows."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    (group,) = yaml.safe_load((OBSERVE / "rules.yml").read_text())["groups"]
    return list(group["rules"])


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])
