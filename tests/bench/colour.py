"""What moving a frame's colours is worth: python -m tests.bench.colour --root DATA

Every fp32 model without colour transfer and with it, each with its own calibration. The last rows show the test frames
in another light.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pruning.calibration import calibrate
from pruning.checkpoint import Checkpoint
from pruning.config import Network
from pruning.data import Frames, Pair, load_frames, read_training
from pruning.evaluate import predict
from pruning.export import export
from pruning.published import refill
from pruning.sessions import open_session
from tests.bench.published import Published, Views, Way, both_centres, data, frames, parser, print_gains, published

Light = tuple[float, tuple[float, float, float]]  # contrast about the mean; gain of red, green and blue

STRENGTHS = (0.0, Network(factory="unet-lite0").colour_transfer)
LIGHTS: dict[str, Light] = {
    "three quarters as bright": (1.0, (0.75, 0.75, 0.75)),
    "half the contrast": (0.5, (1.0, 1.0, 1.0)),
    "bluer": (1.0, (0.8, 1.0, 1.25)),
}


def ways(model: Published, spec: Network, validation: Frames, work: Path) -> Iterator[Way]:
    """The model at each strength, exported and calibrated anew."""
    found, _ = refill(model.folder, spec)
    for strength in STRENGTHS:
        changed = Checkpoint(spec.model_copy(update={"colour_transfer": strength}), found.history, found.network)
        settled, graph = calibrate(changed, validation), work / f"{strength}.onnx"
        export(changed, graph, settled.temperature)
        yield partial(predict, open_session(graph), calibration=settled)


def lit(pairs: list[Pair], contrast: float, gains: tuple[float, float, float]) -> Views:
    """Frames in another light, and their masks."""
    for frame, mask in frames(pairs):
        mean = frame.mean((0, 1))
        moved = (mean + contrast * (frame - mean)) * gains
        yield moved.clip(0, 255).astype(np.uint8), mask


def main() -> None:
    """Measure and print."""
    options, parts = parser(__doc__).parse_args(), data()
    test, second = both_centres(options.root, parts)
    _, validation = read_training(options.root, parts)
    print("| | frames | as they are | moved | moved - as they are |\n|---|---|---|---|---|", flush=True)
    for model in published(options):
        if model.manifest["precision"] != "fp32":
            continue
        spec = Network(factory=model.manifest["training"]["network"], size=model.manifest["input"]["height"])
        shown = {
            f"test, {len(test)}": frames(test),
            f"{parts.unseen[0].root.name}, {len(second)}": frames(second),
            **{f"test, {name}": lit(test, *light) for name, light in LIGHTS.items()},
        }
        with TemporaryDirectory() as work:
            without, moved = ways(model, spec, load_frames(validation, spec.size), Path(work))
            print_gains(model.name, shown, (without, moved))


if __name__ == "__main__":
    main()
