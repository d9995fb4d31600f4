"""The stations of a run: each reads a file of the run folder and writes the next.

train > (score > prune > recalibrate > finetune) for each step > calibrate > export > evaluate > sensitivity > report
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from pruning import calibration, checkpoint, crops, export, latency, published, recovery, sensitivity
from pruning.budgets import cut_to_share
from pruning.calibration import Calibration
from pruning.checkpoint import Checkpoint
from pruning.config import Train
from pruning.cost import conv_widths, count_macs, count_parameters
from pruning.criteria import Scores
from pruning.criteria import score as score_channels
from pruning.data import Frames, check_reported, load_frames, read_parts, read_training
from pruning.errors import RunError
from pruning.evaluate import FrameScores, measure, score_frames
from pruning.grouping import find_groups
from pruning.metrics import bootstrap
from pruning.progress import TrainingProgress, console, tell_quality
from pruning.publish import fingerprint
from pruning.runs import VARIANTS, Run, Step, read_json, require, write_json
from pruning.sessions import open_session
from pruning.training import Trainer, frame_dice


def load_training_part(run: Run, size: int) -> tuple[Frames, Frames]:
    """(training, validation) frames of all that the recipe learns from, at `size` × `size`."""
    training, validation = read_training(run.root, run.recipe.data)
    frames = load_frames(training + validation, size)
    order = torch.arange(len(frames))
    return frames.subset(order[: len(training)]), frames.subset(order[len(training) :])


def load_mucosa(run: Run, size: int) -> Frames:
    """The polyp-free squares of the training frames, at `size` × `size`."""
    return crops.mucosa(read_training(run.root, run.recipe.data)[0], size)


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


def scoring_sample(run: Run) -> Frames:
    """The training frames that scores are averaged over, drawn by the seed."""
    frames, _ = load_training_part(run, run.recipe.network.size)
    return draw(frames, run.recipe.prune.frames, run.recipe.seed)


def draw(frames: Frames, count: int, seed: int) -> Frames:
    """At most `count` of the frames, at random."""
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed))
    return frames.subset(order[:count])


def prune(run: Run) -> None:
    """Select under the step's budget and remove: writes plan.json and pruned.pt; what an earlier cut left goes."""
    step = _unfinished(run)
    recipe = run.recipe.prune
    present = checkpoint.load(require(run.before(step), "train"))
    size = present.spec.size
    groups = find_groups(present.network, size, recipe.protect)
    scores = load_scores(require(step.scores, "score"))
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


def calibrate(run: Run) -> None:
    """Settle temperature, threshold and peak of both networks on the validation part: writes calibration.json."""
    settle, settled = _calibrator(run), {}
    for variant in VARIANTS:
        network = checkpoint.load(require(run.network(variant), "train" if variant == "dense" else "finetune"))
        settled[variant] = asdict(settle(network))
        console.print(f"{variant}: {settled[variant]}")
    write_json(run.calibration, settled)


def _calibrator(run: Run) -> Callable[[Checkpoint], Calibration]:
    _, pairs = read_training(run.root, run.recipe.data)
    return calibration.calibrator(pairs, run.recipe.network.size, run.recipe.calibrate.marks)


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
        "measured": fingerprint(run, variant),
        **quality,
    }
    tell_quality(variant, figures)
    return figures, test


def evaluate_steps(run: Run) -> None:
    """Measure the network of every step on the test split, and all of them in turns: writes steps.json.

    `dense` and `final` are the graphs of metrics.json; every other is calibrated and exported for this alone.
    """
    metrics = read_json(require(run.metrics, "evaluate"))
    pairs = read_parts(run.root, (run.recipe.data.headline,))
    settle = _calibrator(run)
    rows = [_row("dense", metrics["dense"], metrics["dense"])]
    graphs = [run.graph("dense")]
    for step in run.steps() if run.recipe.polish else run.steps()[:-1]:
        network = checkpoint.load(require(step.tuned, "finetune"))
        graphs.append(run.graph(f"step-{step.number}"))
        settled = settle(network)
        export.export(network, graphs[-1], settled.temperature)
        scores = score_frames(open_session(graphs[-1]), pairs, settled)
        measured = {
            "macs": count_macs(network.network, run.recipe.network.size),
            "parameters": count_parameters(network.network),
            "frames": scores.by_frame(),
        }
        rows.append(_row(f"step {step.number}", measured, metrics["dense"]))
    rows.append(_row("final", metrics["pruned"], metrics["dense"]))
    timed = latency.in_turns([*graphs, run.graph("pruned")])
    for row, milliseconds in zip(rows, np.percentile(timed, 50, axis=0), strict=True):
        row["milliseconds"] = round(float(milliseconds), 3)
        console.print(f"{row['name']}: Dice {row['dice']['mean']:.3f}, {row['milliseconds']:.1f} ms")
    write_json(run.steps_metrics, rows)


def _row(name: str, measured: dict[str, Any], dense: dict[str, Any]) -> dict[str, Any]:
    """One network: cost, Dice with its interval, and the paired difference to the dense network."""
    dice = np.array([*measured["frames"].values()])
    against = np.array([dense["frames"][stem] for stem in measured["frames"]])
    return {
        "name": name,
        "macs": measured["macs"],
        "parameters": measured["parameters"],
        "dice": bootstrap(dice).rounded(),
        "difference": signed_interval(dice - against),
    }


def measure_sensitivity(run: Run, frames: int) -> None:
    """Dice of the dense network when one group at a time loses channels: writes sensitivity.json.

    Args:
        frames: how many of the validation part are looked at, drawn by the seed.
    """
    recipe = run.recipe
    dense = checkpoint.load(require(run.dense, "train"))
    groups = find_groups(dense.network, recipe.network.size, recipe.prune.protect)
    scores = load_scores(require(run.step(1).scores, "score"))
    _, pairs = read_training(run.root, recipe.data)
    sample = draw(load_frames(pairs, recipe.network.size), frames, recipe.seed)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("sensitivity", total=len(groups))
        found = sensitivity.measure(
            dense.network, dense.spec, groups, scores, sample, recipe.threshold, lambda: progress.advance(task)
        )
    write_json(run.sensitivity, found)
    console.print(f"sensitivity of {len(groups)} groups; worth protecting: {', '.join(found['suggested']) or 'none'}")


def load_scores(path: Path) -> Scores:
    """Scores that station `score` wrote."""
    with np.load(path) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored}


def signed_interval(differences: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Paired difference of Dice, pruned minus dense: mean and 95% bootstrap interval."""
    return bootstrap(differences).rounded()


def _unfinished(run: Run) -> Step:
    step = run.current()
    if step is None:
        raise RunError(f"every step of {run.folder} is finished: go on with `python -m pruning export`")
    return step
