"""Locust against a real service, for a few seconds: what the report says is what the service has counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.app.test_load import metric
from tests.conftest import Serve
from tests.process import ROOT

# Imported here, it would put its own sockets and threads in the place of this process's.
pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="needs the extra load")


def locust(url: str, folder: Path, *users: str) -> dict[str, dict[str, Any]]:
    """Rows of the report, by name; of its forms, only JSON is written after the last answer."""
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        "tests/load/locustfile.py",
        "-H",
        url,
        "--headless",
        "--only-summary",
    ]
    load = ["-u", "8", "-r", "100", "-t", "3s", "--stop-timeout", "60s"]
    report = ["--json-file", str(folder / "load"), "--html", str(folder / "load.html")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    done = subprocess.run(
        [*command, *load, *report, *users], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "load.html").stat().st_size > 10_000
    return {row["name"]: row for row in json.loads((folder / "load.json").read_text())}


def counts(rows: dict[str, dict[str, Any]], ending: str) -> int:
    return sum(row["num_requests"] for name, row in rows.items() if name.endswith(ending))


def test_each_kind_of_user_is_answered(tmp_path: Path, serve: Serve) -> None:
    client = serve()
    rows = locust(str(client.base_url), tmp_path, "Frontend", "Stream", "Batch")
    assert {"/v1/segment mask", "/v1/segment/batch", "/v1/stream open", "/v1/stream frame"} <= set(rows)
    assert {row["num_failures"] for row in rows.values()} == {0}
    answered = 'polyprune_requests_total{method="POST",route="/v1/segment/batch",status="200"}'
    assert rows["/v1/segment/batch"]["num_requests"] == metric(client, answered) > 0
    frames = metric(client, 'polyprune_stream_frames_total{outcome="answered"}')
    assert 0 < rows["/v1/stream frame"]["num_requests"] <= frames


def test_who_is_turned_away_is_no_failure(tmp_path: Path, serve: Serve) -> None:
    client = serve(deadline_ms=0.001)
    rows = locust(str(client.base_url), tmp_path, "Frontend")
    assert counts(rows, ", turned away") == metric(client, 'polyprune_rejections_total{reason="deadline"}') > 0
    assert {row["num_failures"] for row in rows.values()} == {0}
    assert not {"/v1/segment mask", "/v1/segment json"} & set(rows)
