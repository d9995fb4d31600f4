"""Which channels go: blocks on the width grid, the least important for their cost first, until the budget is met."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from pruning.cost import CostModel, Widths
from pruning.criteria import Scores
from pruning.errors import BudgetError

Removed = dict[str, list[int]]  # group name -> channels to remove, as numbered before this removal
TOLERANCE = 0.02  # of the budget: how far from it a network may end
# Where the estimate of a saving is nothing (a measured layer that is no faster narrower), the block goes last.
LEAST_SAVING = 1e-9


@dataclass(frozen=True)
class Block:
    """The next channels of a group to go, from its present width down to the next multiple of the grid."""

    group: str
    width: int
    saving: float
    importance: float


class Selection:
    """Greedy selection under a budget, in whatever the cost model counts.

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

    def select(self, budget: float) -> Removed:
        """Channels to remove so that the network costs at most `budget`, and at least 98% of it.

        Blocks go in the order of their rank; those that the last one made needless come back; if the widths then
        still leave more than 2% of the budget unused, other widths of one group, then of two, are tried.

        Raises:
            BudgetError: every group is at its floor and the network still costs more, or the steps of the width
                grid are too coarse; names the nearest costs that were found.
        """
        widths, taken = dict(self.cost.full), []
        total = self.cost.total(widths)
        dearer = total  # the least of the costs above the budget
        while total > budget:
            dearer = total
            blocks = [block for name in widths if (block := self._next(widths, name))]
            if not blocks:
                raise BudgetError(
                    f"the budget is {self._show(budget)}, but the smallest network on a grid of {self.grid} "
                    f"with a floor of {self.floor} costs {self._show(total)}: raise the budget, or lower prune.floor "
                    "and prune.grid"
                )
            block = min(blocks, key=self._rank)
            taken.append((block.group, widths[block.group]))
            widths[block.group] = block.width
            total -= block.saving
        self._give_back(widths, taken, budget)
        return self._channels(self._approach(widths, budget, dearer))

    def _next(self, widths: Widths, name: str) -> Block | None:
        width = widths[name]
        target = (width - 1) // self.grid * self.grid
        if target < max(self.floor, 1):
            return None
        return Block(name, target, self.cost.saving(widths, name, target), self._between(name, target, width))

    def _between(self, name: str, narrow: int, wide: int) -> float:
        """Importance of the channels that a group has at one width and lacks at the other."""
        full = self.cost.full[name]
        return float(sum(self.scores[name][channel] for channel in self.order[name][full - wide : full - narrow]))

    def _rank(self, block: Block) -> float:
        return float(block.importance / max(block.saving, LEAST_SAVING) ** self.cost_exponent)

    def _give_back(self, widths: Widths, taken: list[tuple[str, int]], budget: float) -> None:
        """The last block overshoots: return the blocks that still fit, those taken last first."""
        total = self.cost.total(widths)
        kept: set[str] = set()
        for name, before in reversed(taken):
            extra = -self.cost.saving(widths, name, before)
            if name not in kept and total + extra <= budget:
                widths[name] = before
                total += extra
            else:
                kept.add(name)

    def _approach(self, widths: Widths, budget: float, dearer: float) -> Widths:
        """Other widths of one group, or of two, that use the budget where the given ones leave more than 2% of it.

        Raises:
            BudgetError: there are none; names the nearest cost below the budget, and above, where `dearer` is one.
        """
        total = self.cost.total(widths)
        if total >= (1 - TOLERANCE) * budget:
            return widths
        seen = [total, dearer]
        for number in (1, 2):
            found = [(total - self.cost.change(widths, after), after) for after in self._others(number)]
            near = [after for cost, after in found if (1 - TOLERANCE) * budget <= cost <= budget]
            if near:
                chosen: Widths = min(near, key=lambda after: self._importance(after, widths))
                return {**widths, **chosen}
            seen += [cost for cost, _ in found]
        below, above = max(cost for cost in seen if cost <= budget), min(cost for cost in seen if cost > budget)
        raise BudgetError(
            f"no widths on a grid of {self.grid} with a floor of {self.floor} use the budget of {self._show(budget)} "
            f"to within {TOLERANCE:.0%}: the nearest that were found cost {self._show(below)} and "
            f"{self._show(above)}; make one of these the budget, or lower prune.grid"
        )

    def _others(self, number: int) -> Iterator[Widths]:
        """All widths of every `number` groups."""
        for names in combinations(self.cost.full, number):
            for widths in product(*(self._widths(name) for name in names)):
                yield dict(zip(names, widths, strict=True))

    def _widths(self, name: str) -> list[int]:
        full = self.cost.full[name]
        return [full, *(width for width in range(self.grid, full, self.grid) if width >= self.floor)]

    def _importance(self, after: Widths, widths: Widths) -> float:
        """Importance lost by a change of widths; negative where more comes back than goes."""
        return sum(
            self._between(name, width, widths[name]) - self._between(name, widths[name], width)
            for name, width in after.items()
        )

    def _show(self, cost: float) -> str:
        return f"{cost:,.0f} {self.cost.unit}" if cost >= 1000 else f"{cost:.4g} {self.cost.unit}"

    def _channels(self, widths: Widths) -> Removed:
        gone = {name: self.cost.full[name] - width for name, width in widths.items()}
        return {name: sorted(self.order[name][:count]) for name, count in gone.items() if count}
