"""Proof by trial that a network's groups can be removed: removal must compute what masking computes.

It catches what no list of layer types can, such as a shortcut through `.data`, which no graph of gradients shows.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from pruning.cost import conv_widths
from pruning.errors import UnprunableError
from pruning.gates import gated, removing
from pruning.groups import Group
from pruning.removal import remove

TOLERANCE = 1e-4  # of the largest logit: sums in another order differ by about 1e-6


def prove(network: nn.Module, groups: list[Group], size: int) -> None:
    """Remove the first and the last channel of every group from a copy, and compare with the masked network.

    Raises:
        UnprunableError: names the first group with which they differ.
    """
    removable = [group for group in groups if group.width > 1]
    if _agrees(network, removable, size):
        return
    for group in removable:
        if not _agrees(network, [group], size):
            raise UnprunableError(
                f"{group.name}: the network without some of its channels does not compute what it computes with them "
                "masked (a shortcut that no gradient passes, or halves of a layer that are multiplied?); it cannot be "
                "pruned rightly"
            )


@torch.no_grad()
def _agrees(network: nn.Module, groups: list[Group], size: int) -> bool:
    removed = {group.name: [0, group.width - 1] if group.width > 2 else [0] for group in groups}
    frames = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with gated(network, removing(network, groups, removed)):
        masked = network(frames)
    copy = deepcopy(network)
    remove(copy, size, removed)
    try:
        pruned = copy(frames)
    except RuntimeError:  # tensors that no longer have the same number of channels
        return False
    if conv_widths(copy) != _left(network, groups, removed):
        return False
    return bool((pruned - masked).abs().max() <= TOLERANCE * masked.abs().max().clamp_min(1))


def _left(network: nn.Module, groups: list[Group], removed: dict[str, list[int]]) -> dict[str, int]:
    """Output channels per convolution after the removal: halves that are multiplied lose twice as many."""
    widths = conv_widths(network)
    for group in groups:
        for slot in group.writers:
            widths[slot.layer] -= sum(root in removed[group.name] for root in slot.roots)
    return widths
