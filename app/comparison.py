"""What a benchmark finds out: each network's cost, and a pruned network beside the dense one it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app import latency, machine
from app.device import Preference
from app.engine import Engine
from app.errors import BenchmarkError
from app.fit import Stretch
from app.frames import Frame
from app.latency import Estimate, Latency
from app.lesions import mask_of
from app.machine import Machine
from app.model import Model

LEAST_ROUNDS = 2  # an interval needs two values


class Spec(BaseModel):
    """What to measure. Upper limits are the operator's (`POLYPRUNE_BENCHMARK_*`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Annotated[
        list[str] | None,
        Field(min_length=1, max_length=16, description="`name` or `name/version`; unset for all that serve"),
    ] = None
    iterations: Annotated[int, Field(ge=LEAST_ROUNDS, description="rounds that count")] = 50
    warmup: Annotated[int, Field(ge=0, description="rounds before, that do not")] = 5
    batch: Annotated[int, Field(ge=1, description="frames per run")] = 1
    threads: Annotated[int, Field(ge=1, description="CPU threads per session")] = 1


@dataclass(frozen=True)
class Sample:
    """The frame of a benchmark, and where it came from."""

    frame: Frame
    note: str

    @classmethod
    def sent(cls, frame: Frame) -> Sample:
        """One that came with the request."""
        return cls(frame, f"{frame.width} x {frame.height}, sent")

    @classmethod
    def golden(cls, model: Model) -> Sample:
        """A model's own synthetic one, at the network's size."""
        height, width, _ = model.golden.frame.shape
        return cls(Frame(model.golden.frame, width, height), f"{width} x {height}, golden frame of {model.id}")


class ModelResult(BaseModel):
    """One model's cost."""

    id: Annotated[str, Field(examples=["polyp-lite0-pruned/1"])]
    variant: Literal["dense", "pruned"]
    provider: str
    latency_ms: Latency
    macs: Annotated[int, Field(description="multiply-accumulates per frame")]
    parameters: int
    file_bytes: int


class Agreement(BaseModel):
    """Overlap of two models' masks on the frame, at its own size and each model's threshold."""

    dice: Annotated[float, Field(ge=0, le=1, description="1 where both masks are empty")]
    dense_pixels: int
    pruned_pixels: int


class Comparison(BaseModel):
    """A pruned model against a dense one."""

    dense: str
    pruned: str
    speedup: Annotated[Estimate, Field(description="dense time over pruned time, round by round")]
    macs_ratio: Annotated[float, Field(description="dense MACs over pruned MACs")]
    agreement: Agreement


class Result(BaseModel):
    """What was measured: the network alone, on a frame that is decoded and fitted already."""

    models: list[ModelResult]
    comparisons: Annotated[
        list[Comparison],
        Field(description="each pruned model against the one it came from, or else the first dense one"),
    ]
    iterations: Annotated[int, Field(description="rounds done")]
    batch: int
    threads: int
    frame: Annotated[str, Field(examples=["622 x 529, sent", "256 x 256, golden frame of polyp-lite0-dense/1"])]
    method: str
    machine: Machine


def measure(
    spec: Spec,
    models: Sequence[Model],
    sample: Sample,
    *,
    preference: Preference,
    proceed: Callable[[int], bool],
) -> Result:
    """Open sessions of the benchmark's own, time them in turns, and compare.

    Args:
        models: what `spec.models` names, in that order.
        sample: the frame that all of them get.
        preference: where the sessions run.
        proceed: see `latency.interleave`; what it raises passes.

    Raises:
        BenchmarkError: fewer than LEAST_ROUNDS were done.
    """
    engines = [model.new_engine(threads=spec.threads, preference=preference) for model in models]
    tensors = [_fit(model, sample.frame).apply(sample.frame.pixels) for model in models]  # [1, H, W, 3] each
    masks = [_mask(*of, sample.frame) for of in zip(models, engines, tensors, strict=True)]
    seconds = _time(spec, engines, tensors, proceed)  # [rounds, models]
    return Result(
        models=[_cost(*of, spec.batch) for of in zip(models, engines, seconds.T, strict=True)],
        comparisons=compare(models, masks, seconds),
        iterations=len(seconds),
        batch=spec.batch,
        threads=spec.threads,
        frame=sample.note,
        method=latency.METHOD,
        machine=machine.describe(),
    )


def compare(
    models: Sequence[Model], masks: Sequence[NDArray[np.uint8]], seconds: NDArray[np.float64]
) -> list[Comparison]:
    """Each pruned model beside the dense one it came from, or the first dense one where that was not run.

    Args:
        models: what was run.
        masks: uint8 [H, W] of each, on the same frame.
        seconds: float64 [rounds, models].
    """
    ids = [model.id for model in models]
    dense = [index for index, model in enumerate(models) if model.manifest.variant == "dense"]
    comparisons = []
    for index, model in enumerate(models):
        origin = model.manifest.pruned_from
        base = ids.index(origin) if origin in ids else next(iter(dense), None)
        if model.manifest.variant == "pruned" and base is not None:
            comparisons.append(
                Comparison(
                    dense=ids[base],
                    pruned=ids[index],
                    speedup=latency.speedup(seconds[:, base], seconds[:, index]),
                    macs_ratio=models[base].manifest.macs / model.manifest.macs,
                    agreement=agree(masks[base], masks[index]),
                )
            )
    return comparisons


def agree(dense: NDArray[np.uint8], pruned: NDArray[np.uint8]) -> Agreement:
    """Dice, 2 |A and B| / (|A| + |B|), of two masks uint8 [H, W]; two empty masks agree fully."""
    shared = int(np.count_nonzero(dense & pruned))
    sizes = int(np.count_nonzero(dense)), int(np.count_nonzero(pruned))
    dice = 2 * shared / sum(sizes) if sum(sizes) else 1.0
    return Agreement(dice=dice, dense_pixels=sizes[0], pruned_pixels=sizes[1])


def _time(
    spec: Spec,
    engines: Sequence[Engine],
    tensors: Sequence[NDArray[np.uint8]],
    proceed: Callable[[int], bool],
) -> NDArray[np.float64]:
    batches = [np.repeat(tensor, spec.batch, axis=0) for tensor in tensors]  # [batch, H, W, 3] each
    runs = [partial(engine.run, batch) for engine, batch in zip(engines, batches, strict=True)]
    seconds = latency.interleave(runs, iterations=spec.iterations, warmup=spec.warmup, proceed=proceed)
    if len(seconds) < LEAST_ROUNDS:
        raise BenchmarkError(f"The time limit left {len(seconds)} rounds, {LEAST_ROUNDS} are needed: ask for less.")
    return seconds


def _mask(model: Model, engine: Engine, tensor: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    return mask_of(_fit(model, frame).invert(engine.run(tensor)[0]), model.manifest.threshold)


def _fit(model: Model, frame: Frame) -> Stretch:
    return Stretch.of(frame, model.manifest.input.height, model.manifest.input.width)


def _cost(model: Model, engine: Engine, seconds: NDArray[np.float64], batch: int) -> ModelResult:
    return ModelResult(
        id=model.id,
        variant=model.manifest.variant,
        provider=engine.provider,
        latency_ms=latency.summarise(seconds, batch),
        macs=model.manifest.macs,
        parameters=model.manifest.parameters,
        file_bytes=model.graph_bytes,
    )
