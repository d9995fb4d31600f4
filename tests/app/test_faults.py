"""Sessions that fail while they serve: real graphs that some frames make onnxruntime raise on."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from tritonclient.http import InferenceServerClient

from app.clock import Clock
from app.device import CPU, DeviceOptions
from app.engines import Engines
from app.errors import ModelOutOfService, NetworkFailed
from app.loader import Loader
from app.main import create_app
from app.network import Network, device_fault
from app.repository import Repository
from app.settings import Settings
from tests.app.test_load import URL, metric
from tests.app.test_problems import check
from tests.conftest import serving
from tests.synthetic import SIZE, colonoscopy, encode, greedy_graph, picky_graph, red_graph, write_model

GOOD = encode(colonoscopy())
BAD = encode(np.full((SIZE, SIZE, 3), 255, np.uint8))
FRAMES = np.zeros((1, SIZE, SIZE, 3), np.uint8)
BAD_FRAMES = FRAMES + np.uint8(200)


def wait_until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.002)


@pytest.fixture(params=[None, 0.0], ids=["plain", "batches"])
def picky(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[httpx.Client, Network]]:
    """A service with a model that fails on BAD and one that does not, and the first's network."""
    write_model(tmp_path, "picky", graph=picky_graph())
    write_model(tmp_path, "steady")
    settings = Settings(models_dir=tmp_path, default_model="picky", provider="cpu", batch_delay_ms=request.param)
    app = create_app(settings)
    with serving(app) as client:
        yield client, app.state.services.registry.resolve("picky").engine


@contextmanager
def held_open(network: Network) -> Iterator[None]:
    """No new sessions are opened meanwhile."""
    go, opened = threading.Event(), network._open
    network._open = lambda where: (go.wait(), opened(where))[1]  # type: ignore[assignment]
    yield
    go.set()


def test_a_model_that_fails_is_taken_out_and_put_back(picky: tuple[httpx.Client, Network]) -> None:
    client, network = picky
    expected = client.post(URL, content=GOOD).content
    failed = network.sessions
    with held_open(network):
        problem = check(client.post(URL, content=BAD), 500, "network-failed")
        assert "out of data bounds" in problem["detail"]
        answer = client.post(URL, content=GOOD)
        assert check(answer, 503, "model-out-of-service")["retry_after"] >= 1
        assert int(answer.headers["Retry-After"]) >= 1
        check(client.get("/readyz"), 503, "model-out-of-service")
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/healthz").status_code == 200
        assert metric(client, 'polyprune_model_up{model="picky/1"}') == 0
        assert client.post(URL, params={"model": "steady"}, content=GOOD).status_code == 200
    wait_until(lambda: network.fault is None)
    assert network.sessions is not failed
    assert client.post(URL, content=GOOD).content == expected
    assert client.get("/readyz").json()["out_of_service"] == []
    assert metric(client, 'polyprune_model_up{model="picky/1"}') == 1
    assert metric(client, 'polyprune_network_failures_total{model="picky/1"}') == 1


