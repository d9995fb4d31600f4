"""Which settings make int8 accurate, on the validation part: python -m tests.bench.precision MODEL RECIPE --root DIR

Every graph is scored with the temperature, threshold and peak of the fp32 model; the last column shows what they
would be if they were fitted anew: the temperature as a factor of that in the graph.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from onnxruntime.quantization import CalibrationMethod, QuantType

from pruning import fp16, int8
from pruning.calibration import fit_temperature, settle
from pruning.data import Frames, load_frames
from pruning.metrics import bootstrap
from pruning.quantise import Origin
from pruning.sessions import open_session, run

SETTINGS: dict[str, dict[str, Any]] = {
    "as published": {},
    "biases not corrected": {"corrected": False},
    "weights of 7 bits, depthwise ones too": {"extras": {"TensorQuantOverrides": {}}},
    "weights of 8 bits": {"reduce_range": False},
    "weights uint8": {
        "weight_type": QuantType.QUInt8,
        "reduce_range": False,
        "extras": {"TensorQuantOverrides": {}},
    },
    "weights by tensor": {"per_channel": False, "extras": {"TensorQuantOverrides": {}}},
    "both ends in int8 too": {"nodes_to_exclude": []},
    "convolutions alone": {"op_types_to_quantize": [*int8.CONVOLUTIONS, "Relu", "Clip"]},
    "activations int8, symmetric": {"activation_type": QuantType.QInt8, "extras": {"ActivationSymmetric": True}},
    "percentile 99.999": {"extras": {"CalibPercentile": 99.999}},
    "entropy": {"calibrate_method": CalibrationMethod.Entropy},
    "least and greatest": {"calibrate_method": CalibrationMethod.MinMax},
    "their mean over the frames": {
        "calibrate_method": CalibrationMethod.MinMax,
        # The mean is over what is read at once.
        "extras": {"CalibMovingAverage": True, "CalibStridedMinMax": int8.FRAMES},
    },
}


def graphs(origin: Origin, folder: Path) -> Iterator[tuple[str, Path]]:
    """Each way to make a lower precision, and its graph."""
    pairs, target = int8.sample(origin.training()[0], origin.recipe.seed), folder / "model.onnx"
    fp16.convert(origin.graph, target)
    yield "fp16", target
    for name, settings in SETTINGS.items():
        int8.convert(origin.graph, target, pairs, **settings)
        yield f"int8, {name}", target


def refit(graph: Path, frames: Frames) -> str:
    """Temperature, threshold and peak that these frames would give the graph."""
    session, images = open_session(graph), frames.images.permute(0, 2, 3, 1).numpy()  # [N, S, S, 3]
    probability = np.concatenate([run(session, image[None]) for image in images])  # [N, S, S]
    logits = torch.logit(torch.from_numpy(probability).double(), eps=1e-7).float()
    temperature = fit_temperature(logits, frames.masks[:, 0])
    probability = torch.sigmoid(logits / temperature).numpy()
    fitted = settle(probability, frames.masks[:, 0].numpy().astype(bool), temperature)
    return f"× {fitted.temperature:.3f}, {fitted.threshold}, {fitted.peak}"


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="published fp32 folder")
    parser.add_argument("recipe", type=Path, help="its recipe")
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds data/")
    options = parser.parse_args()
    origin = Origin.read(options.model, options.recipe, options.root)
    validation = origin.training()[1]
    frames = load_frames(validation, origin.manifest["input"]["height"])
    full = origin.score(origin.graph, validation).dice
    print(f"{origin.id}, {len(validation)} validation frames\n")
    print("| | MB | Dice | against fp32 | worst frame | fitted anew |\n|---|---|---|---|---|---|")
    print(
        f"| fp32 | {origin.graph.stat().st_size / 1e6:.2f} | {full.mean():.4f} | | | {refit(origin.graph, frames)} |",
        flush=True,
    )
    with TemporaryDirectory() as folder:
        for name, graph in graphs(origin, Path(folder)):
            dice = origin.score(graph, validation).dice
            change = bootstrap(dice - full)
            print(
                f"| {name} | {graph.stat().st_size / 1e6:.2f} | {dice.mean():.4f} | {change.mean:+.4f} "
                f"[{change.low:+.4f}, {change.high:+.4f}] | {(dice - full).min():+.3f} | {refit(graph, frames)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
