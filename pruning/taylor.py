"""TaylorFO: how much the loss changes, to first order, when a channel is set to zero.

Of outputs, after Sapkota et al., "Importance Estimation with Random Gradient for Neural Network Pruning"
(arXiv 2310.20203), with x a channel's output, δx its gradient, and E_n the effect for frame n, summed over the
members of the group:

    reduction "image"   E_n = Σ_hw x·δx, then |E_n| or E_n²
    reduction "pixel"   |x·δx| or (x·δx)² at each pixel, then Σ_hw

    taylor-abs     (1/M) Σ_n |E_n|
    taylor-sq      (1/M) Σ_n E_n²
    taylor-signed  -(1/M) Σ_n E_n      the first-order increase of the loss; per pixel it is the same

Of weights, after Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8 on the
gates' set of weights, with g the gradient of the mean loss over one batch:

    taylor-weight  (1/B) Σ_b (Σ_s w_s·g_s)²     s over the weights of the filter

Networks are scored in evaluation mode: in training mode batch norm couples the frames, and Σ_s w_s·g_s vanishes for
every filter before a batch norm, since its output does not depend on the filter's scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from pruning.config import Network, Prune
from pruning.data import Frames
from pruning.deploy import normalise
from pruning.gates import gated, ones, pixel_gated
from pruning.groups import Group, Slot, collect, filters

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "taylor-abs": torch.abs,
    "taylor-sq": torch.square,
    "taylor-signed": torch.neg,
}
Effects = dict[str, Tensor]  # layer -> x·δx of its channels: [N, C], or [N, C, H, W] per pixel


class Taylor:
    """Scores of one recipe: what is propagated, and what is read from it.

    Args:
        batch: frames a pass; per pixel a quarter of it, since every gated output is kept.
    """

    def __init__(
        self, network: nn.Module, spec: Network, recipe: Prune, generator: torch.Generator, batch: int
    ) -> None:
        self.network = network.eval()
        self.spec = spec
        self.recipe = recipe
        self.generator = generator
        self.batch = batch

    def outputs(self, groups: list[Group], frames: Frames) -> dict[str, Tensor]:
        """TaylorFO of the channels' outputs: float64 [width] for each group."""
        reduce = REDUCTIONS[self.recipe.criterion]
        totals = {group.name: torch.zeros(group.width, dtype=torch.float64) for group in groups}
        for effects in self._effects(groups, frames):
            for group in groups:
                planes = effect(group, effects)
                totals[group.name] += sum(reduce(plane).flatten(2).sum(2).sum(0) for plane in planes)
        return {name: total / len(frames) for name, total in totals.items()}

    def weights(self, groups: list[Group], frames: Frames) -> dict[str, Tensor]:
        """TaylorFO of the filters' weights: float64 [width] for each group, squared per batch."""
        layers = sorted({slot.layer for group in groups for slot in group.writers})
        weights: list[Tensor] = [self.network.get_submodule(layer).weight for layer in layers]  # type: ignore[misc]
        totals = {group.name: torch.zeros(group.width, dtype=torch.float64) for group in groups}
        parts = list(frames.batches(self.batch))
        for part in parts:
            logits = self._logits(part)
            found = torch.autograd.grad(logits, weights, self._gradient(logits, part) / len(part))
            products = {
                layer: filters(self.network.get_submodule(layer), (weight * gradient).detach()).sum(1)[None]
                for layer, weight, gradient in zip(layers, weights, found, strict=True)
            }
            for group in groups:
                totals[group.name] += collect(group, group.writers, products)[0].square()
        return {name: total / len(parts) for name, total in totals.items()}

    def _effects(self, groups: list[Group], frames: Frames) -> Iterator[Effects]:
        pixels = self.recipe.reduction == "pixel"
        for part in frames.batches(max(1, self.batch // 4) if pixels else self.batch):
            if pixels:
                with pixel_gated(self.network, groups) as gates:
                    logits = self._logits(part)
            else:
                gates = ones(self.network, groups, len(part))
                with gated(self.network, gates):
                    logits = self._logits(part)
            found = torch.autograd.grad(logits, list(gates.values()), self._gradient(logits, part))
            yield dict(zip(gates, found, strict=True))

    def _logits(self, part: Frames) -> Tensor:
        logits: Tensor = self.network(normalise(part.images, self.spec))
        return logits

    def _gradient(self, logits: Tensor, part: Frames) -> Tensor:
        return output_gradient(logits, part.masks.float(), self.recipe, self.generator)


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


def effect(group: Group, effects: Effects) -> list[Tensor]:
    """E_n of the whole group: the signed sum over its members, per frame.

    Returns:
        float64 [N, width, 1], or per pixel [N, width, H·W]: one tensor for each size of plane among the members.
        Members on planes of one size are summed pixel by pixel; a pixel of one size has no partner on another.
    """
    sizes: dict[torch.Size, list[Slot]] = {}
    for slot in group.gates:
        sizes.setdefault(effects[slot.layer].shape[2:], []).append(slot)
    return [
        collect(group, slots, effects).flatten(2) if size else collect(group, slots, effects)[..., None]
        for size, slots in sizes.items()
    ]
