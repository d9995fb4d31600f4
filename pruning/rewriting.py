"""What means the same and is computed faster, in every graph that is exported."""

from __future__ import annotations

from onnx_ir import Model, Value
from onnxscript.rewriter import MatchContext, RewriteRuleClassBase, rewrite
from onnxscript.rewriter.pattern import RewriterContext


class DivideFirst(RewriteRuleClassBase):
    """The temperature divides logits before they are scaled up, not after: interpolation is linear.

    onnxruntime keeps what convolutions write in blocks of 8 or 16 channels as long as it can. It scaled up the block in
    which the logits are the only channel, 16 times the work; a division ends the block.
    """

    def pattern(self, op: RewriterContext, logits: Value, temperature: Value) -> Value:
        """A division of what was scaled up."""
        resized = op.Resize(logits, _allow_other_inputs=True, _outputs=["resized"])
        return op.Div(resized, temperature)

    def check(self, _context: MatchContext, temperature: Value, **_others: Value) -> bool:
        """By one number for all pixels."""
        return temperature.const_value is not None and temperature.const_value.size == 1

    def rewrite(self, op: RewriterContext, logits: Value, temperature: Value, resized: Value) -> Value:
        """The same two the other way round."""
        resize = resized.producer()
        assert resize is not None  # noqa: S101 - the pattern says so
        divided = op.Div(logits, temperature, _name=f"{resize.name}_divided")
        scaled: Value = op.Resize(divided, *resize.inputs[1:], _name=resize.name, **resize.attributes)
        return scaled


def speed_up(model: Model) -> None:
    """Change the graph in place; it computes the same, up to rounding."""
    rewrite(model, [DivideFirst.rule()])
