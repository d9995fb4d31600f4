"""Gates: factors on the channels of a layer's output.

A gate of ones changes nothing, yet its gradient is exactly Σ_hw x·δx of the channel, for each frame: the first-order
Taylor term, from one forward and one backward pass. A gate of zeros has the effect of removing the channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pruning.errors import RecipeError
from pruning.groups import Group


@contextmanager
def gated(network: nn.Module, gates: dict[str, Tensor]) -> Iterator[None]:
    """Multiply the outputs of the named layers while the context lasts.

    Args:
        gates: for each layer float32 [N, C] or [1, C]; C is the layer's number of output channels.
    """
    hooks = [
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, gate=gate: output * gate[:, :, None, None]
        )
        for layer, gate in gates.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def pixel_gated(network: nn.Module, groups: list[Group]) -> Iterator[dict[str, Tensor]]:
    """Gate every pixel of the groups' gated layers with ones; the gradient of such a gate is x·δx of the pixel.

    A layer that runs more than once has one gate, in which its effects add up.

    Yields:
        For each layer a gate [N, C, H, W] that asks for its gradient; filled when the network runs.

    Raises:
        RecipeError: a layer runs on planes of several sizes, whose pixels cannot be added.
    """
    gates: dict[str, Tensor] = {}

    def gate(layer: str, output: Tensor) -> Tensor:
        if layer not in gates:
            gates[layer] = output.new_ones(()).expand_as(output).requires_grad_()  # one value, whatever the shape
        if gates[layer].shape != output.shape:
            raise RecipeError(f"{layer} runs on planes of several sizes: make prune.reduction 'image', not 'pixel'")
        return output * gates[layer]

    layers = {slot.layer for group in groups for slot in group.gates}
    hooks = [
        network.get_submodule(layer).register_forward_hook(lambda _m, _i, output, layer=layer: gate(layer, output))
        for layer in sorted(layers)
    ]
    try:
        yield gates
    finally:
        for hook in hooks:
            hook.remove()


def ones(network: nn.Module, groups: list[Group], frames: int) -> dict[str, Tensor]:
    """A gate of ones [frames, C] that asks for its gradient, for every gated layer of the groups."""
    layers = {slot.layer: network.get_submodule(slot.layer) for group in groups for slot in group.gates}
    device = next(network.parameters()).device
    return {
        layer: torch.ones(frames, _outputs(module), device=device, requires_grad=True)
        for layer, module in layers.items()
    }


def removing(network: nn.Module, groups: list[Group], removed: dict[str, list[int]]) -> dict[str, Tensor]:
    """Gates [1, C] that are 0 where channels of a group are removed and 1 elsewhere."""
    gates = {layer: gate.detach() for layer, gate in ones(network, groups, 1).items()}
    for group in groups:
        gone = set(removed.get(group.name, []))
        for slot in group.gates:
            channels = [c for c, root in zip(slot.channels, slot.roots, strict=True) if root in gone]
            gates[slot.layer][:, channels] = 0
    return gates


def _outputs(module: nn.Module) -> int:
    outputs = module.num_features if isinstance(module, nn.BatchNorm2d) else module.out_channels
    return int(outputs)  # type: ignore[arg-type]
