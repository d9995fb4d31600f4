"""The network as it is deployed: bytes in, probability out; all that lies between is in the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning.colour import transfer
from pruning.config import Network


def normalise(images: Tensor, spec: Network) -> Tensor:
    """Byte values 0 to 255, [N, 3, H, W] RGB, to what the network is trained on: (x - mean) / std, float32.

    Before that each frame's colours are moved to those of the others, as far as the spec's `colour_transfer` says.
    """
    images = images.float()
    if not spec.colour_transfer:
        return (images - spec.mean) / spec.std
    gain, offset = transfer(images, spec.colour_transfer)
    return images * (gain / spec.std) + (offset - spec.mean) / spec.std


class Deployed(nn.Module):
    """Maps `frames`, uint8 [N, H, W, 3] RGB, to `probability`, float32 [N, H, W]."""

    def __init__(self, network: nn.Module, spec: Network, temperature: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.spec = spec
        self.temperature = temperature

    def forward(self, frames: Tensor) -> Tensor:
        """Probability of polyp for every pixel."""
        logits = self.network(normalise(frames.permute(0, 3, 1, 2), self.spec))
        return torch.sigmoid(logits / self.temperature).squeeze(1)
