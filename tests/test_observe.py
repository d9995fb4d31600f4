"""The files of docker/observe/: Prometheus takes them, and every query has an answer from a service that has work."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from tests import synthetic
from tests.app.guarded import USER, guarded, key
from tests.observe import DASHBOARD, OBSERVE, Prometheus, panels, prometheus, rules, until
from tests.synthetic import colonoscopy, encode

FRAME = encode(colonoscopy())
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
WORKED = "up == 1 and on () increase(polyprune_rejections_total[30s]) > 0"
COMPARISON = re.compile(r"\s(==|>)\s*[\d.]+\)?$")  # the last part of an alert's expression


@needs_promtool
@pytest.mark.parametrize(
    "command", ["check config prometheus.yml", "check rules --lint-fatal rules.yml", "test rules rules.test.yml"]
)
def test_promtool(command: str) -> None:
    done = subprocess.run(["promtool", *command.split()], cwd=OBSERVE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def work(client: httpx.Client) -> None:
    """A bit of everything that the dashboard shows."""
    frame = {"content": FRAME, "headers": {"content-type": "image/png"}}
    for model in ("red-dense", "red-pruned"):
        assert client.post("/v1/segment", params={"model": model}, **frame).status_code == 200
    assert client.post("/v1/segment", content=b"no image").status_code == 415
    assert httpx.get(f"{client.base_url}/v1/models").status_code == 401
    with connect(str(client.base_url).replace("http", "ws") + "/v1/stream", additional_headers=key(USER)) as stream:
        stream.send(FRAME)
        stream.recv()
    # Last, since WORKED waits for it.
    assert client.post("/v1/segment", content=FRAME, headers={"X-Deadline-Ms": "0.0001"}).status_code == 503


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a service twice, before and after some work."""
    if shutil.which("prometheus") is None:
        pytest.skip("needs prometheus")
    folder = tmp_path_factory.mktemp("observe")
    models = synthetic.write_pair(folder / "models")
    (models / "broken" / "1").mkdir(parents=True)
    with guarded(folder, models) as client:
        client.headers.update(key(USER))
        address = f"{client.base_url.host}:{client.base_url.port}"
        work(client)
        (folder / "prometheus").mkdir()
        with prometheus(folder / "prometheus", address, USER) as service:
            until(lambda: service.query("polyprune_rejections_total"))
            work(client)
            until(lambda: service.settle(WORKED))
            yield service


EXPRESSIONS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in panels()
    for target in panel["targets"]
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_query_of_the_dashboard_has_data(scraped: Prometheus, expression: str) -> None:
    values = [float(sample["value"][1]) for sample in scraped.query(expression)]
    assert values
    assert all(value == value for value in values), "not a number: something is divided by nothing"  # noqa: PLR0124


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in rules()])
def test_every_alert_looks_at_something(scraped: Prometheus, rule: dict[str, str]) -> None:
    """What it compares exists, whether or not it is too much now."""
    left = COMPARISON.sub("", rule["expr"].removeprefix("absent("))
    if rule["alert"] == "PolypruneErrors":  # nothing failed, and what never happened has no series
        left = left.replace('status=~"5..",status!="503"', 'status="415"')
    assert scraped.query(left)


def test_prometheus_evaluates_the_alerts(scraped: Prometheus) -> None:
    (group,) = scraped.get("rules")["groups"]
    until(lambda: all(rule["health"] == "ok" for rule in scraped.get("rules")["groups"][0]["rules"]))
    assert {rule["name"] for rule in group["rules"]} == {rule["alert"] for rule in rules()}
    firing = {alert["labels"]["alertname"] for alert in scraped.get("alerts")["alerts"] if alert["state"] == "firing"}
    assert "PolypruneModelRefused" in firing
    assert "PolypruneDown" not in firing


def test_variables_and_restarts_have_data(scraped: Prometheus) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    (instance,) = [v for v in dashboard["templating"]["list"] if v["name"] == "instance"]
    assert instance["query"]["query"] == "label_values(polyprune_ready, instance)"
    assert scraped.get("label/instance/values", **{"match[]": "polyprune_ready"})
    (restarts,) = dashboard["annotations"]["list"]
    assert scraped.query(restarts["expr"].removesuffix(" > 0"))


def test_structure_of_the_dashboard() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert dashboard["uid"] == "polyprune"
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]\w*)", DASHBOARD.read_text())) == names
    for panel in panels():
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert [target["refId"] for target in panel["targets"]] == list("ABCD"[: len(panel["targets"])])


def test_panels_do_not_overlap() -> None:
    places: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24  # Grafana's columns
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & places, panel["title"]
        places |= own


def test_compose_and_provisioning_fit_together() -> None:
    services = yaml.safe_load(Path("docker-compose.yml").read_text())["services"]
    profiles = {name: service.get("profiles", []) for name, service in services.items()}
    assert profiles == {
        "api": [],
        "api-gpu": ["gpu"],
        "prometheus": ["observe"],
        "grafana": ["observe"],
        "load": ["load"],
    }
    mounted = dict(volume.split(":")[:2] for name in ("prometheus", "grafana") for volume in services[name]["volumes"])
    assert all(Path(source).is_dir() for source in mounted if source.startswith("."))
    provisioning = OBSERVE / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards/polyprune.yml").read_text())["providers"]
    assert provider["options"]["path"] == mounted["./docker/observe/grafana/dashboards"]
    (scrape,) = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())["scrape_configs"]
    (looked_up,) = scrape["dns_sd_configs"]
    assert {"api", "api-gpu"} == set(looked_up["names"])
    interval = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval


def test_every_alert_is_documented() -> None:
    written = re.findall(r"^\| `(Polyprune\w+)` \|", Path("docs/metrics.md").read_text(), re.MULTILINE)
    assert written == [rule["alert"] for rule in rules()]
