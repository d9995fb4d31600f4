"""Stations in which a network learns: train and finetune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pruning import checkpoint, published
from pruning.checkpoint import Checkpoint
from pruning.config import Train
from pruning.data import check_reported
from pruning.errors import RunError
from pruning.grouping import find_groups
from pruning.progress import TrainingProgress, console
from pruning.runs import Run, require
from pruning.stations.parts import load_mucosa, load_training_part, scoring_sample
from pruning.training import Trainer


def train(run: Run) -> None:
    """Train the dense network, or take one that is there: writes stages/*.pt, dense.pt and history.csv."""
    if run.dense.is_file():
        console.print(f"{run.dense} is there already")
        return
    check_reported(run.root, run.recipe.data)
    torch.manual_seed(run.recipe.seed)  # of the layers that start at random
    if run.recipe.start:
        checkpoint.save(run.dense, _start(run, run.root / run.recipe.start))
        return
    network = checkpoint.create(run.recipe.network)
    # Refused now, if it cannot be pruned, rather than after hours of training.
    find_groups(network.network, network.spec.size, run.recipe.prune.protect)
    for number, stage in enumerate(run.recipe.train, start=1):
        path = run.stage(number)
        if path.is_file():
            console.print(f"{path} is there already")
            network = checkpoint.load(path)
            continue
        network = fit_network(run, f"train-{number}", network, stage, path, stage.size)


def _start(run: Run, start: Path) -> Checkpoint:
    """The network of a published model, or the pruned one of a finished run, for frames of this recipe's size.

    Raises:
        RunError: the run is not finished, or the network is another than this recipe's.
    """
    wanted = run.recipe.network
    if (start / "manifest.json").is_file():
        return published.read(start, wanted, scoring_sample(run))
    found = checkpoint.load(require(Run(start, run.root).pruned, "run"))
    if found.spec.model_copy(update={"size": wanted.size}) != wanted:
        raise RunError(f"{start} holds {found.spec}; this recipe wants {wanted}: make [network] the same but for size")
    return Checkpoint(wanted, found.history, found.network)


def finetune(run: Run) -> None:
    """Fine-tune the network that was just pruned: writes tuned.pt, and after the last step pruned.pt."""
    step = run.current()
    if step is not None:
        ready = require(step.recalibrated, "recalibrate") if run.recipe.prune.recalibrate else step.pruned
        start = checkpoint.load(require(ready, "prune"))
        fit_network(run, step.phase, start, run.recipe.finetune, step.tuned)
    if run.current() is None:
        _polish(run)


def _polish(run: Run) -> None:
    if run.pruned.is_file():
        console.print(f"{run.pruned} is there already")
        return
    last = checkpoint.load(run.steps()[-1].tuned)
    if run.recipe.polish:
        fit_network(run, "polish", last, run.recipe.polish, run.pruned)
    else:
        checkpoint.save(run.pruned, last)


def fit_network(
    run: Run, phase: str, start: Checkpoint, recipe: Train, target: Path, size: int | None = None
) -> Checkpoint:
    """Train or fine-tune with progress and history; the dense network teaches where the recipe says so.

    Args:
        target: where the network is saved; what the training could go on from stays until it is.
        size: of the frames, where it is not the network's own.
    """
    spec = start.spec.model_copy(update={"size": size or start.spec.size})
    training, validation = load_training_part(run, spec.size)
    teacher = checkpoint.load(require(run.dense, "train")).network if recipe.teacher else None
    mucosa = load_mucosa(run, spec.size) if recipe.mucosa else None
    state = run.state(phase)
    with TrainingProgress(phase, recipe.epochs) as progress:

        def report(epoch: Any) -> None:
            progress.report(epoch)
            run.append_history(phase, epoch)

        trainer = Trainer(
            Checkpoint(spec, start.history, start.network), recipe, run.recipe.threshold, run.recipe.seed, state
        )
        done = trainer.run(training, validation, report, progress.tick, teacher, mucosa)
    fitted = Checkpoint(start.spec, done.history, done.network)
    checkpoint.save(target, fitted)
    state.unlink(missing_ok=True)
    return fitted
