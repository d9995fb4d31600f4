"""Criteria side by side: the dense network pruned in one step to equal MACs by each, before and after fine-tuning.

Results are written to compare.json of the run folder after each criterion, so an interrupted comparison goes on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from pruning import checkpoint, stations
from pruning.config import Prune
from pruning.cost import count_macs, count_parameters
from pruning.criteria import score
from pruning.cutting import cut
from pruning.data import Frames, load_frames, read_pairs
from pruning.grouping import find_groups
from pruning.metrics import bootstrap
from pruning.progress import console
from pruning.runs import Run, read_json, require, write_json
from pruning.training import frame_dice

CRITERIA: dict[str, dict[str, Any]] = {
    "taylor-abs": {"criterion": "taylor-abs"},
    "taylor-abs, cost ignored": {"criterion": "taylor-abs", "cost_exponent": 0.0},
    "taylor-abs, per MAC": {"criterion": "taylor-abs", "cost_exponent": 1.0},
    "taylor-abs, gradient not normalised": {"criterion": "taylor-abs", "normalise_gradient": False},
    "taylor-abs, random gradient": {"criterion": "taylor-abs", "gradient": "random"},
    "taylor-sq": {"criterion": "taylor-sq"},
    "taylor-signed": {"criterion": "taylor-signed"},
    "l1": {"criterion": "l1"},
    "bn-gamma": {"criterion": "bn-gamma"},
    "random": {"criterion": "random"},
}


def compare(run: Run, share: float, epochs: int) -> Table:
    """Prune to `share` of the dense MACs by every criterion and fine-tune each for `epochs`.

    Dice is per frame of the test split, at the network's size and the recipe's threshold.
    """
    recipe = run.recipe
    path = run.folder / f"compare-{share:g}.json"
    results: dict[str, Any] = read_json(path) if path.is_file() else {}
    test = load_frames(read_pairs(run.root / recipe.data.root, run.root / recipe.data.test), recipe.network.size)
    sample = stations.scoring_sample(run)
    for name, settings in CRITERIA.items():
        if name not in results:
            chosen = Prune.model_validate({**recipe.prune.model_dump(), **settings, "steps": (share,)})
            results[name] = _measure(run, name, chosen, epochs, sample, test)
            write_json(path, results)
    return table(results, share, epochs)


def _measure(run: Run, name: str, chosen: Prune, epochs: int, sample: Frames, test: Frames) -> dict[str, Any]:
    """Prune by one criterion; Dice of each test frame before and after fine-tuning."""
    recipe = run.recipe
    pruned = checkpoint.load(require(run.dense, "train"))
    size = pruned.spec.size
    groups = find_groups(pruned.network, size, chosen.protect)
    scores = score(pruned.network, pruned.spec, groups, sample, chosen, recipe.seed)
    cut(pruned, groups, scores, chosen, int(chosen.steps[0] * count_macs(pruned.network, size)))
    before = frame_dice(pruned.network, pruned.spec, test, recipe.threshold)
    short = recipe.finetune.model_copy(update={"epochs": epochs})
    state = run.folder / "compare.state"
    tuned = stations.fit_network(run, f"compare: {name}", pruned, short, state)
    after = frame_dice(tuned.network, tuned.spec, test, recipe.threshold)
    console.print(f"{name}: Dice {before.mean():.3f} before, {after.mean():.3f} after {epochs} epochs")
    return {
        "macs": count_macs(tuned.network, size),
        "parameters": count_parameters(tuned.network),
        "before": before.tolist(),
        "after": after.tolist(),
    }


def table(results: dict[str, Any], share: float, epochs: int) -> Table:
    """One row a criterion; the last column is paired per frame against the first criterion."""
    shown = Table(title=f"One step to {share:.0%} of the MACs, then {epochs} epochs of fine-tuning")
    for column in (
        "criterion",
        "M MACs",
        "M parameters",
        "Dice before",
        "Dice after",
        "after, against the first",
    ):
        shown.add_column(column, justify="left" if column == "criterion" else "right")
    first = np.array(next(iter(results.values()))["after"])
    for name, result in results.items():
        after = np.array(result["after"])
        against = bootstrap(after - first)
        shown.add_row(
            name,
            f"{result['macs'] / 1e6:,.0f}",
            f"{result['parameters'] / 1e6:.2f}",
            str(bootstrap(np.array(result["before"]))),
            str(bootstrap(after)),
            f"{against.mean:+.3f} [{against.low:+.3f}, {against.high:+.3f}]",
        )
    return shown
