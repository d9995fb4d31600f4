"""One cut: select channels under a budget, and remove them."""

from __future__ import annotations

from pruning.checkpoint import Checkpoint
from pruning.config import Prune
from pruning.cost import CostModel
from pruning.criteria import Scores
from pruning.groups import Group
from pruning.removal import remove
from pruning.selection import Removed, Selection
from pruning.signs import keep_both_signs


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
    kept = keep_both_signs(present.network, groups, scores)
    selection = Selection(counted, kept, recipe.grid, recipe.floor, recipe.cost_exponent)
    removed = selection.select(budget)
    present.history = [*present.history, *remove(present.network, size, removed)]
    return removed
