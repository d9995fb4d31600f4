"""What means the same and is computed faster, in every graph that is exported."""

from __future__ import annotations

from onnx_ir import Model, Value
from onnxscript.rewriter import MatchContext, RewriterContext, RewriteRule, rewrite


def speed_up(model: Model) -> None:
    """Change the graph in place; it computes the same, up to rounding.

    The temperature divides logits before they are scaled up, not after: interpolation is linear. onnxruntime keeps what
    convolutions write in blocks of 8 or 16 channels as long as it can. It scaled up the block in which the logits are
    the only channel, 16 times the work; a division ends the block.
    """
    rewrite(model, [RewriteRule(_scaled_then_divided, _divided_then_scaled, _by_one_number)])


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
