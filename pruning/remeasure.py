"""A published fp32 model measured anew: on the frames that its recipe names today, as they are fitted and scored today.

The graph and the golden pair stay; manifest and card get the new figures. So does the calibration, unless a higher peak
is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pruning import latency
from pruning.calibration import Calibration
from pruning.data import read_parts
from pruning.evaluate import FrameScores, measure, score_frames
from pruning.fit import FIT
from pruning.metrics import bootstrap
from pruning.origin import Origin
from pruning.progress import tell_quality
from pruning.publish import quality, render_card, validate
from pruning.runs import read_json, write_json, write_text
from pruning.sessions import open_session


def remeasure(folder: Path, recipe: Path, root: Path, marks: float | None = None) -> None:
    """Measure the model of `models/<name>/<version>` and write its manifest and card again.

    Args:
        recipe: the file that it was made by, which names the frames.
        root: what the recipe's relative paths are relative to.
        marks: share of the validation part's polyp-free squares that may be marked; the peak is raised for it first.

    Raises:
        DatasetError: a frame cannot be read, or none has a square for `marks`; nothing is written then.
        ExportError: `folder` is not fit for it, or the manifest breaks the schema; nothing is written then.
    """
    origin = Origin.read(folder, recipe, root)
    data, ancestor = origin.recipe.data, origin.ancestor
    if marks is not None:
        origin = origin.raised(marks)
    figures, test = measure(open_session(origin.graph), data, root, origin.calibration)
    manifest = {
        **origin.manifest,
        "input": {**origin.manifest["input"], "fit": FIT},
        **quality(data, figures),
    }
    validate(manifest, origin.models)
    card = render_card(manifest, origin.recipe, beside=beside(origin, ancestor, origin.graph, test))
    write_json(folder / "manifest.json", manifest)
    write_text(folder / "MODEL_CARD.md", card)
    tell_quality(origin.id, figures)


def beside(origin: Origin, ancestor: Path | None, graph: Path, test: FrameScores) -> dict[str, Any] | None:
    """How a graph of it compares with the published model that it was pruned from, as that one is: at its own size."""
    if ancestor is None:
        return None
    manifest = read_json(ancestor / "manifest.json")
    pairs = read_parts(origin.root, (origin.recipe.data.headline,))
    before = score_frames(open_session(ancestor / "model.onnx"), pairs, Calibration.of(manifest))
    size = manifest["input"]["height"]
    return {
        "name": f"`{origin.manifest['pruned_from']}`, which it was pruned from, at that one's {size} × {size}",
        "difference": bootstrap(test.dice - before.dice).rounded(),
        "latency": latency.compare(ancestor / "model.onnx", graph).as_dict(),
    }
