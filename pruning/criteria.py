"""How much a channel matters: one score per channel of every group; the lowest go first.

TaylorFO, after Sapkota et al., "Importance Estimation with Random Gradient for Neural Network Pruning"
(arXiv 2310.20203), with x a channel's output, δx its gradient and E_n = Σ_hw x·δx for frame n, summed over the
members of the group:

    taylor-abs     (1/M) Σ_n |E_n|
    taylor-sq      (1/M) Σ_n E_n²
    taylor-signed  -(1/M) Σ_n E_n      the first-order increase of the loss when the channel is set to zero

The gradient at the logits is that of the loss, or a random one of norm 1; normalised, it has L2 norm 1 for each
frame over C×H×W, so that every frame counts alike. Networks are scored in evaluation mode: in training mode batch
norm couples the frames.

Baselines: L1 magnitude (Li et al., ICLR 2017), batch norm's |γ| (Liu et al., ICCV 2017), and random.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from pruning.config import Network, Prune
from pruning.data import Frames
from pruning.deploy import normalise
from pruning.gates import gated, ones
from pruning.groups import Group, Slot

Scores = dict[str, Tensor]  # group name -> float64 [width]
REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "taylor-abs": torch.abs,
    "taylor-sq": torch.square,
    "taylor-signed": torch.neg,
}


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
    if recipe.criterion in REDUCTIONS:
        return _taylor(network, spec, groups, frames, recipe, generator, batch)
    if recipe.criterion == "random":
        return {group.name: torch.rand(group.width, generator=generator, dtype=torch.float64) for group in groups}
    measure = _l1 if recipe.criterion == "l1" else _gamma
    return {group.name: measure(network, group) for group in groups}


def _taylor(
    network: nn.Module,
    spec: Network,
    groups: list[Group],
    frames: Frames,
    recipe: Prune,
    generator: torch.Generator,
    batch: int,
) -> Scores:
    network.eval()
    reduce = REDUCTIONS[recipe.criterion]
    totals = {group.name: torch.zeros(group.width, dtype=torch.float64) for group in groups}
    for part in frames.batches(batch):
        gates = ones(network, groups, len(part))
        with gated(network, gates):
            logits = network(normalise(part.images, spec.mean, spec.std))
        gradient = output_gradient(logits, part.masks.float(), recipe, generator)
        found = torch.autograd.grad(logits, list(gates.values()), gradient)
        effects = dict(zip(gates, found, strict=True))
        for group in groups:
            totals[group.name] += reduce(effect(group, effects)).sum(0)
    return {name: total / len(frames) for name, total in totals.items()}


def output_gradient(logits: Tensor, masks: Tensor, recipe: Prune, generator: torch.Generator) -> Tensor:
    """What is propagated from the logits [N, 1, H, W], of the same shape: one gradient a frame."""
    if recipe.gradient == "random":
        gradient = torch.randn(logits.shape, generator=generator)
    else:
        leaf = logits.detach().requires_grad_()
        loss = DiceCELoss(sigmoid=True)(leaf, masks) * len(leaf)  # a mean over frames becomes their sum
        (gradient,) = torch.autograd.grad(loss, leaf)
    if not recipe.normalise_gradient:
        return gradient
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=(1, 2, 3), keepdim=True)
    return gradient / norm.clamp_min(1e-12)


def effect(group: Group, gate_gradients: dict[str, Tensor]) -> Tensor:
    """E_n of the whole group, float64 [N, width]: the signed sum over its members, per frame."""
    frames = len(next(iter(gate_gradients.values())))
    total = torch.zeros(frames, group.width, dtype=torch.float64)
    for slot in group.gates:
        members = gate_gradients[slot.layer][:, list(slot.channels)].double().cpu()
        total.index_add_(1, torch.tensor(slot.roots), members)
    return total


def _l1(network: nn.Module, group: Group) -> Tensor:
    """Mean |w| of each filter, averaged over the group's convolutions: comparable between layers."""
    return _average(group, [(slot, _filter_means(network.get_submodule(slot.layer))) for slot in group.writers])


def _gamma(network: nn.Module, group: Group) -> Tensor:
    """Mean |γ| over the group's batch norms; infinite, so never removed, where there is none."""
    norms = [(slot, network.get_submodule(slot.layer)) for slot in group.gates]
    values = [(slot, norm.weight.detach().abs()) for slot, norm in norms if isinstance(norm, nn.BatchNorm2d)]
    if not values:
        return torch.full((group.width,), math.inf, dtype=torch.float64)
    return _average(group, values)


def _filter_means(convolution: nn.Module) -> Tensor:
    weight: Tensor = convolution.weight.detach().abs()  # type: ignore[operator]
    filters = weight.transpose(0, 1) if isinstance(convolution, nn.ConvTranspose2d) else weight
    return filters.flatten(1).mean(1)


def _average(group: Group, values: list[tuple[Slot, Tensor]]) -> Tensor:
    total = torch.zeros(group.width, dtype=torch.float64)
    for slot, value in values:
        total.index_add_(0, torch.tensor(slot.roots), value[list(slot.channels)].double())
    return total / len(values)
