"""What HTTP, decoding and encoding cost on top of the network: python -m tests.bench.serving

Starts the service as its own process with one model and a raw onnxruntime loop beside it (one thread a core, each with
its own runs of one session, on frames that are ready), and lets them take turns for some rounds. Then the same with
the service and the raw loop held to one core (taskset) and the clients on the others, where the CPU that a request
takes of the service can be told from the network's own. Printed are the rounds' ratios and differences, so that another
load on the machine falls on both.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app import machine, registry
from app.engine import Engine
from app.model import Model, read_graph
from tests.bench.server import Server, free_port, started
from tests.synthetic import colonoscopy, encode

PATH = "/v1/segment"
SIZES = {"640 x 512": (512, 640), "1920 x 1080": (1080, 1920)}  # height, width
FIRST = "640 x 512"
CLIENTS = 2  # of one core: while one waits for its answer the other's request is there
MEGA = 2**20

Figures = dict[str, list[float]]  # by round
LINES = {
    "ready": ("from start to ready, s", 1),
    "resident": ("resident memory with one model, MiB", 1 / MEGA),
    "raw 1": ("raw run, 1 thread, median ms", 1e3),
    "raw lone": ("raw run, all cores on a frame, median ms", 1e3),
    "raw all": ("raw runs a second, one thread a core", 1),
    "p50 1": ("p50 at 1 client over a raw run of 1 thread", 1),
    "p50 lone": ("p50 at 1 client over a raw run of all cores", 1),
    "p50 4": ("p50 at 4 clients over a raw run of 1 thread", 1),
    "rate 1": ("throughput at 1 client over raw", 1),
    "rate 4": ("throughput at 4 clients over raw", 1),
    "core raw": ("one core: raw runs a second", 1),
    "core cpu": ("one core: CPU of a raw run, ms", 1e3),
    **{f"rate {size}": (f"one core: frames/s, JPEG of {size}", 1) for size in SIZES},
    **{f"cpu {size}": (f"one core: service's CPU over it, ms, {size}", 1e3) for size in SIZES},
}


@contextmanager
def service(models_dir: Path, model: str, *prefix: str, **settings: str) -> Iterator[Server]:
    """The service as its own process on the CPU; the prefix is a program that runs it."""
    port = free_port()
    variables = {
        "POLYPRUNE_MODELS_DIR": str(models_dir),
        "POLYPRUNE_DEFAULT_MODEL": model,
        "POLYPRUNE_PORT": str(port),
        "POLYPRUNE_PROVIDER": "cpu",
        **settings,
    }
    with started([*prefix, sys.executable, "-m", "app"], port, "/readyz", variables) as server:
        yield server


@contextmanager
def alone(model: Model) -> Iterator[Path]:
    """A models folder with this one and no other."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(model.folder, Path(folder) / model.manifest.name / model.manifest.version)
        yield Path(folder)


def hammer(make: Callable[[], Callable[[], object]], threads: int, seconds: float) -> list[float]:
    """Call in several threads for a while, each with a callable of its own; seconds of each call."""
    taken: list[float] = []
    deadline = time.perf_counter() + seconds

    def work() -> None:
        call = make()
        while (start := time.perf_counter()) < deadline:
            call()
            taken.append(time.perf_counter() - start)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return taken


