"""What a benchmark found out, in words that leave the service.

Results of earlier versions are read from the store: a field that is added needs a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.benchmark.spec import Stage
from app.comparison import Agreement
from app.latency import Estimate, Latency
from app.machine import Machine

Phase = Literal["rounds", "sweep"]
State = Literal["running", "done", "failed", "stopped"]
Differ = Literal["precision", "provider", "stage"]
Kind = Literal["pruned", "precision", "provider", "stage"]


class Who(BaseModel):
    """A contender's name."""

    id: Annotated[str, Field(examples=["polyp-lite0-pruned/1"])]
    provider: str
    stage: Stage = "network"


class ModelResult(Who):
    """One contender's cost."""

    variant: Literal["dense", "pruned"]
    precision: str = "fp32"
    latency_ms: Latency
    macs: Annotated[int, Field(description="multiply-accumulates per frame")]
    parameters: int
    file_bytes: int


class Comparison(BaseModel):
    """A pruned model against a dense one, on the same provider and in the same stage."""

    dense: str
    pruned: str
    provider: str
    stage: Stage = "network"
    speedup: Annotated[Estimate, Field(description="dense time over pruned time, round by round")]
    macs_ratio: Annotated[float, Field(description="dense MACs over pruned MACs")]
    agreement: Agreement


class Pair(BaseModel):
    """Two contenders that differ in one respect."""

    differ: Annotated[
        Differ,
        Field(
            description="`precision`: the network at fp32 against a lower one. `provider`: the first that was named "
            "against another. `stage`: end to end against the network alone"
        ),
    ]
    base: Who
    other: Who
    ratio: Annotated[Estimate, Field(description="time of `base` over time of `other`, round by round")]
    dice: Annotated[float, Field(ge=0, le=1, description="of the two masks of the frame")]


class Load(Who):
    """One contender with so many frames at once."""

    concurrency: int
    frames: Annotated[int, Field(description="that counted")]
    frames_per_second: Estimate
    p50: Annotated[float, Field(description="milliseconds, with the time that a frame waited for a worker")]
    p99: float
    dense: Annotated[str | None, Field(description="what `speedup` compares with")] = None
    speedup: Annotated[
        Estimate | None, Field(description="throughput over the dense model's, turn by turn; for pruned ones")
    ] = None


class Result(BaseModel):
    """What was measured."""

    models: Annotated[list[ModelResult], Field(description="each model on each provider, in each stage")]
    comparisons: Annotated[
        list[Comparison],
        Field(description="each pruned model against the one it came from, or else the first dense one"),
    ]
    pairs: list[Pair] = []
    sweep: list[Load] = []
    iterations: Annotated[int, Field(description="rounds done")]
    batch: int
    threads: int
    workers: Annotated[int, Field(description="frames of the sweep that are worked on at once; others wait")] = 1
    frame: Annotated[str, Field(examples=["622 x 529, sent", "256 x 256, golden frame of polyp-lite0-dense/1"])]
    method: str
    machine: Machine


class Ratio(BaseModel):
    """How two contenders compare, `pruned`: against a dense one; else as `Pair.differ`."""

    kind: Kind
    base: Who
    other: Who
    ratio: Annotated[Estimate, Field(description="time of `base` over time of `other`")]


def ratios(result: Result) -> list[Ratio]:
    """All that was compared, those of pruned models first."""
    compared = []
    for found in result.comparisons:
        base, other = (
            Who(id=model, provider=found.provider, stage=found.stage) for model in (found.dense, found.pruned)
        )
        compared.append(Ratio(kind="pruned", base=base, other=other, ratio=found.speedup))
    return compared + [
        Ratio(kind=pair.differ, base=pair.base, other=pair.other, ratio=pair.ratio) for pair in result.pairs
    ]


class Status(BaseModel):
    """A benchmark, while it runs and after."""

    id: str
    state: State
    progress: Annotated[float, Field(ge=0, le=1)]
    created: Annotated[str, Field(description="when it started: UTC, ISO 8601")]
    models: Annotated[list[str], Field(description="what is measured")]
    error: Annotated[str | None, Field(description="why it failed or stopped")] = None
    warning: Annotated[str | None, Field(description="why the result will not outlive the service")] = None
    result: Result | None = None


@dataclass(frozen=True)
class Series:
    """A contender's raw times.

    Attributes:
        phase: `rounds`: one run a round. `sweep`: a burst of runs each turn.
        concurrency: frames at once.
        seconds: float [rounds or turns, runs in each].
    """

    who: Who
    phase: Phase
    concurrency: int
    seconds: NDArray[np.floating]
