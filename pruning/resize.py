"""A published fp32 model for frames of another size: the same weights, exported and calibrated anew, as a new version.

Augmentation zooms in more often than out, so that what a network learned from is larger than what it is shown, and a
larger input than that of its training can serve it better (Touvron et al., "Fixing the train-test resolution
discrepancy", NeurIPS 2019).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from pruning import export, published
from pruning.calibration import calibrator
from pruning.checkpoint import Checkpoint
from pruning.config import check_size
from pruning.cost import count_macs
from pruning.errors import ExportError
from pruning.evaluate import measure
from pruning.origin import Origin
from pruning.progress import tell_quality
from pruning.publish import next_version, quality, render_card, sha256, today, validate, write_folder
from pruning.remeasure import beside
from pruning.sessions import open_session


def resize(folder: Path, recipe: Path, size: int, root: Path) -> Path:
    """Write the model of `models/<name>/<version>` for frames of `size` × `size` as the next version of its name.

    Args:
        recipe: the file that it was made by, which names its frames.
        root: what the recipe's relative paths are relative to.

    Raises:
        RecipeError: `size` is no multiple of 32.
        ExportError: `folder` is not fit for it or has that size, or the manifest breaks the schema.
        RunError: `folder` holds another network than the recipe's.
        DatasetError: a frame cannot be read.
    """
    check_size(size)
    origin = Origin.read(folder, recipe, root)
    if size == origin.manifest["input"]["height"]:
        raise ExportError(f"{origin.id} is for frames of {size} × {size} already: name another --size")
    ancestor = origin.ancestor
    found = read_weights(origin, size)
    settled = calibrator(origin.training()[1], size, origin.calibration.marks)(found)
    data = origin.recipe.data
    with TemporaryDirectory() as work:
        graph = Path(work) / "model.onnx"
        export.export(found, graph, settled.temperature)
        figures, test = measure(open_session(graph), data, root, settled)
        manifest = {
            **origin.manifest,
            "version": next_version(origin.models, [origin.manifest["name"]]),
            "sha256": sha256(graph),
            "input": {**origin.manifest["input"], "height": size, "width": size},
            **asdict(settled),
            "macs": count_macs(found.network, size),
            **quality(data, figures),
            "created": today(),
        }
        validate(manifest, origin.models)
        card = render_card(manifest, origin.recipe, beside=beside(origin, ancestor, graph, test))
        tell_quality(f"{manifest['name']}/{manifest['version']}", figures)
        return write_folder(graph, manifest, card, origin.models / manifest["name"] / manifest["version"])


def read_weights(origin: Origin, size: int) -> Checkpoint:
    """The network in the graph, for frames of another size."""
    own = origin.recipe.network.model_copy(update={"size": origin.manifest["input"]["height"]})
    found, _ = published.refill(origin.folder, own)
    return Checkpoint(own.model_copy(update={"size": size}), found.history, found.network)
