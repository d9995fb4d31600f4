"""What moving a frame's colours is worth: python -m tests.bench.colour --root DATA

Every fp32 model without colour transfer and with it, each with its own calibration. The last rows show the test frames
in another light.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from pruning import published
from pruning.calibration import Calibration, calibrate
from pruning.checkpoint import Checkpoint
from pruning.config import Network
from pruning.data import Frames, Pair, load_frames, read_parts, read_training
from pruning.evaluate import predict
from pruning.export import export
from pruning.fit import Bytes
from pruning.metrics import Mask, bootstrap, dice
from pruning.runs import read_json
from pruning.sessions import open_session
from tests.bench.published import data, frames, parser

Light = tuple[float, tuple[float, float, float]]  # contrast about the mean; gain of red, green and blue

STRENGTHS = (0.0, Network(factory="unet-lite0").colour_transfer)
LIGHTS: dict[str, Light] = {
    "three quarters as bright": (1.0, (0.75, 0.75, 0.75)),
    "half the contrast": (0.5, (1.0, 1.0, 1.0)),
    "bluer": (1.0, (0.8, 1.0, 1.25)),
}

Way = tuple[onnxruntime.InferenceSession, Calibration]
Views = Iterator[tuple[Bytes, Mask]]


def ways(folder: Path, spec: Network, validation: Frames, work: Path) -> list[Way]:
    """The model at each strength, exported and calibrated anew."""
    found = published.read(folder, spec, validation)
    made = []
    for number, strength in enumerate(STRENGTHS):
        changed = Checkpoint(spec.model_copy(update={"colour_transfer": strength}), found.history, found.network)
        settled = calibrate(changed, validation)
        export(changed, work / f"{number}.onnx", settled.temperature)
        made.append((open_session(work / f"{number}.onnx"), settled))
    return made


def lit(pairs: list[Pair], contrast: float, gains: tuple[float, float, float]) -> Views:
    """Frames in another light, and their masks."""
    for frame, mask in frames(pairs):
        mean = frame.mean((0, 1))
        moved = (mean + contrast * (frame - mean)) * gains
        yield moved.clip(0, 255).astype(np.uint8), mask


def row(made: list[Way], shown: Views) -> str:
    """Dice without and with, and the paired difference."""
    found = np.array([[dice(predict(session, frame, to), truth) for session, to in made] for frame, truth in shown])
    gain = bootstrap(found[:, 1] - found[:, 0])
    return f"{found[:, 0].mean():.3f} | {found[:, 1].mean():.3f} | {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def main() -> None:
    """Measure and print."""
    options, parts = parser(__doc__).parse_args(), data()
    test, second = (read_parts(options.root, (part,)) for part in (parts.headline, parts.unseen[0]))
    _, validation = read_training(options.root, parts)
    print("| | frames | as they are | moved | moved - as they are |\n|---|---|---|---|---|", flush=True)
    for path in sorted(options.models.glob("*/*/manifest.json")):
        manifest = read_json(path)
        if manifest["precision"] != "fp32" or (options.names and manifest["name"] not in options.names):
            continue
        spec = Network(factory=manifest["training"]["network"], size=manifest["input"]["height"])
        with TemporaryDirectory() as work:
            made = ways(path.parent, spec, load_frames(validation, spec.size), Path(work))
            shown = {
                f"test, {len(test)}": frames(test),
                f"{parts.unseen[0].root.name}, {len(second)}": frames(second),
                **{f"test, {name}": lit(test, *light) for name, light in LIGHTS.items()},
            }
            for name, views in shown.items():
                print(f"| `{manifest['name']}` | {name} | {row(made, views)} |", flush=True)


if __name__ == "__main__":
    main()
