"""Plots of a report, each as an SVG element that stands in the page and takes its colours from the page.

matplotlib writes colours as hex digits. Those below stand for the page's own, which differ between light and dark.
"""

from __future__ import annotations

import io
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

INK, PALE, FIRST, SECOND, THIRD = "#010001", "#020001", "#030001", "#040001", "#050001"
PAGE = {
    INK: "currentColor",
    PALE: "var(--pale)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "polyprune",  # the same run gives the same bytes
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    **{f"{part}.facecolor": "none" for part in ("figure", "axes", "savefig")},
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "grid.color": INK,
}
PHASES = {"train": FIRST, "finetune": SECOND, "polish": THIRD}
ROW = 0.19  # inches a layer


def learning_curves(history: list[dict[str, str]]) -> str:
    """Training loss and validation Dice over all epochs, in the order in which they were run."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.8))
        loss, dice = figure.subplots(1, 2)
        _curve(loss, history, "loss", "training loss")
        _curve(dice, history, "dice", "validation Dice")
        if history:  # a recipe may train nothing
            middle = median(float(row["dice"]) for row in history)
            dice.set_ylim(bottom=max(0.0, middle - 0.15))  # the first epochs lie far below, and hide what comes after
        kinds = dict.fromkeys(_kind(phase) for phase in _phases(history))
        dice.legend(handles=[Line2D([], [], color=PHASES[kind], label=kind) for kind in kinds], loc="lower right")
        return _svg(figure)


def _curve(axes: Axes, history: list[dict[str, str]], column: str, title: str) -> None:
    """One line a phase, and a thin upright line where a phase begins with a schedule of its own."""
    start = 0
    for phase, rows in _phases(history).items():
        epochs = range(start + 1, start + len(rows) + 1)
        values = [float(row[column]) for row in rows]
        axes.plot(epochs, values, color=PHASES[_kind(phase)], marker="o", markersize=2)
        if start:
            axes.axvline(start + 0.5, color=INK, alpha=0.25, linewidth=0.6)
        start += len(rows)
    axes.set(title=title, xlabel="epoch")
    axes.grid(axis="y")


def _phases(history: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """The rows of each phase that the run itself is made of."""
    phases: dict[str, list[dict[str, str]]] = {}
    for row in history:
        if _kind(row["phase"]) in PHASES:
            phases.setdefault(row["phase"], []).append(row)
    return phases


def _kind(phase: str) -> str:
    return phase.partition("-")[0]


def widths(before: dict[str, int], after: dict[str, int]) -> str:
    """Channels per convolution: dense as a pale bar, what is left as a strong one."""
    names = list(before)
    with mpl.rc_context(STYLE):
        figure, axes = _rows(names)
        places = range(len(names))
        axes.barh(places, [before[name] for name in names], color=PALE, label="dense")
        axes.barh(places, [after[name] for name in names], color=FIRST, height=0.45, label="pruned")
        for place, name in enumerate(names):
            axes.text(before[name], place, f"  {before[name]} → {after[name]}", va="center", fontsize=7)
        axes.set(xlabel="output channels")
        axes.margins(x=0.12)
        axes.legend(loc="upper right")
        return _svg(figure)


def sensitivity(found: dict[str, Any]) -> str:
    """Dice of each group at each share of its channels removed; the upright line is the whole network."""
    names = list(found["groups"])
    with mpl.rc_context(STYLE):
        figure, axes = _rows(names)
        axes.axvline(found["dice"], color=INK, alpha=0.5, linewidth=0.8)
        for index, (share, colour) in enumerate(zip(found["shares"], (FIRST, SECOND, THIRD), strict=True)):
            dice = [group["dice"][index] for group in found["groups"].values()]
            axes.plot(dice, range(len(names)), "o", color=colour, markersize=4, label=f"{share:.0%} removed")
        axes.set(xlabel="validation Dice, without fine-tuning")
        axes.grid(axis="x")
        axes.legend(loc="lower left")
        return _svg(figure)


def _rows(names: list[str]) -> tuple[Figure, Axes]:
    """Axes with one row a name, from the top."""
    figure = Figure(figsize=(9, ROW * len(names) + 1))
    axes: Axes = figure.subplots()
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def trade_off(rows: list[dict[str, Any]]) -> str:
    """Test Dice with its interval against MACs and against measured milliseconds: dense, each step, final."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.2))
        macs, milliseconds = figure.subplots(1, 2, sharey=True)
        _points(macs, rows, [row["macs"] / 1e9 for row in rows], "G MACs a frame")
        _points(milliseconds, rows, [row["milliseconds"] for row in rows], "ms a frame (p50, one thread)")
        macs.set(ylabel="test Dice")
        return _svg(figure)


def _points(axes: Axes, rows: list[dict[str, Any]], cost: list[float], label: str) -> None:
    dice = [row["dice"]["mean"] for row in rows]
    below = [row["dice"]["mean"] - row["dice"]["low"] for row in rows]
    above = [row["dice"]["high"] - row["dice"]["mean"] for row in rows]
    axes.errorbar(cost, dice, [below, above], color=FIRST, ecolor=PALE, marker="o", linewidth=1, capsize=3)
    for index, (row, x, y) in enumerate(zip(rows, cost, dice, strict=True)):
        side = -10 if index % 2 else 10  # neighbours may cost the same
        axes.annotate(row["name"], (x, y), (5, side), textcoords="offset points", va="center", fontsize=8)
    axes.set(xlabel=label)
    axes.margins(x=0.12)
    axes.grid()


def _svg(figure: Figure) -> str:
    figure.set_layout_engine("constrained")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    for hexadecimal, colour in PAGE.items():
        text = text.replace(hexadecimal, colour)
    return text[text.index("<svg") :]
