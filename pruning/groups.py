"""Channels that live and die together.

A group is found from one convolution: the layers that its output channels pass through (batch norm,
depthwise convolutions, residual partners) and the layers that read them. Removing channel c of a group
removes one output channel from every writer and the matching input channels from every reader.

    conv a (8 filters) ─> batch norm a ─> ReLU ─┐
    conv b (8 filters) ─> batch norm b ─────────┴─ + ─> conv c        one group of 8:
                                                                      writers a, b; readers c; gates bn a, bn b

A depthwise convolution that reads a concatenation has a part of each group that is concatenated, and is a writer of
them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

Convolution = nn.Conv2d | nn.ConvTranspose2d


@dataclass(frozen=True)
class Slot:
    """Where a group's channels lie in one layer: channel `roots[k]` of the group is `channels[k]` there."""

    layer: str
    channels: tuple[int, ...]
    roots: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Channels that are removed together; named after a convolution that writes them and nothing else.

    Attributes:
        name: that convolution.
        width: number of channels.
        writers: convolutions whose output channels these are.
        readers: convolutions whose input channels these are.
        norms: batch norms of these channels.
        gates: the outputs where a factor of 0 has the effect of removal: batch norms, and convolutions
            that no batch norm follows.
    """

    name: str
    width: int
    writers: tuple[Slot, ...]
    readers: tuple[Slot, ...]
    norms: tuple[Slot, ...]
    gates: tuple[Slot, ...]


def filters(convolution: nn.Module, values: Tensor) -> Tensor:
    """Values of the shape of a convolution's weight as [output channels, values a filter]."""
    # A depthwise transposed one has its filters first, as all others have.
    inputs_first = isinstance(convolution, nn.ConvTranspose2d) and convolution.groups == 1
    return (values.transpose(0, 1) if inputs_first else values).flatten(1)


def collect(group: Group, slots: list[Slot] | tuple[Slot, ...], values: dict[str, Tensor]) -> Tensor:
    """Sum the members' values [N, C, ...] by the group's channels: float64 [N, width, ...]."""
    first = values[slots[0].layer]
    total = torch.zeros(len(first), group.width, *first.shape[2:], dtype=torch.float64)
    for slot in slots:
        total.index_add_(1, torch.tensor(slot.roots), values[slot.layer][:, list(slot.channels)].double().cpu())
    return total
