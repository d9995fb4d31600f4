"""Scores in rounds: what a channel is worth when those that matter less are gone.

First-order scores count each channel as if all others stayed. Where several channels say much the same, each of them
is worth little by itself, and one big cut takes them all. In rounds, the channels that a smaller cut would take are
gated to zero and the others are scored anew, each time for a budget nearer to the wanted one. Molchanov et al.,
"Pruning Convolutional Neural Networks for Resource Efficient Inference" (ICLR 2017), remove a few channels at a time
with fine-tuning in between; here nothing is trained.
"""

from __future__ import annotations

from torch import Tensor, nn

from pruning.config import Network, Prune
from pruning.cost import CostModel
from pruning.criteria import Scores, score
from pruning.cutting import select
from pruning.data import Frames
from pruning.errors import BudgetError
from pruning.gates import gated, removing
from pruning.groups import Group


def refine(
    network: nn.Module,
    spec: Network,
    groups: list[Group],
    frames: Frames,
    recipe: Prune,
    seed: int,
    scores: Scores,
    cost: CostModel,
    budget: float,
) -> Scores:
    """Scores for a cut to `budget`, from those of the whole network, in `recipe.rounds - 1` rounds.

    The budgets of the rounds fall by equal ratios. Channels are taken singly, whatever the recipe's grid. One that is
    taken keeps the score that it had when it was; a later round may give it back, and scores it anew.

    Args:
        frames, seed: as for `score`.
        scores: of the network as it is; not changed.
        cost: of the network, in what the budget counts.

    Where a round's budget cannot be reached, the rounds end: the cut is refused then, and says why.
    """
    whole = cost.total(cost.full)
    singly = recipe.model_copy(update={"grid": 1})
    for number in range(1, recipe.rounds):
        smaller = whole * (budget / whole) ** (number / recipe.rounds)
        try:
            gone = select(network, groups, scores, singly, cost, smaller, tolerance=1)
        except BudgetError:
            return scores
        with gated(network, removing(network, groups, gone)):
            fresh = score(network, spec, groups, frames, recipe, seed)
        scores = {name: _held(values, fresh[name], gone.get(name, [])) for name, values in scores.items()}
    return scores


def _held(before: Tensor, after: Tensor, gone: list[int]) -> Tensor:
    """The new scores, but the old ones of the channels that are gone."""
    held = after.clone()
    held[gone] = before[gone]
    return held