def poster(port: int, data: bytes) -> Callable[[], object]:
    """Posts one frame over a connection that is kept."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def post() -> None:
        connection.request("POST", PATH, data, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()

    return post


def pinned(cores: set[int], call: Callable[[], object]) -> Callable[[], object]:
    """The same call, after the thread that is here has been held to these cores."""
    os.sched_setaffinity(0, cores)
    return call


def raw_run(model: Model, threads: int) -> Callable[[], object]:
    """Runs the network alone, on a frame that is ready, in a new session with so many threads."""
    engine = Engine(read_graph(model.folder, model.manifest), threads=threads, preference="cpu")
    return partial(engine.run, model.golden.frame[None])


def measure(model: Model, server: Server, data: bytes, rounds: int, seconds: float) -> Figures:
    """Turns of raw runs and of 1 and 4 clients, on all cores."""
    run, run_on_all = raw_run(model, 1), raw_run(model, machine.cores())
    one_thread, all_threads = partial(hammer, lambda: run), partial(hammer, lambda: run_on_all)
    web = partial(hammer, lambda: poster(server.port, data))
    figures: Figures = {"ready": [server.ready], "resident": []}
    for _ in range(rounds):
        single, all_cores = one_thread(1, seconds), one_thread(machine.cores(), seconds)
        lone, one, four = all_threads(1, seconds), web(1, seconds), web(4, seconds)
        raw, raw_rate = float(np.median(single)), len(all_cores) / seconds
        found = {
            "raw 1": raw,
            "raw lone": float(np.median(lone)),
            "raw all": raw_rate,
            "p50 1": float(np.median(one)) / raw,
            "p50 lone": float(np.median(one) / np.median(lone)),
            "p50 4": float(np.median(four)) / raw,
            "rate 1": len(one) / seconds / raw_rate,
            "rate 4": len(four) / seconds / raw_rate,
            "resident": server.resident(),
        }
        note(figures, found)
    return figures


def measure_core(model: Model, server: Server, core: int, rounds: int, seconds: float) -> Figures:
    """Turns of raw runs and of frames of each size, on one core."""
    others = os.sched_getaffinity(0) - {core} or {core}
    frames = {size: encode(colonoscopy(*shape), "JPEG", quality=90) for size, shape in SIZES.items()}
    run = raw_run(model, 1)
    figures: Figures = {}
    for _ in range(rounds):
        before = time.process_time()
        raw = hammer(lambda: pinned({core}, run), 1, seconds)
        network = (time.process_time() - before) / len(raw)
        note(figures, {"core raw": len(raw) / seconds, "core cpu": network})
        for size, data in frames.items():
            start = server.cpu()
            answered = hammer(lambda data=data: pinned(others, poster(server.port, data)), CLIENTS, seconds)
            cpu = (server.cpu() - start) / len(answered)
            note(figures, {f"rate {size}": len(answered) / seconds, f"cpu {size}": cpu - network})
    return figures


def note(figures: Figures, found: dict[str, float]) -> None:
    """Add a round's values."""
    for name, value in found.items():
        figures.setdefault(name, []).append(value)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--model", help="name or name/version; the default model otherwise")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per turn")
    options = parser.parse_args()
    model = registry.scan(options.models, threads=1, preference="cpu").resolve(options.model)
    data = encode(colonoscopy(*SIZES[FIRST]), "JPEG", quality=90)
    core = min(os.sched_getaffinity(0))
    with alone(model) as folder:
        with service(folder, model.id) as server:
            hammer(lambda: poster(server.port, data), 2, 1)  # warm-up
            figures = measure(model, server, data, options.rounds, options.seconds)
        with service(folder, model.id, "taskset", "--cpu-list", str(core)) as server:
            hammer(lambda: poster(server.port, data), 2, 1)
            figures |= measure_core(model, server, core, options.rounds, options.seconds)
    show(model, figures, f"JPEG of {FIRST}, {len(data)} bytes; {options.rounds} rounds, {options.seconds} s a turn")


def show(model: Model, figures: Figures, setup: str) -> None:
    """Print the machine and the figures with their spread over the rounds."""
    print(machine.describe().model_dump_json())
    print(f"{model.id}; {setup}")
    print("\n".join(lines(figures)))


def lines(figures: Figures) -> list[str]:
    """A line for each figure: median, and the spread over the rounds where there is more than one value."""
    return [_line(meaning, scale * np.array(figures[name])) for name, (meaning, scale) in LINES.items()]


def _line(meaning: str, values: NDArray[np.float64]) -> str:
    spread = f"  (rounds {values.min():.2f} to {values.max():.2f})" if len(values) > 1 else ""
    return f"{meaning:<46} {np.median(values):7.2f}{spread}"


if __name__ == "__main__":
    main()
