"""Several runs of one recipe that differ in their seed, as one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pruning.config import Recipe
from pruning.errors import RunError
from pruning.metrics import bootstrap
from pruning.runs import VARIANTS, Run, read_json, require

Scores = npt.NDArray[np.float64]


def table(runs: list[Run]) -> str:
    """A Markdown table of dense and pruned networks: a column for each seed, then their mean and range.

    The interval behind a mean is a bootstrap over frames, each frame's Dice averaged over seeds first. Differences are
    paired: of the same seed on the same frame.

    Raises:
        RunError: a run is not evaluated, or by an older version; two differ in more than their seed, or share it.
    """
    _check([run.recipe for run in runs])
    measured = [_read(run) for run in runs]
    lines = [_line("", [*(f"seed {run.recipe.seed}" for run in runs), "mean", "range"]), "|---" * (len(runs) + 3) + "|"]
    for name, dense, pruned in _dices(measured):
        lines += [_overlap(f"{name}: dense", dense), _overlap(f"{name}: pruned", pruned)]
        lines.append(_overlap(f"{name}: pruned minus dense", pruned - dense, "+"))
    for name, shares in _marked(measured):
        lines.append(
            _line(name, [*(f"{share:.0%}" for share in shares), f"{np.mean(shares):.0%}", _range(shares, ".0%")])
        )
    return "\n".join(lines)


def _check(recipes: list[Recipe]) -> None:
    seeds = {recipe.seed for recipe in recipes}
    others = {recipe.model_copy(update={"seed": 0}).model_dump_json() for recipe in recipes}
    if len(others) > 1 or len(seeds) < len(recipes):
        raise RunError("the recipes of these runs must be the same but for their seeds, and each seed another")


def _read(run: Run) -> dict[str, Any]:
    metrics: dict[str, Any] = read_json(require(run.metrics, "evaluate"))
    if not all("unseen_frames" in metrics[variant] for variant in VARIANTS):
        raise RunError(
            f"{run.metrics} has no Dice by frame: write it anew with `python -m pruning evaluate {run.folder}`"
        )
    return metrics


def _dices(measured: list[dict[str, Any]]) -> Iterator[tuple[str, Scores, Scores]]:
    """Names of parts, and Dice of both networks on their frames, float64 [seeds, frames]."""
    unseen = [f"Dice, {part['dataset']}, {part['split']}" for part in measured[0]["pruned"]["unseen"]]
    for place, name in enumerate(["Dice, test", *unseen]):
        dense, pruned = ([_parts(one[variant])[place] for one in measured] for variant in VARIANTS)
        yield name, _scores(dense), _scores(pruned)


def _parts(figures: dict[str, Any]) -> list[dict[str, float]]:
    return [figures["frames"], *figures["unseen_frames"]]


def _scores(by_frame: list[dict[str, float]]) -> Scores:
    return np.array([[one[stem] for stem in by_frame[0]] for one in by_frame])


def _overlap(name: str, dice: Scores, sign: str = "") -> str:
    interval, means = bootstrap(dice.mean(0)), dice.mean(1)
    shown = interval.signed() if sign else str(interval)
    return _line(name, [*(f"{mean:{sign}.3f}" for mean in means), shown, _range(means, f"{sign}.3f")])


def _marked(measured: list[dict[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    for index, part in enumerate(measured[0]["pruned"]["false_positives"]):
        for variant in VARIANTS:
            name = f"marked of {part['frames']} without polyps, {part['dataset']}: {variant}"
            yield name, [one[variant]["false_positives"][index]["frame_rate"] for one in measured]


def _range(values: Any, form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"


def _line(name: str, cells: list[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"
