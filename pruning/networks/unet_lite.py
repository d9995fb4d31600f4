"""A U-Net decoder on an EfficientNet-Lite encoder: the networks that the shipped models come from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.networks.lite import Lite
from pruning.networks.unet import double_conv


class UNetLite(nn.Module):
    """Lite encoder and four decoder levels; the head works at stride 2 and its logits are scaled up.

    Shape: float32 [N, 3, H, W] to [N, 1, H, W]; H and W are multiples of 32.

    Args:
        number: of the encoder, 0 or 2.
        widths: channels of the decoder at strides 16, 8, 4, 2.
        pretrained: start the encoder from ImageNet weights.
    """

    def __init__(self, number: int, widths: Sequence[int] = (128, 96, 48, 32), pretrained: bool = True) -> None:
        super().__init__()
        self.encoder = Lite(number, pretrained)
        *skips, deepest = self.encoder.features
        below = [deepest, *widths]
        self.decoder = nn.ModuleList(
            double_conv(lower + skip, width) for lower, skip, width in zip(below, reversed(skips), widths, strict=False)
        )
        self.head = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Frames [N, 3, H, W] to logits [N, 1, H, W]."""
        *skips, y = self.encoder(x)
        for decoder, skip in zip(self.decoder, reversed(skips), strict=True):
            y = F.interpolate(y, scale_factor=2.0, mode="nearest")
            y = decoder(torch.cat([y, skip], dim=1))
        return F.interpolate(self.head(y), scale_factor=2.0, mode="bilinear", align_corners=False)


unet_lite0 = partial(UNetLite, 0)
unet_lite2 = partial(UNetLite, 2)
