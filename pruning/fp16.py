"""An exported graph in half precision, through onnxruntime's own converter."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16


def convert(graph: Path, target: Path) -> None:
    """Write an fp16 version of a graph: frames stay uint8, the probability float32."""
    model = onnx.load(graph)
    part_scales(model.graph)
    onnx.save(convert_float_to_float16(model, keep_io_types=["probability"]), target)


def part_scales(graph: onnx.GraphProto) -> None:
    """Give each Resize scales of its own: the converter casts those that are shared twice, under one name."""
    values = {value.name: value for value in graph.initializer}
    seen: set[str] = set()
    for node in graph.node:
        if node.op_type != "Resize" or len(node.input) < 3 or node.input[2] not in values:
            continue
        if node.input[2] in seen:
            copy = graph.initializer.add()
            copy.CopyFrom(values[node.input[2]])
            copy.name = f"{node.name}_scales"
            node.input[2] = copy.name
        seen.add(node.input[2])
