"""A uniformly narrow network: every group keeps the same share of its channels, on the width grid."""

from __future__ import annotations

from pruning.cost import CostModel, Widths
from pruning.criteria import Scores
from pruning.errors import BudgetError
from pruning.selection import Removed


def uniform(cost: CostModel, scores: Scores, grid: int, floor: int, budget: int) -> Removed:
    """Channels to remove, the lowest scores of each group, so that the network costs at most `budget` MACs.

    The share grows from nothing, and each group rounds it up to the grid; from the first step that does not fit, each
    other group takes one more if that fits. Example: on a grid of 16 a share of 0.4 leaves 32 of 64 and 16 of 32.

    Raises:
        BudgetError: every group is at its floor and the network still costs more.
    """
    widths = {name: min(full, max(floor, grid)) for name, full in cost.full.items()}
    if cost.total(widths) > budget:
        raise BudgetError(
            f"the budget is {budget:,} MACs, but with every group at {max(floor, grid)} channels the network costs "
            f"{cost.total(widths):,.0f}: raise the budget, or lower the grid"
        )
    _widen(widths, cost, grid, budget)
    return {
        name: sorted(scores[name].argsort(stable=True)[: full - widths[name]].tolist())
        for name, full in cost.full.items()
        if widths[name] < full
    }


def _widen(widths: Widths, cost: CostModel, grid: int, budget: int) -> None:
    """Take the steps on the grid by the share at which each falls due; from the first that does not fit, one each."""
    macs, full = cost.total(widths), set[str]()
    while waiting := [name for name in widths if name not in full and widths[name] < cost.full[name]]:
        name = min(waiting, key=lambda group: widths[group] / cost.full[group])
        wider = min(cost.full[name], (widths[name] // grid + 1) * grid)
        extra = -cost.saving(widths, name, wider)
        fits = macs + extra <= budget
        if full or not fits:
            full.add(name)
        if fits:
            widths[name], macs = wider, macs + extra
