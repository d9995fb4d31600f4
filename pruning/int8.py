"""An exported graph in 8-bit integers: static quantisation in the QDQ format, through onnxruntime.quantization.

Weights are int8 per output channel, activations uint8 per tensor over the range that training frames gave them
(Jacob et al., CVPR 2018, section 2). What it costs: docs/precision.md; other choices: tests/bench/precision.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from pruning.data import Pair, fit
from pruning.sessions import input_size, open_session

FRAMES = 64  # of the training part, whose activations give the ranges
CONVOLUTIONS = ("Conv", "ConvTranspose")
CHOICES: dict[str, Any] = {
    "quant_format": QuantFormat.QDQ,
    "per_channel": True,
    "activation_type": QuantType.QUInt8,
    "weight_type": QuantType.QInt8,
    "calibrate_method": CalibrationMethod.MinMax,
}


class Reader:
    """Frames at the network's size, decoded one at a time as the quantiser asks for them (`CalibrationDataReader`)."""

    def __init__(self, pairs: list[Pair], size: int) -> None:
        self._frames = (fit(pair.read()[0], size)[None] for pair in pairs)

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """`frames`, uint8 [1, S, S, 3]; None after the last."""
        frame = next(self._frames, None)
        return None if frame is None else {"frames": frame}


def sample(training: list[Pair], seed: int) -> list[Pair]:
    """The training pairs whose activations are looked at, drawn by the seed."""
    drawn = np.random.default_rng(seed).permutation(len(training))[:FRAMES]
    return [training[index] for index in sorted(drawn)]


def convert(graph: Path, target: Path, pairs: list[Pair], **others: Any) -> None:
    """Write an int8 version of a graph whose activations range as they do on these pairs.

    Args:
        others: settings of `quantize_static` in place of ours, to measure them.
    """
    with TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(graph, prepared, skip_symbolic_shape=True)  # folds what it can, and infers shapes
        settings = {**CHOICES, "nodes_to_exclude": float_nodes(onnx.load(prepared).graph), **others}
        quantize_static(prepared, target, Reader(pairs, input_size(open_session(graph))), **settings)


def float_nodes(graph: onnx.GraphProto) -> list[str]:
    """What stays float: all up to the first convolution, and all from the last one on.

    They read the picture and write the probability, where 256 steps are too few, and cost little.
    """
    places = [place for place, node in enumerate(graph.node) if node.op_type in CONVOLUTIONS]
    return [node.name for node in [*graph.node[: places[0] + 1], *graph.node[places[-1] :]]]


@contextmanager
def _quiet() -> Iterator[None]:
    # The quantiser speaks to the root logger: of pre-processing that was done, and of what it removes.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
