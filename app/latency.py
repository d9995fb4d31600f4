"""How long networks take beside each other, and how sure that is.

Networks are run in turns, so that whatever else the machine does in a while falls on all of them; what is
compared is the ratio within one round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

RESAMPLES = 2000
METHOD = (
    "Models are run in turns, and each round starts with another one. Intervals: 95%, percentile "
    f"bootstrap over rounds, {RESAMPLES} resamples. Speed-up: geometric mean of the rounds' ratios."
)

Run = Callable[[], object]


class Estimate(BaseModel):
    """A mean and its 95% interval."""

    mean: float
    low: float
    high: float


class Histogram(BaseModel):
    """How often each latency occurred, in bins of one width, from the fastest to the 99th percentile.

    Beyond, single runs that were interrupted would stretch it until nothing else is seen; they are counted only.
    """

    low: float = Field(description="where the first bin begins, in ms")
    step: float = Field(description="width of a bin, in ms")
    counts: list[int]
    above: int = Field(description="runs slower than the last bin")


class Latency(BaseModel):
    """Milliseconds per run of one batch."""

    p50: float
    p95: float
    p99: float
    mean: Estimate
    frames_per_second: float = Field(description="batch over mean")
    histogram: Histogram


def interleave(
    runs: Sequence[Run], *, iterations: int, warmup: int, proceed: Callable[[int], bool]
) -> NDArray[np.float64]:
    """Time every run once a round.

    Args:
        runs: what to time.
        iterations: rounds that count.
        warmup: rounds before, that do not.
        proceed: gets the number of rounds done before each round; False ends early.

    Returns:
        Seconds, float64 [rounds, runs]; fewer rounds than `iterations` after an early end.
    """
    rows: list[list[float]] = []
    for done in range(warmup + iterations):
        if not proceed(done):
            break
        row = _round(runs, first=done % len(runs))
        if done >= warmup:
            rows.append(row)
    return np.array(rows).reshape(-1, len(runs))


def _round(runs: Sequence[Run], first: int) -> list[float]:
    """Seconds of each run, in the order of `runs`, whichever goes first."""
    seconds = [0.0] * len(runs)
    for index in order(len(runs), first):
        start = time.perf_counter()
        runs[index]()
        seconds[index] = time.perf_counter() - start
    return seconds


def order(count: int, first: int) -> list[int]:
    """Places 0 to count - 1 in turn, from `first` on."""
    return [(first + turn) % count for turn in range(count)]


def summarise(seconds: NDArray[np.float64], batch: int) -> Latency:
    """Seconds per run of a batch, float64 [rounds] -> Latency."""
    milliseconds = seconds * 1e3
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
    mean = estimate(milliseconds)
    return Latency(
        p50=p50,
        p95=p95,
        p99=p99,
        mean=mean,
        frames_per_second=batch / mean.mean * 1e3,
        histogram=histogram(milliseconds),
    )


def histogram(milliseconds: NDArray[np.float64]) -> Histogram:
    """Float64 [rounds] -> Histogram with 2 n^(1/3) bins (Rice's rule); runs that all took the same lie in one."""
    ends = float(milliseconds.min()), float(np.percentile(milliseconds, 99))
    counts, edges = np.histogram(milliseconds, int(np.ceil(2 * np.cbrt(len(milliseconds)))), range=ends)
    return Histogram(
        low=edges[0], step=edges[1] - edges[0], counts=counts.tolist(), above=len(milliseconds) - int(counts.sum())
    )


def speedup(slow: NDArray[np.float64], fast: NDArray[np.float64]) -> Estimate:
    """How many times faster `fast` is, from seconds measured in the same rounds, float64 [rounds] each.

    The geometric mean, since the ratios 2 and 1/2 should cancel.
    """
    logs = estimate(np.log(slow / fast))
    return Estimate(mean=np.exp(logs.mean), low=np.exp(logs.low), high=np.exp(logs.high))


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Mean of float64 [n] with its percentile bootstrap interval; the seed is fixed."""
    picks = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return Estimate(mean=values.mean(), low=low, high=high)
