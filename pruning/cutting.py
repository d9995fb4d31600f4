"""One cut: select channels under a budget, and remove them."""

from __future__ import annotations

from torch import nn

from pruning.checkpoint import Checkpoint
from pruning.config import Prune
from pruning.cost import CostModel
from pruning.criteria import Scores
from pruning.groups import Group
from pruning.removal import remove
from pruning.selection import TOLERANCE, Removed, Selection
from pruning.signs import keep_both_signs


def select(
    network: nn.Module,
    groups: list[Group],
    scores: Scores,
    recipe: Prune,
    cost: CostModel,
    budget: float,
    tolerance: float = TOLERANCE,
) -> Removed:
    """Channels whose removal leaves at most `budget`, and less by no more than `tolerance`; nothing is removed.

    Raises:
        BudgetError: no selection reaches the budget.
    """
    kept = keep_both_signs(network, groups, scores)
    return Selection(cost, kept, recipe.grid, recipe.floor, recipe.cost_exponent, tolerance).select(budget)


def cut(
    present: Checkpoint,
    groups: list[Group],
    scores: Scores,
    recipe: Prune,
    budget: float,
    cost: CostModel | None = None,
) -> Removed:
    """Prune a checkpoint in place to at most `budget` and no less than 98% of it, and extend its history.

    Args:
        cost: of the checkpoint's network, in what the budget counts; MACs where none is given.

    Returns:
        The channels that were removed, as they were numbered before.

    Raises:
        BudgetError: no selection reaches the budget; nothing is removed then.
    """
    size = present.spec.size
    counted = cost or CostModel(present.network, groups, size)
    removed = select(present.network, groups, scores, recipe, counted, budget)
    present.history = [*present.history, *remove(present.network, size, removed)]
    return removed
