"""Which channels go: blocks on the width grid, the least important for their cost first, until the budget is met."""

from __future__ import annotations

from dataclasses import dataclass

from pruning.cost import CostModel, Widths
from pruning.criteria import Scores
from pruning.errors import BudgetError

Removed = dict[str, list[int]]  # group name -> channels to remove, as numbered before this removal


@dataclass(frozen=True)
class Block:
    """The next channels of a group to go, from its present width down to the next multiple of the grid."""

    group: str
    width: int
    saving: int
    importance: float


class Selection:
    """Greedy selection under a MACs budget.

    Widths fall to multiples of `grid`, never below `floor`; a width off the grid falls to the next multiple first.
    Example: 40 channels on a grid of 16 go 40 -> 32 -> 16.
    """

    def __init__(self, cost: CostModel, scores: Scores, grid: int, floor: int, cost_exponent: float) -> None:
        self.cost = cost
        self.order = {name: values.argsort(stable=True).tolist() for name, values in scores.items()}
        self.scores = {name: values.tolist() for name, values in scores.items()}
        self.grid = grid
        self.floor = floor
        self.cost_exponent = cost_exponent

    def select(self, budget: int) -> Removed:
        """Channels to remove so that the network costs at most `budget` MACs.

        Raises:
            BudgetError: every group is at its floor and the network still costs more.
        """
        widths, taken = dict(self.cost.full), []
        macs = self.cost.macs(widths)
        while macs > budget:
            blocks = [block for name in widths if (block := self._next(widths, name))]
            if not blocks:
                raise BudgetError(
                    f"the budget is {budget:,} MACs, but the smallest network on a grid of {self.grid} with a floor of "
                    f"{self.floor} costs {macs:,}: raise the budget, or lower prune.floor and prune.grid"
                )
            block = min(blocks, key=self._rank)
            taken.append((block.group, widths[block.group]))
            widths[block.group] = block.width
            macs -= block.saving
        self._give_back(widths, taken, budget)
        return self._channels(widths)

    def _next(self, widths: Widths, name: str) -> Block | None:
        width = widths[name]
        target = (width - 1) // self.grid * self.grid
        if target < max(self.floor, 1):
            return None
        removed = self.cost.full[name] - width
        channels = self.order[name][removed : removed + width - target]
        importance = sum(self.scores[name][channel] for channel in channels)
        return Block(name, target, self.cost.saving(widths, name, target), importance)

    def _rank(self, block: Block) -> float:
        return float(block.importance / block.saving**self.cost_exponent)

    def _give_back(self, widths: Widths, taken: list[tuple[str, int]], budget: int) -> None:
        """The last block overshoots: return the blocks that still fit, those taken last first."""
        macs = self.cost.macs(widths)
        kept: set[str] = set()
        for name, before in reversed(taken):
            extra = -self.cost.saving(widths, name, before)
            if name not in kept and macs + extra <= budget:
                widths[name] = before
                macs += extra
            else:
                kept.add(name)

    def _channels(self, widths: Widths) -> Removed:
        gone = {name: self.cost.full[name] - width for name, width in widths.items()}
        return {name: sorted(self.order[name][:count]) for name, count in gone.items() if count}
