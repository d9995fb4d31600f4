"""Plots of a report, each as an SVG element that stands in the page."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "polyprune"  # the same run gives the same bytes


def learning_curves(history: list[dict[str, str]]) -> str:
    """Training loss and validation Dice over all epochs, in the order in which they were run."""
    figure = Figure(figsize=(9, 3))
    loss, dice = figure.subplots(1, 2)
    start = 0
    for phase, rows in _phases(history).items():
        x = range(start + 1, start + len(rows) + 1)
        loss.plot(x, [float(row["loss"]) for row in rows], label=phase)
        dice.plot(x, [float(row["dice"]) for row in rows], label=phase)
        start += len(rows)
    for axes, title in ((loss, "training loss"), (dice, "validation Dice")):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    dice.legend(fontsize=8)
    return _svg(figure)


def widths(before: dict[str, int], after: dict[str, int]) -> str:
    """Channels per convolution: dense as a pale bar, what is left as a dark one."""
    names = list(before)
    figure = Figure(figsize=(9, 0.17 * len(names) + 1))
    axes = figure.subplots()
    places = range(len(names))
    axes.barh(places, [before[n] for n in names], color="#cfd8dc", label="dense")
    axes.barh(places, [after[n] for n in names], color="#00838f", height=0.5, label="pruned")
    axes.set_yticks(places, names, fontsize=6)
    axes.invert_yaxis()
    axes.set_xlabel("output channels")
    axes.legend()
    return _svg(figure)


def steps(history: list[dict[str, str]], plans: list[dict[str, Any]], dense_macs: int) -> str:
    """Best validation Dice against MACs: the dense network, then each step after fine-tuning."""
    phases = _phases(history)
    best = {name: max(float(row["dice"]) for row in rows) for name, rows in phases.items()}
    stages = [name for name in best if name.startswith("train-")]  # in the order in which they were run
    points = [(dense_macs, best[stages[-1]] if stages else None)]
    points += [(plan["macs"], best.get(f"finetune-{plan['step']}")) for plan in plans]
    points[-1] = (points[-1][0], best.get("polish", points[-1][1]))
    known = [(macs / 1e9, dice) for macs, dice in points if dice is not None]
    figure = Figure(figsize=(5, 3))
    axes = figure.subplots()
    axes.plot([x for x, _ in known], [y for _, y in known], "o-", color="#00838f")
    axes.set_xlabel("G MACs a frame")
    axes.set_ylabel("validation Dice")
    axes.grid(alpha=0.3)
    return _svg(figure)


def _phases(history: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    phases: dict[str, list[dict[str, str]]] = {}
    for row in history:
        if not row["phase"].startswith("compare"):
            phases.setdefault(row["phase"], []).append(row)
    return phases


def _svg(figure: Figure) -> str:
    figure.set_layout_engine("constrained")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
