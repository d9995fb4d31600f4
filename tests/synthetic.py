"""Frames and models made up on the spot, so that what comes out can be worked out by hand.

The network is one whose probability is a pixel's red share times a gain: five nodes, and a real session.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from app.fit import Fit
from app.frames import Frame

Pixels = NDArray[np.uint8]
SIZE = 64  # of the network, a square


def colonoscopy(height: int = 96, width: int = 128) -> Pixels:
    """A dim frame uint8 [height, width, 3] with one bright red ellipse and a bluish speck, asymmetric."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = 20 + 40 * x / width
    pixels[..., 1] = 30 + 30 * y / height
    polyp = ((x / width - 0.3) / 0.18) ** 2 + ((y / height - 0.35) / 0.2) ** 2 <= 1
    pixels[polyp] = (230, 60, 50)
    pixels[int(0.8 * height) :, : width // 8] = (10, 20, 200)
    return pixels


def blocks(height: int, width: int, scale: int) -> Pixels:
    """Red or black squares of scale x scale pixels, uint8 [height, width, 3], at random but always the same."""
    coarse = np.random.default_rng(7).random((height // scale, width // scale)) < 0.4
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.kron(coarse, np.full((scale, scale), 255))
    return pixels


def bordered(height: int, width: int, *, rows: slice, columns: slice) -> Pixels:
    """A black frame uint8 [height, width, 3] with a picture, 60 to 250, in these rows and columns."""
    pixels = np.zeros((height, width, 3), np.uint8)
    inside = pixels[rows, columns]
    inside[:] = np.random.default_rng(0).integers(60, 251, inside.shape)
    return pixels


def whole(frame: Frame) -> Fit:
    """The fit of a frame to a network of the frame's own size, which sees all of it."""
    part = (slice(0, frame.height), slice(0, frame.width))
    return Fit(frame.height, frame.width, frame.height, frame.width, part)


def encode(pixels: NDArray[Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as a file of this kind."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(data: bytes) -> NDArray[Any]:
    """A file's pixels, as Pillow reads them."""
    return np.asarray(Image.open(io.BytesIO(data)))


def red_graph(
    height: int = SIZE,
    width: int = SIZE,
    gain: float = 1.0,
    batch: int | str = "N",
    input_name: str = "frames",
    output_name: str = "probability",
    output_type: int = TensorProto.FLOAT,
) -> bytes:
    """An ONNX graph: frames uint8 [N, H, W, 3] -> red / 255 x gain, float32 [N, H, W]."""
    nodes = [
        helper.make_node("Gather", [input_name, "red"], ["channel"], axis=3),
        helper.make_node("Cast", ["channel"], ["level"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["level", "scale"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], [output_name], to=output_type),
    ]
    values = {"red": np.int64(0), "scale": np.float32(gain / 255), "low": np.float32(0), "high": np.float32(1)}
    graph = helper.make_graph(
        nodes,
        "red",
        [helper.make_tensor_value_info(input_name, TensorProto.UINT8, [batch, height, width, 3])],
        [helper.make_tensor_value_info(output_name, output_type, [batch, height, width])],
        [numpy_helper.from_array(np.array(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def picky_graph() -> bytes:
    """A red graph that fails at run time on frames whose first sample is above 127: an index out of its table."""
    model = onnx.load_from_string(red_graph())
    add = [
        helper.make_node("Slice", ["frames", "starts", "ends", "axes"], ["corner"]),
        helper.make_node("Cast", ["corner"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["looked_up"]),
        helper.make_node("Squeeze", ["looked_up", "last"], ["offset"]),
    ]
    values = {
        "starts": np.int64([0, 0, 0]),
        "ends": np.int64([1, 1, 1]),
        "axes": np.int64([1, 2, 3]),
        "table": np.zeros(128, np.float32),
        "last": np.int64([3]),
    }
    *before, cast = model.graph.node
    before[1].output[0] = "plain_level"
    sum_up = helper.make_node("Add", ["plain_level", "offset"], ["level"])
    nodes = [*add, *before[:2], sum_up, *before[2:], cast]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in values.items())
    onnx.checker.check_model(model)
    return model.SerializeToString()


def greedy_graph() -> bytes:
    """A red graph that asks for 2^50 bytes at run time on frames whose first sample is above 127."""
    model = onnx.load_from_string(picky_graph())
    index = [node.output[0] for node in model.graph.node].index("looked_up")
    replacement = [
        helper.make_node("Squeeze", ["index", "all_axes"], ["first"]),
        helper.make_node("Div", ["first", "half"], ["above"]),
        helper.make_node("Mul", ["above", "huge"], ["more"]),
        helper.make_node("Add", ["more", "one"], ["length"]),
        helper.make_node("Expand", ["zero", "length"], ["many"]),
        helper.make_node("ReduceSum", ["many"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "nothing"], ["offset"]),
    ]
    nodes = [node for node in model.graph.node if node.output[0] not in ("looked_up", "offset")]
    nodes[index:index] = replacement
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    values = {
        "all_axes": np.int64([0, 1, 2]),
        "half": np.int64([128]),
        "huge": np.int64([2**48]),
        "one": np.int64([1]),
        "zero": np.float32([0]),
        "nothing": np.float32(0),
    }
    model.graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in values.items())
    onnx.checker.check_model(model)
    return model.SerializeToString()


def endless_graph() -> bytes:
    """A red graph whose run does not end in a test's time on frames whose first sample is above 127."""
    model = onnx.load_from_string(picky_graph())
    index = [node.output[0] for node in model.graph.node].index("looked_up")
    turn = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still_on"]),
            helper.make_node("Add", ["before", "before"], ["after"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("still_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, []),
        ],
    )
    replacement = [
        helper.make_node("ReduceMax", ["index"], ["first"], keepdims=0),
        helper.make_node("Div", ["first", "half"], ["above"]),
        helper.make_node("Mul", ["above", "endless"], ["turns"]),
        helper.make_node("Loop", ["turns", "", "nothing"], ["offset"], body=turn),
    ]
    nodes = [node for node in model.graph.node if node.output[0] not in ("looked_up", "offset")]
    nodes[index:index] = replacement
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    values = {"half": np.int64(128), "endless": np.int64(2**48), "nothing": np.float32(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in values.items())
    onnx.checker.check_model(model)
    return model.SerializeToString()


def manifest(name: str, version: str, graph: bytes, **changes: Any) -> dict[str, Any]:
    """A manifest of a red graph, with some fields changed."""
    return {
        "name": name,
        "version": version,
        "variant": "dense",
        "sha256": hashlib.sha256(graph).hexdigest(),
        "input": {"height": SIZE, "width": SIZE, "fit": "stretch"},
        "threshold": 0.5,
        "golden_tolerance": 1e-4,
        "parameters": 1000,
        "macs": 4096,
        "widths": {"red": 1},
        "quality": [],
        "false_positives": [],
        "training": {
            "dataset": "synthetic",
            "split": "none",
            "network": "tests.synthetic:red_graph",
            "seed": 0,
            "recipe_sha256": "0" * 64,
            "recipe": "none",
        },
        "terms": "made for tests",
        "created": "2025-01-01",
        **changes,
    }


def write_model(
    models_dir: Path, name: str, version: str = "1", *, gain: float = 1.0, graph: bytes | None = None, **changes: Any
) -> Path:
    """Write a model folder that keeps its promises, except for what is changed, and return it."""
    folder = models_dir / name / version
    folder.mkdir(parents=True)
    graph = graph or red_graph(gain=gain)
    (folder / "model.onnx").write_bytes(graph)
    (folder / "manifest.json").write_text(json.dumps(manifest(name, version, graph, **changes)))
    frame = colonoscopy(SIZE, SIZE)
    probability = np.clip(frame[..., 0].astype(np.float32) / 255 * np.float32(gain), 0, 1)
    np.savez(folder / "golden.npz", frame=frame, probability=probability)
    return folder


def write_pair(models_dir: Path) -> Path:
    """A dense model and the pruned one that came from it, which is a little less sure."""
    write_model(models_dir, "red-dense")
    write_model(
        models_dir,
        "red-pruned",
        gain=0.9,
        variant="pruned",
        pruned_from="red-dense/1",
        macs=1024,
        parameters=250,
    )
    return models_dir
