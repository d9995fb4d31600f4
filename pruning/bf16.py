"""Whether a device has bf16 arithmetic of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # of x86 processors; others were not measured


def computes_bf16(device: torch.device) -> bool:
    """Emulated, bf16 is slower than fp32: six times for a training step of `unet-lite0` on an AMD Zen 3."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return has_instructions(torch.cpu.get_capabilities())


def has_instructions(capabilities: Mapping[str, Any]) -> bool:
    """For what `torch.cpu.get_capabilities` says of a processor."""
    return any(capabilities.get(name) for name in INSTRUCTIONS)
