"""report.html of a run: one file, no network needed to open it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pruning import plots
from pruning.config import Train
from pruning.data import Pair, read_parts
from pruning.evaluate import predict
from pruning.fit import Bytes
from pruning.metrics import Mask
from pruning.publish import templates
from pruning.runs import Run, read_json, require, write_text
from pruning.sensitivity import FRAGILE
from pruning.sessions import open_session

COLOURS = {"truth": (255, 255, 255), "dense": (255, 170, 0), "pruned": (0, 220, 255)}  # RGB
HEIGHT = 300  # pixels of a shown frame


def write(run: Run) -> Path:
    """Write report.html from what the stations left."""
    write_text(run.report, templates().get_template("report.html.j2").render(content(run)))
    return run.report


def content(run: Run) -> dict[str, Any]:
    """What the template shows.

    Raises:
        RunError: a station before this one has not run; names it.
    """
    metrics = read_json(require(run.metrics, "evaluate"))
    networks = read_json(require(run.steps_metrics, "evaluate"))
    sensitivity = read_json(require(run.sensitivity, "sensitivity"))
    plans = [read_json(require(step.plan, "prune")) for step in run.steps()]
    return {
        "recipe": run.recipe,
        "toml": run.config.read_text(encoding="utf-8"),
        "metrics": metrics,
        "networks": networks,
        "plans": plans,
        "recalibrations": [read_json(step.recalibration) for step in run.steps() if step.recalibration.is_file()],
        "sensitivity": sensitivity,
        "fragile": FRAGILE,
        "trade_off": plots.trade_off(networks),
        "kept_last": [phase for phase, training in _trainings(run) if training.keep == "last"],
        "curves": plots.learning_curves(run.read_history()),
        "widths": plots.widths(plans[0]["widths_before"], plans[-1]["widths"]),
        "sensitivity_plot": plots.sensitivity(sensitivity),
        "frames": example_frames(run, metrics),
        "colours": {name: f"rgb{colour}" for name, colour in COLOURS.items()},
    }


def _trainings(run: Run) -> list[tuple[str, Train]]:
    recipe = run.recipe
    stages = [(f"train-{number}", stage) for number, stage in enumerate(recipe.train, start=1)]
    return [*stages, ("finetune", recipe.finetune), *([("polish", recipe.polish)] if recipe.polish else [])]


def example_frames(run: Run, metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Best, median and worst test frames of the pruned network, two each, with truth and both masks drawn."""
    by_dice = sorted(metrics["pruned"]["frames"], key=metrics["pruned"]["frames"].__getitem__)
    middle = len(by_dice) // 2
    chosen = {"worst": by_dice[:2], "median": by_dice[middle : middle + 2], "best": by_dice[-2:]}
    pairs = {pair.stem: pair for pair in read_parts(run.root, (run.recipe.data.headline,))}
    return [
        {
            "kind": kind,
            "stem": stem,
            "dense": metrics["dense"]["frames"][stem],
            "pruned": metrics["pruned"]["frames"][stem],
            "jpeg": _draw(run, pairs[stem]),
        }
        for place in range(2)  # a row of the page has one of each kind
        for kind, stems in chosen.items()
        for stem in stems[place : place + 1]
    ]


def _draw(run: Run, pair: Pair) -> str:
    frame, truth = pair.read()
    outlines = {"truth": truth.astype(bool)}
    for variant in ("dense", "pruned"):
        outlines[variant] = predict(open_session(run.graph(variant)), frame, run.calibrated(variant))
    scale = HEIGHT / frame.shape[0]
    shown = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for name, mask in outlines.items():
        _outline(shown, mask, COLOURS[name])
    _, jpeg = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return base64.b64encode(np.asarray(jpeg).tobytes()).decode("ascii")


def _outline(shown: Bytes, mask: Mask, colour: tuple[int, int, int]) -> None:
    size = (shown.shape[1], shown.shape[0])
    small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, contours, -1, colour, 2)
