"""Figures as papers on polyp segmentation print them, beside our own: python -m tests.bench.pranet --root DATA

The protocol of PraNet (Fan et al., MICCAI 2020): each map is stretched to 0 ... 255 (min-max), Dice and IoU are the
means over 256 thresholds, beside the weighted F-measure, S-measure, mean and largest E-measure and the mean absolute
error, all by PySODMetrics. It wants an older numpy, so that it gets an environment of its own on the first run.

The maps are the probability alone: threshold and peak have no part in it. An empty map cannot stay empty by min-max
stretching, which is why the service never does so. The frames are those that the models here are tested on, which are
not the 100 + 62 of that paper: some of those are among the frames that the models learned from.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pruning.data import Pair, read_parts
from pruning.fit import fit, fit_back
from pruning.sessions import input_size, run
from tests.bench.environments import make
from tests.bench.published import data, parser, published

METRICS = "pysodmetrics==1.6.2"
MEASURE = Path(__file__).with_name("pranet_measure.py")
COLUMNS = ("mDice", "mIoU", "wF", "S", "mE", "maxE", "MAE")


def stretched(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Float32 [H, W] -> uint8 [H, W] from 0 to 255, as PraNet writes its maps."""
    low, high = probability.min(), probability.max()
    return ((probability - low) / (high - low + 1e-8) * 255).astype(np.uint8)


def write_maps(session: onnxruntime.InferenceSession, pairs: list[Pair], folder: Path) -> None:
    """maps/<stem>.png and truth/<stem>.png, grey, at the frames' own size."""
    for name in ("maps", "truth"):
        (folder / name).mkdir(parents=True)
    for pair in pairs:
        frame, mask = pair.read()
        probability = fit_back(run(session, fit(frame, input_size(session))[None])[0], frame)
        cv2.imwrite(str(folder / "maps" / f"{pair.stem}.png"), stretched(probability))
        cv2.imwrite(str(folder / "truth" / f"{pair.stem}.png"), mask * 255)


def figures(python: Path, session: onnxruntime.InferenceSession, pairs: list[Pair]) -> dict[str, float]:
    """Of one graph on one part, by name of the column."""
    with TemporaryDirectory() as work:
        write_maps(session, pairs, Path(work))
        done = subprocess.run([python, MEASURE, work], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--environments", type=Path, default=Path.home() / ".cache/polyprune/metrics")
    options, parts = arguments.parse_args(), data()
    python = make(options.environments, "pysodmetrics", [METRICS])
    print(f"| | frames | {' | '.join(COLUMNS)} |", flush=True)
    print("|---" * (len(COLUMNS) + 2) + "|", flush=True)
    for model in published(options):
        for part in parts.reported:
            pairs = read_parts(options.root, (part,))
            found = figures(python, model.session, pairs)
            cells = [f"`{model.name}`", f"{part.root.name}, {len(pairs)}"]
            print(f"| {' | '.join([*cells, *(f'{found[column]:.3f}' for column in COLUMNS)])} |", flush=True)


if __name__ == "__main__":
    main()
