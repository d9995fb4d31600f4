"""What operators look at: models, health, metrics, documentation, settings, the command line, the disk."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import socket
import sys
import tomllib
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import ValidationError

import app
from app import cuda, errors, settings
from app.errors import GpuRequired
from app.main import create_app
from app.manifest import Manifest
from app.settings import Settings
from tests import dicom
from tests.app.test_outputs import PICTURED
from tests.app.test_problems import check
from tests.conftest import Serve
from tests.process import process, start
from tests.synthetic import SIZE, colonoscopy, encode, red_graph, write_model, write_pair

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mixed(serve: Serve, tmp_path: Path) -> httpx.Client:
    """A service with two versions of one model, a pruned one, and two refused folders."""
    write_pair(tmp_path)
    write_model(tmp_path, "red-dense", "2", macs=5000)
    (write_model(tmp_path, "broken") / "model.onnx").write_bytes(red_graph(gain=0.3))
    (write_model(tmp_path, "red-pruned", "7") / "golden.npz").unlink()
    return serve(models_dir=tmp_path)


def test_models_are_listed_with_state_and_reason(mixed: httpx.Client) -> None:
    entries = {entry["id"]: entry for entry in mixed.get("/v1/models").json()["models"]}
    states = {name: (entry["state"], entry["default"]) for name, entry in entries.items()}
    assert states == {
        "red-dense/1": ("ready", False),
        "red-dense/2": ("ready", False),
        "red-pruned/1": ("ready", True),
        "broken/1": ("refused", False),
        "red-pruned/7": ("refused", False),
    }
    assert "SHA-256" in entries["broken/1"]["reason"]
    assert entries["red-dense/2"]["provider"] == "CPUExecutionProvider"
    assert entries["red-dense/2"]["manifest"]["macs"] == 5000


def test_one_model(mixed: httpx.Client) -> None:
    assert mixed.get("/v1/models/red-dense").json()["version"] == "2"
    assert mixed.get("/v1/models/red-dense/1").json()["manifest"]["macs"] == 4096
    assert mixed.get("/v1/models/red-pruned").json()["version"] == "1"
    assert mixed.get("/v1/models/red-pruned/7").json()["state"] == "refused"
    assert mixed.get("/v1/models/broken").json()["state"] == "refused"
    for path in ("/v1/models/absent", "/v1/models/red-dense/3", "/v1/models/..%2Fred-dense"):
        assert mixed.get(path).status_code == 404
    check(mixed.get("/v1/models/absent"), 404, "unknown-model")


def test_ready_in_spite_of_refused_folders(mixed: httpx.Client) -> None:
    assert mixed.get("/healthz").json() == {"status": "ok"}
    assert [mixed.head(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    ready = mixed.get("/readyz").json()
    assert (ready["status"], ready["default"]) == ("ready", "red-pruned/1")
    assert ready["ready"] == ["red-dense/1", "red-dense/2", "red-pruned/1"]
    assert [folder["id"] for folder in ready["refused"]] == ["broken/1", "red-pruned/7"]
    assert all(folder["reason"] for folder in ready["refused"])


def test_not_ready_without_the_default(serve: Serve) -> None:
    client = serve(default_model="absent")
    problem = check(client.get("/readyz"), 503, "no-model-ready")
    assert "Model 'absent' is not here. Ready: red-dense/1, red-pruned/1: name one" in problem["detail"]
    assert (client.head("/readyz").status_code, client.head("/readyz").content) == (503, b"")
    check(client.post("/v1/segment", files={"file": encode(colonoscopy())}), 503, "no-model-ready")
    sent = {"params": {"model": "red-dense"}, "files": {"file": encode(colonoscopy())}}
    assert client.post("/v1/segment", **sent).status_code == 200


def test_metrics(mixed: httpx.Client) -> None:
    mixed.post("/v1/segment", params={"output": "json"}, files={"file": encode(colonoscopy())})
    mixed.post("/v1/segment", files={"file": b"no image"})
    mixed.get("/v1/models/red-dense")
    mixed.get("/some/path/or/other")
    response = mixed.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in (
        'polyprune_requests_total{method="POST",route="/v1/segment",status="200"} 1.0',
        'polyprune_requests_total{method="POST",route="/v1/segment",status="415"} 1.0',
        'polyprune_requests_total{method="GET",route="/v1/models/{name}",status="200"} 1.0',
        'polyprune_requests_total{method="any",route="unmatched",status="404"} 1.0',
        'polyprune_request_seconds_count{method="POST",route="/v1/segment"} 2.0',
        'polyprune_frames_total{model="red-pruned/1",output="json"} 1.0',
        'polyprune_stage_seconds_count{model="red-pruned/1",stage="network"} 1.0',
        'polyprune_model_state{model="red-dense/2",state="ready"} 1.0',
        'polyprune_model_state{model="red-dense/2",state="refused"} 0.0',
        'polyprune_model_state{model="broken/1",state="refused"} 1.0',
        'polyprune_model_info{model="red-pruned/1",provider="CPUExecutionProvider",variant="pruned"} 1.0',
        "polyprune_ready 1.0",
        "polyprune_requests_in_flight 1.0",
    ):
        assert line in response.text.splitlines()


def test_documentation(client: httpx.Client) -> None:
    assert client.get("/docs").status_code == 200
    schema = client.get("/openapi.json").json()
    assert "not a medical device" in schema["info"]["description"]
    segment = schema["paths"]["/v1/segment"]["post"]
    assert set(segment["requestBody"]["content"]) == {
        "multipart/form-data",
        "image/*",
        "application/dicom",
        "application/octet-stream",
    }
    assert set(segment["responses"]) == {"200", "401", "404", "406", "408", "413", "415", "422", "429", "500", "503"}
    examples = segment["responses"]["415"]["content"]["application/problem+json"]["examples"]
    assert set(examples) == {"unsupported-media-type", "not-an-image", "unsupported-frame"}
    again = client.get("/openapi.json").json()["paths"]["/v1/segment"]["post"]["parameters"]
    assert [parameter["name"] for parameter in again].count("X-Deadline-Ms") == 1
    assert set(schema["paths"]["/benchmark"]["post"]["responses"]) >= {"202", "409"}


def test_documentation_is_whole(client: httpx.Client) -> None:
    """Every reference resolves, and every failure is a problem document, or under /v2 the protocol's own."""
    schema = client.get("/openapi.json").json()
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)))
    assert names <= set(schema["components"]["schemas"])
    for path, operations in schema["paths"].items():
        form = "application/json" if path.startswith("/v2") else "application/problem+json"
        for operation in operations.values():
            assert operation["summary"]
            for status, response in operation["responses"].items():
                assert status < "400" or list(response["content"]) == [form]


