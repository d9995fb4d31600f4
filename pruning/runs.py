"""A run folder: each station reads a file of it and writes the next, so that each can be run alone.

    runs/<name>/
        config.toml           the recipe, as it was when the run began
        stages/1.pt           train: the network after each stage but the last
        dense.pt              train: after the last; or the pruned network of the run that the recipe starts from
        steps/1/scores.npz    score
        steps/1/plan.json     prune: what is removed, and the widths before and after
        steps/1/pruned.pt     prune
        steps/1/recalibrated.pt, recalibration.json
                              recalibrate: with batch norm's statistics of the narrower network, and what that did
        steps/1/tuned.pt      finetune
        steps/2/...           and so on, one folder for each of prune.steps
        pruned.pt             finetune: after the last step, polished if the recipe says so
        history.csv           every epoch of train and finetune
        calibration.json      calibrate: temperature, threshold and peak of both networks
        export/dense.onnx     export
        export/pruned.onnx    export
        metrics.json          evaluate
        steps.json            evaluate: Dice and milliseconds of every step's network
        sensitivity.json      sensitivity: Dice against channels removed, one group at a time
        layer-times.json      prune, where the budget is latency: milliseconds of each layer by its widths
        report.html           report
        <phase>.state         a training that is not finished: train-1, finetune-2, polish

Which step comes next is read from the files that are there: nothing else holds state.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from pruning.calibration import Calibration
from pruning.config import Recipe, read_recipe
from pruning.errors import RunError
from pruning.training import Epoch

VARIANTS = ("dense", "pruned")  # of the network: before anything is removed, and after all steps


class Run:
    """Paths of one run, and its recipe.

    Args:
        folder: the run folder.
        root: what the recipe's relative paths are relative to.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.root = root
        self.config = folder / "config.toml"
        self.dense = folder / "dense.pt"
        self.pruned = folder / "pruned.pt"
        self.history = folder / "history.csv"
        self.calibration = folder / "calibration.json"
        self.metrics = folder / "metrics.json"
        self.steps_metrics = folder / "steps.json"
        self.sensitivity = folder / "sensitivity.json"
        self.layer_times = folder / "layer-times.json"
        self.report = folder / "report.html"

    @classmethod
    def begin(cls, recipe: Path, folder: Path, root: Path) -> Run:
        """Make a run folder with a copy of the recipe, or take up the one that is there.

        Another recipe takes the place of one that left nothing else: its data or its network were refused.

        Raises:
            RunError: the folder holds a run of another recipe.
            RecipeError: the recipe cannot be used.
        """
        read_recipe(recipe)
        run = cls(folder, root)
        folder.mkdir(parents=True, exist_ok=True)
        if run.config.is_file() and run.config.read_bytes() == recipe.read_bytes():
            return run
        if run.config.is_file() and any(path != run.config for path in folder.iterdir()):
            raise RunError(f"{folder} holds a run of another recipe than {recipe}: name another folder, or remove it")
        shutil.copyfile(recipe, run.config)
        return run

    @cached_property
    def recipe(self) -> Recipe:
        """The run's own recipe.

        Raises:
            RecipeError: there is none, or it cannot be used.
        """
        return read_recipe(self.config)

    def stage(self, number: int) -> Path:
        """The network after training stage `number`, counted from 1; after the last it is the dense network."""
        return self.dense if number == len(self.recipe.train) else self.folder / "stages" / f"{number}.pt"

    def state(self, phase: str) -> Path:
        """What a training that is not finished goes on from: `train-<stage>`, `finetune-<step>` or `polish`."""
        return self.folder / f"{phase}.state"

    def step(self, number: int) -> Step:
        """Step `number`, counted from 1."""
        return Step(self.folder / "steps" / str(number), number)

    def steps(self) -> list[Step]:
        """All steps of the recipe."""
        return [self.step(number) for number in range(1, len(self.recipe.prune.steps) + 1)]

    def before(self, step: Step) -> Path:
        """The network that a step starts from: the dense one, or what the step before left."""
        return self.dense if step.number == 1 else self.step(step.number - 1).tuned

    def current(self) -> Step | None:
        """The first step that is not finished; None when all are."""
        return next((step for step in self.steps() if not step.tuned.is_file()), None)

    def graph(self, variant: str) -> Path:
        """The exported graph of variant `dense` or `pruned`."""
        return self.folder / "export" / f"{variant}.onnx"

    def network(self, variant: str) -> Path:
        """The checkpoint of variant `dense` or `pruned`."""
        return self.dense if variant == "dense" else self.pruned

    def calibrated(self, variant: str) -> Calibration:
        """Temperature, threshold and peak of variant `dense` or `pruned`.

        Raises:
            RunError: they are not settled yet.
        """
        return Calibration(**read_json(require(self.calibration, "calibrate"))[variant])

    def append_history(self, phase: str, epoch: Epoch) -> None:
        """Add one epoch of `train-<stage>`, `finetune-<step>` or `polish` to history.csv."""
        row = {"phase": phase, **asdict(epoch)}
        new = not self.history.is_file()
        with self.history.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)

    def read_history(self) -> list[dict[str, str]]:
        """Rows of history.csv, the last one of each epoch: a phase may have been run again. None before training."""
        if not self.history.is_file():
            return []
        with self.history.open(newline="", encoding="utf-8") as file:
            return list({(row["phase"], row["epoch"]): row for row in csv.DictReader(file)}.values())


class Step:
    """Files of one pruning step."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.number = number
        self.phase = f"finetune-{number}"
        self.scores = folder / "scores.npz"
        self.plan = folder / "plan.json"
        self.pruned = folder / "pruned.pt"
        self.recalibrated = folder / "recalibrated.pt"
        self.recalibration = folder / "recalibration.json"
        self.tuned = folder / "tuned.pt"


def require(path: Path, station: str) -> Path:
    """The path, if the file is there.

    Raises:
        RunError: it is not; names the station that writes it.
    """
    if not path.is_file():
        raise RunError(f"{path} is missing: run `python -m pruning {station}` first")
    return path


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON, as `write_text`."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text beside the target, then rename; makes the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
