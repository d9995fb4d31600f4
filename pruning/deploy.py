"""The network as it is deployed: bytes in, probability out; normalisation, temperature and sigmoid are in the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def normalise(images: Tensor, mean: float, std: float) -> Tensor:
    """Byte values 0 to 255 to what the network was trained on: (x - mean) / std, float32."""
    return (images.float() - mean) / std


class Deployed(nn.Module):
    """Maps `frames`, uint8 [N, H, W, 3] RGB, to `probability`, float32 [N, H, W]."""

    def __init__(self, network: nn.Module, mean: float, std: float, temperature: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.mean = mean
        self.std = std
        self.temperature = temperature

    def forward(self, frames: Tensor) -> Tensor:
        """Probability of polyp for every pixel."""
        logits = self.network(normalise(frames.permute(0, 3, 1, 2), self.mean, self.std))
        return torch.sigmoid(logits / self.temperature).squeeze(1)
