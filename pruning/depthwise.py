"""Depthwise convolutions in fp32 while the rest trains in bf16."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

GROUPS = 6  # position in torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


class DepthwiseInFull(TorchFunctionMode):
    """Within it, grouped convolutions on a CPU compute in fp32 under autocast, and return autocast's type.

    oneDNN has no fast bf16 kernel for the gradients of a depthwise convolution: at 320² those of EfficientNet-Lite0
    take a fifth of the time in fp32, and a whole training step 0.8.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, with autocast off where it is a grouped convolution."""
        if func is not torch.conv2d or len(args) <= GROUPS or args[GROUPS] == 1 or not torch.is_autocast_enabled("cpu"):
            return func(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            return func(args[0].float(), *args[1:]).to(torch.get_autocast_dtype("cpu"))
