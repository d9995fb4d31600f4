"""What a network costs: parameters, and multiply-accumulates (1 MAC = 2 FLOPs)."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pruning.groups import Convolution, Group

Widths = dict[str, int]  # group name -> channels left


def count_parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, size: int) -> int:
    """Multiply-accumulates for one frame of `size` × `size`, as PyTorch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, size, size))
    return int(counter.get_total_flops()) // 2


def conv_widths(network: nn.Module) -> dict[str, int]:
    """Output channels per convolution."""
    return {name: m.out_channels for name, m in network.named_modules() if isinstance(m, Convolution)}


@dataclass
class Layer:
    """One convolution: MACs = unit · inputs · outputs, or unit · outputs where it is depthwise.

    `reads` holds, for each group, how many input channels go with one channel of the group; `writer` is the
    group of its outputs, if that can be pruned.
    """

    unit: int
    inputs: int
    outputs: int
    depthwise: bool
    writer: str | None = None
    reads: dict[str, int] = field(default_factory=dict)


class CostModel:
    """MACs of a network as a function of its groups' widths, without building it.

    Example: conv a (3 -> 8, group A) and conv b (8 -> 1) of 1×1 on 10×10 pixels cost 100·(3·A + A·1) MACs.
    """

    def __init__(self, network: nn.Module, groups: list[Group], size: int) -> None:
        self.full: Widths = {group.name: group.width for group in groups}
        self.layers = _measure(network, size)
        for group in groups:
            for slot in group.writers:
                self.layers[slot.layer].writer = group.name
            for slot in group.readers:
                self.layers[slot.layer].reads[group.name] = len(slot.channels) // group.width
        self._touched: dict[str, list[Layer]] = defaultdict(list)
        for layer in self.layers.values():
            for name in {layer.writer, *layer.reads} - {None}:
                self._touched[name].append(layer)  # type: ignore[index]

    def macs(self, widths: Widths) -> int:
        """MACs of the whole network at the given widths."""
        return sum(self._layer_macs(layer, widths) for layer in self.layers.values())

    def saving(self, widths: Widths, name: str, width: int) -> int:
        """MACs saved when group `name` goes from its width in `widths` to `width`."""
        after = {**widths, name: width}
        return sum(self._layer_macs(x, widths) - self._layer_macs(x, after) for x in self._touched[name])

    def _layer_macs(self, layer: Layer, widths: Widths) -> int:
        outputs = widths[layer.writer] if layer.writer else layer.outputs
        if layer.depthwise:
            return layer.unit * outputs
        gone = sum(times * (self.full[name] - widths[name]) for name, times in layer.reads.items())
        return layer.unit * (layer.inputs - gone) * outputs


def _measure(network: nn.Module, size: int) -> dict[str, Layer]:
    """Run once to see the size of each convolution's plane."""
    layers: dict[str, Layer] = {}

    def record(name: str, module: Convolution, inputs: Tensor, output: Tensor) -> None:
        plane = inputs if isinstance(module, nn.ConvTranspose2d) else output
        unit = plane.shape[2] * plane.shape[3] * math.prod(module.kernel_size)
        depthwise = module.groups > 1
        layers[name] = Layer(unit, module.in_channels, module.out_channels, depthwise)

    hooks = [
        module.register_forward_hook(lambda m, i, o, name=name: record(name, m, i[0], o))
        for name, module in network.named_modules()
        if isinstance(module, Convolution)
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return layers
