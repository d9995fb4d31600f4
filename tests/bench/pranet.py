"""Figures as papers on polyp segmentation print them, beside our own: python -m tests.bench.pranet --root DATA

The protocol of PraNet (Fan et al., MICCAI 2020): each map is stretched to 0 ... 255 (min-max), Dice and IoU are the
means over 256 thresholds, beside the weighted F-measure, S-measure, mean and largest E-measure and the mean absolute
error, all by PySODMetrics. It wants an older numpy, so that it gets an environment of its own on the first run.

The maps are the probability alone: threshold and peak have no part in it. An empty map cannot stay empty by min-max
stretching, which is why the service never does so. The frames are those that the models here are tested on, which are
not the 100 + 62 of that paper: some of those are among the frames that the models learned from.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pruning.config import Part, read_recipe
from pruning.data import Pair, read_parts
from pruning.fit import fit, fit_back
from pruning.runs import read_json
from pruning.sessions import input_size, open_session, run
from tests.bench.environments import make

RECIPE = Path("pruning/configs/polyp-lite0.toml")
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--root", type=Path, default=Path(), help="what the data paths of the recipe are relative to")
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache/polyprune/metrics")
    parser.add_argument("names", nargs="*", help="only these; all otherwise")
    options = parser.parse_args()
    python = make(options.environments, "pysodmetrics", [METRICS])
    data = read_recipe(RECIPE).data
    parts: tuple[Part, ...] = (data.headline, *data.unseen)
    print(f"| | frames | {' | '.join(COLUMNS)} |", flush=True)
    print("|---" * (len(COLUMNS) + 2) + "|", flush=True)
    for path in sorted(options.models.glob("*/*/manifest.json")):
        name = read_json(path)["name"]
        if options.names and name not in options.names:
            continue
        session = open_session(path.with_name("model.onnx"))
        for part in parts:
            pairs = read_parts(options.root, (part,))
            found = figures(python, session, pairs)
            cells = [f"`{name}`", f"{part.root.name}, {len(pairs)}", *(f"{found[column]:.3f}" for column in COLUMNS)]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
