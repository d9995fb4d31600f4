"""How much a channel matters: one score per channel of every group; the lowest go first.

TaylorFO of outputs and of weights: `taylor`. Baselines: L1 magnitude (Li et al., ICLR 2017), batch norm's |γ| (Liu et
al., ICCV 2017), and random.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pruning.config import Network, Prune
from pruning.data import Frames
from pruning.groups import Group, Slot, collect, filters
from pruning.taylor import REDUCTIONS, Taylor

Scores = dict[str, Tensor]  # group name -> float64 [width]


def score(
    network: nn.Module,
    spec: Network,
    groups: list[Group],
    frames: Frames,
    recipe: Prune,
    seed: int,
    batch: int = 16,
) -> Scores:
    """Score every channel by the recipe's criterion; float64 [width] for each group.

    Args:
        frames: what the Taylor criteria average over; the baselines do not look at it.
        seed: of the random gradient and of the random baseline.
    """
    generator = torch.Generator().manual_seed(seed)
    taylor = Taylor(network, spec, recipe, generator, batch)
    if recipe.criterion in REDUCTIONS:
        return taylor.outputs(groups, frames)
    if recipe.criterion == "taylor-weight":
        return taylor.weights(groups, frames)
    if recipe.criterion == "random":
        return {group.name: torch.rand(group.width, generator=generator, dtype=torch.float64) for group in groups}
    measure = _l1 if recipe.criterion == "l1" else _gamma
    return {group.name: measure(network, group) for group in groups}


def _l1(network: nn.Module, group: Group) -> Tensor:
    """Mean |w| of each filter, averaged over the group's convolutions: comparable between layers."""
    return _average(group, [(slot, _filter_means(network.get_submodule(slot.layer))) for slot in group.writers])


def _gamma(network: nn.Module, group: Group) -> Tensor:
    """Mean |γ| over the group's batch norms; infinite where there is none, so removed last, in their order."""
    norms = [(slot, network.get_submodule(slot.layer)) for slot in group.norms]
    values = [(slot, norm.weight.detach().abs()) for slot, norm in norms if isinstance(norm.weight, Tensor)]
    if not values:
        return torch.full((group.width,), math.inf, dtype=torch.float64)
    return _average(group, values)


def _filter_means(convolution: nn.Module) -> Tensor:
    return filters(convolution, convolution.weight.detach().abs()).mean(1)  # type: ignore[operator]


def _average(group: Group, values: list[tuple[Slot, Tensor]]) -> Tensor:
    members = {slot.layer: value[None] for slot, value in values}
    return collect(group, [slot for slot, _ in values], members)[0] / len(values)