def test_errors_that_a_frontend_meets_are_in_its_page(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    documented = {
        slug
        for path in ("/v1/segment", "/v1/segment/batch", "/v1/compare")
        for response in paths[path]["post"]["responses"].values()
        for slug in response["content"].get("application/problem+json", {}).get("examples", {})
    }
    table = re.findall(r"^\| \d{3} \| (.*?) \|", (ROOT / "docs" / "frontend.md").read_text(), re.M)
    assert set(re.findall(r"`([\w-]+)`", "".join(table))) == documented


def test_what_may_pass_is_documented_with_the_time_to_wait(client: httpx.Client) -> None:
    answers = client.get("/openapi.json").json()["paths"]["/v1/segment"]["post"]["responses"]
    telling = {status for status, answer in answers.items() if "Retry-After" in answer.get("headers", {})}
    assert telling == {"429", "503"}


def test_schema_of_the_manifest_is_checked_in() -> None:
    """After a change: python -m app.manifest > models/manifest.schema.json"""
    checked_in = json.loads((ROOT / "models" / "manifest.schema.json").read_text())
    assert checked_in == Manifest.model_json_schema()


def test_version_is_that_of_the_package() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == app.__version__


def rows_of_the_table() -> dict[str, tuple[str, str]]:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `(POLYPRUNE_\w+)` \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    return {name: (default, meaning) for name, default, meaning in rows}


def test_every_setting_is_in_the_table_and_nothing_else() -> None:
    expected = {}
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        expected[settings.PREFIX + name.upper()] = (default, field.description)
    assert rows_of_the_table() == expected


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPRUNE_MODELS_DIR", "/srv/models")
    monkeypatch.setenv("POLYPRUNE_MAX_PIXELS", "1000")
    monkeypatch.setenv("POLYPRUNE_PROT", "80")
    chosen = Settings()
    assert (chosen.models_dir, chosen.max_pixels) == (Path("/srv/models"), 1000)
    assert settings.unknown_names() == ["POLYPRUNE_PROT"]
    monkeypatch.setenv("POLYPRUNE_PORT", "99999")
    with pytest.raises(ValidationError):
        Settings()


def test_every_error_that_answers_has_its_own_type() -> None:
    slugs = re.findall(r"\d{3}  (\S+)", errors.__doc__ or "")
    assert len(slugs) == len(set(slugs)) == 32


WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
opened: list[str] = []
watching = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if watching and event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        opened.append(str(arguments[0]))


def test_frames_never_touch_the_disk(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 12 MB upload, each way, while every file that Python opens for writing is noted.

    The hook would see a spooled upload: `test_the_watch_itself` makes it see one.
    """
    data = encode(np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), dtype=np.uint8), "BMP")
    sys.addaudithook(watch)
    monkeypatch.setattr(sys.modules[__name__], "watching", True)
    for output in PICTURED:
        for sent in ({"files": {"file": ("f", data)}}, {"content": data, "headers": {"content-type": "image/bmp"}}):
            assert client.post("/v1/segment", params={"output": output}, **sent).status_code == 200
    assert "report" in client.post("/v1/segment/batch", files={"file": ("f", data)}).json()["results"][0]
    assert client.post("/v1/compare", files={"file": ("f", data)}).status_code == 200
    scope = dicom.file(dicom.image(np.zeros((2000, 2000, 3), np.uint8)))
    assert client.post("/v1/segment", params={"output": "dicom-seg"}, content=scope).status_code == 200
    assert client.post("/benchmark", data={"iterations": "2"}, files={"file": ("f", data)}).status_code == 202
    monkeypatch.undo()
    assert opened == []


def test_the_watch_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.addaudithook(watch)
    monkeypatch.setattr(sys.modules[__name__], "watching", True)
    with SpooledTemporaryFile(max_size=10) as file:
        file.write(b"more than ten bytes")
    monkeypatch.undo()
    assert opened
    opened.clear()


def test_nothing_is_reported_to_anybody(models_dir: Path, tmp_path: Path) -> None:
    """onnxruntime would keep an id and its reports in the home folder; not in CI, whose marks are hidden from it."""
    marks = {name: "" for name in os.environ if name.startswith(("CI", "GITHUB_", "PYTEST_"))}
    with process(models_dir, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), **marks) as (_, client, _log):
        assert client.post("/v1/segment", files={"file": encode(colonoscopy())}).status_code == 200
        assert list(tmp_path.iterdir()) == []


def test_command_line_serves_and_ends_on_sigterm(tmp_path: Path) -> None:
    process = start(write_pair(tmp_path), POLYPRUNE_LOG_FORMAT="json", POLYPRUNE_PROT="80")
    assert process.stderr is not None
    entries = []
    for line in process.stderr:
        entries.append(json.loads(line))
        found = re.search(r"http://127\.0\.0\.1:(\d+)", entries[-1]["message"])
        if found:
            break
    messages = [entry["message"] for entry in entries]
    assert "model red-dense/1 is ready on CPUExecutionProvider" in messages
    assert any("POLYPRUNE_PROT is not a setting" in message for message in messages)
    frame = encode(np.full((SIZE, SIZE, 3), 255, np.uint8))
    response = httpx.post(f"http://127.0.0.1:{found[1]}/v1/segment", files={"file": frame})
    assert response.headers["x-polyprune-model"] == "red-pruned/1"
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait(timeout=20) == 0
    process.stderr.close()
    assert "Traceback" not in rest


@pytest.mark.skipif(cuda.devices() > 0, reason="there is a CUDA device")
def test_a_required_gpu_that_is_not_there_stops_the_start(models_dir: Path) -> None:
    process = start(models_dir, POLYPRUNE_REQUIRE_GPU="true")
    _, text = process.communicate(timeout=60)
    assert process.returncode == 2
    assert text == "POLYPRUNE_REQUIRE_GPU: the driver shows no CUDA device, see docs/gpu.md\n"


@pytest.mark.skipif(cuda.devices() > 0, reason="there is a CUDA device")
def test_a_service_without_the_gpu_that_it_needs_does_not_start(models_dir: Path) -> None:
    service = create_app(Settings(models_dir=models_dir, require_gpu=True))

    async def start_up() -> None:
        async with service.router.lifespan_context(service):
            pytest.fail("it started")

    with pytest.raises(GpuRequired, match="red-pruned/1: provider=cuda was asked for"):
        asyncio.run(start_up())


@pytest.mark.parametrize(
    "impossible", [{"provider": "cpu", "require_gpu": True}, {"provider": "tensorrt", "cuda_graphs": True}]
)
def test_settings_that_exclude_each_other(impossible: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="xpected"):
        Settings(**impossible)


def test_a_drain_without_end_is_refused() -> None:
    """It would begin anew ten times a second, and give every answer one more `Connection: close`."""
    with pytest.raises(ValidationError, match="finite"):
        Settings(drain_seconds=math.inf)


@pytest.mark.parametrize(
    ("proxies", "words"),
    [
        ("10.0.0.1/8", "10.0.0.1/8 has host bits set: expected 10.0.0.0/8"),
        ("127.0.0.1, 2001:db8::1/32", "expected 2001:db8::/32"),
        ("192.0.2", "'192.0.2' does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_proxies_that_never_match_are_refused(proxies: str, words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        Settings(trusted_proxies=proxies)


@pytest.mark.parametrize("proxies", ["", "*", "127.0.0.1", "10.0.0.0/8 , ::1,2001:db8::/32", "10.0.0.0/255.0.0.0"])
def test_proxies_that_are_addresses_or_networks(proxies: str) -> None:
    assert Settings(trusted_proxies=proxies).trusted_proxies == proxies


@pytest.mark.parametrize("name", ["host", "models_dir", "data_dir", "keys_file", "tensorrt_cache"])
def test_an_empty_place_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be every address of the machine, or the working directory."""
    monkeypatch.setenv(f"POLYPRUNE_{name.upper()}", "")
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_command_line_names_the_settings_of_a_port_that_is_taken(models_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(models_dir, POLYPRUNE_PORT=str(taken.getsockname()[1]))
        _, text = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "POLYPRUNE_HOST and POLYPRUNE_PORT: expected an address of this machine and a port that is free" in text
    assert "Traceback" not in text


def test_command_line_names_a_bad_setting(tmp_path: Path) -> None:
    process = start(tmp_path, POLYPRUNE_PROVIDER="tpu")
    _, text = process.communicate(timeout=60)
    assert process.returncode == 2
    assert text.startswith("POLYPRUNE_PROVIDER: Input should be 'auto', 'cpu', 'cuda', 'tensorrt', ")
    assert "Traceback" not in text
