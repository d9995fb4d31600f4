"""`/benchmark` on a real server: progress, result, agreement, one at a time."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app import cuda, machine
from app.benchmark import contender, jobs, measure, pairs
from app.benchmark.contender import Contender
from app.benchmark.jobs import Benchmarks, Job
from app.benchmark.spec import Sample, Spec, Stage
from app.benchmark.store import Store
from app.benchmark.sweep import Level, sweep
from app.comparison import agree
from app.device import CPU
from app.errors import BenchmarkRunning, ResultsUnavailable
from app.frames import Frame
from app.model import Model, load
from app.settings import Settings
from tests.app.test_problems import check
from tests.conftest import Serve, running
from tests.synthetic import SIZE, encode, red_graph, write_model, write_pair

URL = "/benchmark"
ENDLESS = 10**9


def finish(client: httpx.Client, started: httpx.Response) -> dict[str, Any]:
    """Poll until it is over; progress never goes back."""
    assert started.status_code == 202, started.text
    assert started.headers["location"] == f"/benchmark/{started.json()['id']}"
    progress = 0.0
    while True:
        status = client.get(started.headers["location"]).json()
        assert progress <= status["progress"] <= 1
        progress = status["progress"]
        if status["state"] != "running":
            return status
        assert status["result"] is None
        time.sleep(0.01)


def split_frame() -> np.ndarray:
    """Half of it sure for both models, a quarter only for the dense one (135 x 0.9 = 121.5, below 127.5)."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[:, :32, 0] = 200
    pixels[:, 32:48, 0] = 135
    return pixels


def test_defaults_compare_every_model_that_serves(client: httpx.Client) -> None:
    status = finish(client, client.post(URL))
    assert (status["state"], status["progress"], status["error"]) == ("done", 1.0, None)
    result = status["result"]
    dense, pruned = result["models"]
    assert (dense["id"], dense["variant"], dense["macs"], dense["parameters"]) == ("red-dense/1", "dense", 4096, 1000)
    assert (pruned["id"], pruned["variant"], pruned["macs"]) == ("red-pruned/1", "pruned", 1024)
    assert dense["file_bytes"] == len(red_graph())
    assert dense["provider"] == "CPUExecutionProvider"
    for model in (dense, pruned):
        latency = model["latency_ms"]
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
        assert latency["mean"]["low"] <= latency["mean"]["mean"] <= latency["mean"]["high"]
        assert sum(latency["histogram"]["counts"]) + latency["histogram"]["above"] == 50
        assert latency["frames_per_second"] == pytest.approx(1000 / latency["mean"]["mean"])
    (comparison,) = result["comparisons"]
    assert (comparison["dense"], comparison["pruned"]) == ("red-dense/1", "red-pruned/1")
    assert comparison["speedup"]["low"] <= comparison["speedup"]["mean"] <= comparison["speedup"]["high"]
    assert comparison["macs_ratio"] == 4
    assert (result["iterations"], result["batch"], result["threads"]) == (50, 1, 1)
    assert result["frame"] == f"{SIZE} x {SIZE}, golden frame of red-dense/1"
    assert "bootstrap" in result["method"]
    assert result["machine"]["cores"] == machine.cores()


def test_agreement_on_a_frame_that_was_sent(client: httpx.Client) -> None:
    """Dense marks 3/4, pruned 1/2: Dice = 2 x 2048 / (3072 + 2048) = 0.8."""
    data = {"iterations": "3", "warmup": "0", "batch": "2", "models": "red-dense, red-pruned/1"}
    files = {"file": ("frame.png", encode(split_frame()))}
    result = finish(client, client.post(URL, data=data, files=files))["result"]
    assert result["comparisons"][0]["agreement"] == {"dice": 0.8, "dense_pixels": 3072, "pruned_pixels": 2048}
    assert (result["iterations"], result["batch"], result["frame"]) == (3, 2, f"{SIZE} x {SIZE}, sent")


