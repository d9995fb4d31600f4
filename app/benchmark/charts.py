"""Distributions as the points of SVG paths, in a box of WIDTH x HEIGHT; the page's template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app import latency

WIDTH, HEIGHT = 720, 120
STEPS = 400  # points of an ECDF; more are not seen
TICKS = 8


@dataclass(frozen=True)
class Tick:
    """A mark of the axis: its place in the box, and its words."""

    x: float
    text: str


@dataclass(frozen=True)
class Axis:
    """Milliseconds from 0 to `end`, left to right."""

    end: float

    @classmethod
    def over(cls, samples: Sequence[NDArray[np.floating]]) -> Axis:
        """Wide enough for the 99th percentile of each; single runs that were interrupted lie beyond."""
        return cls(1.06 * max(float(np.percentile(values, 99)) for values in samples))

    def x(self, milliseconds: float) -> float:
        """Its place in the box, at most at the right edge."""
        return round(min(milliseconds / self.end, 1.0) * WIDTH, 2)

    @property
    def ticks(self) -> list[Tick]:
        """Marks at round numbers."""
        step = _nice(self.end / TICKS)
        return [Tick(self.x(step * place), f"{step * place:g}") for place in range(1, int(self.end / step) + 1)]


def histogram(milliseconds: NDArray[np.floating], axis: Axis) -> str:
    """The path of how often each latency occurred, as high as the box where it did most often."""
    found = latency.histogram(np.asarray(milliseconds, np.float64))
    most = max(found.counts)
    points = [f"M{axis.x(found.low)} {HEIGHT}"]
    for place, count in enumerate(found.counts):
        y = round(HEIGHT * (1 - count / most), 2)
        left, right = (axis.x(found.low + found.step * edge) for edge in (place, place + 1))
        points.append(f"L{left} {y}L{right} {y}")
    return "".join(points) + f"L{axis.x(found.low + found.step * len(found.counts))} {HEIGHT}Z"


def ecdf(milliseconds: NDArray[np.floating], axis: Axis) -> str:
    """The path of the share of runs (0 at the bottom, 1 at the top) that took at most so long."""
    shares = np.linspace(0, 1, min(len(milliseconds), STEPS) + 1)[1:]
    times = np.quantile(milliseconds, shares, method="inverted_cdf")
    points = [f"M{axis.x(float(times[0]))} {HEIGHT}"]
    for time, share in zip(times.tolist(), shares.tolist(), strict=True):
        points.append(f"H{axis.x(time)}V{round(HEIGHT * (1 - share), 2)}")
        if time > axis.end:
            break
    return "".join(points) + f"H{WIDTH}"


def _nice(value: float) -> float:
    """The next round number."""
    power = 10 ** math.floor(math.log10(value))
    return float(next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= value) * power)