def test_new_sessions_need_the_graph_that_the_model_was_loaded_from(
    picky: tuple[httpx.Client, Network], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client, network = picky
    graph = tmp_path / "picky" / "1" / "model.onnx"
    promised = graph.read_bytes()
    graph.write_bytes(red_graph())
    assert client.post(URL, content=BAD).status_code == 500
    wait_until(lambda: "stays out of service" in caplog.text)
    assert "but the manifest promises" in caplog.text
    check(client.post(URL, content=GOOD), 503, "model-out-of-service")
    graph.write_bytes(promised)
    wait_until(lambda: network.fault is None)
    assert client.post(URL, content=GOOD).status_code == 200


def test_the_list_of_models_says_why(picky: tuple[httpx.Client, Network]) -> None:
    client, network = picky
    with held_open(network):
        assert client.post(URL, content=BAD).status_code == 500
        listed = client.get("/v1/models/picky").json()
        assert listed["state"] == "ready"
        assert "out of data bounds" in listed["reason"]
    wait_until(lambda: network.fault is None)


def test_tritons_clients_hear_that_a_model_is_out_of_service(picky: tuple[httpx.Client, Network]) -> None:
    client, network = picky
    with InferenceServerClient(f"127.0.0.1:{client.base_url.port}") as stock:
        with held_open(network):
            assert client.post(URL, content=BAD).status_code == 500
            assert not stock.is_model_ready("picky")
            assert not stock.is_model_ready("picky", "1")
            assert stock.is_model_ready("steady")
            answer = client.get("/v2/models/picky/ready")
            assert (answer.status_code, list(answer.json())) == (503, ["error"])
            assert int(answer.headers["Retry-After"]) >= 1
            index = {entry["name"]: entry for entry in stock.get_model_repository_index()}
            assert (index["picky"]["state"], index["steady"]["state"]) == ("UNAVAILABLE", "READY")
            assert "out of data bounds" in index["picky"]["reason"]
            ready = client.post("/v2/repository/index", json={"ready": True}).json()
            assert [entry["name"] for entry in ready] == ["steady"]
        wait_until(lambda: network.fault is None)
        assert stock.is_model_ready("picky")
        assert {entry["state"] for entry in stock.get_model_repository_index()} == {"READY"}


def test_new_sessions_are_tried_again_until_they_work() -> None:
    tries: list[float] = []

    def open_sessions(_: str) -> Engines:
        tries.append(time.monotonic())
        graph = b"broken" if len(tries) == 2 else picky_graph()
        return Engines(graph, threads=1, preference="cpu")

    network = Network("picky/1", open_sessions, "cpu")
    with pytest.raises(NetworkFailed, match="out of data bounds"):
        network.run(BAD_FRAMES, Clock())
    wait_until(lambda: len(tries) == 2)
    with pytest.raises(ModelOutOfService):
        network.run(FRAMES, Clock())
    wait_until(lambda: network.fault is None)
    assert len(tries) == 3
    assert network.run(FRAMES, Clock()).shape == (1, SIZE, SIZE)


@pytest.mark.parametrize("delay_ms", [None, 0.0], ids=["plain", "batches"])
def test_recovery_ends_with_its_model(delay_ms: float | None, tmp_path: Path) -> None:
    write_model(tmp_path, "steady")
    folder = write_model(tmp_path, "picky", graph=picky_graph())
    loader = Loader(tmp_path, threads=1, preference="cpu", options=DeviceOptions(delay_ms=delay_ms))
    repository = Repository(loader, "steady")
    shutil.rmtree(folder)  # so that it cannot be opened anew
    before = set(threading.enumerate())
    with pytest.raises(NetworkFailed):
        repository.registry.resolve("picky").engine.run(BAD_FRAMES, Clock())
    (recovery,) = set(threading.enumerate()) - before
    repository.unload("picky")
    recovery.join(10)
    assert not recovery.is_alive()


def test_a_run_that_fails_late_does_not_take_out_new_sessions() -> None:
    network = Network("picky/1", lambda _: Engines(picky_graph(), threads=1, preference="cpu"), "cpu")
    old = network.sessions
    with pytest.raises(NetworkFailed):
        network.run(BAD_FRAMES, Clock())
    wait_until(lambda: network.fault is None)
    network._take_out(old, RuntimeError("late"))
    assert (network.fault, network.failures) == (None, 2)


def test_memory_that_a_device_does_not_have_is_made_up_for_on_the_cpu_once() -> None:
    """Both are on the CPU here; the first asks for 2^50 bytes, as a device's would for one more than it has."""

    def open_sessions(where: str) -> Engines:
        return Engines(red_graph() if where == "cpu" else greedy_graph(), threads=1, preference="cpu")

    network = Network("greedy/1", open_sessions, "cuda", fallback=True)
    clock = Clock()
    np.testing.assert_allclose(network.run(FRAMES, clock), 0)
    assert clock.fallback is None
    np.testing.assert_allclose(network.run(BAD_FRAMES, clock), 200 / 255, rtol=1e-6)
    assert (clock.provider, clock.fallback) == (CPU, "out-of-memory")
    assert clock.header().endswith("fallback;desc=out-of-memory")
    assert network.failures == 1
    wait_until(lambda: network.fault is None)
    assert network.runs["fallback"] == 1


def test_no_fallback_unless_allowed() -> None:
    network = Network("greedy/1", lambda _: Engines(greedy_graph(), threads=1, preference="cpu"), "cuda")
    with pytest.raises(NetworkFailed, match="AllocateRaw"):
        network.run(BAD_FRAMES, Clock())
    wait_until(lambda: network.fault is None)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CUDA failure 2: out of memory ; GPU=0", "out-of-memory"),
        ("Failed to allocate memory for requested buffer of size 1048576", "out-of-memory"),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED", "out-of-memory"),
        ("indices element out of data bounds, idx=200 must be within the inclusive range [-128,127]", None),
    ],
)
def test_a_frame_that_a_graph_cannot_do_is_no_fault_of_the_device(text: str, kind: str | None) -> None:
    assert device_fault(RuntimeError(text)) == kind
