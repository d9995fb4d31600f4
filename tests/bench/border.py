"""What cutting the black border away is worth: python -m tests.bench.border --root DATA

Each frame is segmented as the models here do, by its field, and as a whole. The last rows put a border around the test
frames' own fields, as a processor that shows the picture smaller would.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from pruning.calibration import Calibration, cap_unsure
from pruning.config import read_recipe
from pruning.data import Pair, read_parts
from pruning.evaluate import predict
from pruning.fit import Bytes, field
from pruning.metrics import Mask, bootstrap, dice
from pruning.runs import read_json
from pruning.sessions import input_size, open_session, run

RECIPE = Path("pruning/configs/polyp-lite0.toml")
MARGINS = (0.05, 0.1, 0.2)  # of the picture's height and width, on each side

Views = Iterator[tuple[Bytes, Mask]]


def predict_whole(session: onnxruntime.InferenceSession, frame: Bytes, calibration: Calibration) -> Mask:
    """As `pruning.evaluate.predict`, but for the border."""
    size = (input_size(session), input_size(session))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    probability = cap_unsure(run(session, small[None])[0], calibration)
    height, width = frame.shape[:2]
    return np.asarray(cv2.resize(probability, (width, height)) >= calibration.threshold)


def views(pairs: list[Pair], margin: float | None = None) -> Views:
    """Frames and masks as they are, or their fields in a black border of these shares of height and width."""
    for pair in pairs:
        frame, mask = pair.read()
        if margin is not None:
            part = field(frame)
            frame, mask = (_framed(picture[part], margin) for picture in (frame, mask))
        yield frame, mask.astype(bool)


def _framed(picture: Bytes, margin: float) -> Bytes:
    down, across = (round(margin * side) for side in picture.shape[:2])
    return np.asarray(cv2.copyMakeBorder(picture, down, down, across, across, cv2.BORDER_CONSTANT, value=0))


def row(session: onnxruntime.InferenceSession, calibration: Calibration, shown: Views) -> str:
    """Dice of whole frames, of their fields, and the paired difference."""
    ways = (predict_whole, predict)
    found = np.array([[dice(way(session, frame, calibration), truth) for way in ways] for frame, truth in shown])
    gain = bootstrap(found[:, 1] - found[:, 0])
    means = found.mean(0)
    return f"{means[0]:.3f} | {means[1]:.3f} | {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--root", type=Path, default=Path(), help="what the data paths of the recipe are relative to")
    parser.add_argument("names", nargs="*", help="only these; all otherwise")
    options = parser.parse_args()
    data = read_recipe(RECIPE).data
    test, second = (read_parts(options.root, (part,)) for part in (data.headline, data.unseen[0]))
    print("| | frames | whole | field | field - whole |\n|---|---|---|---|---|", flush=True)
    for path in sorted(options.models.glob("*/*/manifest.json")):
        manifest = read_json(path)
        if options.names and manifest["name"] not in options.names:
            continue
        session, calibration = open_session(path.with_name("model.onnx")), Calibration.of(manifest)
        shown = {
            f"test, {len(test)}": views(test),
            f"{data.unseen[0].root.name}, {len(second)}": views(second),
            **{f"test, a border of {margin:.0%} on each side": views(test, margin) for margin in (0, *MARGINS)},
        }
        for name, frames in shown.items():
            print(f"| `{manifest['name']}` | {name} | {row(session, calibration, frames)} |", flush=True)


if __name__ == "__main__":
    main()
