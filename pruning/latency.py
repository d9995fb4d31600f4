"""Latency of two graphs on this machine's CPU, measured in turns in one run, so that drift hits both alike."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from pruning.golden import synthetic_frame
from pruning.metrics import bootstrap
from pruning.sessions import input_size, open_session, run

Milliseconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Milliseconds a frame, batch 1, network only. `speed_up` is the geometric mean of the paired ratios."""

    machine: str
    onnxruntime: str
    threads: int
    runs: int
    dense_p50: float
    dense_p95: float
    pruned_p50: float
    pruned_p95: float
    speed_up: float
    speed_up_low: float
    speed_up_high: float

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)


def compare(dense: Path, pruned: Path, threads: int = 1, runs: int = 200, warm_up: int = 20) -> Comparison:
    """Run dense and pruned in turns, `runs` times each, on `threads` cores."""
    samples = in_turns([dense, pruned], threads, runs, warm_up)
    ratio = bootstrap(np.log(samples[:, 0] / samples[:, 1]))
    quantiles = np.percentile(samples, [50, 95], axis=0)
    return Comparison(
        machine=machine(),
        onnxruntime=onnxruntime.__version__,
        threads=threads,
        runs=runs,
        dense_p50=float(quantiles[0, 0]),
        dense_p95=float(quantiles[1, 0]),
        pruned_p50=float(quantiles[0, 1]),
        pruned_p95=float(quantiles[1, 1]),
        speed_up=float(np.exp(ratio.mean)),
        speed_up_low=float(np.exp(ratio.low)),
        speed_up_high=float(np.exp(ratio.high)),
    )


def in_turns(graphs: list[Path], threads: int = 1, runs: int = 200, warm_up: int = 20) -> Milliseconds:
    """Milliseconds float64 [runs, G] of G graphs, each run once in every turn; those of the warm-up are left out.

    Each gets frames of its own size.
    """
    sessions = [open_session(path, threads) for path in graphs]
    inputs = [(session, synthetic_frame(input_size(session))[None]) for session in sessions]
    turns = range(warm_up + runs)
    return np.array([[_milliseconds(session, frame) for session, frame in inputs] for _ in turns])[warm_up:]


def machine() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _milliseconds(session: onnxruntime.InferenceSession, frame: npt.NDArray[np.uint8]) -> float:
    began = time.perf_counter()
    run(session, frame)
    return (time.perf_counter() - began) * 1e3
