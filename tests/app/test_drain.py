"""The end of the service, as a process: told to stop, it drains, answers what is in flight, and exits with 0."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.app.test_load import FRAME, URL, post_slow, until
from tests.app.test_problems import check
from tests.app.test_stream import open_stream
from tests.process import ROOT, process, start
from tests.synthetic import SIZE, encode, endless_graph, write_model, write_pair

# One that the endless graph never has done with.
WHITE = encode(np.full((SIZE, SIZE, 3), 255, np.uint8))


def until_it_drains(client: httpx.Client) -> None:
    while (answer := client.get("/readyz")).status_code == 200:
        time.sleep(0.005)
    check(answer, 503, "draining")


def test_not_ready_but_serving_then_in_flight_is_answered(models_dir: Path) -> None:
    times = {"POLYPRUNE_DRAIN_SECONDS": "2", "POLYPRUNE_GRACE_SECONDS": "60"}
    with process(models_dir, POLYPRUNE_WORKERS="1", **times) as (running, client, _):
        assert "connection" not in client.get("/readyz").headers
        running.send_signal(signal.SIGTERM)
        until_it_drains(client)
        answer = client.post(URL, content=FRAME)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        with ThreadPoolExecutor() as pool:
            slow = [pool.submit(post_slow, client) for _ in range(2)]  # one of them in the queue
        assert [answer.result().status_code for answer in slow] == [200] * 2
        assert running.wait(timeout=20) == 0


def test_signal_while_a_frame_is_worked_on(models_dir: Path) -> None:
    with process(models_dir, POLYPRUNE_GRACE_SECONDS="60") as (running, client, _), ThreadPoolExecutor() as pool:
        slow = pool.submit(post_slow, client)
        until(client, "polyprune_workers_busy", 1)
        running.send_signal(signal.SIGINT)
        assert slow.result().status_code == 200
        assert running.wait(timeout=20) == 0


def test_second_signal_ends_at_once(models_dir: Path) -> None:
    with process(models_dir, POLYPRUNE_DRAIN_SECONDS="600") as (running, client, _):
        running.send_signal(signal.SIGTERM)
        until_it_drains(client)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0


def test_a_start_that_takes_long_is_broken_off(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "red-endless", graph=endless_graph())
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    np.savez(folder / "golden.npz", frame=white, probability=np.ones((SIZE, SIZE), np.float32))
    starting = start(tmp_path)
    assert starting.stderr is not None
    try:
        assert any("Waiting for application startup" in line for line in starting.stderr)
        starting.send_signal(signal.SIGTERM)
        assert starting.wait(timeout=20) == 0
    finally:
        starting.kill()
        starting.wait()
        starting.stderr.close()


def test_without_standard_streams(models_dir: Path) -> None:
    """As some supervisors start it. Sockets in their places broke off the end with a signal."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    settings = {"POLYPRUNE_MODELS_DIR": str(models_dir), "POLYPRUNE_PORT": port}
    command = ["sh", "-c", 'exec "$0" -m app <&- >&- 2>&-', sys.executable]
    running = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=10)) as client:
            assert client.post(URL, content=FRAME).status_code == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0
    finally:
        running.kill()
        running.wait()


def test_request_that_never_ends_is_cut_off(models_dir: Path) -> None:
    with process(models_dir, POLYPRUNE_GRACE_SECONDS="1") as (running, client, _), socket.socket() as endless:
        endless.connect((client.base_url.host, client.base_url.port))
        endless.sendall(f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234".encode())
        until(client, "polyprune_requests_in_flight", 2)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0


def until_it_is_refused(client: httpx.Client) -> None:
    with suppress(ConnectionError):
        while True:
            socket.create_connection((client.base_url.host, client.base_url.port or 0)).close()
            time.sleep(0.005)


def test_no_new_connections_while_a_stream_ends(tmp_path: Path) -> None:
    """Its frame may take all of the grace, and who came then would be cut off at once. Who is connected is served."""
    write_model(write_pair(tmp_path), "red-endless", graph=endless_graph())
    grace = {"POLYPRUNE_GRACE_SECONDS": "20"}
    with process(tmp_path, **grace) as (running, client, _), open_stream(client, model="red-endless") as stream:
        stream.send(WHITE)
        until(client, "polyprune_workers_busy", 1)
        running.send_signal(signal.SIGTERM)
        until_it_is_refused(client)
        check(client.get("/readyz"), 503, "draining")
        running.kill()


@pytest.mark.parametrize("batches", [{}, {"POLYPRUNE_BATCH_DELAY_MS": "0"}], ids=["alone", "batches"])
@pytest.mark.parametrize("end", ["grace", "second signal"])
def test_frame_that_is_worked_on_is_cut_off(tmp_path: Path, end: str, batches: dict[str, str]) -> None:
    """And all else is ended in order: the app's own shutdown has run."""
    write_model(write_pair(tmp_path), "red-endless", graph=endless_graph())
    drain = "600" if end == "second signal" else "0"
    times = {"POLYPRUNE_DRAIN_SECONDS": drain, "POLYPRUNE_GRACE_SECONDS": "1", **batches}
    with ThreadPoolExecutor() as pool:
        with process(tmp_path, **times) as (running, client, log):
            endless = pool.submit(post_endless, client)
            until(client, "polyprune_workers_busy", 1)
            running.send_signal(signal.SIGTERM)
            if end == "second signal":
                until_it_drains(client)
                running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=20) == 0
        assert endless.result().status_code == 500
    assert any("Application shutdown complete" in line for line in log)


def post_endless(client: httpx.Client) -> httpx.Response:
    return client.post(URL, params={"model": "red-endless"}, content=WHITE)


@pytest.mark.parametrize("end", ["grace", "second signal"])
def test_frame_of_a_stream_is_cut_off_too(tmp_path: Path, end: str) -> None:
    write_model(write_pair(tmp_path), "red-endless", graph=endless_graph())
    grace = "600" if end == "second signal" else "1"
    with (
        process(tmp_path, POLYPRUNE_GRACE_SECONDS=grace) as (running, client, log),
        open_stream(client, model="red-endless") as stream,
    ):
        stream.send(WHITE)
        until(client, "polyprune_workers_busy", 1)
        running.send_signal(signal.SIGTERM)
        if end == "second signal":
            until_logged(log, "told to stop")
            running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0


def test_benchmark_whose_round_does_not_end_is_cut_off_too(tmp_path: Path) -> None:
    write_model(write_pair(tmp_path), "red-endless", graph=endless_graph())
    with process(tmp_path) as (running, client, log):
        frame = {"file": ("white.png", WHITE, "image/png")}
        assert client.post("/benchmark", data={"models": "red-endless"}, files=frame).status_code == 202
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0
    assert any("is cut off in the middle of a round" in line for line in log)


def until_logged(log: list[str], words: str) -> None:
    while not any(words in line for line in log):
        time.sleep(0.005)
