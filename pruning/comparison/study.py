"""One comparison: every cell that is not done yet, then the table and the plot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch

from pruning import checkpoint
from pruning.checkpoint import Checkpoint
from pruning.comparison.cells import Cell, Cells
from pruning.comparison.methods import NEUTRAL, Method, choose
from pruning.comparison.plot import draw as draw_plot
from pruning.comparison.summary import Row, points, rows, write_csv, write_markdown
from pruning.comparison.uniform import uniform
from pruning.config import Network, Prune, Train, check_size
from pruning.cost import CostModel, count_macs, count_parameters
from pruning.criteria import Scores, score
from pruning.cutting import cut
from pruning.data import Frames, load_frames, read_parts
from pruning.errors import BudgetError, RecipeError, RunError
from pruning.grouping import find_groups
from pruning.groups import Group
from pruning.progress import TrainingProgress, console
from pruning.publish import sha256
from pruning.recovery import recalibrate
from pruning.removal import remove
from pruning.runs import Run, require
from pruning.signs import keep_both_signs
from pruning.stations.parts import draw, load_mucosa, load_training_part
from pruning.training import Trainer, frame_dice


@dataclass(frozen=True)
class Settings:
    """What is compared, and at which size.

    Attributes:
        shares: MACs left, each a share of the dense network's.
        seeds: of the frames that are scored on, of random scores and gradients, and of fine-tuning.
        epochs: of fine-tuning. scratch_epochs: of training from scratch.
        size: height and width of the frames. frames: how many a score is averaged over.
        cuts: to each share in this many equal ratios, scoring anew each time, without fine-tuning in between.
        grid: widths are multiples of it, and none falls below it.
        recalibrate: training frames that batch norm is measured anew on before anything is tuned; 0 leaves it.
    """

    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    epochs: int
    scratch_epochs: int
    size: int
    frames: int
    cuts: int
    grid: int
    recalibrate: int

    def __post_init__(self) -> None:
        """Raises RecipeError where a share or the size is impossible."""
        for share in self.shares:
            if not 0 < share < 1:
                raise RecipeError(f"--share is of the dense network's MACs: give one between 0 and 1, not {share:g}")
        check_size(self.size)

    def fixed(self) -> dict[str, int]:
        """What has to be the same for all cells of a table; shares, seeds and methods can be added later."""
        return {key: value for key, value in asdict(self).items() if key not in ("shares", "seeds")}


def compare(run: Run, settings: Settings, methods: list[str]) -> list[Row]:
    """Measure every cell that compare.json lacks; write compare.json after each, then .csv, .md and .svg.

    Dice is per frame of the test split, at the comparison's size and the recipe's threshold.

    Raises:
        RunError: compare.json holds a comparison with other settings, or of another dense network.
        RecipeError: a method is unknown.
    """
    chosen = choose(methods)
    cells = Cells(run.folder / "compare.json", settings.fixed())
    study = Study(run, settings)
    dense = sha256(require(run.dense, "train"))
    if cells.dense.get("sha256", dense) != dense:  # older versions did not write it
        raise RunError(f"{cells.path} holds a comparison of another dense network than {run.dense}: move the file away")
    if not cells.dense:
        cells.dense = {"sha256": dense, **study.dense_result()}
        cells.write()
    for share, seed, method in study.plan(chosen):
        if (share, method.name, seed) not in cells.cells:
            cells.add(study.cell(share, seed, method))
    found = rows(cells)
    write_csv(found, cells.path.with_suffix(".csv"))
    write_markdown(found, cells, cells.path.with_suffix(".md"))
    dice = sum(cells.dense["dice"]) / len(cells.dense["dice"])
    draw_plot(cells.path.with_suffix(".svg"), points(found), cells.dense["macs"], dice)
    return found


class Study:
    """The data, the dense network and the recipe that all cells share."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self.run = run
        self.settings = settings
        self.threshold = run.recipe.threshold
        self._scores: dict[tuple[int, str, str, str, bool], Scores] = {}

    def plan(self, methods: list[Method]) -> Iterator[tuple[float, int, Method]]:
        """All cells; a whole table of the first seed comes before the second seed."""
        for seed in self.settings.seeds:
            for share in self.settings.shares:
                for method in methods:
                    yield share, seed, method

    @cached_property
    def test(self) -> Frames:
        """The test split."""
        return load_frames(read_parts(self.run.root, (self.run.recipe.data.headline,)), self.settings.size)

    @cached_property
    def parts(self) -> tuple[Frames, Frames]:
        """(training, validation), carved as the dense network's were."""
        return load_training_part(self.run, self.settings.size)

    @cached_property
    def mucosa(self) -> Frames:
        """Polyp-free squares of the training frames."""
        return load_mucosa(self.run, self.settings.size)

    def dense(self) -> Checkpoint:
        """A new copy of the dense network, at the comparison's size."""
        found = checkpoint.load(require(self.run.dense, "train"))
        spec = Network.model_validate({**found.spec.model_dump(), "size": self.settings.size})
        return Checkpoint(spec, found.history, found.network)

    def dense_result(self) -> dict[str, Any]:
        """Cost of the dense network, and its Dice of each test frame."""
        dense = self.dense()
        return {
            "macs": count_macs(dense.network, self.settings.size),
            "parameters": count_parameters(dense.network),
            "dice": frame_dice(dense.network, dense.spec, self.test, self.threshold).tolist(),
            "stems": self.test.stems,
        }

    def cell(self, share: float, seed: int, method: Method) -> Cell:
        """Prune by one method and measure batch norm anew; Dice before and after fine-tuning."""
        small = self.dense()
        try:
            self._shrink(small, share, seed, method)
        except BudgetError as error:
            return Cell(share, method.name, seed, refused=str(error))
        if method.weights == "fresh":
            start_afresh(small.network, seed)
        elif self.settings.recalibrate:
            recalibrate(small.network, small.spec, draw(self.parts[0], self.settings.recalibrate, seed))
        before = frame_dice(small.network, small.spec, self.test, self.threshold)
        tuned = self._tune(small, f"{method.name}, {share:.0%}, seed {seed}", seed, method)
        after = frame_dice(tuned.network, tuned.spec, self.test, self.threshold)
        console.print(f"{method.name}, {share:.0%}, seed {seed}: Dice {before.mean():.3f}, then {after.mean():.3f}")
        macs, parameters = count_macs(tuned.network, self.settings.size), count_parameters(tuned.network)
        return Cell(share, method.name, seed, macs, parameters, tuple(before.tolist()), tuple(after.tolist()))

    def _shrink(self, small: Checkpoint, share: float, seed: int, method: Method) -> None:
        recipe = self._recipe(method)
        full = count_macs(small.network, self.settings.size)
        groups, scores = self.groups, self._dense_scores(seed, recipe)
        for number in range(1, self.settings.cuts + 1):
            if number > 1:
                groups = find_groups(small.network, self.settings.size, recipe.protect)
                scores = score(small.network, small.spec, groups, self._sample(seed), recipe, seed)
            budget = int(share ** (number / self.settings.cuts) * full)
            if method.widths == "ranked":
                cut(small, groups, scores, recipe, budget)
            else:
                self._narrow(small, groups, scores, budget)

    def _narrow(self, small: Checkpoint, groups: list[Group], scores: Scores, budget: int) -> None:
        cost = CostModel(small.network, groups, self.settings.size)
        kept = keep_both_signs(small.network, groups, scores)
        removed = uniform(cost, kept, self.settings.grid, self.settings.grid, budget)
        small.history = [*small.history, *remove(small.network, self.settings.size, removed)]

    @cached_property
    def groups(self) -> list[Group]:
        """Of the dense network."""
        return find_groups(self.dense().network, self.settings.size, self.run.recipe.prune.protect)

    def _dense_scores(self, seed: int, recipe: Prune) -> Scores:
        """Methods that differ in their selection alone share the scores of the dense network."""
        key = seed, recipe.criterion, recipe.gradient, recipe.reduction, recipe.normalise_gradient
        if key not in self._scores:
            dense = self.dense()
            self._scores[key] = score(dense.network, dense.spec, self.groups, self._sample(seed), recipe, seed)
        return self._scores[key]

    def _recipe(self, method: Method) -> Prune:
        grid = self.settings.grid
        changes = {**NEUTRAL, "grid": grid, "floor": grid, **method.changes}
        return Prune.model_validate({**self.run.recipe.prune.model_dump(), **changes})

    def _sample(self, seed: int) -> Frames:
        training, _ = self.parts
        return draw(training, self.settings.frames, seed)

    def _tune(self, small: Checkpoint, label: str, seed: int, method: Method) -> Checkpoint:
        recipe = self._schedule(method)
        teacher = self.dense().network.eval() if recipe.teacher else None
        mucosa = self.mucosa if recipe.mucosa else None
        state = self.run.folder / "compare.state"
        state.unlink(missing_ok=True)  # a cell that was interrupted starts anew
        with TrainingProgress(label, recipe.epochs) as progress:
            trainer = Trainer(small, recipe, self.threshold, seed, state)
            done = trainer.run(*self.parts, progress.report, progress.tick, teacher, mucosa)
        state.unlink(missing_ok=True)
        return done

    def _schedule(self, method: Method) -> Train:
        if method.weights == "kept":
            return self.run.recipe.finetune.model_copy(update={"epochs": self.settings.epochs})
        recipe = self.run.recipe
        (first, *_) = recipe.train or (recipe.finetune,)
        return first.model_copy(update={"epochs": self.settings.scratch_epochs})


def start_afresh(network: torch.nn.Module, seed: int) -> None:
    """Start every layer at random, in place, as PyTorch starts a layer of its kind."""
    torch.manual_seed(seed)
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
