"""Whether a value grows: the slope of its samples, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class Slope:
    """Least-squares slope with its 95% interval."""

    mean: float
    low: float
    high: float

    @property
    def grows(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0


def slope(times: NDArray[np.float64], values: NDArray[np.float64]) -> Slope:
    """Of samples float64 [n] at times float64 [n], n at least 4.

    Neighbouring samples of a process are alike, so that n of them say less than n independent ones: the interval is
    that of n (1 - r) / (1 + r) samples, with r the lag-1 autocorrelation of the residuals (Santer et al., "Statistical
    significance of trends and trend differences in layer-average atmospheric temperature time series", J. Geophys.
    Res. 105, 2000, equations 3 to 6). Too few for an interval are reported as an infinite one.
    """
    if np.ptp(values) == 0:
        return Slope(0.0, 0.0, 0.0)
    centred = times - times.mean()
    mean = float(centred @ values / (centred @ centred))
    residuals = values - values.mean() - mean * centred
    freedom = len(values) * _independent_share(residuals) - 2
    if freedom <= 0:
        return Slope(mean, -np.inf, np.inf)
    error = np.sqrt(residuals @ residuals / freedom / (centred @ centred))
    margin = float(stats.t.ppf(0.975, freedom) * error)
    return Slope(mean, mean - margin, mean + margin)


def _independent_share(residuals: NDArray[np.float64]) -> float:
    """(1 - r) / (1 + r), at most 1: samples that alternate are not taken for more than they are."""
    r = max(0.0, float(residuals[:-1] @ residuals[1:] / (residuals @ residuals)))
    return (1 - r) / (1 + r)