def test_one_model_alone_has_nothing_to_compare(client: httpx.Client) -> None:
    body = {"models": ["red-pruned"], "iterations": 2, "threads": 1}
    result = finish(client, client.post(URL, json=body))["result"]
    assert ([model["id"] for model in result["models"]], result["comparisons"]) == (["red-pruned/1"], [])


def test_every_contender_of_one_run_is_compared(client: httpx.Client) -> None:
    """Two models in two stages: four contenders, and what surrounds the network costs time."""
    data = {"stages": "network, end_to_end", "providers": "cpu", "iterations": "4", "warmup": "1"}
    files = {"file": ("frame.png", encode(split_frame()))}
    result = finish(client, client.post(URL, data=data, files=files))["result"]
    assert [(model["id"], model["stage"], model["provider"]) for model in result["models"]] == [
        (model, stage, "CPUExecutionProvider")
        for model in ("red-dense/1", "red-pruned/1")
        for stage in ("network", "end_to_end")
    ]
    assert [(pair["pruned"], pair["stage"]) for pair in result["comparisons"]] == [
        ("red-pruned/1", "network"),
        ("red-pruned/1", "end_to_end"),
    ]
    assert {pair["agreement"]["dice"] for pair in result["comparisons"]} == {0.8}
    assert [(pair["differ"], pair["base"]["stage"], pair["other"]["stage"]) for pair in result["pairs"]] == [
        ("stage", "end_to_end", "network")
    ] * 2
    assert [pair["base"]["id"] for pair in result["pairs"]] == ["red-dense/1", "red-pruned/1"]
    assert {pair["dice"] for pair in result["pairs"]} == {1.0}


def test_sweep_of_concurrency(client: httpx.Client) -> None:
    body = {"iterations": 2, "warmup": 0, "concurrency": 3, "threads": 1}
    result = finish(client, client.post(URL, json=body))["result"]
    assert result["workers"] == machine.cores() + 1
    assert [(row["concurrency"], row["id"]) for row in result["sweep"]] == [
        (level, model) for level in (1, 2, 3) for model in ("red-dense/1", "red-pruned/1")
    ]
    for row in result["sweep"]:
        assert row["frames"] == 5 * 4 * row["concurrency"]  # turns x burst
        assert 0 < row["p50"] <= row["p99"]
        assert row["frames_per_second"]["low"] <= row["frames_per_second"]["mean"]
        assert (row["dense"] == "red-dense/1") == (row["id"] == "red-pruned/1") == (row["speedup"] is not None)


def test_frames_of_a_sweep_wait_for_a_worker() -> None:
    """Never more at once than workers, and each client sends its next frame after its answer."""
    lock, at_once, most = threading.Lock(), [0], [0]

    def work() -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.002)
        with lock:
            at_once[0] -= 1

    found = sweep([work], most=4, iterations=2, workers=2, proceed=lambda _: True)
    assert [level.concurrency for level in found] == [1, 2, 4]
    assert most == [2]
    assert [level.seconds.shape for level in found] == [(5, 1, 4), (5, 1, 8), (5, 1, 16)]
    assert [level.walls.shape for level in found] == [(5, 1)] * 3


def test_sweep_that_ends_early_keeps_whole_levels() -> None:
    found = sweep([int], most=2, iterations=2, workers=1, proceed=lambda done: done < 4 * 6)
    assert [level.concurrency for level in found] == [1]


