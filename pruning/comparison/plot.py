"""The plot of a comparison."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from pruning.metrics import Interval


def draw(
    path: Path, points: dict[str, list[tuple[float, Interval, Interval]]], dense_macs: int, dense_dice: float
) -> None:
    """Write an SVG: Dice against the share of MACs left, before and after fine-tuning, one line a method.

    Args:
        points: for each method (MACs, Dice before, Dice after); the intervals are drawn.
    """
    figure = Figure(figsize=(11, 5))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, place, title in zip(panels, (0, 1), ("before fine-tuning", "after fine-tuning"), strict=True):
        for number, (method, found) in enumerate(points.items()):
            x = [point[0] / dense_macs * (1 + 0.006 * number) for point in found]  # side by side, not on one another
            dice = [point[1:][place] for point in found]
            spread = [[d.mean - d.low for d in dice], [d.high - d.mean for d in dice]]
            marker = f"C{number % 10}{'os^'[number // 10 % 3]}-"
            axes.errorbar(x, [d.mean for d in dice], spread, fmt=marker, label=method, elinewidth=0.8, markersize=4)
        axes.axhline(dense_dice, color="#607d8b", linestyle=":", label="dense")
        axes.set_title(title)
        axes.set_xlabel("MACs left")
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("Dice")
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    figure.set_layout_engine("constrained")
    figure.savefig(path, format="svg", metadata={"Date": None})
