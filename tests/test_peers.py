"""What the benchmarks make of what they measured, and the parts that the peers share. No peer is installed here."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import psutil
import pytest

from app import registry
from app.clock import Clock
from app.render import mask_png
from app.segment import segment
from tests.bench import serving
from tests.bench.peers import table
from tests.bench.peers.contestant import Load, Loop, wrk
from tests.bench.peers.lineup import png
from tests.bench.peers.pipeline import Pipeline, Task
from tests.bench.peers.table import Entry, Turn
from tests.bench.server import ServerFailedError, free_port, started
from tests.synthetic import SIZE, blocks, colonoscopy, decode, encode


def load(requests: int, errors: int = 0, p50: float = 10.0) -> Load:
    """Of a turn of 2 s."""
    return Load(requests, errors, 2.0, p50, 2 * p50, 5.0)


TURNS = [
    Turn("raw", 0, 1, load(100)),
    Turn("ours", 0, 1, load(90)),
    Turn("raw", 0, 4, load(200)),
    Turn("ours", 0, 4, load(180, p50=20)),
    Turn("ours", 1, 1, load(40)),  # in another order, on a machine that has become slower
    Turn("raw", 1, 1, load(50)),
    Turn("ours", 1, 4, load(80, errors=10, p50=40)),
    Turn("raw", 1, 4, load(100)),
]


def test_ratios_are_taken_within_a_round_and_errors_are_no_frames():
    rows = table.rows(TURNS, "raw")
    assert [(row.connections, row.name) for row in rows] == [(1, "raw"), (1, "ours"), (4, "raw"), (4, "ours")]
    one, four = rows[1], rows[3]
    assert one.rate == (45 + 20) / 2
    assert one.ratio == pytest.approx((0.85, 0.8, 0.9))
    assert (four.rate, four.errors, four.p50) == ((90 + 35) / 2, 10, 30)
    assert four.ratio == pytest.approx((0.8, 0.7, 0.9))


def test_the_table_of_loads():
    assert table.markdown(table.rows(TURNS, "raw")).splitlines()[2:] == [
        "| 1 | raw | 37.5 | 1.00 (1.00 to 1.00) | 10.0 | 20.0 | 5.0 |",
        "| 1 | ours | 32.5 | 0.85 (0.80 to 0.90) | 10.0 | 20.0 | 5.0 |",
        "| 4 | raw | 75.0 | 1.00 (1.00 to 1.00) | 10.0 | 20.0 | 5.0 |",
        "| 4 | ours | 62.5; 10 errors | 0.80 (0.70 to 0.90) | 30.0 | 60.0 | 5.0 |",
    ]


def test_the_table_of_servers():
    server = Entry("ours", "0.1", "defaults", different=0.00025, ready=0.31, idle=0.004)
    assert table.entries([server]).splitlines()[2:] == ["| ours | 0.1 | defaults | 0.025% | 0.3 s | 0.4% |"]


def test_the_lines_of_the_serving_benchmark():
    figures = {name: [1.0, 2.0, 4.0] for name in serving.LINES} | {"ready": [0.25], "resident": [200.0 * 2**20]}
    ready, resident, raw, *_ = serving.lines(figures)
    assert ready.split()[-1] == "0.25"
    assert resident.split()[-1] == "200.00"
    assert raw.endswith("2000.00  (rounds 1000.00 to 4000.00)")
    assert len(serving.lines(figures)) == len(serving.LINES)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (2 * SIZE, 4 * SIZE), (9 * SIZE, 8 * SIZE)])
def test_the_peers_pipeline_gives_our_mask(models_dir, height, width):
    model = registry.scan(models_dir, threads=1, preference="cpu").resolve("red-dense")
    data = encode(colonoscopy(height, width), "JPEG", quality=95)
    spec = model.manifest.input
    task = Task(str(model.folder / "model.onnx"), spec.height, spec.width, height, width, model.manifest.threshold, 1)
    ours = decode(mask_png(segment(data, model, Clock(), max_pixels=2**24)))
    theirs = decode(Pipeline(task)(data))
    assert theirs.shape == ours.shape == (height, width)
    assert np.count_nonzero(ours) > 0.05 * ours.size
    assert np.mean(ours != theirs) < 0.005


def test_a_task_survives_its_way_through_the_environment(monkeypatch):
    task = Task("model.onnx", 320, 320, 512, 640, 0.5, 2)
    for name, value in task.environment().items():
        monkeypatch.setenv(name, value)
    assert Task.from_environment() == task


def test_an_answer_with_a_header_before_its_mask():
    mask = encode(blocks(8, 8, 2))
    assert png({"Inference-Header-Content-Length": "4"}, b"{ } " + mask) == mask
    assert png({}, mask) == mask


def test_a_loop_counts_its_calls():
    found = Loop("sum", lambda: sum(range(1000)), threads=2).load(connections=16, seconds=1)
    assert found.requests > 2
    assert found.rate == found.requests
    assert 0 < found.p50 <= found.p99
    assert found.cpu > 0


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_wrk_posts_frames(client, tmp_path):
    frame = tmp_path / "frame.jpg"
    frame.write_bytes(encode(colonoscopy(), "JPEG"))
    url = str(client.base_url).rstrip("/")
    found = wrk(f"{url}/v1/segment", frame, {"Content-Type": "image/jpeg"}, connections=2, seconds=1)
    assert found["requests"] > 0
    assert found["errors"] == 0
    refused = wrk(f"{url}/v1/nothing", frame, {"Content-Type": "image/jpeg"}, connections=2, seconds=1)
    assert refused["errors"] == refused["requests"] > 0


# A server whose child outlives it unless somebody ends it.
PARENT = """
import http.server, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
handler = http.server.SimpleHTTPRequestHandler
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), handler).serve_forever()
"""


def test_a_server_ends_with_all_that_it_started(tmp_path):
    port = free_port()
    with started([sys.executable, "-c", PARENT, str(port)], port, "/", folder=tmp_path) as server:
        children = server.root.children()
        assert len(children) == 1
        assert server.cpu() > 0
        assert server.resident() > server.root.memory_info().rss
        assert server.ready > 0
    assert not psutil.pid_exists(server.root.pid)
    assert not children[0].is_running()


def test_a_server_that_ends_at_once_says_why(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no model here')"]
    with (
        pytest.raises(ServerFailedError, match=r"(?s)ended with 1 .*no model here"),
        started(command, free_port(), "/", folder=tmp_path),
    ):
        raise AssertionError("it cannot be ready")
