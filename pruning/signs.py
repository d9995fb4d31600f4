"""For a polyp and against it: a layer with one output must keep a channel of either sign.

First-order scores count each channel as if the others stayed. Channels that say much the same therefore score low,
each by itself, and can go all at once. Where they are all that speaks for a polyp, nothing is marked any more: the head
of a U-Net has one weight for each channel that it reads, and these are never negative behind a ReLU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pruning.criteria import Scores
from pruning.groups import Group, collect


def keep_both_signs(network: nn.Module, groups: list[Group], scores: Scores) -> Scores:
    """Scores that are infinite for a layer's best channel with a positive weight and its best with a negative one.

    That is done for each group that a convolution with one output reads; the others keep their scores. The weight of a
    channel is summed over the kernel.

    Args:
        scores: float64 [width] for each group; not changed.
    """
    return {group.name: _raised(network, group, scores[group.name]) for group in groups}


def _raised(network: nn.Module, group: Group, scores: Tensor) -> Tensor:
    raised = scores.clone()
    for slot in group.readers:
        reader = network.get_submodule(slot.layer)
        if not isinstance(reader, nn.Conv2d) or reader.out_channels != 1:
            continue
        inputs = reader.weight.detach().double().sum((0, 2, 3))
        weights = collect(group, [slot], {slot.layer: inputs[None]})[0]
        for side in (weights > 0, weights < 0):
            if side.any():
                raised[scores.where(side, torch.tensor(-math.inf)).argmax()] = math.inf
    return raised
