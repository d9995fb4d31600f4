"""Overlap of a mask with the ground truth, per frame, and intervals over frames."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A mean over frames and its 95% bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def signed(self) -> str:
        """Of a difference: each figure with its sign."""
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    def rounded(self) -> dict[str, float]:
        """Four decimals, for a manifest."""
        return {key: round(value, 4) for key, value in asdict(self).items()}


def dice(mask: Mask, truth: Mask) -> float:
    """2·|A ∩ B| / (|A| + |B|) of two bool [H, W]; 1 where both are empty."""
    total = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / total if total else 1.0


def iou(mask: Mask, truth: Mask) -> float:
    """|A ∩ B| / |A ∪ B| of two bool [H, W]; 1 where both are empty."""
    union = int((mask | truth).sum())
    return int((mask & truth).sum()) / union if union else 1.0


def bootstrap(values: npt.NDArray[np.float64]) -> Interval:
    """Mean of float64 [N] and its 95% percentile interval over 9,999 resamples of the frames (fixed seed)."""
    mean = float(values.mean())
    if len(values) < 2 or np.ptp(values) == 0:
        return Interval(mean, mean, mean)
    result = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0))
    return Interval(mean, float(result.confidence_interval.low), float(result.confidence_interval.high))
