"""The table of a comparison: one row for each share and method.

Frames are what an interval is over: Dice is first averaged over seeds, frame by frame, and the frames are then
resampled. What another seed would give is shown beside it, as the range of the seeds' means.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from pruning.comparison.cells import Cell, Cells
from pruning.comparison.methods import METHODS
from pruning.metrics import Interval, bootstrap

COLUMNS = ("MACs left", "method", "M MACs", "M parameters", "before", "after", "seeds", "after, against the first")


@dataclass(frozen=True)
class Row:
    """One method at one share, over all its seeds.

    Attributes:
        macs, parameters: means over the seeds.
        before, after: Dice. lowest, highest: means of single seeds after fine-tuning.
        against: paired difference after fine-tuning to the first method, at the same share and over the same seeds.
        refused: why there is no figure.
    """

    share: float
    method: str
    seeds: int
    macs: float = 0.0
    parameters: float = 0.0
    before: Interval | None = None
    after: Interval | None = None
    lowest: float = 0.0
    highest: float = 0.0
    against: Interval | None = None
    refused: str = ""

    def texts(self) -> list[str]:
        """The row as it is printed, under `COLUMNS`."""
        start = [f"{self.share:.0%}", self.method]
        if self.before is None or self.after is None:
            return [*start, "", "", "not reachable", "", "", ""]
        return [
            *start,
            f"{self.macs / 1e6:,.1f}",
            f"{self.parameters / 1e6:.2f}",
            str(self.before),
            str(self.after),
            f"{self.lowest:.3f} to {self.highest:.3f} ({self.seeds})",
            self.against.signed() if self.against else "",
        ]

    def flat(self) -> dict[str, Any]:
        """The row as numbers by column, for CSV."""
        values: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if name in ("before", "after", "against"):
                for part in ("mean", "low", "high"):
                    values[f"{name}_{part}"] = value[part] if value else ""
            else:
                values[name] = value
        return values


def rows(cells: Cells) -> list[Row]:
    """All rows, shares falling, methods in the order of `METHODS`."""
    order = [method.name for method in METHODS]
    pairs = {(cell.share, cell.method) for cell in cells.cells.values()}
    return [_row(cells, *pair) for pair in sorted(pairs, key=lambda pair: (-pair[0], order.index(pair[1])))]


def _row(cells: Cells, share: float, method: str) -> Row:
    found = [cell for cell in cells.cells.values() if (cell.share, cell.method) == (share, method)]
    done = [cell for cell in found if not cell.refused]
    if not done:
        return Row(share, method, len(found), refused=found[0].refused)
    means = [float(np.mean(cell.after)) for cell in done]
    return Row(
        share,
        method,
        len(done),
        float(np.mean([cell.macs for cell in done])),
        float(np.mean([cell.parameters for cell in done])),
        bootstrap(_over_seeds(cell.before for cell in done)),
        bootstrap(_over_seeds(cell.after for cell in done)),
        min(means),
        max(means),
        _against_first(cells, done),
    )


def _against_first(cells: Cells, done: list[Cell]) -> Interval | None:
    firsts = [cells.cells.get((cell.share, METHODS[0].name, cell.seed)) for cell in done]
    pairs = [(cell, first) for cell, first in zip(done, firsts, strict=True) if first and not first.refused]
    if not pairs:
        return None
    return bootstrap(_over_seeds(np.subtract(cell.after, first.after) for cell, first in pairs))


def _over_seeds(values: Any) -> npt.NDArray[np.float64]:
    frames: npt.NDArray[np.float64] = np.mean(np.array(list(values), dtype=np.float64), axis=0)
    return frames


def points(found: list[Row]) -> dict[str, list[tuple[float, Interval, Interval]]]:
    """For each method: (MACs, Dice before, Dice after) at every share, for the plot."""
    drawn: dict[str, list[tuple[float, Interval, Interval]]] = {}
    for row in found:
        if row.before and row.after:
            drawn.setdefault(row.method, []).append((row.macs, row.before, row.after))
    return drawn


def write_csv(found: list[Row], path: Path) -> None:
    """One line a row, numbers as they are."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found[0].flat()))
        writer.writeheader()
        writer.writerows(row.flat() for row in found)


def write_markdown(found: list[Row], cells: Cells, path: Path) -> None:
    """The table, and what was reduced for it."""
    text = [
        _caption(cells),
        "",
        _line(COLUMNS),
        _line(["---"] * len(COLUMNS)),
        *(_line(row.texts()) for row in found),
    ]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


def _caption(cells: Cells) -> str:
    settings, dense = cells.settings, cells.dense
    return (
        f"Frames of {settings['size']}², scores over {settings['frames']} frames, {settings['cuts']} cut(s) without "
        f"fine-tuning in between, grid and floor {settings['grid']}, batch norm measured anew on "
        f"{settings['recalibrate']} frames; then {settings['epochs']} epoch(s) of "
        f"fine-tuning, or {settings['scratch_epochs']} of training from scratch. Dice per frame of the test split at "
        f"that size, mean over seeds, 95% bootstrap interval over {len(dense['stems'])} frames. Dense: "
        f"{dense['macs'] / 1e6:,.1f} M MACs, {dense['parameters'] / 1e6:.2f} M parameters, Dice "
        f"{bootstrap(np.array(dense['dice']))}."
    )


def _line(columns: Any) -> str:
    return f"| {' | '.join(columns)} |"


def table(found: list[Row]) -> Table:
    """For the terminal."""
    shown = Table()
    for column in COLUMNS:
        shown.add_column(column, justify="left" if column == "method" else "right", overflow="fold")
    for row in found:
        shown.add_row(*row.texts())
    return shown
