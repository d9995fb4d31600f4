"""Networks for the tests, built small, with batch norms that do something."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.config import Network, Prune
from pruning.data import Frames
from pruning.networks import build

SIZE = 64
BASIC_UNET = {
    "spatial_dims": 2,
    "in_channels": 3,
    "out_channels": 1,
    "features": (16, 16, 32, 32, 64, 16),
    "norm": "batch",
    "act": "relu",
}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "unet": ("unet", {"width": 8}),
    "unet-lite0": ("unet-lite0", {"pretrained": False}),
    "unet-lite2": ("unet-lite2", {"pretrained": False}),
    "BasicUNet": ("monai.networks.nets:BasicUNet", BASIC_UNET),
    "AttentionUnet": (
        "monai.networks.nets:AttentionUnet",
        {"spatial_dims": 2, "in_channels": 3, "out_channels": 1, "channels": (16, 32, 64), "strides": (2, 2)},
    ),
    "SegResNet": (
        "monai.networks.nets:SegResNet",
        {
            "spatial_dims": 2,
            "init_filters": 16,
            "in_channels": 3,
            "out_channels": 1,
            "norm": "batch",
            "blocks_down": (1, 2, 2),
            "blocks_up": (1, 1),
        },
    ),
    "FlexibleUNet": (
        "monai.networks.nets:FlexibleUNet",
        {
            "in_channels": 3,
            "out_channels": 1,
            "backbone": "efficientnet-b0",
            "pretrained": False,
            "spatial_dims": 2,
            "decoder_channels": (64, 48, 32, 24, 16),
        },
    ),
    "smp.Unet": ("segmentation_models_pytorch:Unet", {"encoder_name": "resnet18", "encoder_weights": None}),
}


def make(name: str) -> nn.Module:
    """One of `NETWORKS`, in evaluation mode, with random batch norm parameters and statistics.

    The test is skipped where the network's package is not installed, or does not work beside this PyTorch.
    """
    skip_unless_importable(NETWORKS[name][0])
    torch.manual_seed(0)
    network = build(*NETWORKS[name]).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network


def skip_unless_importable(factory: str) -> None:
    """Skip the test, with the reason, where a factory's package cannot be imported."""
    package = factory.partition(":")[0] if ":" in factory else "pruning.networks"
    try:
        importlib.import_module(package)
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision built for another PyTorch
        pytest.skip(f"{package} cannot be imported here: {error}")


def spec(factory: str = "unet", **arguments: Any) -> Network:
    """A network section at the tests' size."""
    return Network(factory=factory, arguments=arguments, size=SIZE)


def prune_section(**settings: Any) -> Prune:
    """A prune section with one step to a half."""
    return Prune.model_validate({"steps": (0.5,), "grid": 8, "floor": 8, **settings})


def noise(count: int, size: int = SIZE) -> Frames:
    """Random frames and masks."""
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=random)
    masks = torch.randint(0, 2, (count, 1, size, size), dtype=torch.uint8, generator=random)
    return Frames(images, masks, [str(i) for i in range(count)])


class Residual(nn.Module):
    """Two branches of four channels that are added, then a head: the smallest network with a group of two writers."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.norm_a = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(3, 4, 1)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        return self.head(self.norm_a(self.a(x)) + self.b(x))


class Detached(nn.Module):
    """A residual network whose shortcut no gradient reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.shortcut = nn.Conv2d(3, 4, 1)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        return self.head(self.a(x) + self.shortcut(x).detach())
