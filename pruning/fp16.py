"""An exported graph in half precision, through onnxruntime's own converter."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16


def convert(graph: Path, target: Path) -> None:
    """Write an fp16 version of a graph: frames stay uint8, the probability float32."""
    onnx.save(convert_float_to_float16(onnx.load(graph), keep_io_types=["probability"]), target)
