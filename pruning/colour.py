"""Frames of all lights alike: each one's mean colour and contrast, moved towards those that networks learn from.

Colour transfer (Reinhard et al., "Color Transfer between Images", IEEE CG&A 2001), by channel in RGB. Only lit pixels
count: how much black surrounds the picture says nothing of the light.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pruning.fit import BRIGHT

# Of 255: what a frame of Kvasir-SEG's training split has in red, green and blue, averaged over the frames.
MEAN = (169.0, 98.0, 72.0)
STD = (53.0, 45.0, 40.0)
STRIDE = 4  # rows and columns of which one is looked at
FLATTEST = 0.25  # of STD: what is flatter counts as this flat, so that no frame's noise grows without bound


def transfer(images: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """(gain, offset), float32 [N, 3, 1, 1], that give each frame the colours of the others: `images * gain + offset`.

    Args:
        images: float32 [N, 3, H, W] RGB, byte values 0 to 255.
        strength: 0 changes nothing, 1 makes mean and standard deviation of lit pixels those above.
    """
    wanted, spread = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) / 255 for values in (MEAN, STD))
    seen = images[:, :, ::STRIDE, ::STRIDE] / 255  # of 1, so that squares fit into fp16
    lit = (seen.amax(1, keepdim=True) >= BRIGHT / 255).to(seen.dtype)
    share = lit.mean((2, 3), keepdim=True).clamp_min(1e-4)
    mean = (seen * lit).mean((2, 3), keepdim=True) / share
    variance = ((seen - mean).square() * lit).mean((2, 3), keepdim=True) / share
    gain = (variance.sqrt() / spread).clamp_min(FLATTEST) ** -strength
    return gain, 255 * (mean + strength * (wanted - mean) - mean * gain)
