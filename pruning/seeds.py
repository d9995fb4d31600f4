"""Several runs of one recipe that differ in their seed, as one table."""

from __future__ import annotations

from typing import Any

import numpy as np

from pruning.config import Recipe
from pruning.errors import RunError
from pruning.metrics import bootstrap
from pruning.runs import Run, read_json, require


def table(runs: list[Run]) -> str:
    """A Markdown table of the pruned networks: a column for each seed, then their mean and range.

    The interval behind the mean of the first row is a bootstrap over frames, each frame's Dice averaged over seeds.

    Raises:
        RunError: a run is not evaluated, or two of them differ in more than their seed or have the same.
    """
    _check([run.recipe for run in runs])
    measured = [read_json(require(run.metrics, "evaluate"))["pruned"] for run in runs]
    columns = [f"seed {run.recipe.seed}" for run in runs]
    frames = np.array([[*one["frames"].values()] for one in measured])  # [seeds, frames]
    interval = bootstrap(frames.mean(0))
    lines = [_line("", [*columns, "mean", "range"]), "|---" * (len(runs) + 3) + "|"]
    for name, values in _figures(measured):
        mean = str(interval) if len(lines) == 2 else f"{np.mean(values):.3f}"
        lines.append(_line(name, [f"{v:.3f}" for v in values] + [mean, f"{min(values):.3f} to {max(values):.3f}"]))
    return "\n".join(lines)


def _check(recipes: list[Recipe]) -> None:
    seeds = {recipe.seed for recipe in recipes}
    others = {recipe.model_copy(update={"seed": 0}).model_dump_json() for recipe in recipes}
    if len(others) > 1 or len(seeds) < len(recipes):
        raise RunError("the recipes of these runs must be the same but for their seeds, and each seed another")


def _figures(measured: list[dict[str, Any]]) -> list[tuple[str, list[float]]]:
    """Names, and a value for each seed."""
    rows = [("Dice, test", [one["dice"]["mean"] for one in measured])]
    for index, part in enumerate(measured[0]["unseen"]):
        name = f"Dice, {part['dataset']}, {part['split']}"
        rows.append((name, [one["unseen"][index]["dice"]["mean"] for one in measured]))
    for index, part in enumerate(measured[0]["false_positives"]):
        name = f"marked of {part['frames']} without polyps, {part['dataset']}"
        rows.append((name, [one["false_positives"][index]["frame_rate"] for one in measured]))
    return rows


def _line(name: str, cells: list[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"
