"""Quality of an exported graph: what is measured is what ships.

Headline: Dice and IoU per frame at its native resolution and a fixed threshold, then averaged over frames. On
frames without polyps: the share of frames, and of pixels, in which something is marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from pruning.data import Bytes, Pair, fit
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


@dataclass(frozen=True)
class FalsePositives:
    """Share of polyp-free frames with a marked pixel, and share of their pixels that are marked."""

    frames: int
    frame_rate: float
    pixel_rate: float


def predict(session: onnxruntime.InferenceSession, frame: Bytes) -> npt.NDArray[np.float32]:
    """Probability float32 [H, W] at the frame's own size, for uint8 [H, W, 3] RGB."""
    probability = run(session, fit(frame, input_size(session))[None])[0]
    height, width = frame.shape[:2]
    return np.asarray(cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def masks(
    session: onnxruntime.InferenceSession, pairs: list[Pair], threshold: float
) -> Iterator[tuple[Pair, Mask, Mask]]:
    """For each pair: the predicted mask and the ground truth, bool [H, W] at native resolution."""
    for pair in pairs:
        frame, truth = pair.read()
        yield pair, predict(session, frame) >= threshold, truth.astype(bool)


def score_frames(session: onnxruntime.InferenceSession, pairs: list[Pair], threshold: float) -> FrameScores:
    """Dice and IoU of every pair."""
    rows = [(pair.stem, dice(mask, truth), iou(mask, truth)) for pair, mask, truth in masks(session, pairs, threshold)]
    stems, dices, ious = zip(*rows, strict=True)
    return FrameScores(list(stems), np.array(dices), np.array(ious))


def false_positives(session: onnxruntime.InferenceSession, pairs: list[Pair], threshold: float) -> FalsePositives:
    """What is marked on frames that show no polyp."""
    shares = np.array([mask.mean() for _, mask, _ in masks(session, pairs, threshold)])
    return FalsePositives(len(pairs), float((shares > 0).mean()), float(shares.mean()))
