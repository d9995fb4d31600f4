"""Budgets: a share of what the dense network costs, in MACs, in parameters, or in milliseconds measured here.

MACs and parameters are counted, so the selection meets them by itself. Milliseconds are predicted as the sum of
measured layers (`pruning.layer_times`), which leaves out what is no convolution: the network that the prediction
chose is exported and run in turns with the dense one, and the prediction is corrected by what came out, until the
measured share is within 2% of the wanted one.
"""

from __future__ import annotations

import tempfile
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from pruning import checkpoint, latency
from pruning.checkpoint import Checkpoint
from pruning.config import Prune
from pruning.cost import CostModel, count_macs, count_parameters, macs, measure_layers, parameters
from pruning.criteria import Scores
from pruning.cutting import cut
from pruning.errors import BudgetError
from pruning.export import export
from pruning.groups import Group
from pruning.layer_times import LayerTimes
from pruning.runs import Run
from pruning.selection import TOLERANCE, Removed

ATTEMPTS = 6  # corrections of a prediction


@dataclass(frozen=True)
class Attempt:
    """One network that was measured: predicted and measured share of the dense network's time, and milliseconds."""

    predicted: float
    measured: float
    milliseconds: float


@dataclass(frozen=True)
class Spent:
    """A budget and what came of it: `wanted` and `got` are shares of the dense network's cost, the rest is in `unit`.

    `attempts` holds the networks that were measured for a latency budget, the last of which is the one that was taken.
    """

    kind: str
    unit: str
    wanted: float
    got: float
    dense: float
    before: float
    budget: float
    after: float
    attempts: tuple[Attempt, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def counted(kind: str, network: nn.Module, size: int) -> int:
    """What a network costs in a budget that is counted."""
    return count_macs(network, size) if kind == "macs" else count_parameters(network)


def cost_model(kind: str, network: nn.Module, groups: list[Group], size: int) -> CostModel:
    """The cost of a network by its widths, for a budget that is counted."""
    if kind == "macs":
        return CostModel(network, groups, size, macs, "MACs", count_macs(network, size))
    return CostModel(network, groups, size, parameters, "parameters", count_parameters(network))


def cut_to_share(
    run: Run, present: Checkpoint, groups: list[Group], scores: Scores, share: float
) -> tuple[Removed, Spent]:
    """Prune `present` in place to a share of what the run's dense network costs.

    Raises:
        BudgetError: no network within 2% of the budget was found; nothing is removed then.
    """
    dense, recipe = checkpoint.load(run.dense), run.recipe.prune
    if recipe.budget == "latency":
        return LatencyBudget(dense, run.graph("dense"), run.layer_times).cut(present, groups, scores, recipe, share)
    size, kind = present.spec.size, recipe.budget
    whole, before = counted(kind, dense.network, size), counted(kind, present.network, size)
    model = cost_model(kind, present.network, groups, size)
    budget = int(share * whole)
    trial = Checkpoint(present.spec, present.history, deepcopy(present.network))
    removed = cut(trial, groups, scores, recipe, budget, model)
    after = counted(kind, trial.network, size)
    if not (1 - TOLERANCE) * budget <= after <= budget:
        raise BudgetError(
            f"the budget is {budget:,} {model.unit}, and the network that was to meet it costs {after:,}: something "
            "that is neither convolution nor batch norm, such as attention, shrank with it, which is not foretold; "
            "choose another prune.budget, such as 'latency'"
        )
    present.network, present.history = trial.network, trial.history
    return removed, Spent(kind, model.unit, share, after / whole, whole, before, budget, after)


class LatencyBudget:
    """A budget in measured milliseconds of one frame, batch 1, network only."""

    def __init__(self, dense: Checkpoint, graph: Path, table: Path, threads: int = 1, runs: int = 100) -> None:
        """Measure the dense network's layers, as far as the table lacks them.

        Args:
            graph: the dense network's; exported to there if there is none.
            table: where the times of layers are kept.
        """
        self.graph = graph
        self.threads = threads
        self.runs = runs
        layers = measure_layers(dense.network, dense.spec.size)
        self.times = LayerTimes(table, layers, threads)
        self.predicted = sum(self.times(layer, layer.inputs, layer.outputs) for layer in layers.values())
        if not graph.is_file():
            export(dense, graph)

    def cut(
        self, present: Checkpoint, groups: list[Group], scores: Scores, recipe: Prune, share: float
    ) -> tuple[Removed, Spent]:
        """Prune `present` in place until it takes `share` of the dense network's time.

        Raises:
            BudgetError: no selection reaches it, the machine is too busy to tell 2%, or `ATTEMPTS` corrections did
                not come within it; nothing is removed then.
        """
        model = CostModel(present.network, groups, present.spec.size, self.times, "ms as predicted")
        before = self.measure(present)
        attempts: list[Attempt] = []
        aim = share * model.total(model.full) / self.predicted * before.speed_up
        while len(attempts) < ATTEMPTS:
            trial = Checkpoint(present.spec, present.history, deepcopy(present.network))
            removed = cut(trial, groups, scores, recipe, aim * self.predicted, model)
            found = self.measure(trial)
            attempts.append(Attempt(aim, 1 / found.speed_up, found.pruned_p50))
            if abs(attempts[-1].measured / share - 1) <= TOLERANCE:
                present.network, present.history = trial.network, trial.history
                return removed, _spent(share, before, found, attempts)
            aim *= share / attempts[-1].measured
        raise BudgetError(missed(share, attempts))

    def measure(self, network: Checkpoint) -> latency.Comparison:
        """Export a network and run it in turns with the dense one.

        Raises:
            BudgetError: the interval of the ratio is wider than the budget's tolerance.
        """
        with tempfile.TemporaryDirectory() as folder:
            graph = Path(folder) / "trial.onnx"
            export(network, graph)
            found = latency.compare(self.graph, graph, self.threads, self.runs)
        if found.speed_up_high / found.speed_up_low > 1 + 2 * TOLERANCE:
            raise BudgetError(
                f"this machine is too busy to measure latency to {TOLERANCE:.0%}: the speed-up came out as "
                f"{found.speed_up:.2f} [{found.speed_up_low:.2f}, {found.speed_up_high:.2f}]; end what else runs on it"
            )
        return found


def _spent(share: float, before: latency.Comparison, after: latency.Comparison, attempts: list[Attempt]) -> Spent:
    whole = after.dense_p50
    got = attempts[-1].measured
    return Spent(
        "latency", "ms", share, got, whole, before.pruned_p50, share * whole, after.pruned_p50, tuple(attempts)
    )


def missed(share: float, attempts: list[Attempt]) -> str:
    """Names the nearest on either side."""
    below = max((a.measured for a in attempts if a.measured < share), default=None)
    above = min((a.measured for a in attempts if a.measured > share), default=None)
    nearest = " and ".join(f"{found:.1%}" for found in (below, above) if found is not None)
    return (
        f"no network within {TOLERANCE:.0%} of {share:.0%} of the dense network's time was found in {len(attempts)} "
        f"attempts: the nearest took {nearest}; make one of these the step, or lower prune.grid"
    )
