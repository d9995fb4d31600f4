"""Throughput and latency with 1, 2, 4, ... frames at once.

So many clients send their next frame when they have the answer to the one before (a closed loop); as in the service,
as many frames are worked on at once as there are workers, and the others wait in the order they came.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app import latency
from app.benchmark.spec import LEAST_ROUNDS
from app.engines import alone
from app.latency import Run

# Frames of a burst for each frame at once: towards its end fewer are under way, and a short one would show mostly that.
BURST = 4
LEAST_TURNS = 5  # of a level, however few iterations are asked for


@dataclass(frozen=True)
class Level:
    """What was measured with so many frames at once.

    Attributes:
        seconds: of each frame, from when it was sent; float64 [turns, contenders, frames of a burst].
        walls: seconds of each burst; float64 [turns, contenders].
    """

    concurrency: int
    seconds: NDArray[np.float64]
    walls: NDArray[np.float64]


def levels(most: int) -> list[int]:
    """1, 2, 4, ... and `most`."""
    doubled = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*doubled, most]


def turns(concurrency: int, iterations: int) -> int:
    """How many bursts of a level make about as many runs as `iterations`, and one before that does not count."""
    return 1 + max(LEAST_TURNS, math.ceil(iterations / (BURST * concurrency)))


def frames(most: int, iterations: int) -> int:
    """Runs of one contender in the whole sweep."""
    return sum(turns(level, iterations) * BURST * level for level in levels(most))


def sweep(
    runs: Sequence[Run], *, most: int, iterations: int, workers: int, proceed: Callable[[int], bool]
) -> list[Level]:
    """Burst after burst, each contender once a turn, level after level.

    Args:
        runs: what to time, each the work on one frame (or batch).
        most: frames at once, at last.
        iterations: about as many runs of each contender count at each level.
        workers: runs at once.
        proceed: gets the number of runs done before each turn; False ends early.

    Returns:
        The levels with at least LEAST_ROUNDS turns that count.
    """
    found = []
    done = 0
    for concurrency in levels(most):
        bursts: list[list[tuple[list[float], float]]] = []
        for turn in range(turns(concurrency, iterations)):
            if not proceed(done):
                break
            bursts.append(_turn(runs, turn, concurrency, workers))
            done += BURST * concurrency * len(runs)
        if len(bursts) > LEAST_ROUNDS:
            found.append(_level(concurrency, bursts[1:]))
    return found


def _turn(runs: Sequence[Run], turn: int, concurrency: int, workers: int) -> list[tuple[list[float], float]]:
    """Each contender's burst, in the order of `runs`, whichever goes first."""
    bursts = {index: _burst(runs[index], concurrency, workers) for index in latency.order(len(runs), turn)}
    return [bursts[index] for index in range(len(runs))]


def _burst(run: Run, concurrency: int, workers: int) -> tuple[list[float], float]:
    """Seconds of each frame, and of all of them together."""

    def work() -> None:
        alone.set(concurrency == 1)
        run()

    with ThreadPoolExecutor(workers) as serving, ThreadPoolExecutor(concurrency) as clients:

        def ask(_: int) -> float:
            start = time.perf_counter()
            serving.submit(work).result()
            return time.perf_counter() - start

        start = time.perf_counter()
        seconds = list(clients.map(ask, range(BURST * concurrency)))
        return seconds, time.perf_counter() - start


def _level(concurrency: int, bursts: list[list[tuple[list[float], float]]]) -> Level:
    return Level(
        concurrency,
        np.array([[seconds for seconds, _ in turn] for turn in bursts]),
        np.array([[wall for _, wall in turn] for turn in bursts]),
    )
