"""What HTTP, decoding and encoding cost on top of the network: python -m tests.bench.serving

Starts the service as its own process and a raw onnxruntime loop beside it (one thread a core, each with its
own runs of one session, on frames that are ready), and lets them take turns for some rounds. Printed are the
rounds' ratios, so that another load on the machine falls on both.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from app import machine, registry
from app.model import Model
from tests.synthetic import colonoscopy, encode

PATH = "/v1/segment"


@contextmanager
def service(models_dir: Path, model: str, **more: str) -> Iterator[int]:
    """The service as its own process, on the CPU unless more variables say otherwise, and its port."""
    variables = {
        "POLYPRUNE_MODELS_DIR": str(models_dir),
        "POLYPRUNE_DEFAULT_MODEL": model,
        "POLYPRUNE_PORT": "0",
        "POLYPRUNE_PROVIDER": "cpu",
        **more,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    ports = (re.search(r"http://127\.0\.0\.1:(\d+)", line) for line in process.stderr)
    port = int(next(found[1] for found in ports if found))
    threading.Thread(target=process.stderr.read, daemon=True).start()  # else its access log fills the pipe
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


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


def measure(model: Model, port: int, data: bytes, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Turns of raw runs and of 1 and 4 clients; figures by round."""
    engine = model.new_engine(threads=1, preference="cpu")
    tensor = model.golden.frame[None]
    raw = partial(hammer, lambda: lambda: engine.run(tensor))
    web = partial(hammer, lambda: poster(port, data))
    figures: dict[str, list[float]] = {name: [] for name in ("raw 1", "raw all", "p50 1", "p50 4", "rate 1", "rate 4")}
    for _ in range(rounds):
        alone, all_cores = raw(1, seconds), raw(machine.cores(), seconds)
        one, four = web(1, seconds), web(4, seconds)
        figures["raw 1"].append(float(np.median(alone)))
        figures["raw all"].append(len(all_cores) / seconds)
        figures["p50 1"].append(float(np.median(one)) / figures["raw 1"][-1])
        figures["p50 4"].append(float(np.median(four)) / figures["raw 1"][-1])
        figures["rate 1"].append(len(one) / seconds / figures["raw all"][-1])
        figures["rate 4"].append(len(four) / seconds / figures["raw all"][-1])
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--model", help="name or name/version; the default model otherwise")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per turn")
    options = parser.parse_args()
    data = encode(colonoscopy(512, 640), "JPEG", quality=90)
    model = registry.scan(options.models, threads=1, preference="cpu").resolve(options.model)
    with service(options.models, model.id) as port:
        hammer(lambda: poster(port, data), 2, 1)  # warm-up
        figures = measure(model, port, data, options.rounds, options.seconds)
    show(model, figures, f"JPEG of 640 x 512, {len(data)} bytes; {options.rounds} rounds, {options.seconds} s a turn")


def show(model: Model, figures: dict[str, list[float]], setup: str) -> None:
    """Print the machine and the figures with their spread over the rounds."""
    print(machine.describe().model_dump_json())
    print(f"{model.id}; {setup}")
    lines = {
        "raw 1": ("raw run, 1 thread, median ms", 1e3),
        "raw all": (f"raw runs a second, {machine.cores()} threads", 1),
        "p50 1": ("p50 at 1 client over a raw run", 1),
        "p50 4": ("p50 at 4 clients over a raw run", 1),
        "rate 1": ("throughput at 1 client over raw", 1),
        "rate 4": ("throughput at 4 clients over raw", 1),
    }
    for name, (meaning, scale) in lines.items():
        values = scale * np.array(figures[name])
        print(f"{meaning:<34} {np.median(values):7.2f}  (rounds {values.min():.2f} to {values.max():.2f})")


if __name__ == "__main__":
    main()
