"""Dice against milliseconds of every model in a folder: python -m tests.bench.family

Prints the table, and writes the picture of docs/results.md. Dice and its intervals are those of the manifests; the
milliseconds are of the networks alone, one frame at a time on one thread. In turns all models share the caches, so
that whatever else the machine does falls on all alike: what they are compared by. In a row each runs by itself, as on
a stream of frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pruning import latency
from pruning.runs import read_json

RUNS = 200
TICKS = (2, 5, 10, 20, 50)  # milliseconds
Part = tuple[str, str]  # data set, split
FIELDS = "| | input | parameters | MACs | ms, p50, in turns | in a row | frames/s |"


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--picture", type=Path, default=Path("docs/images/family.svg"))
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.models.glob("*/*/manifest.json"))
    manifests = [read_json(folder / "manifest.json") for folder in folders]
    graphs = [folder / "model.onnx" for folder in folders]
    turns = np.median(latency.in_turns(graphs, runs=options.runs), axis=0)
    rows = [float(np.median(latency.in_turns([graph], runs=options.runs))) for graph in graphs]
    parts = [part(quality) for quality in manifests[0]["quality"]]
    print(latency.machine())
    print(f"{FIELDS} {' | '.join(f'Dice, {name}, {split}' for name, split in parts)} |\n{'|---' * (7 + len(parts))}|")
    for manifest, *milliseconds in sorted(zip(manifests, turns, rows, strict=True), key=lambda timed: -timed[1]):
        print(row(manifest, *milliseconds, parts))
    draw(manifests, turns, parts, options.picture)


def part(quality: dict[str, Any]) -> Part:
    """What it was measured on."""
    return quality["dataset"], quality["split"]


def find_dice(manifest: dict[str, Any], wanted: Part) -> dict[str, float] | None:
    """Dice on these frames, where the model was measured on them: one that learned from some was not."""
    return next((quality["dice"] for quality in manifest["quality"] if part(quality) == wanted), None)


def row(manifest: dict[str, Any], in_turns: float, in_a_row: float, parts: list[Part]) -> str:
    """One line of the table."""
    size, dice = manifest["input"]["height"], [find_dice(manifest, wanted) for wanted in parts]
    cost = f"{manifest['parameters'] / 1e6:.2f} M | {manifest['macs'] / 1e9:.2f} G"
    timed = f"{in_turns:.1f} | {in_a_row:.1f} | {1e3 / in_a_row:.0f}"
    found = " | ".join(f"{v['mean']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" if v else "" for v in dice)
    return f"| `{manifest['name']}` | {size}² | {cost} | {timed} | {found} |"


def draw(manifests: list[dict[str, Any]], turns: Any, parts: list[Part], picture: Path) -> None:
    """One panel for each data set."""
    with mpl.rc_context(
        {"svg.hashsalt": "polyprune", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        colours = colour_of(manifests)
        panels = np.atleast_1d(figure.subplots(1, len(parts), sharey=True))
        for axes, wanted in zip(panels, parts, strict=True):
            panel(axes, manifests, turns, wanted, colours)
            axes.set(title=", ".join(wanted), xlabel="ms a frame, network alone, one thread")
        panels[0].set(ylabel="Dice, 95% interval")
        figure.legend(handles=legend(manifests, colours), loc="outside right upper", frameon=False)
        figure.savefig(picture, metadata={"Date": None})


def full_name(manifest: dict[str, Any]) -> str:
    """The name of the fp32 model that this one is, or comes from."""
    return str(manifest["name"]).removesuffix(f"-{manifest['precision']}")


def colour_of(manifests: list[dict[str, Any]]) -> dict[str, str]:
    """A colour for each fp32 model."""
    return {name: f"C{index}" for index, name in enumerate(sorted({full_name(manifest) for manifest in manifests}))}


def legend(manifests: list[dict[str, Any]], colours: dict[str, str]) -> list[Line2D]:
    """What the colours and the hollow points are."""
    named = [Line2D([], [], marker="o", linestyle="", color=c, label=name) for name, c in colours.items()]
    lower = sorted({manifest["precision"] for manifest in manifests} - {"fp32"})
    hollow = [Line2D([], [], marker="o", linestyle="", color="grey", markerfacecolor="white", label=p) for p in lower]
    return named + hollow


def panel(axes: Axes, manifests: list[dict[str, Any]], turns: Any, wanted: Part, colours: dict[str, str]) -> None:
    """A point for each model; those of lower precision are hollow, in the colour of the one that they come from."""
    for manifest, milliseconds in zip(manifests, turns, strict=True):
        dice = find_dice(manifest, wanted)
        if dice is None:
            continue
        around = [[dice["mean"] - dice["low"]], [dice["high"] - dice["mean"]]]
        face = None if manifest["precision"] == "fp32" else "white"
        colour = colours[full_name(manifest)]
        axes.errorbar(milliseconds, dice["mean"], around, fmt="o", markerfacecolor=face, color=colour, capsize=3)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.minorticks_off()
    axes.margins(x=0.15, y=0.12)
    axes.grid(alpha=0.2)


if __name__ == "__main__":
    main()
