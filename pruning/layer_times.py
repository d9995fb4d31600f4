"""Milliseconds of one layer by its widths: each is run alone in onnxruntime on this machine, once, and remembered.

A layer is measured at a few widths and interpolated between them. It runs between two poolings of 1×1, so that it
sees its channels in onnxruntime's blocked layout as within a network, and what counts is the time that onnxruntime's
own profile gives for the convolution, with its activation fused. What else a network does (joins, upsampling) is in
no table: `pruning.budgets` measures the whole network and corrects.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from scipy.interpolate import RegularGridInterpolator

from pruning.cost import Layer
from pruning.latency import machine
from pruning.runs import read_json, write_json
from pruning.sessions import session_options

RUNS = 10  # the fastest counts: whatever else the machine does only adds time
SHARES = (0.125, 0.25, 0.5, 1.0)  # of a layer's full width, rounded up to BLOCK
BLOCK = 16  # channels that onnxruntime computes at once with AVX-512; 8 with AVX2
LAYERS = ("Conv", "FusedConv", "ConvTranspose")
OPSET, IR = 18, 10


class LayerTimes:
    """A table of measured layers, kept in a file for this machine, onnxruntime and number of threads.

    Calling it gives the price of a layer, for `CostModel`.
    """

    def __init__(self, path: Path, full: dict[str, Layer], threads: int = 1) -> None:
        """Take up the table at `path` if it was measured under these conditions, and measure what it lacks.

        Args:
            full: the layers by name, at their greatest widths.
        """
        conditions = {"machine": machine(), "onnxruntime": onnxruntime.__version__, "threads": threads}
        stored = read_json(path) if path.is_file() else {}
        self.milliseconds: dict[str, float] = stored["milliseconds"] if stored.get("conditions") == conditions else {}
        self.threads = threads
        self.tables = {name: self._table(layer) for name, layer in full.items()}
        self.price = cache(self._price)
        write_json(path, {"conditions": conditions, "milliseconds": self.milliseconds})

    def __call__(self, layer: Layer, inputs: int, outputs: int) -> float:
        """Milliseconds of a layer at these widths; nothing for a batch norm, which is part of its convolution."""
        return 0.0 if layer.kind == "norm" else self.price(layer.name, inputs, outputs)

    def _price(self, name: str, inputs: int, outputs: int) -> float:
        table = self.tables[name]
        return float(table([inputs, outputs][-len(table.grid) :])[0])

    def _table(self, layer: Layer) -> RegularGridInterpolator:
        """By (inputs, outputs), or by outputs alone where the layer is depthwise; no channels take no time."""
        columns = lattice(layer.outputs)
        if layer.depthwise:
            times = np.array([self._time(layer, width, width) for width in columns])
            return RegularGridInterpolator((columns,), np.maximum.accumulate(times))
        rows = lattice(layer.inputs)
        times = np.array([[self._time(layer, i, o) for o in columns] for i in rows])
        # Wider is never faster: where it was measured so, that was noise.
        growing = np.maximum.accumulate(np.maximum.accumulate(times, axis=0), axis=1)
        return RegularGridInterpolator((rows, columns), growing)

    def _time(self, layer: Layer, inputs: int, outputs: int) -> float:
        if not inputs or not outputs:
            return 0.0
        kind = f"depthwise {layer.kind}" if layer.depthwise else layer.kind
        key = f"{kind} {layer.kernel} stride {layer.stride} on {layer.plane}: {inputs} -> {outputs}"
        if key not in self.milliseconds:
            self.milliseconds[key] = measure(layer, inputs, outputs, self.threads)
        return self.milliseconds[key]


def lattice(full: int) -> list[int]:
    """The widths that a layer of `full` channels is measured at, and 0: 96 gives 0, 16, 32, 48, 96."""
    return sorted({0, full, *(min(full, -(-int(share * full) // BLOCK) * BLOCK) for share in SHARES)})


def measure(layer: Layer, inputs: int, outputs: int, threads: int) -> float:
    """Milliseconds of the fastest of `RUNS` runs."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "layer")
        graph = layer_graph(layer, inputs, outputs).SerializeToString()
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        frame = np.random.default_rng(0).normal(size=(1, inputs, *layer.plane)).astype(np.float32)
        for _ in range(RUNS):
            session.run(None, {"x": frame})
        return fastest(json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")))


def fastest(events: list[dict[str, Any]]) -> float:
    """Milliseconds of the fastest run of the convolution in a profile, whose durations are microseconds."""
    return float(min(e["dur"] for e in events if e.get("args", {}).get("op_name") in LAYERS)) / 1e3


def layer_graph(layer: Layer, inputs: int, outputs: int) -> onnx.ModelProto:
    """Pooling of 1×1, the convolution, ReLU, pooling of 1×1."""
    grouped = inputs if layer.depthwise else 1
    shape = (inputs, outputs // grouped) if layer.kind == "transposed" else (outputs, inputs // grouped)
    weights = np.random.default_rng(0).normal(0, 0.05, (*shape, *layer.kernel)).astype(np.float32)
    settings = {"kernel_shape": layer.kernel, "strides": layer.stride, "group": grouped, "auto_pad": "SAME_UPPER"}
    operation = "ConvTranspose" if layer.kind == "transposed" else "Conv"
    nodes = [
        helper.make_node("MaxPool", ["x"], ["a"], kernel_shape=[1, 1]),
        helper.make_node(operation, ["a", "weights"], ["b"], **settings),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[1, 1]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, inputs, *layer.plane])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, outputs, None, None])
    graph = helper.make_graph(nodes, "layer", [x], [y], [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
