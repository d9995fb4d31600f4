"""Progress bars with loss, Dice and time left; one printed line an epoch."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pruning.metrics import Interval
from pruning.training import Epoch

console = Console(highlight=False)


class TrainingProgress:
    """A bar over all steps of all epochs, used as a context manager.

    Where the output is no terminal, only the line after each epoch is printed.
    """

    def __init__(self, label: str, epochs: int) -> None:
        self.label = label
        self.epochs = epochs
        self.finished = 0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]} Dice {task.fields[dice]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(label, total=None, loss="-", dice="-")

    def __enter__(self) -> TrainingProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def tick(self, step: int, steps: int) -> None:
        """One optimiser step of the present epoch is done."""
        self.bar.update(self.task, total=steps * self.epochs, completed=self.finished * steps + step)

    def report(self, epoch: Epoch) -> None:
        """One epoch is done."""
        self.finished = epoch.epoch
        loss, dice = f"{epoch.loss:.4f}", f"{epoch.dice:.4f}"
        self.bar.update(self.task, loss=loss, dice=dice)
        console.print(
            f"{self.label}  epoch {epoch.epoch}/{epoch.epochs}  loss {loss}  "
            f"validation Dice {dice}  {epoch.seconds:.0f} s"
        )


def tell_quality(name: str, figures: dict[str, Any]) -> None:
    """Print what `evaluate.measure` found of a graph."""
    console.print(f"{name}: Dice {Interval(**figures['dice'])}")
    for scores in figures["unseen"]:
        console.print(f"{name}: Dice on {scores['dataset']}, {scores['split']} {Interval(**scores['dice'])}")
    for marked in figures["false_positives"]:
        share, among = marked["frame_rate"], f"{marked['frames']} frames without polyps ({marked['dataset']})"
        console.print(f"{name}: marks on {share:.0%} of {among}")