def test_precision_is_compared_with_the_same_network(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path, "red-dense")
    write_model(tmp_path, "red-pruned", variant="pruned", pruned_from="red-dense/1", widths={"red": 2}, macs=1024)
    write_model(tmp_path, "red-int8", variant="pruned", precision="int8", pruned_from="red-dense/1", widths={"red": 2})
    client = serve(models_dir=tmp_path)
    result = finish(client, client.post(URL, json={"iterations": 3, "warmup": 0}))["result"]
    assert {(pair["dense"], pair["pruned"]) for pair in result["comparisons"]} == {
        ("red-dense/1", "red-pruned/1"),
        ("red-dense/1", "red-int8/1"),
    }
    (pair,) = result["pairs"]
    assert (pair["differ"], pair["base"]["id"], pair["other"]["id"]) == ("precision", "red-pruned/1", "red-int8/1")


@pytest.mark.skipif(cuda.devices() > 0, reason="a CUDA device is here")
def test_a_provider_that_is_not_here_is_refused(client: httpx.Client) -> None:
    problem = check(client.post(URL, json={"providers": ["cpu", "cuda"]}), 422, "bad-parameter")
    assert "cuda" in problem["detail"]


@pytest.mark.skipif(cuda.devices() == 0, reason="needs a CUDA device")
def test_providers_are_compared(client: httpx.Client) -> None:
    body = {"providers": ["cpu", "cuda"], "models": ["red-dense"], "iterations": 3}
    result = finish(client, client.post(URL, json=body))["result"]
    (pair,) = result["pairs"]
    assert (pair["differ"], pair["base"]["provider"]) == ("provider", "CPUExecutionProvider")


def test_empty_masks_agree() -> None:
    empty = np.zeros((4, 4), np.uint8)
    assert agree(empty, empty).dice == 1
    assert agree(empty, empty + np.uint8(255)).dice == 0


@pytest.mark.parametrize(
    "body",
    [
        {"iterations": 1},
        {"iterations": 100_000},
        {"iterations": "many"},
        {"warmup": -1},
        {"warmup": 100_000},
        {"batch": 0},
        {"batch": 1000},
        {"threads": 0},
        {"threads": 10_000},
        {"models": []},
        {"models": "red-dense"},
        {"models": ["red-dense", "red-dense/1"]},
        {"iteration": 5},
        {"providers": []},
        {"providers": ["cpu", "cpu"]},
        {"providers": ["auto", "cpu"]},
        {"providers": ["abacus"]},
        {"stages": []},
        {"stages": ["network", "network"]},
        {"stages": ["end_to_end"], "batch": 2},
        {"concurrency": 0},
        {"concurrency": 1000},
        ["red-dense"],
        7,
    ],
)
def test_bad_parameters(client: httpx.Client, body: object) -> None:
    check(client.post(URL, json=body), 422, "bad-parameter")


def test_a_field_that_is_no_list_comes_once(client: httpx.Client) -> None:
    files = {"file": ("frame.png", encode(split_frame()))}
    sent = {"data": {"iterations": ["1", "2"]}, "files": files}
    assert "iterations" in check(client.post(URL, **sent), 422, "bad-parameter")["detail"]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 60_000])
def test_bad_json(client: httpx.Client, body: bytes) -> None:
    check(client.post(URL, content=body, headers={"content-type": "application/json"}), 422, "bad-body")


def test_bad_requests(client: httpx.Client) -> None:
    check(client.post(URL, content=b"x", headers={"content-type": "text/plain"}), 415, "unsupported-media-type")
    check(client.post(URL, json={"models": ["absent"]}), 404, "unknown-model")
    check(client.post(URL, files={"file": ("f", b"no image")}), 415, "not-an-image")
    check(client.post(URL, files={"file": ("f", encode(split_frame())[:-40])}), 422, "corrupt-frame")
    check(client.post(URL, files={"file": ("f", b"")}), 422, "bad-body")
    check(client.get(f"{URL}/absent"), 404, "unknown-benchmark")


@pytest.fixture
def patient(models_dir: Path) -> Iterator[httpx.Client]:
    """A service whose benchmarks may take for ever."""
    settings = Settings(models_dir=models_dir, benchmark_max_iterations=ENDLESS, benchmark_max_seconds=1e6)
    with running(settings) as client:
        yield client


