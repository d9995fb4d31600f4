"""What a network's probability means, settled on the validation part and never on the test part.

- Temperature (Guo et al., ICML 2017): the logits are divided by it, so that the probability is how often such pixels
  are polyp. Fitted by cross-entropy over the pixels.
- Threshold: the one nearest to 0.5 whose Dice is within `TOLERANCE` of the best of a grid.
- Peak: an area of the mask counts only where its probability reaches the peak somewhere (hysteresis, Canny 1986), which
  clears frames without polyps. It lies at half the log-odds of the least sure validation frame that was found, so that
  frames twice as unsure are found still. A recipe may raise it, to a share of polyp-free squares that are marked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from pruning import crops
from pruning.checkpoint import Checkpoint
from pruning.data import Frames, Pair, load_frames
from pruning.errors import DatasetError
from pruning.metrics import Mask, dice
from pruning.training import frame_logits

THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
TOLERANCE = 0.001  # Dice; less is noise on some hundred frames
TEMPERATURES = (0.25, 10.0)
PEAKS = np.arange(1, 10_000) / 1e4  # that a peak is raised to


@dataclass(frozen=True)
class Calibration:
    """How logits become a mask: probability = sigmoid(logits / temperature), then `cap_unsure` and the threshold.

    `marks` is the share of frames without a polyp that the peak was raised for, if it was.
    """

    temperature: float = 1.0
    threshold: float = 0.5
    peak: float = 0.0
    marks: float | None = None

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Calibration:
        """Of a published model, whose temperature is in its graph."""
        return cls(threshold=manifest["threshold"], peak=manifest.get("peak", 0.0), marks=manifest.get("marks"))

    def raised(self, highest: npt.NDArray[np.float32], marks: float) -> Calibration:
        """With the peak that at most a share `marks` of N frames without a polyp reach.

        Args:
            highest: of the probability in each frame, float32 [N].

        Raises:
            DatasetError: there is no such frame, or more of them reach the highest of `PEAKS`.
        """
        if not highest.size:
            raise DatasetError(
                "no validation frame has a square without a polyp: leave out --marks, or marks under [calibrate]"
            )
        return replace(self, peak=max(self.peak, least_peak(highest, marks)), marks=marks)


def calibrate(network: Checkpoint, validation: Frames, free: Frames | None = None, marks: float = 0.0) -> Calibration:
    """Fit temperature, then threshold, then peak, at the network's size.

    Args:
        free: frames without a polyp.
        marks: share of them that may be marked; the peak is raised for it.

    Raises:
        DatasetError: `free` is empty.
    """
    logits = frame_logits(network.network, network.spec, validation.images)  # [N, S, S]
    truth = validation.masks[:, 0]  # [N, S, S]
    temperature = fit_temperature(logits, truth)
    probability = torch.sigmoid(logits / temperature).numpy()
    settled = settle(probability, truth.numpy().astype(bool), temperature)
    if free is None:
        return settled
    unwanted = frame_logits(network.network, network.spec, free.images)
    highest = torch.sigmoid(unwanted / settled.temperature).amax((1, 2)).numpy()
    return settled.raised(highest, marks)


def calibrator(pairs: list[Pair], size: int, marks: float | None) -> Callable[[Checkpoint], Calibration]:
    """What calibrates networks of one size on these pairs, and on their polyp-free squares where `marks` is a share.

    It raises DatasetError where no pair has such a square.
    """
    settle = partial(calibrate, validation=load_frames(pairs, size))
    return settle if marks is None else partial(settle, free=crops.mucosa(pairs, size), marks=marks)


def settle(probability: npt.NDArray[np.float32], truth: Mask, temperature: float) -> Calibration:
    """Threshold, then peak, for a probability and its truth, both [N, S, S], that this temperature is in already."""
    return Calibration(
        temperature=round(temperature, 4),
        threshold=choose_threshold(probability, truth),
        peak=round(choose_peak(probability, truth), 4),
    )


def fit_temperature(logits: Tensor, truth: Tensor) -> float:
    """The temperature of least cross-entropy; logits float32 and truth uint8, both [N, S, S]."""
    target = truth.float()

    def loss(log_temperature: float) -> float:
        return F.binary_cross_entropy_with_logits(logits / math.exp(log_temperature), target).item()

    low, high = map(math.log, TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-3}).x)


def choose_threshold(probability: npt.NDArray[np.float32], truth: Mask) -> float:
    """Of THRESHOLDS that reach the best mean Dice within TOLERANCE, the nearest to 0.5."""
    scores = {
        threshold: np.mean([dice(frame >= threshold, of) for frame, of in zip(probability, truth, strict=True)])
        for threshold in THRESHOLDS
    }
    good = [threshold for threshold, score in scores.items() if score >= max(scores.values()) - TOLERANCE]
    return min(good, key=lambda threshold: abs(threshold - 0.5))


def choose_peak(probability: npt.NDArray[np.float32], truth: Mask) -> float:
    """Half the log-odds of the least sure frame whose highest probability lies on a polyp; 0.5 where that is less."""
    peaks = [frame.max() for frame, of in zip(probability, truth, strict=True) if of.flat[frame.argmax()]]
    least = min((float(peak) for peak in peaks if peak > 0.5), default=0.5)
    odds = least / max(1 - least, 1e-6)
    return math.sqrt(odds) / (1 + math.sqrt(odds))


def least_peak(highest: npt.NDArray[np.float32], marks: float) -> float:
    """The least of `PEAKS` that at most a share `marks` of N frames reach, by their highest probability, [N].

    Raises:
        DatasetError: more than that reach all of them.
    """
    above = np.sort(highest)[::-1][int(marks * len(highest))]
    place = np.searchsorted(PEAKS.astype(np.float32), above, side="right")  # a probability is compared as float32
    if place == len(PEAKS):
        raise DatasetError(
            f"more than {marks:.0%} of validation's polyp-free squares reach a probability of {PEAKS[-1]}: "
            "no peak holds them back; allow more marks"
        )
    return float(PEAKS[place])


def cap_unsure(probability: npt.NDArray[np.float32], calibration: Calibration) -> npt.NDArray[np.float32]:
    """Float32 [H, W] at the network's size, just below the threshold in areas that nowhere reach the peak.

    The service does the same before it resizes to the frame.
    """
    count, labels = cv2.connectedComponents((probability >= calibration.threshold).view(np.uint8), connectivity=8)
    sure = np.zeros(count, dtype=bool)
    sure[0] = True  # the background
    sure[labels[probability >= calibration.peak]] = True
    below = np.float32(calibration.threshold * 0.999)
    return np.where(sure[labels], probability, np.minimum(probability, below))
