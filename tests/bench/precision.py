"""Which settings make int8 accurate, on the validation part: python -m tests.bench.precision MODEL RECIPE --root DIR

The table of docs/precision.md. Entropy and percentile hold every activation of their frames in memory, hence 16 frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxruntime.quantization import CalibrationMethod, QuantType

from pruning import fp16, int8
from pruning.metrics import bootstrap
from pruning.quantise import Origin

FEW = 16
SETTINGS: dict[str, dict[str, Any]] = {
    "as published": {},
    "both ends in int8 too": {"nodes_to_exclude": []},
    "weights by tensor": {"per_channel": False},
    "weights of 7 bits": {"reduce_range": True},
    "activations int8, symmetric": {
        "activation_type": QuantType.QInt8,
        "extra_options": {"ActivationSymmetric": True},
    },
    "moving average of the range": {"extra_options": {"CalibMovingAverage": True}},
    "convolutions alone": {"op_types_to_quantize": [*int8.CONVOLUTIONS, "Relu", "Clip"]},
}
METHODS = {
    "range of 16 frames": {"calibrate_method": CalibrationMethod.MinMax},
    "entropy, 16 frames": {"calibrate_method": CalibrationMethod.Entropy},
    "percentile 99.99, 16 frames": {
        "calibrate_method": CalibrationMethod.Percentile,
        "extra_options": {"CalibPercentile": 99.99},
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
    for name, settings in METHODS.items():
        int8.convert(origin.graph, target, pairs[:FEW], **settings)
        yield f"int8, {name}", target


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="published fp32 folder")
    parser.add_argument("recipe", type=Path, help="its recipe")
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds data/")
    options = parser.parse_args()
    origin = Origin.read(options.model, options.recipe, options.root)
    validation = origin.training()[1]
    full = origin.score(origin.graph, validation).dice
    print(f"{origin.id}, {len(validation)} validation frames\n")
    print("| | MB | Dice | against fp32 | worst frame |\n|---|---|---|---|---|")
    print(f"| fp32 | {origin.graph.stat().st_size / 1e6:.2f} | {full.mean():.4f} | | |", flush=True)
    with TemporaryDirectory() as folder:
        for name, graph in graphs(origin, Path(folder)):
            dice = origin.score(graph, validation).dice
            change = bootstrap(dice - full)
            print(
                f"| {name} | {graph.stat().st_size / 1e6:.2f} | {dice.mean():.4f} | {change.mean:+.4f} "
                f"[{change.low:+.4f}, {change.high:+.4f}] | {(dice - full).min():+.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