def test_one_at_a_time_and_stopped_at_shutdown(patient: httpx.Client) -> None:
    """The fixture's shutdown has to end the endless benchmark, or this test never returns."""
    first = patient.post(URL, json={"iterations": ENDLESS}).json()["id"]
    problem = check(patient.post(URL), 409, "benchmark-running")
    assert problem["id"] == first
    status = patient.get(f"{URL}/{first}").json()
    assert status["state"] == "running"
    assert status["progress"] < 1
    assert patient.post("/v1/segment", files={"file": encode(split_frame())}).status_code == 200


def test_time_limit_ends_early_with_what_is_done(serve: Serve) -> None:
    client = serve(benchmark_max_iterations=ENDLESS, benchmark_max_seconds=0.2)
    status = finish(client, client.post(URL, json={"iterations": ENDLESS}))
    assert status["state"] == "done"
    assert 2 <= status["result"]["iterations"] < ENDLESS


def test_time_limit_within_the_warm_up_fails(serve: Serve) -> None:
    client = serve(benchmark_max_iterations=ENDLESS, benchmark_max_seconds=0.05)
    status = finish(client, client.post(URL, json={"warmup": ENDLESS, "iterations": 2}))
    assert (status["state"], status["result"]) == ("failed", None)
    assert "left 0 rounds" in status["error"]


def test_old_results_are_dropped(serve: Serve) -> None:
    client = serve(benchmark_history=2)
    starts = []
    for _ in range(3):
        starts.append(client.post(URL, json={"iterations": 2}))
        finish(client, starts[-1])
    check(client.get(starts[0].headers["location"]), 404, "unknown-benchmark")
    assert client.get(starts[1].headers["location"]).json()["state"] == "done"


def test_graph_that_changed_since_is_not_measured(serve: Serve, tmp_path: Path) -> None:
    folder = write_model(tmp_path, "red")
    client = serve(models_dir=tmp_path)
    (folder / "model.onnx").write_bytes(red_graph(gain=0.1))
    status = finish(client, client.post(URL))
    assert status["state"] == "failed"
    assert "SHA-256" in status["error"]


def test_stopped_job_says_so(tmp_path: Path) -> None:
    model = load(write_model(tmp_path, "red"), threads=1, preference="cpu")
    benchmarks = Benchmarks(store=Store(tmp_path / "data", 3), preference="cpu", max_seconds=1e6, workers=1)
    job = Job(Spec(iterations=ENDLESS), [model], Sample.golden(model))
    benchmarks.start(job)
    with pytest.raises(BenchmarkRunning):
        benchmarks.start(Job(Spec(), [model], Sample.golden(model)))
    benchmarks.close()
    status = benchmarks.get(job.id)
    assert (status.state, status.error) == ("stopped", "The service was stopped.")


def test_what_is_not_stored_keeps_no_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.log, "disabled", True)  # pytest keeps records, and with an error its frames
    (tmp_path / "file").touch()
    model = load(write_model(tmp_path, "red"), threads=1, preference="cpu")
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    frame = weakref.ref(pixels)
    benchmarks = Benchmarks(store=Store(tmp_path / "file" / "data", 3), preference="cpu", max_seconds=60, workers=1)
    job = Job(Spec(iterations=2), [model], Sample.sent(encode(pixels), Frame(pixels, SIZE, SIZE)))
    benchmark = job.id
    benchmarks.start(job)
    del job, pixels
    while benchmarks.running:
        time.sleep(0.01)
    benchmarks.close()
    gc.collect()
    kept = benchmarks.get(benchmark)
    assert (kept.state, kept.progress) == ("done", 1)
    assert "memory only" in str(kept.warning)
    assert frame() is None


