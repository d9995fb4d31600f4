"""The stations of a run: each reads a file of the run folder and writes the next.

train > (score > prune > finetune) for each step > calibrate > export > evaluate > publish > report
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pruning import calibration, checkpoint, export, latency
from pruning.checkpoint import Checkpoint
from pruning.config import Train
from pruning.cost import conv_widths, count_macs, count_parameters
from pruning.criteria import score as score_channels
from pruning.cutting import cut
from pruning.data import Frames, carve, load_frames, read_pairs
from pruning.errors import RunError
from pruning.evaluate import FrameScores, measure
from pruning.grouping import find_groups
from pruning.metrics import bootstrap
from pruning.progress import TrainingProgress, console, tell_quality
from pruning.runs import Run, Step, read_json, require, write_json
from pruning.sessions import open_session
from pruning.training import Trainer

VARIANTS = ("dense", "pruned")


def load_training_part(run: Run, size: int) -> tuple[Frames, Frames]:
    """(training, validation) frames of the recipe's train split, at `size` × `size`."""
    data = run.recipe.data
    frames = load_frames(read_pairs(run.root / data.root, run.root / data.train), size)
    return carve(frames, data.validation_share, run.recipe.seed)


def train(run: Run) -> None:
    """Train the dense network stage by stage: writes stages/*.pt and dense.pt, and adds to history.csv."""
    if run.dense.is_file():
        console.print(f"{run.dense} is there already")
        return
    torch.manual_seed(run.recipe.seed)  # of the layers that start at random
    network = checkpoint.create(run.recipe.network)
    for number, stage in enumerate(run.recipe.train, start=1):
        path = run.stage(number)
        if path.is_file():
            console.print(f"{path} is there already")
            network = checkpoint.load(path)
            continue
        network = fit_network(run, f"train-{number}", network, stage, run.state, stage.size)
        checkpoint.save(path, network)


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
    np.savez(step.scores, allow_pickle=False, **arrays)
    console.print(f"step {step.number}: scored {len(scores)} groups on {len(sample)} frames")


def scoring_sample(run: Run) -> Frames:
    """The training frames that scores are averaged over, drawn by the seed."""
    frames, _ = load_training_part(run, run.recipe.network.size)
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(run.recipe.seed))
    return frames.subset(order[: run.recipe.prune.frames])


def prune(run: Run) -> None:
    """Select under the step's budget and remove: writes plan.json and pruned.pt."""
    step = _unfinished(run)
    recipe = run.recipe.prune
    present = checkpoint.load(require(run.before(step), "train"))
    size = present.spec.size
    groups = find_groups(present.network, size, recipe.protect)
    with np.load(require(step.scores, "score")) as stored:
        scores = {name: torch.from_numpy(stored[name]) for name in stored}
    share = recipe.steps[step.number - 1]
    budget = int(share * dense_macs(run))
    before, macs_before = conv_widths(present.network), count_macs(present.network, size)
    removed = cut(present, groups, scores, recipe, budget)
    macs = count_macs(present.network, size)
    plan = {
        "step": step.number,
        "share": share,
        "budget_macs": budget,
        "macs_before": macs_before,
        "macs": macs,
        "parameters": count_parameters(present.network),
        "widths_before": before,
        "widths": conv_widths(present.network),
        "removed": removed,
    }
    write_json(step.plan, plan)
    checkpoint.save(step.pruned, present)
    console.print(
        f"step {step.number}: {macs_before / 1e6:,.0f} -> {macs / 1e6:,.0f} M MACs (budget {budget / 1e6:,.0f})"
    )


def finetune(run: Run) -> None:
    """Fine-tune the network that was just pruned: writes tuned.pt, and after the last step pruned.pt."""
    step = run.current()
    if step is not None:
        start = checkpoint.load(require(step.pruned, "prune"))
        done = fit_network(run, f"finetune-{step.number}", start, run.recipe.finetune, step.state)
        checkpoint.save(step.tuned, done)
    if run.current() is None:
        _polish(run)


