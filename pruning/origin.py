"""A published fp32 folder and the recipe that it was made by: what lower precisions and new measurements start from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pruning.calibration import Calibration
from pruning.config import Recipe, read_recipe, recipe_sha256
from pruning.crops import squares
from pruning.data import Pair, read_training
from pruning.errors import ExportError
from pruning.evaluate import FrameScores, score_frames
from pruning.fit import fit
from pruning.publish import read_schema, sha256
from pruning.runs import read_json
from pruning.sessions import input_size, open_session, run


@dataclass(frozen=True)
class Origin:
    """A published fp32 folder, the recipe that it was made by, and what that recipe's paths are relative to."""

    folder: Path
    manifest: dict[str, Any]
    recipe: Recipe
    root: Path

    @classmethod
    def read(cls, folder: Path, recipe: Path, root: Path) -> Origin:
        """Read `models/<name>/<version>`.

        Raises:
            ExportError: it is no fp32 folder, or another recipe's, or the models folder lacks the schema.
        """
        path = folder / "manifest.json"
        if not path.is_file():
            raise ExportError(f"{path} is missing: name a published folder, such as models/polyp-lite0-pruned/1")
        schema = read_schema(folder.resolve().parents[1])
        unsaid = {name: field["default"] for name, field in schema["properties"].items() if "default" in field}
        origin = cls(folder, {**unsaid, **read_json(path)}, read_recipe(recipe), root)
        origin.check(recipe)
        return origin

    @property
    def graph(self) -> Path:
        """The fp32 graph."""
        return self.folder / "model.onnx"

    @property
    def models(self) -> Path:
        """The models folder that it lies in."""
        return self.folder.resolve().parents[1]

    @property
    def ancestor(self) -> Path | None:
        """The folder of the model that it was pruned from; None for a dense one.

        Raises:
            ExportError: it is not there.
        """
        name = self.manifest["pruned_from"]
        if name is None:
            return None
        folder = self.models / str(name)
        if not (folder / "manifest.json").is_file():
            raise ExportError(f"{folder} is missing: {self.id} was pruned from it, and is compared with it")
        return folder

    @property
    def id(self) -> str:
        """`name/version`."""
        return f"{self.manifest['name']}/{self.manifest['version']}"

    @property
    def calibration(self) -> Calibration:
        """How the probability becomes a mask, in every precision; the temperature is in the graph.

        A refit would follow single frames of the validation part: tests/bench/precision.py shows it.
        """
        return Calibration.of(self.manifest)

    def raised(self, marks: float) -> Origin:
        """The same, with a peak that at most a share `marks` of the validation part's polyp-free squares reach.

        Raises:
            DatasetError: no frame of the validation part has such a square.
        """
        session = open_session(self.graph)
        size = input_size(session)
        free = squares(self.training()[1])
        highest = np.array([run(session, fit(square, size)[None]).max() for square in free])
        peak = self.calibration.raised(highest, marks).peak
        return replace(self, manifest={**self.manifest, "peak": peak, "marks": marks})

    def check(self, recipe: Path) -> None:
        """Raises ExportError as `read` says."""
        if self.manifest["precision"] != "fp32":
            raise ExportError(f"{self.id} is {self.manifest['precision']}: name the fp32 model that it comes from")
        if self.manifest["sha256"] != sha256(self.graph):
            raise ExportError(f"{self.graph} is not what its manifest was written for: publish it again")
        promised, found = self.manifest["training"]["recipe_sha256"], recipe_sha256(recipe)
        if promised != found:
            raise ExportError(
                f"{self.id} was made by a recipe with the SHA-256 {promised}, and {recipe} has {found}: name the "
                "config.toml of its run, so that it is measured on the frames that it was made with"
            )

    def training(self) -> tuple[list[Pair], list[Pair]]:
        """(training, validation) pairs of all that was learned from, parted as they were for training."""
        return read_training(self.root, self.recipe.data)

    def score(self, graph: Path, pairs: list[Pair]) -> FrameScores:
        """Dice and IoU of a graph that stands for this model."""
        return score_frames(open_session(graph), pairs, self.calibration)