def test_a_thread_that_does_not_start_blocks_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(write_model(tmp_path, "red"), threads=1, preference="cpu")
    benchmarks = Benchmarks(store=Store(None, 3), preference="cpu", max_seconds=60, workers=1)

    def exhausted(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", exhausted)
        with pytest.raises(RuntimeError):
            benchmarks.start(Job(Spec(iterations=2), [model], Sample.golden(model)))
    benchmarks.start(Job(Spec(iterations=2), [model], Sample.golden(model)))
    benchmarks.close()


TIMES = np.array([[4.0, 12.0, 2.0, 8.0]] * 3)  # of a line-up in three rounds, seconds


@pytest.fixture
def line_up(tmp_path: Path) -> list[Contender]:
    """Dense, network and end to end, then pruned."""
    folder = write_pair(tmp_path)
    models = [load(folder / name / "1", threads=1, preference="cpu") for name in ("red-dense", "red-pruned")]
    mask = np.zeros((4, 4), np.uint8)
    stages: tuple[Stage, ...] = ("network", "end_to_end")
    return [Contender(model, CPU, stage, int, mask) for model in models for stage in stages]


def test_a_speedup_is_the_dense_time_over_the_pruned_one(line_up: list[Contender]) -> None:
    found = [(one.stage, one.speedup.mean) for one in pairs.compare(line_up, TIMES)]
    assert found == [("network", pytest.approx(2)), ("end_to_end", pytest.approx(1.5))]
    assert [one.ratio.mean for one in pairs.pairs(line_up, TIMES)] == [pytest.approx(3), pytest.approx(4)]
    speedup = measure._load(Level(2, np.ones((3, 4, 8)), TIMES), 2, line_up, 1).speedup
    assert speedup is not None
    assert speedup.mean == pytest.approx(2)


def test_openvino_in_bf16_is_a_provider_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_pair(tmp_path)
    models = [load(folder / name / "1", threads=1, preference="cpu") for name in ("red-dense", "red-pruned")]
    monkeypatch.setattr(Model, "reopened", lambda model, **_: model)
    spec = Spec(providers=["openvino", "openvino-bf16"])
    line_up = contender.line_up(spec, models, Sample.golden(models[0]), "cpu")
    assert len({one.provider for one in line_up}) == 2
    found = pairs.compare(line_up, np.array([[4.0, 2.0, 1.0, 0.5]] * 3))
    assert [one.speedup.mean for one in found] == [pytest.approx(2), pytest.approx(2)]


def test_frames_of_a_batch_count(client: httpx.Client) -> None:
    started = client.post(URL, json={"iterations": 2, "batch": 2, "models": ["red-dense"]})
    (model,) = finish(client, started)["result"]["models"]
    found = model["latency_ms"]
    assert found["frames_per_second"] == pytest.approx(2000 / found["mean"]["mean"])


def test_too_many_to_measure_at_once(serve: Serve, tmp_path: Path) -> None:
    for number in range(17):
        write_model(tmp_path, f"red-{number}")
    answer = serve(models_dir=tmp_path).post(URL, json={"stages": ["network", "end_to_end"]})
    assert "at most 32" in check(answer, 422, "bad-parameter")["detail"]


def test_results_that_the_store_does_not_take_are_bounded(tmp_path: Path) -> None:
    """They stay in memory, no more of them than it would keep."""
    (tmp_path / "file").write_text("")
    model = load(write_model(tmp_path / "models", "red"), threads=1, preference="cpu")
    store = Store(tmp_path / "file" / "data", 2)
    benchmarks = Benchmarks(store=store, preference="cpu", max_seconds=60, workers=1)
    jobs = [Job(Spec(iterations=2, warmup=0), [model], Sample.golden(model)) for _ in range(3)]
    for job in jobs:
        benchmarks.start(job)
        while benchmarks.running:
            time.sleep(0.01)
    assert [benchmarks.get(job.id).state for job in jobs[1:]] == ["done", "done"]
    with pytest.raises(ResultsUnavailable):
        benchmarks.get(jobs[0].id)
