"""What HTTP, decoding and encoding cost on top of the network: python -m tests.bench.serving

Starts the service as its own process and a raw onnxruntime loop beside it (one thread a core, each with its
own runs of one session, on frames that are ready), and lets them take turns for some rounds. Printed are the
rounds' ratios, so that another load on the machine falls on both.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from app import machine, registry
from app.engine import Engine
from app.model import Model
from app.registry import Registry
from tests.synthetic import colonoscopy, encode, manifest

SIDE = 256
CHANNELS = (3, 32, 48, 48, 48, 1)  # 0.93 GMACs, at 128 x 128
PATH = "/v1/segment"


def conv_graph() -> bytes:
    """A plain convolutional network of random weights that keeps the contract and costs about what ours do."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["frames"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["x0"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    weights = []
    for index, (before, after) in enumerate(pairwise(CHANNELS)):
        values = random.normal(0, 0.05, (after, before, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{index}"))
        nodes.append(helper.make_node("Conv", [f"x{index}", f"w{index}"], [f"c{index}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"x{index + 1}"]))
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    axis = numpy_helper.from_array(np.array([1]), "axis")
    nodes += [
        helper.make_node("Resize", [f"x{len(CHANNELS) - 1}", "", "scales"], ["large"], mode="linear"),
        helper.make_node("Squeeze", ["large", "axis"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", SIDE, SIDE])],
        [*weights, scales, axis],
    )
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def write_network(models_dir: Path) -> None:
    """The network above as a model folder."""
    graph = conv_graph()
    folder = models_dir / "convolutions" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph)
    fields = manifest("convolutions", "1", graph, input={"height": SIDE, "width": SIDE, "fit": "stretch"})
    (folder / "manifest.json").write_text(json.dumps(fields))
    frame = colonoscopy(SIDE, SIDE)
    np.savez(folder / "golden.npz", frame=frame, probability=Engine(graph, preference="cpu").run(frame[None])[0])


@contextmanager
def service(models_dir: Path, model: str) -> Iterator[int]:
    """The service as its own process on the CPU, and its port."""
    variables = {
        "POLYPRUNE_MODELS_DIR": str(models_dir),
        "POLYPRUNE_DEFAULT_MODEL": model,
        "POLYPRUNE_PORT": "0",
        "POLYPRUNE_PROVIDER": "cpu",
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


def scan(models_dir: Path, made: Path) -> Registry:
    """The folder's models, or the network above, written to `made`, where it has none that is ready."""
    found = registry.scan(models_dir, threads=1, preference="cpu")
    if found.ready:
        return found
    write_network(made)
    return registry.scan(made, threads=1, preference="cpu")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--model", help="name or name/version; the default model otherwise")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per turn")
    options = parser.parse_args()
    data = encode(colonoscopy(512, 640), "JPEG", quality=90)
    with tempfile.TemporaryDirectory() as made:
        model = scan(options.models, Path(made)).resolve(options.model)
        with service(model.folder.parent.parent, model.id) as port:
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
