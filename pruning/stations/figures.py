"""Stations that settle and measure what a network is worth: calibrate, export and evaluate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from pruning import calibration, checkpoint, export, latency
from pruning.calibration import Calibration
from pruning.checkpoint import Checkpoint
from pruning.cost import conv_widths, count_macs, count_parameters
from pruning.data import read_parts, read_training
from pruning.evaluate import FrameScores, measure, score_frames
from pruning.metrics import bootstrap
from pruning.progress import console, tell_quality
from pruning.publish import fingerprint
from pruning.runs import VARIANTS, Run, read_json, require, write_json
from pruning.sessions import open_session


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
    metrics["difference"] = _signed_interval(pruned - dense)
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
        "difference": _signed_interval(dice - against),
    }


def _signed_interval(differences: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Paired difference of Dice, pruned minus dense: mean and 95% bootstrap interval."""
    return bootstrap(differences).rounded()
