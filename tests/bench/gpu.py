"""The whole GPU path, exercised and measured: python -m tests.bench.gpu

1. The network alone, for each size of batch: a plain session, IO binding, CUDA graphs, and TensorRT where it is
   installed, in turns; frames a second, and ratios to the plain session within a round.
2. Frames of 32 threads through the batcher, with one and two instances.
3. The service as its own process over HTTP: throughput at several concurrencies as a share of the network's, and a
   client that sends 60 frames a second, with its p50 and p99.

Where there is no CUDA device it says so and ends well.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from app import cuda, latency, machine
from app.binding import Bound
from app.clock import Clock
from app.device import CPU, TENSORRT, DeviceOptions, Preference
from app.engine import Engine
from app.loader import Loader
from app.model import Model, load, read_graph
from app.registry import load_all
from tests.bench.overload import offer
from tests.bench.serving import hammer, poster, service
from tests.synthetic import colonoscopy, encode

HERTZ = 60


def main() -> None:
    """Measure and print."""
    options = _parse()
    if not cuda.devices():
        print("Skipped: the driver shows no CUDA device on this machine.")
        return
    print(machine.describe().model_dump_json())
    print(_devices())
    with ExitStack() as stack:
        cache = options.cache or Path(stack.enter_context(TemporaryDirectory()))
        found = load_all(Loader(options.models, threads=1, preference="cuda"))
        for refusal in found.refused:
            print(f"{refusal.id} is refused: {refusal.reason}")
        for model in found.ready:
            print(f"\n{model.id}: {model.manifest.precision}, {model.manifest.macs / 1e9:.2f} GMACs")
            model.engine.close()
            best = _network(model, options.sizes, options.rounds, cache)
            _batched(model, options.seconds)
            _served(model, options.models, options.seconds, options.concurrency, best)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="of batches")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0, help="per turn of the batcher and of HTTP")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--cache", type=Path, help="folder of TensorRT's engines; a temporary one otherwise")
    return parser.parse_args()


def _devices() -> str:
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()


def _network(model: Model, sizes: Sequence[int], rounds: int, cache: Path) -> float:
    """A line for each size of batch and way to run it; the most frames a second of all."""
    best = 0.0
    for size in sizes:
        ways = _ways(model, DeviceOptions(sizes=(size,), engine_cache=cache))
        frames = np.repeat(model.golden.frame[None], size, axis=0)
        runs = [partial(engine.run, frames) for engine in ways.values()]
        seconds = latency.interleave(runs, iterations=rounds, warmup=10, proceed=lambda _: True)  # [rounds, ways]
        for index, (name, engine) in enumerate(ways.items()):
            found, ratio = latency.summarise(seconds[:, index], size), latency.speedup(seconds[:, 0], seconds[:, index])
            best = max(best, found.frames_per_second)
            print(
                f"  batch {size:3d}  {name:10s}  {found.frames_per_second:8.0f} frames/s  p50 {found.p50:7.3f} ms"
                f"  p99 {found.p99:7.3f} ms  {ratio.mean:5.2f}x plain ({ratio.low:.2f} to {ratio.high:.2f})"
                f"  {engine.provider}"
            )
    return best


def _ways(model: Model, options: DeviceOptions) -> dict[str, Engine]:
    graph = read_graph(model.folder, model.manifest)
    size = (model.manifest.input.height, model.manifest.input.width)

    def bound(preference: Preference, used: DeviceOptions) -> Bound:
        return Bound(graph, size=size, threads=1, preference=preference, options=used)

    ways: dict[str, Engine] = {
        "plain": Engine(graph, preference="cuda"),
        "IO binding": bound("cuda", options),
        "graphs": bound("cuda", replace(options, graphs=True)),
    }
    if TENSORRT in onnxruntime.get_available_providers():
        ways["TensorRT"] = bound("tensorrt", options)
    return {name: engine for name, engine in ways.items() if _is_there(name, engine)}


def _is_there(name: str, engine: Engine) -> bool:
    if name == "TensorRT" and engine.provider != TENSORRT:
        print(f"  no TensorRT: the session runs on {engine.provider}, see docs/gpu.md")
        return False
    if engine.provider == CPU:
        sys.exit("There is a CUDA device, but sessions run on the CPU: see docs/gpu.md.")
    return True


def _batched(model: Model, seconds: float) -> None:
    frames = model.golden.frame[None]
    for graphs in (False, True):
        for instances in (1, 2):
            options = DeviceOptions(instances=instances, sizes=(1, 2, 4, 8, 16), graphs=graphs)
            engine = load(model.folder, threads=1, preference="cuda", options=options).engine
            taken = hammer(lambda engine=engine: lambda: engine.run(frames, Clock()), 32, seconds)
            print(
                f"  batcher, {instances} instances, graphs {graphs!s:5s}  {len(taken) / seconds:8.0f} frames/s"
                f"  p99 {1e3 * np.percentile(taken, 99):7.3f} ms"
            )
            engine.close()


def _served(model: Model, models_dir: Path, seconds: float, concurrency: Sequence[int], best: float) -> None:
    data = encode(colonoscopy(512, 640), "JPEG", quality=90)
    for graphs in ("false", "true"):
        with service(models_dir, model.id, POLYPRUNE_PROVIDER="cuda", POLYPRUNE_CUDA_GRAPHS=graphs) as server:
            port = server.port
            hammer(partial(poster, port, data), 4, 2)  # warm-up
            for clients in concurrency:
                taken = _clients(port, data, clients, seconds)
                rate = len(taken) / seconds
                print(
                    f"  HTTP, graphs {graphs:5s} {clients:3d} clients  {rate:8.0f} frames/s  {rate / best:5.2f} of the"
                    f" network  p50 {1e3 * np.median(taken):7.2f} ms  p99 {1e3 * np.percentile(taken, 99):7.2f} ms"
                )
            paced = asyncio.run(offer(port, data, HERTZ, max(seconds, 5)))
            p50, p99 = 1e3 * np.percentile(paced.accepted, [50, 99])
            print(f"  HTTP, graphs {graphs:5s} paced at {HERTZ} Hz  p50 {p50:7.2f} ms  p99 {p99:7.2f} ms")


def _clients(port: int, data: bytes, count: int, seconds: float) -> list[float]:
    """Each in a process of its own, since Python's threads would share one core."""
    with ProcessPoolExecutor(count) as pool:
        turns = [pool.submit(_client, port, data, seconds) for _ in range(count)]
    return [taken for turn in turns for taken in turn.result()]


def _client(port: int, data: bytes, seconds: float) -> list[float]:
    return hammer(lambda: poster(port, data), 1, seconds)


if __name__ == "__main__":
    main()
