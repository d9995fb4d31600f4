"""Under load: the queue, deadlines, callers who leave, and which session runs."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import anyio
import httpx
import numpy as np
import pytest

from app.admission import Admission
from app.errors import Overloaded
from app.metrics import Metrics
from tests.app.test_problems import check
from tests.conftest import Serve
from tests.process import ROOT
from tests.synthetic import colonoscopy, encode

URL = "/v1/segment"
FRAME = encode(colonoscopy())
# 16 million pixels, whose overlay takes a hundred times as long as the mask of FRAME.
SLOW = encode(np.full((4000, 4000, 3), 255, np.uint8))


def post_slow(client: httpx.Client) -> httpx.Response:
    return client.post(URL, params={"output": "overlay"}, content=SLOW, headers={"X-Deadline-Ms": "600000"})


def metric(client: httpx.Client, sample: str) -> float:
    """The value of a sample, 0 where there is none yet."""
    found = re.search(rf"^{re.escape(sample)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def rejections(client: httpx.Client, reason: str) -> float:
    return metric(client, f'polyprune_rejections_total{{reason="{reason}"}}')


def runs(client: httpx.Client, model: str, session: str) -> float:
    return metric(client, f'polyprune_network_runs_total{{model="{model}",session="{session}"}}')


def until(client: httpx.Client, sample: str, value: float) -> None:
    """Wait for a sample to have this value."""
    while metric(client, sample) != value:
        time.sleep(0.005)


@contextmanager
def occupied(client: httpx.Client) -> Iterator[Future[httpx.Response]]:
    """The one worker is busy with a slow frame; its answer."""
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(post_slow, client)
        until(client, "polyprune_workers_busy", 1)
        yield answer


def test_full_queue_turns_away_and_answers_the_others(serve: Serve) -> None:
    client = serve(workers=1, queue=1)
    expected = post_slow(client).content
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: post_slow(client), range(6)))
    accepted = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(accepted) >= 2
    assert refused
    assert all(answer.content == expected for answer in accepted)
    for answer in refused:
        problem = check(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) == problem["retry_after"] >= 1
    assert rejections(client, "queue_full") == len(refused)


def test_no_queue_at_all(serve: Serve) -> None:
    client = serve(workers=1, queue=0)
    assert client.post(URL, content=FRAME).status_code == 200
    with occupied(client) as slow:
        check(client.post(URL, content=FRAME), 503, "overloaded")
    assert slow.result().status_code == 200


@pytest.mark.parametrize("path", [URL, "/v1/compare", "/v2/models/red-pruned/infer"])
def test_no_body_is_waited_for_where_there_is_no_place(serve: Serve, path: str) -> None:
    client = serve(workers=1, queue=0)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(FRAME)}\r\n\r\n".encode()
    with (
        occupied(client) as slow,
        socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as caller,
    ):
        caller.sendall(head)
        assert caller.recv(2**16).startswith(b"HTTP/1.1 503 ")
        assert not slow.done()
        # The connection is whole: the body that belongs to the refused request is skipped.
        caller.sendall(FRAME + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert caller.recv(2**16).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("way", ["header", "setting"])
def test_deadline_that_passes_in_the_queue(serve: Serve, way: str) -> None:
    client = serve(workers=1, deadline_ms=50 if way == "setting" else None)
    headers = {"X-Deadline-Ms": "50"} if way == "header" else {}
    with occupied(client) as slow:
        check(client.post(URL, content=FRAME, headers=headers), 503, "overloaded")
    assert slow.result().status_code == 200
    assert rejections(client, "expired") == 1
    assert runs(client, "red-pruned/1", "latency") == 1  # the slow one's


def test_deadline_that_cannot_be_met(serve: Serve) -> None:
    client = serve(workers=1)
    post_slow(client)  # from which it knows how long things take
    assert client.post(URL, content=FRAME, headers={"X-Deadline-Ms": "10000"}).status_code == 200
    with occupied(client):
        check(client.post(URL, content=FRAME, headers={"X-Deadline-Ms": "20"}), 503, "overloaded")
        assert rejections(client, "deadline") == 1
        assert client.post(URL, content=FRAME, headers={"X-Deadline-Ms": "600000"}).status_code == 200


@pytest.mark.parametrize("value", ["soon", "0", "-5", "nan", ""])
def test_deadline_that_is_none(client: httpx.Client, value: str) -> None:
    problem = check(client.post(URL, content=FRAME, headers={"X-Deadline-Ms": value}), 422, "bad-parameter")
    assert problem["detail"].startswith("X-Deadline-Ms: ")


def test_caller_who_leaves_the_queue_frees_the_place(serve: Serve) -> None:
    client = serve(workers=1, queue=1)
    head = f"POST {URL}?output=json HTTP/1.1\r\nHost: x\r\nContent-Length: {len(FRAME)}\r\n\r\n".encode()
    with occupied(client) as slow:
        with socket.create_connection((client.base_url.host, client.base_url.port)) as leaver:
            leaver.sendall(head + FRAME)
            until(client, "polyprune_queue_depth", 1)
        until(client, "polyprune_queue_depth", 0)
        assert client.post(URL, content=FRAME).status_code == 200
    assert slow.result().status_code == 200
    assert metric(client, 'polyprune_requests_total{method="POST",route="/v1/segment",status="499"}') == 1
    assert metric(client, 'polyprune_frames_total{model="red-pruned/1",output="json"}') == 0


def test_lone_and_concurrent_frames_get_the_same_mask_from_two_sessions(serve: Serve) -> None:
    """A network of real size, so that frames do meet in the workers."""
    client = serve(models_dir=ROOT / "models", workers=2, threads=2)
    frame = encode(colonoscopy(320, 320))
    lone = client.post(URL, content=frame)
    model = lone.headers["X-Polyprune-Model"]
    assert (runs(client, model, "latency"), runs(client, model, "throughput")) == (1, 0)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.post(URL, content=frame), range(12)))
    assert all(answer.content == lone.content for answer in answers)
    assert runs(client, model, "throughput") >= 10
    assert runs(client, model, "throughput") + runs(client, model, "latency") == 13


def test_a_deadline_is_reckoned_with_those_who_wait_and_the_work_itself() -> None:
    """Two workers and three who wait, a second each: a newcomer is begun after 2 s and done after 3."""

    async def reckon() -> None:
        admission, free = Admission(workers=2, queue=9, metrics=Metrics()), threading.Event()
        admission._learn(1.0)
        async with anyio.create_task_group() as tasks:
            try:
                for _ in range(5):
                    tasks.start_soon(admission.run, free.wait)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(Overloaded):
                    admission.expect_worker(time.monotonic() + 2.5)
                admission.expect_worker(time.monotonic() + 3.5)
            finally:
                free.set()

    anyio.run(reckon)
