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

# Of the largest logit: sums in another order differ by at most 6e-7 of it in the networks that were tried.
TOLERANCE = 1e-5
LEAST = 1e-2  # logits that are smaller count as this large


def prove(network: nn.Module, groups: list[Group], size: int) -> None:
    """Remove a quarter of every group's channels, drawn at random, from a copy, and compare with the masked network.

    Raises:
        UnprunableError: names the groups with which they differ.
    """
    differing = _differing(network, [group for group in groups if group.width > 1], size)
    if not differing:
        return
    raise UnprunableError(
        f"{', '.join(group.name for group in differing)}: the network without some of its channels does "
        "not compute what it computes with them masked (a mean, softmax or sorting over channels, halves or a slice of "
        "a layer, pixel shuffle, an activation that does not keep 0, or a shortcut that no gradient passes?); it "
        "cannot be pruned rightly: name it in prune.protect, and it keeps its channels"
    )


def _differing(network: nn.Module, groups: list[Group], size: int) -> list[Group]:
    """Those of the groups that cannot be removed, found by halving; all of them where they cannot only together."""
    if _agrees(network, groups, size):
        return []
    if len(groups) == 1:
        return groups
    half = len(groups) // 2
    found = [*_differing(network, groups[:half], size), *_differing(network, groups[half:], size)]
    return found or groups


@torch.no_grad()
def _agrees(network: nn.Module, groups: list[Group], size: int) -> bool:
    random = torch.Generator().manual_seed(0)
    # Not the first and the last, which a shuffle or flip of channels may leave; an odd number, so never only pairs.
    drawn = {group.name: torch.randperm(group.width, generator=random)[: group.width // 4 | 1] for group in groups}
    removed = {name: sorted(channels.tolist()) for name, channels in drawn.items()}
    frames = torch.randn(1, 3, size, size, generator=random)
    copy = deepcopy(network)
    try:
        with gated(network, removing(network, groups, removed)):
            masked = network(frames)
        remove(copy, size, removed)
        pruned = copy(frames)
    except (RuntimeError, IndexError):  # channels that a layer does not have, or tensors of different numbers of them
        return False
    if conv_widths(copy) != _left(network, groups, removed):
        return False
    return bool((pruned - masked).abs().max() <= TOLERANCE * masked.abs().max().clamp_min(LEAST))


def _left(network: nn.Module, groups: list[Group], removed: dict[str, list[int]]) -> dict[str, int]:
    """Output channels per convolution after the removal: halves that are multiplied lose twice as many."""
    widths = conv_widths(network)
    for group in groups:
        for slot in group.writers:
            widths[slot.layer] -= sum(root in removed[group.name] for root in slot.roots)
    return widths
