"""Networks for the tests, built small, with batch norms that do something."""

from __future__ import annotations

import importlib
from collections.abc import Callable
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
    "UNet": (  # PReLU with one slope
        "monai.networks.nets:UNet",
        {
            "spatial_dims": 2,
            "in_channels": 3,
            "out_channels": 1,
            "channels": (32, 48, 64, 64),
            "strides": (2, 2, 2),
            "num_res_units": 1,
            "norm": "batch",
        },
    ),
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
HERE = "tests.pruning.networks:"
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "separable": (f"{HERE}Separable", {}),
    "nested": (f"{HERE}Nested", {}),
    "on two levels": (f"{HERE}Twice", {"levels": True}),
    "twice in a row": (f"{HERE}Twice", {"levels": False}),
    "upwards": (f"{HERE}Upwards", {}),
    "weighed": (f"{HERE}Weighed", {"factor": nn.Sigmoid(), "norm": True}),
}


def make(name: str) -> nn.Module:
    """One of `NETWORKS` or `SMALL`, in evaluation mode, with random batch norm parameters and statistics.

    The test is skipped where the network's package is not installed, or does not work beside this PyTorch.
    """
    factory, arguments = (NETWORKS | SMALL)[name]
    skip_unless_importable(factory)
    torch.manual_seed(0)
    network = build(factory, arguments).eval()
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


def conv(inputs: int, outputs: int, groups: int = 1) -> nn.Conv2d:
    """A 3×3 convolution that keeps height and width."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups)


class Separable(nn.Module):
    """A depthwise convolution that reads a concatenation, as decoders of separable convolutions have."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.depthwise = conv(3, 16), conv(3, 8), conv(24, 24, 24)
        self.norm, self.head = nn.BatchNorm2d(24), conv(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        return self.head(self.norm(self.depthwise(torch.cat([self.a(x), self.b(x)], 1))).relu())


class Nested(nn.Module):
    """A depthwise convolution that reads a concatenation in which another's output is, which read one itself."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.inner, self.outer = conv(3, 8), conv(3, 8), conv(16, 16, 16), conv(24, 24, 24)
        self.c, self.head = conv(3, 8), conv(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        both = self.inner(torch.cat([self.a(x), self.b(x)], 1)).relu()
        return self.head(self.outer(torch.cat([both, self.c(x)], 1)))


class Twice(nn.Module):
    """One convolution that runs on two levels, or twice in a row on one."""

    def __init__(self, levels: bool) -> None:
        super().__init__()
        self.levels = levels
        self.a, self.shared, self.head = conv(3, 16), conv(16, 16), conv(32 if levels else 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        y = self.a(x).relu()
        if not self.levels:
            return self.head(self.shared(self.shared(y).relu()))
        below = nn.functional.interpolate(self.shared(nn.functional.max_pool2d(y, 2)), scale_factor=2.0)
        return self.head(torch.cat([self.shared(y), below], 1))


class Upwards(nn.Module):
    """A depthwise transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.Conv2d(3, 16, 3, 2, 1), conv(16, 1)
        self.up = nn.ConvTranspose2d(16, 16, 2, 2, groups=16)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        return self.head(self.up(self.a(x)))


class Halves(nn.Module):
    """Both halves of one convolution's output, multiplied."""

    def __init__(self, factor: nn.Module) -> None:
        super().__init__()
        self.a, self.c, self.head, self.factor = conv(3, 32), conv(16, 16), conv(16, 1), factor

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        value, gate = self.a(x).chunk(2, 1)
        return self.head(self.c(value * self.factor(gate)).relu())


class Weighed(nn.Module):
    """Channels that are weighed by what a layer, with or without a batch norm, makes of their means."""

    def __init__(self, factor: nn.Module, norm: bool) -> None:
        super().__init__()
        self.a, self.weigh, self.head, self.factor = conv(3, 16), nn.Conv2d(16, 16, 1), conv(16, 1), factor
        self.norm = nn.BatchNorm2d(16) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        y = self.a(x)
        return self.head(y * self.factor(self.norm(self.weigh(y.mean((2, 3), keepdim=True)))))


class Through(nn.Module):
    """What a function makes of two layers' outputs."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], outputs: int) -> None:
        super().__init__()
        self.function = function
        self.a, self.b, self.head = conv(3, 8), conv(3, 8), conv(outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        return self.head(self.function(self.a(x), self.b(x)))


class Attention(nn.Module):
    """Every pixel reads all others: two products of matrices that cost more than the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.query, self.key, self.head = conv(3, 32), conv(32, 32), conv(32, 32), conv(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        y = self.a(x).relu()
        weights = (self.query(y).flatten(2).transpose(1, 2) @ self.key(y).flatten(2)).softmax(-1)
        return self.head((y.flatten(2) @ weights).view(len(y), -1, *y.shape[2:]))


class Shared(nn.Module):
    """Two layers of one weight, added."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv(3, 8), conv(3, 8), conv(8, 1)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, 1, H, W]."""
        return self.head(self.a(x) + self.b(x))
