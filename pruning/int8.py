"""An exported graph in 8-bit integers: static quantisation in the QDQ format, through onnxruntime.quantization.

Weights are int8 per output channel, activations uint8 per tensor over the range of nearly all of their values on
training frames (Jacob et al., CVPR 2018, section 2). Weights use 7 of their 8 bits, since processors without VNNI
add up pairs of products in 16 bits: 2 × 255 × 64 fits, 2 × 255 × 127 saturates. Depthwise convolutions are not
computed in that way, and use all 8. Biases are corrected afterwards. What it costs: docs/precision.md; other choices:
tests/bench/precision.py.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from pruning.bias_correction import CONVOLUTIONS, correct
from pruning.data import Pair
from pruning.fit import fit
from pruning.rewriting import copy_whole_pixels
from pruning.sessions import input_size, open_session

FRAMES = 16  # of the training part, whose activations give the ranges
CHOICES: dict[str, Any] = {
    "quant_format": QuantFormat.QDQ,
    "per_channel": True,
    "reduce_range": True,  # 7 bits
    "activation_type": QuantType.QUInt8,
    "weight_type": QuantType.QInt8,
    "calibrate_method": CalibrationMethod.Percentile,
}
EXTRAS: dict[str, Any] = {
    "CalibPercentile": 99.99,  # of the values: what lies farther out costs the others their steps
    "CalibStridedMinMax": 1,  # frames whose activations are in memory at once, whatever the method
}
WHOLE_RANGE = [{"quant_type": QuantType.QInt8, "axis": 0, "reduce_range": False}]  # of a weight, by output channel


class Reader:
    """Frames at the network's size, decoded one at a time as the quantiser asks for them (`CalibrationDataReader`)."""

    def __init__(self, pairs: list[Pair], size: int) -> None:
        self._pairs, self._size = pairs, size
        self.set_range(0, len(pairs))

    def __len__(self) -> int:
        return len(self._pairs)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give only the frames from the first index to before the second."""
        self._frames = self.frames(start_index, end_index)

    def frames(self, start: int = 0, end: int | None = None) -> Iterator[npt.NDArray[np.uint8]]:
        """Each frame from `start` to before `end`, uint8 [1, S, S, 3]."""
        return (fit(pair.read()[0], self._size)[None] for pair in self._pairs[start:end])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """`frames`, uint8 [1, S, S, 3]; None after the last."""
        frame = next(self._frames, None)
        return None if frame is None else {"frames": frame}


def sample(training: list[Pair], seed: int) -> list[Pair]:
    """The training pairs whose activations are looked at, drawn by the seed."""
    drawn = np.random.default_rng(seed).permutation(len(training))[:FRAMES]
    return [training[index] for index in sorted(drawn)]


def convert(
    graph: Path,
    target: Path,
    pairs: list[Pair],
    extras: dict[str, Any] | None = None,
    *,
    corrected: bool = True,
    **others: Any,
) -> None:
    """Write an int8 version of a graph whose activations range as they do on these pairs.

    Args:
        corrected: whether biases make up for what rounding moves the means by.
        extras: of `quantize_static`'s `extra_options`, in place of ours, to measure them.
        others: of its other settings, likewise.
    """
    with TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        model = onnx_ir.load(graph)
        copy_whole_pixels(model)
        onnx_ir.save(model, prepared)
        quant_pre_process(prepared, prepared, skip_symbolic_shape=True)  # folds what it can, and infers shapes
        layers = onnx.load(prepared).graph
        overrides = {"TensorQuantOverrides": dict.fromkeys(depthwise_weights(layers), WHOLE_RANGE)}
        extra_options = {**EXTRAS, **overrides, **(extras or {})}
        settings = {**CHOICES, "nodes_to_exclude": float_nodes(layers), "extra_options": extra_options, **others}
        reader = Reader(pairs, input_size(open_session(graph)))
        quantize_static(prepared, target, reader, **settings)
        if corrected:
            low = onnx.load(target)
            correct(onnx.load(prepared), low, list(reader.frames()))
            onnx.save(low, target)


def depthwise_weights(graph: onnx.GraphProto) -> list[str]:
    """Names of the weights of convolutions that have one input and one output channel in each group."""
    shapes = {value.name: tuple(value.dims) for value in graph.initializer}
    grouped = [node for node in graph.node if node.op_type == "Conv" and _groups(node) > 1]
    return [node.input[1] for node in grouped if shapes.get(node.input[1], ())[:2] == (_groups(node), 1)]


def float_nodes(graph: onnx.GraphProto) -> list[str]:
    """What stays float: all up to the first convolution, and all from the last one on.

    They read the picture and write the probability, where 256 steps are too few, and cost little.
    """
    places = [place for place, node in enumerate(graph.node) if node.op_type in CONVOLUTIONS]
    return [node.name for node in [*graph.node[: places[0] + 1], *graph.node[places[-1] :]]]


def _groups(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


@contextmanager
def _quiet() -> Iterator[None]:
    # The quantiser speaks to the root logger, of pre-processing that was done and of what it removes, and prints.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
