"""What a service shows of itself, beside what docs/metrics.md says that it does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from tests import synthetic
from tests.app.guarded import USER, guarded, key
from tests.conftest import Serve
from tests.process import ROOT
from tests.synthetic import colonoscopy, encode

FRAME = encode(colonoscopy())


@dataclass(frozen=True)
class Shape:
    """Kind of a metric, and its labels without those that a histogram's series add."""

    kind: str
    labels: frozenset[str]


def exposed(text: str) -> dict[str, Shape]:
    shapes = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.documentation, name
        assert family.samples, f"{name}: the requests here do not touch it"
        labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
        shapes[name] = Shape(family.type, labels)
    return shapes


def documented() -> dict[str, Shape]:
    """Rows of the table of metrics: name, kind, labels, meaning, what to do."""
    lines = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    kinds = ("counter", "gauge", "histogram")
    found = {row[0]: Shape(row[1], frozenset(re.findall(r"\w+", row[2]))) for row in rows if row[1] in kinds}
    assert all(row[3] for row in rows if row[1] in kinds)
    return found


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The metrics of a service that has met every kind of request that counts."""
    folder = tmp_path_factory.mktemp("metrics")
    models = synthetic.write_pair(folder / "models")
    (models / "broken" / "1").mkdir(parents=True)
    with guarded(folder, models) as client:
        client.headers.update(key(USER))
        assert client.post("/v1/segment", content=FRAME).status_code == 200
        assert client.post("/v1/segment", content=FRAME, headers={"X-Deadline-Ms": "0.0001"}).status_code == 503
        assert httpx.get(f"{client.base_url}/v1/models").status_code == 401
        url = str(client.base_url).replace("http", "ws") + "/v1/stream"
        with connect(url, additional_headers=key(USER), proxy=None) as stream:
            stream.send(FRAME)
            stream.recv()
        return client.get("/metrics").text


def test_documentation_is_what_a_service_shows(text: str) -> None:
    assert exposed(text) == documented()


def test_names_follow_the_conventions(text: str) -> None:
    """Prometheus, "Metric and label naming": a prefix, base units, _total for what only counts up."""
    for name, shape in exposed(text).items():
        assert re.fullmatch(r"(polyprune|process)_[a-z0-9_]+", name)
        assert name.endswith("_total") == (shape.kind == "counter")
        assert not re.search(r"_(ms|milliseconds|kb|mb)\b", name)
        assert shape.kind != "histogram" or name.endswith("_seconds") or name.endswith("_size")


def test_state_of_each_model(text: str) -> None:
    found = re.findall(r'polyprune_model_state\{model="(\S+)",state="(\w+)"\} 1\.0', text)
    assert sorted(found) == [("broken/1", "refused"), ("red-dense/1", "ready"), ("red-pruned/1", "ready")]


def test_a_model_that_serves_on_when_its_folder_is_refused_has_both_states(tmp_path: Path, serve: Serve) -> None:
    models = synthetic.write_pair(tmp_path)
    client = serve(models_dir=models, model_control="open")
    (models / "red-dense" / "1" / "golden.npz").unlink()
    assert client.post("/v2/repository/models/red-dense/load").status_code == 422
    shown = client.get("/metrics").text
    for state, holds in (("ready", 1.0), ("refused", 1.0), ("unloaded", 0.0)):
        assert f'polyprune_model_state{{model="red-dense/1",state="{state}"}} {holds}' in shown


def test_readiness(serve: Serve) -> None:
    assert "polyprune_ready 1.0" in serve().get("/metrics").text
    assert "polyprune_ready 0.0" in serve(default_model="absent").get("/metrics").text


def test_versions(text: str) -> None:
    (labels,) = re.findall(r"polyprune_build_info\{(.*)\} 1\.0", text)
    assert re.fullmatch(r'onnxruntime="\d\S+",python="3\.\S+",version="\d\S+"', labels)


def test_routes_of_a_model_have_their_whole_path(serve: Serve) -> None:
    """The dashboard looks for `/v2/.*infer`."""
    client = serve()
    paths = client.get("/openapi.json").json()["paths"]
    asked = {(method.upper(), path) for path in paths if path.startswith("/v2/models/") for method in paths[path]}
    for method, path in asked:
        client.request(method, re.sub(r"\{\w+\}", "x", path))
    shown = re.findall(r'polyprune_requests_total\{method="(\w+)",route="(.*?)"', client.get("/metrics").text)
    assert set(shown) - {("any", "unmatched")} == asked
