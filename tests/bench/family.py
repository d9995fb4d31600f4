"""Dice against milliseconds of every model in a folder, timed in turns in one run: python -m tests.bench.family

Prints the table, and writes the picture of docs/results.md. Dice and its intervals are those of the manifests; the
milliseconds are of the networks alone, one frame at a time on one thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pruning import latency
from pruning.runs import read_json

RUNS = 200
TICKS = (2, 5, 10, 20, 50)  # milliseconds
FIELDS = "| | input | parameters | MACs | ms, p50 | frames/s |"


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--picture", type=Path, default=Path("docs/images/family.svg"))
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.models.glob("*/*/manifest.json"))
    manifests = [read_json(folder / "manifest.json") for folder in folders]
    timed = latency.in_turns([folder / "model.onnx" for folder in folders], runs=options.runs)
    p50 = np.percentile(timed, 50, axis=0)
    names = [quality["dataset"] for quality in manifests[0]["quality"]]
    print(latency.machine())
    print(f"{FIELDS} {' | '.join(f'Dice, {name}' for name in names)} |\n{'|---' * (6 + len(names))}|")
    for manifest, milliseconds in sorted(zip(manifests, p50, strict=True), key=lambda pair: -pair[1]):
        print(row(manifest, milliseconds))
    draw(manifests, p50, names, options.picture)


def row(manifest: dict[str, Any], milliseconds: float) -> str:
    """One line of the table."""
    size, dice = manifest["input"]["height"], [quality["dice"] for quality in manifest["quality"]]
    cost = f"{manifest['parameters'] / 1e6:.2f} M | {manifest['macs'] / 1e9:.2f} G"
    found = " | ".join(f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" for value in dice)
    return f"| `{manifest['name']}` | {size}² | {cost} | {milliseconds:.1f} | {1e3 / milliseconds:.0f} | {found} |"


def draw(manifests: list[dict[str, Any]], p50: Any, names: list[str], picture: Path) -> None:
    """One panel for each data set."""
    with mpl.rc_context(
        {"svg.hashsalt": "polyprune", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
        for index, (axes, name) in enumerate(zip(panels, names, strict=True)):
            panel(axes, manifests, p50, index)
            axes.set(title=name, xlabel="ms a frame, network alone, one thread")
        panels[0].set(ylabel="Dice, 95% interval")
        figure.savefig(picture, metadata={"Date": None})


def panel(axes: Axes, manifests: list[dict[str, Any]], p50: Any, index: int) -> None:
    """A point for each model, its name below; those of lower precision are hollow, and their names above."""
    for manifest, milliseconds in zip(manifests, p50, strict=True):
        dice = manifest["quality"][index]["dice"]
        around = [[dice["mean"] - dice["low"]], [dice["high"] - dice["mean"]]]
        full = manifest["precision"] == "fp32"
        face = None if full else "white"
        axes.errorbar(milliseconds, dice["mean"], around, fmt="o", markerfacecolor=face, color="#1f6f8b", capsize=3)
        end, up = (dice["low"], -11) if full else (dice["high"], 5)
        name = manifest["name"].removeprefix("polyp-").removeprefix("lite0-")
        axes.annotate(name, (milliseconds, end), (0, up), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.minorticks_off()
    axes.margins(x=0.15, y=0.12)
    axes.grid(alpha=0.2)


if __name__ == "__main__":
    main()
