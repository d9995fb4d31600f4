"""The command line: one command for each station, and `run` for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pruning import comparison, publish, quantise, remeasure, report, resize, seeds, stations
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
Model = Annotated[Path, typer.Argument(help="Published fp32 folder, such as models/polyp-lite0-pruned/1")]
Origin = Annotated[Path, typer.Argument(help="Its recipe, such as runs/polyp-lite0/config.toml")]
Marks = Annotated[
    float | None,
    typer.Option(
        "--marks", min=0, max=0.99, help="First raise the peak, to this share of marked squares without a polyp"
    ),
]
Models = Annotated[Path, typer.Option("--models", help="Where model folders are written")]

HERE = Path()
SENSITIVITY_FRAMES = 32


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
def recalibrate(folder: Folder, root: Root = HERE) -> None:
    """Measure batch norm's statistics anew on the network that was just pruned."""
    stations.recalibrate(Run(folder, root))


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
    """Measure Dice, IoU, false positives and latency of both graphs, and Dice and latency of each step."""
    stations.evaluate(Run(folder, root))
    stations.evaluate_steps(Run(folder, root))


@app.command()
def sensitivity(
    folder: Folder,
    frames: Annotated[int, typer.Option(min=1, help="How many frames of the validation part")] = SENSITIVITY_FRAMES,
    root: Root = HERE,
) -> None:
    """Dice of the dense network against channels removed, one group at a time."""
    stations.measure_sensitivity(Run(folder, root), frames)


@app.command(name="publish")
def publish_models(folder: Folder, models: Models = Path("models"), root: Root = HERE) -> None:
    """Write the model folders that the service reads."""
    for written in publish.publish(Run(folder, root), models):
        console.print(f"published {written}")


@app.command(name="remeasure")
def remeasure_model(model: Model, recipe: Origin, marks: Marks = None, root: Root = HERE) -> None:
    """Measure a published model again and write its manifest and card anew; the graph stays."""
    remeasure.remeasure(model, recipe, root, marks)


@app.command(name="resize")
def resize_model(
    model: Model,
    recipe: Origin,
    size: Annotated[int, typer.Option(min=32, help="Height and width of the frames, a multiple of 32")],
    root: Root = HERE,
) -> None:
    """Write a published model for frames of another size as its next version: same weights, calibrated anew."""
    console.print(f"published {resize.resize(model, recipe, size, root)}")


@app.command(name="quantise")
def quantise_model(
    model: Model,
    recipe: Origin,
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
    share: Annotated[list[float] | None, typer.Option(help="MACs left, of the dense network's; repeat it")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Repeat it for several")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only this one, beside the first; repeat it")] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Of fine-tuning")] = 1,
    scratch_epochs: Annotated[int, typer.Option(min=0, help="Of training the pruned architecture from scratch")] = 10,
    size: Annotated[int | None, typer.Option(min=32, help="Of the frames, as in resize; default the recipe's")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="A score is averaged over; default the recipe's")] = None,
    cuts: Annotated[int, typer.Option(min=1, help="Cuts to each share, scored anew, not tuned in between")] = 1,
    grid: Annotated[int | None, typer.Option(min=1, help="Of widths, and their floor; default the recipe's")] = None,
    root: Root = HERE,
) -> None:
    """Every criterion and baseline at equal MACs: writes compare.json, .csv, .md and .svg; goes on where it stopped."""
    run = Run(folder, root)
    settings = comparison.Settings(
        shares=tuple(share or (0.5, 0.25, 0.1)),
        seeds=tuple(seed or (0, 1, 2)),
        epochs=epochs,
        scratch_epochs=scratch_epochs,
        size=size or run.recipe.network.size,
        frames=frames or run.recipe.prune.frames,
        cuts=cuts,
        grid=grid or run.recipe.prune.grid,
        recalibrate=run.recipe.prune.recalibrate,
    )
    console.print(comparison.table(comparison.compare(run, settings, method or [])))


@app.command(name="seeds")
def tell_seeds(
    folders: Annotated[list[Path], typer.Argument(help="Run folders of recipes that differ in their seed")],
    root: Root = HERE,
) -> None:
    """Several seeds of one recipe as one table."""
    typer.echo(seeds.table([Run(folder, root) for folder in folders]))


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
        if current.recipe.prune.recalibrate and not step.recalibrated.is_file():
            stations.recalibrate(current)
        stations.finetune(current)
    if not current.pruned.is_file():  # interrupted after the last step
        stations.finetune(current)
    stations.calibrate(current)
    stations.export_graphs(current)
    stations.evaluate(current)
    stations.evaluate_steps(current)
    if not current.sensitivity.is_file():
        stations.measure_sensitivity(current, SENSITIVITY_FRAMES)
    console.print(f"wrote {report.write(current)}")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error of ours or of the system is one message, never a traceback.

    Raises:
        SystemExit: always, with the exit code.
    """
    try:
        app(arguments)
    except (PruningError, OSError) as error:  # the system's own: no space, no permission
        console.print(f"error: {error}", style="red", markup=False)  # messages may hold brackets
        raise SystemExit(1) from error
