"""Bias correction: what quantisation moves the mean of each channel by is taken off the layer's bias.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2,
with means that are measured on frames. Rounding errors of weights do not cancel where few of them are large: they move
a channel's mean, and the layers after it see another picture than they were trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnxruntime import InferenceSession

CONVOLUTIONS = ("Conv", "ConvTranspose")

Bytes = npt.NDArray[np.uint8]
Means = npt.NDArray[np.float64]


def correct(full: onnx.ModelProto, low: onnx.ModelProto, frames: Sequence[Bytes]) -> None:
    """Correct the biases of a QDQ graph in place, from the first layer to the last, each after those before it.

    Args:
        full: the graph that `low` was made of; its convolutions have the same names.
        frames: uint8 [1, S, S, 3] each.
    """
    constants = {value.name: value for value in low.graph.initializer}
    sources = {node.output[0]: node for node in low.graph.node if node.op_type == "DequantizeLinear"}
    # By node: the quantiser may give a layer the name of the output of the activation that it takes in.
    outputs = {node.name: node.output[0] for node in full.graph.node if node.op_type in CONVOLUTIONS}
    wanted = means(full, list(outputs.values()), frames)
    for layer in [node for node in low.graph.node if node.op_type in CONVOLUTIONS and len(node.input) > 2]:
        bias = sources.get(layer.input[2])
        if bias is None:  # a layer that stays float
            continue
        (found,) = means(low, [layer.output[0]], frames).values()
        scale = numpy_helper.to_array(constants[bias.input[1]]).astype(np.float64)
        moved = np.rint((wanted[outputs[layer.name]] - found) / scale).astype(np.int32)
        steps = numpy_helper.to_array(constants[bias.input[0]]) + moved
        constants[bias.input[0]].CopyFrom(numpy_helper.from_array(steps, bias.input[0]))


def means(model: onnx.ModelProto, names: Sequence[str], frames: Sequence[Bytes]) -> dict[str, Means]:
    """Mean of each channel, float64 [C], of these tensors [1, C, H, W] over the frames."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    sums = [[value.mean((0, 2, 3), dtype=np.float64) for value in session.run(names, {"frames": f})] for f in frames]
    return {name: np.mean(values, axis=0) for name, values in zip(names, zip(*sums, strict=True), strict=True)}
