"""Quality of an exported graph: what is measured is what ships.

Headline: Dice and IoU per frame at its native resolution, with the threshold and peak that validation settled, then
averaged over frames. On frames without polyps, and on squares without one of the test frames: the share of frames, and
of pixels, in which something is marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from pruning.calibration import Calibration, cap_unsure
from pruning.config import Data
from pruning.crops import squares
from pruning.data import Pair, read_pairs, read_parts
from pruning.fit import Bytes, fit, fit_back
from pruning.metrics import Interval, Mask, bootstrap, dice, iou
from pruning.sessions import input_size, run


@dataclass(frozen=True)
class FrameScores:
    """Dice and IoU, float64 [N], of N named frames."""

    stems: list[str]
    dice: npt.NDArray[np.float64]
    iou: npt.NDArray[np.float64]

    def summary(self) -> dict[str, Interval]:
        """Mean and 95% bootstrap interval of both."""
        return {"dice": bootstrap(self.dice), "iou": bootstrap(self.iou)}

    def rounded(self) -> dict[str, dict[str, float]]:
        """The summary with four decimals, for a file."""
        return {name: interval.rounded() for name, interval in self.summary().items()}

    def by_frame(self) -> dict[str, float]:
        """Dice by name, with four decimals, for a file."""
        return dict(zip(self.stems, self.dice.round(4).tolist(), strict=True))


@dataclass(frozen=True)
class FalsePositives:
    """Share of polyp-free frames with a marked pixel, and share of their pixels that are marked."""

    dataset: str
    frames: int
    frame_rate: float
    pixel_rate: float


def predict(session: onnxruntime.InferenceSession, frame: Bytes, calibration: Calibration) -> Mask:
    """The mask as the service makes it, bool [H, W] at the frame's own size, for uint8 [H, W, 3] RGB."""
    probability = cap_unsure(run(session, fit(frame, input_size(session))[None])[0], calibration)
    return np.asarray(fit_back(probability, frame) >= calibration.threshold)


def masks(
    session: onnxruntime.InferenceSession, pairs: list[Pair], calibration: Calibration
) -> Iterator[tuple[Pair, Mask, Mask]]:
    """For each pair: the predicted mask and the ground truth, bool [H, W] at native resolution."""
    for pair in pairs:
        frame, truth = pair.read()
        yield pair, predict(session, frame, calibration), truth.astype(bool)


def score_frames(session: onnxruntime.InferenceSession, pairs: list[Pair], calibration: Calibration) -> FrameScores:
    """Dice and IoU of every pair."""
    rows = [
        (pair.stem, dice(mask, truth), iou(mask, truth)) for pair, mask, truth in masks(session, pairs, calibration)
    ]
    stems, dices, ious = zip(*rows, strict=True)
    return FrameScores(list(stems), np.array(dices), np.array(ious))


def false_positives(
    session: onnxruntime.InferenceSession, name: str, frames: Iterator[Bytes], calibration: Calibration
) -> FalsePositives:
    """What is marked on frames that show no polyp; of no frames, nothing."""
    shares = np.array([predict(session, frame, calibration).mean() for frame in frames])
    count = max(1, len(shares))
    return FalsePositives(name, len(shares), float((shares > 0).sum()) / count, float(shares.sum()) / count)


def _polyp_free(data: Data, root: Path) -> Iterator[tuple[str, Iterator[Bytes]]]:
    """Names and frames of what shows no polyp: the negatives, and squares of the frames that are reported on."""
    if data.negatives:
        yield data.negatives.name, (pair.read()[0] for pair in read_pairs(root / data.negatives))
    # Of two parts of one folder the last: their crops are partly the same.
    for part in {tested.root: tested for tested in data.reported}.values():
        yield f"crops of {part.root.name}, {part.split_name}", squares(read_parts(root, (part,)))


def measure(
    session: onnxruntime.InferenceSession, data: Data, root: Path, calibration: Calibration
) -> tuple[dict[str, Any], FrameScores]:
    """What is reported of a graph: Dice and IoU on the test split and unseen centres, marks where there is no polyp.

    Returns:
        Plain values for a file, and the scores on the test split.
    """
    test = score_frames(session, read_parts(root, (data.headline,)), calibration)
    figures: dict[str, Any] = {
        **test.rounded(),
        "frames": test.by_frame(),
        "unseen": [],
        "unseen_frames": [],
    }
    for part in data.unseen:
        scores = score_frames(session, read_parts(root, (part,)), calibration)
        about = {"dataset": part.root.name, "split": part.split_name, "frames": len(scores.stems)}
        figures["unseen"].append({**about, **scores.rounded()})
        figures["unseen_frames"].append(scores.by_frame())
    found = (false_positives(session, name, frames, calibration) for name, frames in _polyp_free(data, root))
    figures["false_positives"] = [vars(marked) for marked in found if marked.frames]
    return figures, test
