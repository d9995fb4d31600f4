"""Write model folders: the contract that the service reads (see models/manifest.schema.json)."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import jsonschema
import numpy as np

from pruning.config import Data, Recipe, recipe_sha256
from pruning.errors import ExportError
from pruning.fit import FIT
from pruning.golden import synthetic_frame
from pruning.runs import Run, read_json, require, write_json
from pruning.sessions import open_session, run

# Room for another processor's arithmetic (AVX2, CUDA with TF32), far below what a wrong graph would give.
GOLDEN_TOLERANCE = 0.01


def publish(source: Run, models: Path) -> list[Path]:
    """Write `models/<name>/<version>/` for dense and pruned, under the next version number that both lack.

    The dense one is left out where the recipe names a version of it that is published already.

    Raises:
        RunError: the run is not evaluated.
        ExportError: another graph or calibration was evaluated, the dense version that the recipe names is not there,
            or a manifest breaks the schema; nothing is left behind then.
    """
    metrics = read_json(require(source.metrics, "evaluate"))
    recipe = source.recipe.publish
    names = {"pruned": recipe.pruned} if recipe.dense_version else {"dense": recipe.dense, "pruned": recipe.pruned}
    if recipe.dense_version:
        _require_dense(models / recipe.dense / str(recipe.dense_version))
    version = next_version(models, list(names.values()))
    manifests = {variant: make_manifest(source, metrics, variant, name, version) for variant, name in names.items()}
    for variant, manifest in manifests.items():
        if metrics[variant].get("measured") != fingerprint(source, variant):
            raise ExportError(
                f"{source.metrics} has the figures of another {variant} graph or calibration than those of "
                f"{source.folder}: run `python -m pruning evaluate` again"
            )
        validate(manifest, models)
    folders = []
    for variant, manifest in manifests.items():
        card = render_card(manifest, source.recipe, beside=_beside(metrics) if variant == "pruned" else None)
        folders.append(write_folder(source.graph(variant), manifest, card, models / manifest["name"] / version))
    return folders


def _require_dense(folder: Path) -> None:
    if not (folder / "manifest.json").is_file():
        raise ExportError(
            f"{folder} is missing, and dense_version under [publish] names it as what was pruned: "
            "first publish the run that made it"
        )


def fingerprint(source: Run, variant: str) -> dict[str, Any]:
    """What figures are of: the graph, and the calibration that makes masks of its probability."""
    return {"sha256": sha256(source.graph(variant)), **asdict(source.calibrated(variant))}


def next_version(models: Path, names: list[str]) -> str:
    """One more than the highest version that any of the names has."""
    taken = [int(path.name) for name in names for path in models.glob(f"{name}/*") if path.name.isdigit()]
    return str(max(taken, default=0) + 1)


def make_manifest(source: Run, metrics: dict[str, Any], variant: str, name: str, version: str) -> dict[str, Any]:
    """What the folder promises, as plain values."""
    recipe, measured, settled = source.recipe, metrics[variant], source.calibrated(variant)
    return {
        "schema_version": 1,
        "name": name,
        "version": version,
        "variant": variant,
        "pruned_from": f"{recipe.publish.dense}/{recipe.publish.dense_version or version}"
        if variant == "pruned"
        else None,
        "precision": "fp32",
        "sha256": sha256(source.graph(variant)),
        "input": {"height": recipe.network.size, "width": recipe.network.size, "fit": FIT},
        **asdict(settled),  # temperature, threshold, peak
        "golden_tolerance": GOLDEN_TOLERANCE,
        "parameters": measured["parameters"],
        "macs": measured["macs"],
        "widths": measured["widths"],
        **quality(recipe.data, measured),
        "training": {
            "dataset": " and ".join(dict.fromkeys(part.root.name for part in recipe.data.training)),
            "split": " and ".join(part.split_name for part in recipe.data.training),
            "network": recipe.network.factory,
            "seed": recipe.seed,
            "recipe_sha256": recipe_sha256(source.config),
            "recipe": recipe.name,
        },
        "terms": recipe.publish.terms,
        "created": today(),
    }


def _beside(metrics: dict[str, Any]) -> dict[str, Any]:
    name = "the network that it was pruned from, at the same input size"
    return {"name": name, "difference": metrics["difference"], "latency": metrics["latency"]}


def quality(data: Data, measured: dict[str, Any]) -> dict[str, Any]:
    """What `evaluate.measure` found, as the manifest names it."""
    test = {
        "dataset": data.root.name,
        "split": data.test.stem,
        "frames": len(measured["frames"]),
        "dice": measured["dice"],
        "iou": measured["iou"],
    }
    return {"quality": [test, *measured["unseen"]], "false_positives": measured["false_positives"]}


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def today() -> str:
    """The date in UTC, ISO 8601."""
    return datetime.now(UTC).date().isoformat()


def validate(manifest: dict[str, Any], models: Path) -> None:
    """Check a manifest against `manifest.schema.json` in the models folder.

    Raises:
        ExportError: the schema is missing, or names the first field that breaks it.
    """
    try:
        jsonschema.validate(manifest, read_schema(models))
    except jsonschema.ValidationError as error:
        raise ExportError(f"manifest of {manifest['name']}: {error.json_path}: {error.message}") from error


def read_schema(models: Path) -> dict[str, Any]:
    """The schema in the models folder.

    Raises:
        ExportError: it is missing.
    """
    path = models / "manifest.schema.json"
    if not path.is_file():
        raise ExportError(f"{path} is missing: publish into the project's models/ folder, or copy the schema there")
    schema: dict[str, Any] = read_json(path)
    return schema


def write_folder(graph: Path, manifest: dict[str, Any], card: str, folder: Path) -> Path:
    """Write graph, manifest, golden pair and card beside the target, then rename: never half a folder."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.copyfile(graph, partial / "model.onnx")
    write_json(partial / "manifest.json", manifest)
    frame = synthetic_frame(manifest["input"]["height"])
    probability = run(open_session(partial / "model.onnx"), frame[None])[0]
    np.savez_compressed(partial / "golden.npz", frame=frame, probability=probability)
    (partial / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    return partial.rename(folder)


def render_card(
    manifest: dict[str, Any],
    recipe: Recipe,
    beside: dict[str, Any] | None = None,
    lowered: dict[str, Any] | None = None,
) -> str:
    """The model card, as Markdown.

    Args:
        beside: how a pruned model compares with the one before: its name, the difference and the latency.
        lowered: how a model of lower precision compares with the one that it was made from.
    """
    text = (
        templates()
        .get_template("model_card.md.j2")
        .render(manifest=manifest, recipe=recipe, beside=beside, lowered=lowered, pruned_name=recipe.publish.pruned)
    )
    return text.strip() + "\n"


def templates() -> jinja2.Environment:
    """The package's templates; HTML is escaped, and a name that is not given is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("pruning"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
    )