def _polish(run: Run) -> None:
    if run.pruned.is_file():
        console.print(f"{run.pruned} is there already")
        return
    last = checkpoint.load(run.steps()[-1].tuned)
    recipe = run.recipe.polish
    checkpoint.save(run.pruned, fit_network(run, "polish", last, recipe, run.state) if recipe else last)


def fit_network(
    run: Run, phase: str, start: Checkpoint, recipe: Train, state: Path, size: int | None = None
) -> Checkpoint:
    """Train or fine-tune with progress and history; the dense network teaches where the recipe says so.

    Args:
        size: of the frames, where it is not the network's own.
    """
    spec = start.spec.model_copy(update={"size": size or start.spec.size})
    training, validation = load_training_part(run, spec.size)
    teacher = checkpoint.load(require(run.dense, "train")).network if recipe.teacher else None
    with TrainingProgress(phase, recipe.epochs) as progress:

        def report(epoch: Any) -> None:
            progress.report(epoch)
            run.append_history(phase, epoch)

        trainer = Trainer(
            Checkpoint(spec, start.history, start.network), recipe, run.recipe.threshold, run.recipe.seed, state
        )
        done = trainer.run(training, validation, report, progress.tick, teacher)
    state.unlink(missing_ok=True)
    return Checkpoint(start.spec, done.history, done.network)


def calibrate(run: Run) -> None:
    """Settle temperature, threshold and peak of both networks on the validation part: writes calibration.json."""
    _, validation = load_training_part(run, run.recipe.network.size)
    settled = {}
    for variant in VARIANTS:
        network = checkpoint.load(require(run.network(variant), "train" if variant == "dense" else "finetune"))
        settled[variant] = asdict(calibration.calibrate(network, validation))
        console.print(f"{variant}: {settled[variant]}")
    write_json(run.calibration, settled)


def export_graphs(run: Run) -> None:
    """Export dense and pruned, each compared with its network: writes export/*.onnx."""
    for variant in VARIANTS:
        network = checkpoint.load(run.network(variant))
        difference = export.export(network, run.graph(variant), run.calibrated(variant).temperature)
        console.print(f"{run.graph(variant)}: differs from its network by {difference:.1e} in probability")


def evaluate(run: Run) -> None:
    """Measure both graphs on test split, unseen centres and negatives, and their latency: writes metrics.json."""
    measured = {variant: _measure(run, variant) for variant in VARIANTS}
    metrics: dict[str, Any] = {variant: figures for variant, (figures, _) in measured.items()}
    dense, pruned = (measured[variant][1].dice for variant in VARIANTS)
    metrics["difference"] = signed_interval(pruned - dense)
    metrics["latency"] = latency.compare(run.graph("dense"), run.graph("pruned")).as_dict()
    write_json(run.metrics, metrics)


def _measure(run: Run, variant: str) -> tuple[dict[str, Any], FrameScores]:
    session = open_session(require(run.graph(variant), "export"))
    network = checkpoint.load(run.network(variant)).network
    quality, test = measure(session, run.recipe.data, run.root, run.calibrated(variant))
    figures: dict[str, Any] = {
        "parameters": count_parameters(network),
        "macs": count_macs(network, run.recipe.network.size),
        "widths": conv_widths(network),
        "bytes": run.graph(variant).stat().st_size,
        **quality,
    }
    tell_quality(variant, figures)
    return figures, test


def signed_interval(differences: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Paired difference of Dice, pruned minus dense: mean and 95% bootstrap interval."""
    return bootstrap(differences).rounded()


def dense_macs(run: Run) -> int:
    """MACs of the unpruned network."""
    first = run.step(1).plan
    if first.is_file():
        return int(read_json(first)["macs_before"])
    return count_macs(checkpoint.load(run.dense).network, run.recipe.network.size)


def _unfinished(run: Run) -> Step:
    step = run.current()
    if step is None:
        raise RunError(f"every step of {run.folder} is finished: go on with `python -m pruning export`")
    return step
