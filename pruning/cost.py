"""What a network costs as a function of its groups' widths, without building it.

The cost of a network is a sum over its layers; a `Price` says what one layer costs: multiply-accumulates (1 MAC =
2 FLOPs), parameters, or milliseconds (see `pruning.layer_times`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pruning.groups import Convolution, Group, Slot

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
    """One convolution, or one batch norm of a group's channels.

    Attributes:
        name: of the module.
        kind: `conv`, `transposed` or `norm`.
        depthwise: whether each output channel reads one input channel.
        inputs, outputs: channels.
        plane: height and width of its input.
        unit: positions that the kernel is applied to, over all calls; 0 for a batch norm.
        kernel, stride: height and width.
        per_output: parameters that each output channel has besides the kernel.
        writes: for each group, how many output channels go with one channel of the group.
        reads: for each group, how many input channels go with one channel of the group.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    depthwise: bool = False
    plane: tuple[int, int] = (0, 0)
    unit: int = 0
    kernel: tuple[int, int] = (0, 0)
    stride: tuple[int, int] = (1, 1)
    per_output: int = 0
    writes: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)


Price = Callable[[Layer, int, int], float]  # layer, input channels, output channels -> cost


def macs(layer: Layer, inputs: int, outputs: int) -> int:
    """Multiply-accumulates of a layer at these widths."""
    return layer.unit * _kernel_values(layer, inputs, outputs)


def parameters(layer: Layer, inputs: int, outputs: int) -> int:
    """Trained values of a layer at these widths."""
    return _kernel_values(layer, inputs, outputs) + layer.per_output * outputs


def _kernel_values(layer: Layer, inputs: int, outputs: int) -> int:
    return math.prod(layer.kernel) * outputs * (1 if layer.depthwise else inputs)


class CostModel:
    """Cost of a network at any widths of its groups.

    Example: conv a (3 -> 8, group A) and conv b (8 -> 1) of 1×1 on 10×10 pixels cost 100·(3·A + A·1) MACs.
    """

    def __init__(
        self,
        network: nn.Module,
        groups: list[Group],
        size: int,
        price: Price = macs,
        unit: str = "MACs",
        whole: float | None = None,
    ) -> None:
        """Trace a network.

        Args:
            price: of a layer, in this unit.
            whole: cost of the network as it is, where that is known; what no layer explains does not shrink.
        """
        self.full: Widths = {group.name: group.width for group in groups}
        self.layers = measure_layers(network, size)
        self.price = price
        self.unit = unit
        for group in groups:
            self._attach(network, group)
        self._touched: dict[str, list[Layer]] = defaultdict(list)
        for layer in self.layers.values():
            for name in {*layer.writes, *layer.reads}:
                self._touched[name].append(layer)
        explained = self._sum(self.layers.values(), self.full)
        self.rest = 0.0 if whole is None else whole - explained

    def total(self, widths: Widths) -> float:
        """Cost of the whole network at the given widths."""
        return self.rest + self._sum(self.layers.values(), widths)

    def saving(self, widths: Widths, name: str, width: int) -> float:
        """Cost saved when group `name` goes from its width in `widths` to `width`."""
        return self.change(widths, {name: width})

    def change(self, widths: Widths, after: Widths) -> float:
        """Cost saved when the groups in `after` go from their widths in `widths` to those."""
        touched = {id(layer): layer for name in after for layer in self._touched[name]}.values()
        return self._sum(touched, widths) - self._sum(touched, {**widths, **after})

    def _attach(self, network: nn.Module, group: Group) -> None:
        for slot in group.writers:
            self.layers[slot.layer].writes[group.name] = len(slot.channels) // group.width
        for slot in group.readers:
            self.layers[slot.layer].reads[group.name] = len(slot.channels) // group.width
        for slot in group.norms:
            self._attach_norm(network.get_submodule(slot.layer), slot, group)

    def _attach_norm(self, norm: nn.Module, slot: Slot, group: Group) -> None:
        assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - what a group's norms are
        layer = self.layers.setdefault(slot.layer, Layer(slot.layer, "norm", norm.num_features, norm.num_features))
        layer.per_output = 2 if norm.affine else 0
        layer.reads[group.name] = len(slot.channels) // group.width

    def _sum(self, layers: Iterable[Layer], widths: Widths) -> float:
        return sum(self.price(layer, *self._channels(layer, widths)) for layer in layers)

    def _channels(self, layer: Layer, widths: Widths) -> tuple[int, int]:
        inputs = layer.inputs - self._gone(layer.reads, widths)
        return inputs, inputs if layer.kind == "norm" else layer.outputs - self._gone(layer.writes, widths)

    def _gone(self, channels: dict[str, int], widths: Widths) -> int:
        return sum(times * (self.full[name] - widths[name]) for name, times in channels.items())


def measure_layers(network: nn.Module, size: int) -> dict[str, Layer]:
    """The convolutions by name, from one run that shows the size of each one's plane."""
    layers: dict[str, Layer] = {}

    def record(name: str, module: Convolution, inputs: Tensor, output: Tensor) -> None:
        transposed = isinstance(module, nn.ConvTranspose2d)
        before = layers[name].unit if name in layers else 0  # a layer may run more than once
        layers[name] = Layer(
            name=name,
            kind="transposed" if transposed else "conv",
            inputs=module.in_channels,
            outputs=module.out_channels,
            depthwise=module.groups > 1,
            plane=(inputs.shape[2], inputs.shape[3]),
            unit=before + math.prod((inputs if transposed else output).shape[2:]),
            kernel=(module.kernel_size[0], module.kernel_size[1]),
            stride=(module.stride[0], module.stride[1]),
            per_output=0 if module.bias is None else 1,
        )

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
