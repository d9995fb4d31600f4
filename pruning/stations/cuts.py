"""Stations in which a network loses channels: score, prune and recalibrate, and sensitivity, which tries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress

from pruning import checkpoint, recovery, sensitivity
from pruning.budgets import cut_to_share
from pruning.cost import conv_widths, count_macs, count_parameters
from pruning.criteria import Scores
from pruning.criteria import score as score_channels
from pruning.data import load_frames, read_training
from pruning.errors import RunError
from pruning.grouping import find_groups
from pruning.progress import console
from pruning.runs import Run, Step, require, write_json
from pruning.stations.parts import draw, load_training_part, scoring_sample
from pruning.training import frame_dice


def score(run: Run) -> None:
    """Score the channels of the present network: writes scores.npz of the first unfinished step."""
    step = _unfinished(run)
    recipe = run.recipe
    present = checkpoint.load(require(run.before(step), "train"))
    groups = find_groups(present.network, recipe.network.size, recipe.prune.protect)
    sample = scoring_sample(run)
    scores = score_channels(present.network, recipe.network, groups, sample, recipe.prune, recipe.seed)
    step.folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: values.numpy() for name, values in scores.items()}
    partial = step.folder / ".scores.partial.npz"
    np.savez(partial, allow_pickle=False, **arrays)
    partial.replace(step.scores)
    console.print(f"step {step.number}: scored {len(scores)} groups on {len(sample)} frames")


def prune(run: Run) -> None:
    """Select under the step's budget and remove: writes plan.json and pruned.pt; what an earlier cut left goes."""
    step = _unfinished(run)
    recipe = run.recipe.prune
    present = checkpoint.load(require(run.before(step), "train"))
    size = present.spec.size
    groups = find_groups(present.network, size, recipe.protect)
    scores = _load_scores(require(step.scores, "score"))
    before, macs_before = conv_widths(present.network), count_macs(present.network, size)
    removed, spent = cut_to_share(run, present, groups, scores, recipe.steps[step.number - 1])
    plan = {
        "step": step.number,
        "budget": spent.as_dict(),
        "macs_before": macs_before,
        "macs": count_macs(present.network, size),
        "parameters": count_parameters(present.network),
        "widths_before": before,
        "widths": conv_widths(present.network),
        "removed": removed,
    }
    for stale in (step.pruned, step.recalibrated, step.recalibration, run.state(step.phase)):
        stale.unlink(missing_ok=True)
    write_json(step.plan, plan)
    checkpoint.save(step.pruned, present)
    console.print(
        f"step {step.number}: {spent.before:,.5g} -> {spent.after:,.5g} {spent.unit}, {spent.got:.1%} of the dense "
        f"network's (budget {spent.wanted:.1%})"
    )


def recalibrate(run: Run) -> None:
    """Measure batch norm's statistics of the network that was just pruned: writes recalibrated.pt and what it did."""
    step = _unfinished(run)
    recipe, size = run.recipe, run.recipe.network.size
    present = checkpoint.load(require(step.pruned, "prune"))
    training, validation = load_training_part(run, size)
    before = frame_dice(present.network, present.spec, validation, recipe.threshold).mean()
    recovery.recalibrate(present.network, present.spec, draw(training, recipe.prune.recalibrate, recipe.seed))
    after = frame_dice(present.network, present.spec, validation, recipe.threshold).mean()
    checkpoint.save(step.recalibrated, present)
    found = {"frames": recipe.prune.recalibrate, "dice_before": float(before), "dice_after": float(after)}
    write_json(step.recalibration, found)
    console.print(f"step {step.number}: validation Dice {before:.3f} -> {after:.3f} by recalibration")


def measure_sensitivity(run: Run, frames: int) -> None:
    """Dice of the dense network when one group at a time loses channels: writes sensitivity.json.

    Args:
        frames: how many of the validation part are looked at, drawn by the seed.
    """
    recipe = run.recipe
    dense = checkpoint.load(require(run.dense, "train"))
    groups = find_groups(dense.network, recipe.network.size, recipe.prune.protect)
    scores = _load_scores(require(run.step(1).scores, "score"))
    _, pairs = read_training(run.root, recipe.data)
    sample = draw(load_frames(pairs, recipe.network.size), frames, recipe.seed)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("sensitivity", total=len(groups))
        found = sensitivity.measure(
            dense.network, dense.spec, groups, scores, sample, recipe.threshold, lambda: progress.advance(task)
        )
    write_json(run.sensitivity, found)
    console.print(f"sensitivity of {len(groups)} groups; worth protecting: {', '.join(found['suggested']) or 'none'}")


def _load_scores(path: Path) -> Scores:
    """Scores that station `score` wrote."""
    with np.load(path) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored}


def _unfinished(run: Run) -> Step:
    step = run.current()
    if step is None:
        raise RunError(f"every step of {run.folder} is finished: go on with `python -m pruning export`")
    return step
