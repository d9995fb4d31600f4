"""A published model in a lower precision: its own folder, and refused where it segments worse.

    models/<name>/<version>/  ->  models/<name>-int8/<version>/ or models/<name>-fp16/<version>/

Whether it may be published is settled on the validation part of the training split; what the folder reports is
measured on the test split.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from pruning import fp16, int8, latency
from pruning.data import Pair, read_parts
from pruning.errors import PrecisionError
from pruning.evaluate import measure
from pruning.golden import synthetic_frame
from pruning.metrics import bootstrap
from pruning.origin import Origin
from pruning.progress import console, tell_quality
from pruning.publish import GOLDEN_TOLERANCE, quality, render_card, sha256, today, validate, write_folder
from pruning.sessions import open_session, run

Precision = Literal["int8", "fp16"]
MAX_LOSS = 0.003  # Dice on the validation part, against the fp32 version on the same frames
LARGEST_TOLERANCE = 0.1  # that the contract allows


def quantise(folder: Path, recipe: Path, precision: Precision, root: Path) -> Path:
    """Write the model of `folder`, `models/<name>/<version>`, in this precision beside it.

    Args:
        recipe: the file that it was made by, which names its frames.
        root: what the recipe's relative paths are relative to.

    Raises:
        PrecisionError: it loses more Dice than `MAX_LOSS`, or is there already.
        ExportError: `folder` is not fit for it, or the manifest breaks the schema.
    """
    origin = Origin.read(folder, recipe, root)
    target = origin.models / f"{origin.manifest['name']}-{precision}" / origin.manifest["version"]
    if target.exists():
        raise PrecisionError(f"{target} is there already: remove it first")
    training, validation = origin.training()
    with TemporaryDirectory() as work:
        graph = Path(work) / "model.onnx"
        if precision == "int8":
            int8.convert(origin.graph, graph, int8.sample(training, origin.recipe.seed))
        else:
            fp16.convert(origin.graph, graph)
        passed = check_loss(origin, graph, validation, precision)
        return write(origin, graph, precision, passed, target)


def check_loss(origin: Origin, graph: Path, validation: list[Pair], precision: Precision) -> dict[str, Any]:
    """Dice of both graphs on the validation part.

    Raises:
        PrecisionError: it falls by more than `MAX_LOSS`.
    """
    full, low = (float(origin.score(path, validation).dice.mean()) for path in (origin.graph, graph))
    shown = f"{origin.id} has a Dice of {low:.4f} in {precision} and {full:.4f} in fp32 on {len(validation)} frames"
    if full - low > MAX_LOSS:
        raise PrecisionError(
            f"{shown} of the validation part: a loss of {full - low:.4f}, and at most {MAX_LOSS} is allowed. "
            "Nothing was written: serve the fp32 model"
        )
    console.print(f"{shown} of the validation part")
    return {"frames": len(validation), "fp32": full, "lower": low, "allowed": MAX_LOSS}


def write(origin: Origin, graph: Path, precision: Precision, passed: dict[str, Any], target: Path) -> Path:
    """Measure the new graph on the test split and write its folder."""
    data = origin.recipe.data
    figures, test = measure(open_session(graph), data, origin.root, origin.calibration)
    full = origin.score(origin.graph, read_parts(origin.root, (data.headline,)))
    manifest = {
        **origin.manifest,
        "name": target.parent.name,
        "precision": precision,
        "sha256": sha256(graph),
        "golden_tolerance": tolerance(origin, graph),
        **quality(data, figures),
        "created": today(),
    }
    validate(manifest, target.parents[1])
    lowered = {
        "origin": origin.id,
        "validation": passed,
        "difference": bootstrap(test.dice - full.dice).rounded(),
        "latency": latency.compare(origin.graph, graph).as_dict(),
        "bytes": {"fp32": origin.graph.stat().st_size, "lower": graph.stat().st_size},
    }
    tell_quality(manifest["name"], figures)
    return write_folder(graph, manifest, render_card(manifest, origin.recipe, lowered=lowered), target)


def tolerance(origin: Origin, graph: Path) -> float:
    """How far the golden frame's probability may be off on another processor.

    As far as the lower precision itself moves it: rounding elsewhere moves it less, and a wrong graph more.
    """
    frame = synthetic_frame(origin.manifest["input"]["height"])[None]
    full, low = (run(open_session(path), frame) for path in (origin.graph, graph))
    return round(float(np.clip(np.abs(full - low).max(), GOLDEN_TOLERANCE, LARGEST_TOLERANCE)), 4)
