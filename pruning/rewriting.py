"""What means the same and is computed faster: in every graph that is exported, and in those of 8-bit integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from onnx_ir import Model, Value, tensor
from onnx_ir.convenience import get_const_tensor
from onnxscript.rewriter import MatchContext, RewriterContext, RewriteRule, rewrite


def speed_up(model: Model) -> None:
    """Change the graph in place; it computes the same, up to rounding.

    The temperature divides logits before they are scaled up, not after: interpolation is linear. onnxruntime keeps what
    convolutions write in blocks of 8 or 16 channels as long as it can. It scaled up the block in which the logits are
    the only channel, 16 times the work; a division ends the block.
    """
    rewrite(model, [RewriteRule(_scaled_then_divided, _divided_then_scaled, _by_one_number)])


def copy_whole_pixels(model: Model) -> None:
    """Change the float graph in place, before it is quantised; it computes the same, to the bit.

    onnxruntime computes 8-bit convolutions with the channels last, and scales up by nearest neighbours there a value at
    a time. Gathering columns, then rows, copies a pixel with all of its channels, and a whole row. A graph that
    stays float is slower so: its channels lie in blocks, which each transposition ends.
    """
    rewrite(model, [RewriteRule(_nearest, _gathered, _by_whole_numbers)])


def _scaled_then_divided(op: RewriterContext, logits: Value, temperature: Value) -> Value:
    resized = op.Resize(logits, _allow_other_inputs=True, _outputs=["resized"])
    found: Value = op.Div(resized, temperature)
    return found


def _by_one_number(_context: MatchContext, temperature: Value, **_others: Value) -> bool:
    return temperature.const_value is not None and temperature.const_value.size == 1


def _divided_then_scaled(op: RewriterContext, logits: Value, temperature: Value, resized: Value) -> Value:
    resize = resized.producer()
    assert resize is not None  # noqa: S101 - the pattern says so
    divided = op.Div(logits, temperature, _name=f"{resize.name}_divided")
    scaled: Value = op.Resize(divided, *resize.inputs[1:], _name=resize.name, **resize.attributes)
    return scaled


def _nearest(op: RewriterContext, x: Value, scales: Value) -> Value:
    kind = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    found: Value = op.Resize(x, None, scales, **kind, _outputs=["large"])
    return found


def _by_whole_numbers(_context: MatchContext, x: Value, scales: Value, **_others: Value) -> bool:
    return len(_sources(x, scales)) == 2


def _gathered(op: RewriterContext, x: Value, scales: Value, large: Value) -> Value:
    rows, columns = (tensor(places) for places in _sources(x, scales))
    picture = op.Transpose(x, perm=[0, 2, 3, 1])  # [N, H, W, C]
    picture = op.Gather(picture, op.initializer(columns, f"{large.name}_columns"), axis=2)
    picture = op.Gather(picture, op.initializer(rows, f"{large.name}_rows"), axis=1)
    found: Value = op.Transpose(picture, perm=[0, 3, 1, 2])
    return found


def _sources(x: Value, scales: Value) -> list[npt.NDArray[np.int64]]:
    # The row and the column of x that each one of the large picture shows; fewer than two where they are not settled.
    factors = get_const_tensor(scales)
    if factors is None or x.shape is None or len(x.shape) != 4:
        return []
    n, c, *larger = factors.numpy()
    if (n, c) != (1, 1) or np.mod(larger, 1).any():
        return []
    sizes = zip(x.shape.dims[2:], larger, strict=True)
    return [np.repeat(np.arange(size), int(factor)) for size, factor in sizes if isinstance(size, int)]
