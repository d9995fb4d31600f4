"""What cutting the black border away is worth: python -m tests.bench.border --root DATA

Each frame is segmented as the models here do, by its field, and as a whole. The last rows put a border around the test
frames' own fields, as a processor that shows the picture smaller would.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import onnxruntime

from pruning.calibration import Calibration, cap_unsure
from pruning.data import Pair
from pruning.evaluate import predict
from pruning.fit import Bytes, field
from pruning.metrics import Mask
from pruning.sessions import input_size, run
from tests.bench.published import Views, both_centres, data, frames, parser, print_gains, published

MARGINS = (0.05, 0.1, 0.2)  # of the picture's height and width, on each side


def predict_whole(session: onnxruntime.InferenceSession, frame: Bytes, calibration: Calibration) -> Mask:
    """As `pruning.evaluate.predict`, but for the border."""
    size = (input_size(session), input_size(session))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    probability = cap_unsure(run(session, small[None])[0], calibration)
    height, width = frame.shape[:2]
    return np.asarray(cv2.resize(probability, (width, height)) >= calibration.threshold)


def framed(pairs: list[Pair], margin: float) -> Views:
    """The fields of frames and masks in a black border of this share of height and width."""
    for frame, mask in frames(pairs):
        part = field(frame)
        yield _framed(frame[part], margin), _framed(mask[part].view(np.uint8), margin).astype(bool)


def _framed(picture: Bytes, margin: float) -> Bytes:
    down, across = (round(margin * side) for side in picture.shape[:2])
    return np.asarray(cv2.copyMakeBorder(picture, down, down, across, across, cv2.BORDER_CONSTANT, value=0))


def main() -> None:
    """Measure and print."""
    options, parts = parser(__doc__).parse_args(), data()
    test, second = both_centres(options.root, parts)
    print("| | frames | whole | field | field - whole |\n|---|---|---|---|---|", flush=True)
    for model in published(options):
        shown = {
            f"test, {len(test)}": frames(test),
            f"{parts.unseen[0].root.name}, {len(second)}": frames(second),
            **{f"test, a border of {margin:.0%} on each side": framed(test, margin) for margin in (0, *MARGINS)},
        }
        whole, cut = (partial(way, model.session, calibration=model.calibration) for way in (predict_whole, predict))
        print_gains(model.name, shown, (whole, cut))


if __name__ == "__main__":
    main()
