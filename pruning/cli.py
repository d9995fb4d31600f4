"""The command line: one command for each station, and `run` for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pruning import comparison, publish, quantise, report, stations
from pruning.errors import PruningError
from pruning.progress import console
from pruning.runs import Run

app = typer.Typer(
    name="python -m pruning",
    help="Train, prune and export segmentation networks. A run lives in one folder and can be interrupted and resumed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

Recipe = Annotated[Path, typer.Argument(help="Recipe, such as pruning/configs/polyp-lite0.toml")]
Folder = Annotated[Path, typer.Argument(help="Run folder, such as runs/polyp-lite0")]
Out = Annotated[Path | None, typer.Option("--run", help="Run folder; default runs/<name of the recipe file>")]
Root = Annotated[
    Path,
    typer.Option("--root", envvar="PRUNING_ROOT", help="What the recipe's relative data paths are relative to"),
]
Models = Annotated[Path, typer.Option("--models", help="Where model folders are written")]

HERE = Path()


def begin(recipe: Path, folder: Path | None, root: Path) -> Run:
    """The run of a recipe."""
    return Run.begin(recipe, folder or Path("runs") / recipe.stem, root)


@app.command()
def train(recipe: Recipe, run: Out = None, root: Root = HERE) -> None:
    """Train the dense network; begins a run folder."""
    stations.train(begin(recipe, run, root))


@app.command()
def score(folder: Folder, root: Root = HERE) -> None:
    """Score the channels of the present network."""
    stations.score(Run(folder, root))


@app.command()
def prune(folder: Folder, root: Root = HERE) -> None:
    """Select channels under the step's budget and remove them."""
    stations.prune(Run(folder, root))


@app.command()
def finetune(folder: Folder, root: Root = HERE) -> None:
    """Fine-tune the network that was just pruned."""
    stations.finetune(Run(folder, root))


@app.command()
def calibrate(folder: Folder, root: Root = HERE) -> None:
    """Settle temperature, threshold and peak of both networks on the validation part."""
    stations.calibrate(Run(folder, root))


@app.command()
def export(folder: Folder, root: Root = HERE) -> None:
    """Export both networks to ONNX and compare each with its network."""
    stations.export_graphs(Run(folder, root))


@app.command()
def evaluate(folder: Folder, root: Root = HERE) -> None:
    """Measure Dice, IoU, false positives and latency of both graphs."""
    stations.evaluate(Run(folder, root))


@app.command(name="publish")
def publish_models(folder: Folder, models: Models = Path("models"), root: Root = HERE) -> None:
    """Write the model folders that the service reads."""
    for written in publish.publish(Run(folder, root), models):
        console.print(f"published {written}")


@app.command(name="quantise")
def quantise_model(
    model: Annotated[Path, typer.Argument(help="Published fp32 folder, such as models/polyp-lite0-pruned/1")],
    recipe: Annotated[Path, typer.Argument(help="Its recipe, such as runs/polyp-lite0/config.toml")],
    precision: Annotated[quantise.Precision, typer.Option(help="Of the version that is written")] = "int8",
    root: Root = HERE,
) -> None:
    """Write a published model in a lower precision beside it, unless it loses too much Dice."""
    console.print(f"published {quantise.quantise(model, recipe, precision, root)}")


@app.command(name="report")
def write_report(folder: Folder, root: Root = HERE) -> None:
    """Write report.html: curves, widths, frames and the table, in one file."""
    console.print(f"wrote {report.write(Run(folder, root))}")


@app.command()
def compare(
    folder: Folder,
    share: Annotated[float, typer.Option(help="MACs left, as a share of the dense network's")] = 0.5,
    epochs: Annotated[int, typer.Option(help="Epochs of fine-tuning for each criterion")] = 2,
    root: Root = HERE,
) -> None:
    """Prune the dense network by every criterion at equal MACs, in one step; before and after fine-tuning."""
    console.print(comparison.compare(Run(folder, root), share, epochs))


@app.command(name="run")
def run_all(recipe: Recipe, run: Out = None, root: Root = HERE) -> None:
    """All stations up to the report; goes on where an interrupted run stopped."""
    current = begin(recipe, run, root)
    stations.train(current)
    while (step := current.current()) is not None:
        if not step.scores.is_file():
            stations.score(current)
        if not step.pruned.is_file():
            stations.prune(current)
        stations.finetune(current)
    if not current.pruned.is_file():  # interrupted after the last step
        stations.finetune(current)
    stations.calibrate(current)
    stations.export_graphs(current)
    stations.evaluate(current)
    console.print(f"wrote {report.write(current)}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error of ours is one message, never a traceback.

    Raises:
        SystemExit: always, with the exit code.
    """
    try:
        app(arguments)
    except PruningError as error:
        console.print(f"error: {error}", style="red", markup=False)  # messages may hold brackets
        raise SystemExit(1) from error
