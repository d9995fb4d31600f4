"""Models that come and go while the service answers frames."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app import loader
from app.model import Model
from app.settings import Settings
from tests.app.test_problems import check
from tests.conftest import Serve, running
from tests.synthetic import SIZE, decode, encode, red_graph, write_model, write_pair

URL = "/v1/segment"
RED = encode(np.full((SIZE, SIZE, 3), (200, 0, 0), np.uint8))  # probability 0.78 at a gain of 1
PNG = {"content-type": "image/png"}


def publish(models_dir: Path, staging: Path, name: str, version: str, **changes: float) -> None:
    """Write a version elsewhere and move it in whole, as a deployment does."""
    folder = write_model(staging, name, version, **changes)
    (models_dir / name).mkdir(exist_ok=True)
    shutil.move(folder, models_dir / name / version)


def states(client: httpx.Client) -> dict[str, str]:
    return {entry["id"]: entry["state"] for entry in client.get("/v1/models").json()["models"]}


def answered_by(client: httpx.Client, **params: str) -> str:
    response = client.post(URL, params=params, content=RED, headers=PNG)
    assert response.status_code == 200, response.text
    return response.headers["x-polyprune-model"]


def counted(client: httpx.Client) -> dict[str, int]:
    found = re.findall(r'polyprune_model_state\{model="\S+",state="(\w+)"\} (\d+)', client.get("/metrics").text)
    return {state: sum(int(holds) for other, holds in found if other == state) for state, _ in found}


@pytest.fixture(scope="module")
def client(models_dir: Path) -> Iterator[httpx.Client]:
    """A client of a service whose models anybody may control."""
    with running(Settings(models_dir=models_dir, model_control="open")) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return write_pair(tmp_path / "models")


def test_new_version_takes_over_and_goes_again(serve: Serve, folder: Path, tmp_path: Path) -> None:
    client = serve(model_control="open", models_dir=folder)
    assert answered_by(client) == "red-pruned/1"
    publish(folder, tmp_path / "staging", "red-pruned", "2")
    assert answered_by(client) == "red-pruned/1"
    loaded = client.post("/v1/models/red-pruned/2/load").json()["models"]
    assert [(entry["id"], entry["state"], entry["default"]) for entry in loaded] == [("red-pruned/2", "ready", True)]
    assert answered_by(client) == "red-pruned/2"
    assert answered_by(client, model="red-pruned/1") == "red-pruned/1"
    unloaded = client.post("/v1/models/red-pruned/2/unload").json()["models"]
    assert [(entry["id"], entry["state"]) for entry in unloaded] == [("red-pruned/2", "unloaded")]
    assert answered_by(client) == "red-pruned/1"
    assert counted(client) == {"ready": 2, "refused": 0, "unloaded": 1}


def test_no_request_fails_while_versions_are_swapped(serve: Serve, folder: Path, tmp_path: Path) -> None:
    """Each answer is that of the version in its header: the first marks the red frame, the second does not."""
    client = serve(model_control="open", models_dir=folder, default_model="red-dense")
    publish(folder, tmp_path / "staging", "red-dense", "2", gain=0.5)
    answers: list[tuple[int, str, int]] = []
    done = threading.Event()

    def post() -> None:
        while not done.is_set():
            response = client.post(URL, content=RED, headers=PNG)
            mask = int(decode(response.content).max()) if response.status_code == 200 else -1
            answers.append((response.status_code, response.headers.get("x-polyprune-model", ""), mask))

    def served(wanted: str) -> None:
        """Wait until the threads have seen this version, and then some."""
        before = len(answers)
        while threads[0].is_alive() and [answer[1] for answer in answers[before:]].count(wanted) < 5:
            done.wait(0.01)

    threads = [threading.Thread(target=post) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        served("red-dense/1")
        for _ in range(5):
            assert client.post("/v1/models/red-dense/2/load").status_code == 200
            served("red-dense/2")
            assert client.post("/v1/models/red-dense/load").status_code == 200  # both, again
            assert client.post("/v1/models/red-dense/2/unload").status_code == 200
            served("red-dense/1")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {(200, "red-dense/1", 255), (200, "red-dense/2", 0)}


def test_request_in_flight_finishes_with_its_model(serve: Serve, folder: Path) -> None:
    """It waits for its body, and has its model, when the service asks for the body with `100 Continue`."""
    client = serve(model_control="open", models_dir=folder)
    port = client.base_url.port
    assert port is not None
    head = (
        f"POST {URL}?model=red-dense/1 HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nConnection: close\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(RED)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        assert client.post("/v1/models/red-dense/unload").status_code == 200
        check(client.post(URL, params={"model": "red-dense/1"}, content=RED, headers=PNG), 404, "unknown-model")
        connection.sendall(RED)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"x-polyprune-model: red-dense/1" in answer


def test_failed_load_keeps_what_was_there(serve: Serve, folder: Path) -> None:
    client = serve(model_control="open", models_dir=folder)
    graph = folder / "red-pruned" / "1" / "model.onnx"
    good = graph.read_bytes()
    graph.write_bytes(red_graph(gain=0.3))
    problem = check(client.post("/v1/models/red-pruned/1/load"), 422, "model-refused")
    assert problem["detail"].startswith("red-pruned/1: model.onnx has the SHA-256")
    assert problem["detail"].endswith("What was loaded before serves on.")
    assert answered_by(client) == "red-pruned/1"
    entry = client.get("/v1/models/red-pruned/1").json()
    assert (entry["state"], "SHA-256" in entry["reason"]) == ("ready", True)
    assert [refused["id"] for refused in client.get("/readyz").json()["refused"]] == ["red-pruned/1"]
    assert counted(client) == {"ready": 2, "refused": 1, "unloaded": 0}
    graph.write_bytes(good)
    assert client.post("/v1/models/red-pruned/1/load").status_code == 200
    assert client.get("/v1/models/red-pruned/1").json()["reason"] is None
    assert counted(client) == {"ready": 2, "refused": 0, "unloaded": 0}


def test_load_proves_the_golden_frame(serve: Serve, folder: Path, tmp_path: Path) -> None:
    client = serve(model_control="open", models_dir=folder)
    publish(folder, tmp_path / "staging", "red-new", "1")
    golden = folder / "red-new" / "1" / "golden.npz"
    shutil.copy(folder / "red-pruned" / "1" / "golden.npz", golden)
    problem = check(client.post("/v1/models/red-new/load"), 422, "model-refused")
    assert "golden frame's probability is off" in problem["detail"]
    assert "serves on" not in problem["detail"]
    assert states(client)["red-new/1"] == "refused"
    check(client.post(URL, params={"model": "red-new"}, content=RED, headers=PNG), 404, "unknown-model")


def test_one_bad_version_stops_no_other(serve: Serve, folder: Path, tmp_path: Path) -> None:
    client = serve(model_control="open", models_dir=folder)
    for version in ("2", "3"):
        publish(folder, tmp_path / "staging", "red-pruned", version)
    (folder / "red-pruned" / "2" / "golden.npz").unlink()
    problem = check(client.post("/v1/models/red-pruned/load"), 422, "model-refused")
    assert problem["detail"].startswith("red-pruned/2: ")
    assert answered_by(client) == "red-pruned/3"
    assert states(client)["red-pruned/2"] == "refused"


def test_rescan_loads_what_is_new_or_was_repaired(serve: Serve, folder: Path, tmp_path: Path) -> None:
    for name in ("red-broken", "red-gone"):
        write_model(folder, name)
        (folder / name / "1" / "golden.npz").unlink()
    client = serve(model_control="open", models_dir=folder)
    assert client.post("/v1/models/red-dense/unload").status_code == 200
    publish(folder, tmp_path / "staging", "red-new", "1")
    shutil.copy(folder / "red-dense" / "1" / "golden.npz", folder / "red-broken" / "1")
    shutil.rmtree(folder / "red-gone")
    found = client.post("/v1/models/rescan").json()["models"]
    assert {entry["id"]: entry["state"] for entry in found} == {
        "red-broken/1": "ready",
        "red-new/1": "ready",
        "red-pruned/1": "ready",
        "red-dense/1": "unloaded",
    }
    assert answered_by(client, model="red-new") == "red-new/1"
    assert answered_by(client) == "red-pruned/1"  # a new name does not become the default by itself


def test_what_serves_outlives_its_folder(serve: Serve, folder: Path) -> None:
    client = serve(model_control="open", models_dir=folder)
    shutil.rmtree(folder / "red-pruned")
    client.post("/v1/models/rescan")
    assert answered_by(client) == "red-pruned/1"
    check(client.post("/v1/models/red-pruned/load"), 404, "unknown-model")


def test_a_folder_that_was_unloaded_and_is_gone_is_not_listed(serve: Serve, folder: Path) -> None:
    client = serve(model_control="open", models_dir=folder)
    assert client.post("/v1/models/red-dense/unload").status_code == 200
    shutil.rmtree(folder / "red-dense")
    found = client.post("/v1/models/rescan").json()["models"]
    assert "red-dense/1" not in [entry["id"] for entry in found]


def test_rescan_while_the_folder_is_away_changes_nothing(serve: Serve, folder: Path, tmp_path: Path) -> None:
    publish(folder, tmp_path / "staging", "red-pruned", "2")
    client = serve(model_control="open", models_dir=folder, default_model="red-pruned")
    assert client.post("/v1/models/red-pruned/2/unload").status_code == 200
    folder.rename(tmp_path / "away")
    problem = check(client.post("/v1/models/rescan"), 422, "model-refused")
    assert "Is it mounted?" in problem["detail"]
    (tmp_path / "away").rename(folder)
    assert client.post("/v1/models/rescan").status_code == 200
    assert answered_by(client) == "red-pruned/1"
    assert states(client)["red-pruned/2"] == "unloaded"


def test_rescan_while_one_model_cannot_be_listed_forgets_no_unload(serve: Serve, folder: Path, tmp_path: Path) -> None:
    client = serve(model_control="open", models_dir=folder)
    assert client.post("/v1/models/red-dense/unload").status_code == 200
    (folder / "red-dense").rename(tmp_path / "away")
    (folder / "red-dense").symlink_to("nowhere")
    assert client.post("/v1/models/rescan").status_code == 200
    assert states(client)["red-dense/?"] == "refused"
    (folder / "red-dense").unlink()
    (tmp_path / "away").rename(folder / "red-dense")
    assert client.post("/v1/models/rescan").status_code == 200
    assert states(client) == {"red-pruned/1": "ready", "red-dense/1": "unloaded"}


def test_loads_wait_for_each_other(serve: Serve, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve(model_control="open", models_dir=folder)
    names = [f"red-{number}" for number in range(8)]
    for name in names:
        publish(folder, tmp_path / "staging", name, "1")
    real, running, most = loader.load, 0, 0

    def watched(*arguments: Any, **options: Any) -> Model:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return real(*arguments, **options)
        finally:
            running -= 1

    monkeypatch.setattr(loader, "load", watched)
    with ThreadPoolExecutor(len(names)) as pool:
        done = list(pool.map(lambda name: client.post(f"/v1/models/{name}/load").status_code, names))
    assert done == [200] * len(names)
    assert {name: states(client).get(f"{name}/1") for name in names} == dict.fromkeys(names, "ready")
    assert most == 1


def test_default_is_set_and_never_unloaded(serve: Serve, folder: Path) -> None:
    client = serve(model_control="open", models_dir=folder)
    check(client.post("/v1/models/red-pruned/unload"), 409, "model-is-default")
    check(client.post("/v1/models/red-pruned/1/unload"), 409, "model-is-default")
    chosen = client.put("/v1/models/default", json={"model": "red-dense/1"}).json()
    assert (chosen["id"], chosen["default"]) == ("red-dense/1", True)
    assert answered_by(client) == "red-dense/1"
    assert client.get("/readyz").json()["default"] == "red-dense/1"
    assert client.post("/v1/models/red-pruned/unload").status_code == 200
    check(client.post("/v1/models/red-dense/unload"), 409, "model-is-default")
    check(client.put("/v1/models/default", json={"model": "red-pruned"}), 404, "unknown-model")
    assert answered_by(client) == "red-dense/1"


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        (b"", "bad-parameter"),
        (b"[]", "bad-parameter"),
        (b'{"model": 1}', "bad-parameter"),
        (b'{"model": "red-dense", "version": "1"}', "bad-parameter"),
        (json.dumps({"model": "x" * 130}).encode(), "bad-parameter"),
        (b'{"model"', "bad-body"),
    ],
)
def test_default_that_is_not_understood(client: httpx.Client, body: bytes, slug: str) -> None:
    check(client.put("/v1/models/default", content=body), 422, slug)


def test_load_repairs_a_service_without_its_default(serve: Serve, folder: Path, tmp_path: Path) -> None:
    client = serve(model_control="open", models_dir=folder, default_model="red-new")
    check(client.get("/readyz"), 503, "no-model-ready")
    publish(folder, tmp_path / "staging", "red-new", "1")
    assert client.post("/v1/models/red-new/load").status_code == 200
    assert client.get("/readyz").json()["default"] == "red-new/1"


@pytest.mark.parametrize(
    "name", ["absent", "..%2Fmodels", "%2e%2e/models", "red-dense/%2e%2e", "red-dense/2", "RED-DENSE", "%00", "x" * 65]
)
@pytest.mark.parametrize("what", ["load", "unload"])
def test_names_are_no_paths(client: httpx.Client, name: str, what: str) -> None:
    response = client.post(f"/v1/models/{name}/{what}")
    assert response.status_code == (422 if len(name) > 64 else 404)
    assert response.headers["content-type"] == "application/problem+json"
