"""Dynamic batching and IO binding on the CPU, with real sessions and many threads."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app import model, registry
from app.batcher import Batcher, Line, Waiting
from app.binding import Bound
from app.device import CPU, DeviceOptions, tensorrt_options
from app.engine import Engine
from app.errors import Draining
from app.gate import Gate
from tests.app.test_load import FRAME, metric
from tests.conftest import Serve
from tests.synthetic import SIZE, picky_graph, red_graph

SIZES = (1, 2, 4, 8)


def opener(graph: bytes, options: DeviceOptions) -> Callable[[], Bound]:
    return partial(Bound, graph, size=(SIZE, SIZE), threads=1, preference="cpu", options=options)


def warm_up(engine: Engine, count: int) -> None:
    engine.run(np.zeros((count, SIZE, SIZE, 3), np.uint8))


def batcher(graph: bytes | None = None, delay_ms: float = 0, instances: int = 1) -> Batcher:
    options = DeviceOptions(instances=instances, sizes=SIZES, delay_ms=delay_ms)
    made = Batcher(opener(graph or red_graph(), options), options)
    made.prove(warm_up)
    return made


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def test_bound_memory_gives_what_a_session_gives_and_fills_up() -> None:
    plain = Engine(red_graph(), preference="cpu")
    bound = opener(red_graph(), DeviceOptions(sizes=(2, 8)))()
    assert bound.provider == CPU
    for count in (1, 2, 3, 8, 1):
        some = frames(count)
        np.testing.assert_array_equal(bound.run(some), plain.run(some))


def test_an_answer_is_not_touched_by_later_runs() -> None:
    bound = opener(red_graph(), DeviceOptions(sizes=(1,)))()
    first = bound.run(frames(1))
    kept = first.copy()
    bound.run(np.zeros((1, SIZE, SIZE, 3), np.uint8))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("instances", [1, 3])
def test_frames_of_many_threads_share_runs_and_get_their_own_answers(instances: int) -> None:
    shared = batcher(delay_ms=20, instances=instances)
    some = frames(64)
    expected = Engine(red_graph(), preference="cpu").run(some)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda frame: shared.run(frame[None]), some))
    np.testing.assert_array_equal(np.concatenate(answers), expected)
    assert sum(shared.runs.values()) < len(some)
    assert sum(int(name.split()[-1]) * count for name, count in shared.runs.items()) == len(some)
    shared.close()


def test_a_batch_larger_than_the_largest_is_split() -> None:
    shared = batcher()
    some = frames(11)
    np.testing.assert_array_equal(shared.run(some), Engine(red_graph(), preference="cpu").run(some))
    assert shared.runs == {"batch of 8": 1, "batch of 3": 1}


def test_a_frame_that_fails_costs_the_others_nothing() -> None:
    shared = batcher(picky_graph(), delay_ms=200)
    some = frames(8)
    some[:, 0, 0, 0] = 0
    some[5, 0, 0, 0] = 200  # this one the graph cannot do
    expected = Engine(red_graph(), preference="cpu").run(some)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(shared.run, frame[None]) for frame in some]
    assert shared.runs == {"batch of 8": 1}
    for index, answer in enumerate(answers):
        if index == 5:
            assert "out of data bounds" in str(answer.exception())
        else:
            np.testing.assert_array_equal(answer.result()[0], expected[index])


def test_first_come_first_served() -> None:
    line = Line(most=2, delay=0)
    waiting = line.join(frames(3))
    assert [[one.answer for one in line.take()] for _ in range(2)] == [waiting[:2], waiting[2:]]


def test_a_frame_does_not_wait_for_those_behind_it() -> None:
    line = Line(most=8, delay=30)
    (frame,) = frames(1)
    line._waiting.extend([Waiting(frame, since=time.monotonic() - 60), Waiting(frame)])
    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(line.take)
        try:
            assert len(batch.result(timeout=5)) == 2
        finally:
            line.close()


def test_closing_answers_those_who_wait_and_nobody_after() -> None:
    shared = batcher(delay_ms=60_000)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(shared.run, frame[None]) for frame in frames(3)]
        while len(shared._line._waiting) < 3:
            time.sleep(0.001)
        shared.close()
    assert [answer.result().shape for answer in answers] == 3 * [(1, SIZE, SIZE)]
    with pytest.raises(Draining):
        shared.run(frames(1))


def test_threads_end_when_nobody_has_the_sessions_any_more() -> None:
    before = set(threading.enumerate())
    shared = batcher(instances=2)
    started = set(threading.enumerate()) - before
    assert len(started) == 2
    del shared
    gc.collect()
    for thread in started:
        thread.join(20)
        assert not thread.is_alive()


def test_a_graph_that_cannot_be_opened_raises_where_it_was_asked_for() -> None:
    before = threading.active_count()
    with pytest.raises(Exception, match=r"ModelProto|protobuf"):
        batcher(b"no graph")
    gc.collect()
    while threading.active_count() > before:
        time.sleep(0.001)


def test_a_model_proves_each_session_with_each_size(models_dir: Path) -> None:
    options = DeviceOptions(instances=2, sizes=(1, 4), delay_ms=1)
    loaded = model.load(models_dir / "red-dense" / "1", threads=1, preference="cpu", options=options)
    assert isinstance(loaded.engine.sessions, Batcher)
    assert loaded.engine.in_flight == 3 * 4
    seen: list[int] = []
    again = Batcher(opener(red_graph(), options), options)
    again.prove(lambda _, count: seen.append(count))
    assert seen == [1, 4, 1, 4]


def test_no_batches_on_the_cpu_unless_asked_for(models_dir: Path) -> None:
    assert all(one.engine.in_flight == 0 for one in registry.scan(models_dir, threads=1, preference="cpu").ready)


def test_the_service_gives_the_same_masks_with_batches(client, serve: Serve) -> None:
    expected = client.post("/v1/segment", content=FRAME).content
    batched = serve(batch_delay_ms=5, provider="cpu", workers=0)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: batched.post("/v1/segment", content=FRAME), range(36)))
    assert all(answer.content == expected for answer in answers)
    page = batched.get("/metrics").text
    assert 'session="batch of ' in page
    assert metric(batched, f'polyprune_model_info{{model="red-dense/1",provider="{CPU}",variant="dense"}}') == 1
    assert batched.get("/readyz").json()["providers"] == {"red-dense/1": CPU, "red-pruned/1": CPU}
    config = batched.get("/v2/models/red-dense/config").json()
    assert config["instance_group"][0]["count"] > 16  # workers: more frames in flight than cores


def test_a_recording_is_alone() -> None:
    gate, inside, seen = Gate(), [0], []

    def visit(alone: bool) -> None:
        with gate.alone() if alone else gate.together():
            inside[0] += 1
            time.sleep(0.002)
            seen.append((alone, inside[0]))
            inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, [number % 5 == 0 for number in range(40)]))
    assert all(count == 1 for alone, count in seen if alone)
    assert any(count > 1 for alone, count in seen if not alone)


def test_a_run_that_fails_leaves_the_gate() -> None:
    gate, recorded = Gate(), threading.Event()
    with pytest.raises(ZeroDivisionError), gate.together():
        1 / 0  # noqa: B018

    def record() -> None:
        with gate.alone():
            recorded.set()

    threading.Thread(target=record, daemon=True).start()
    assert recorded.wait(5)


def test_tensorrt_keeps_what_it_builds_for_all_sizes(tmp_path: Path) -> None:
    chosen = tensorrt_options(DeviceOptions(sizes=(1, 8), engine_cache=tmp_path), (320, 256))
    assert chosen["trt_engine_cache_path"] == chosen["trt_timing_cache_path"] == str(tmp_path)
    assert chosen["trt_profile_min_shapes"] == "frames:1x320x256x3"
    assert chosen["trt_profile_max_shapes"] == "frames:8x320x256x3"
