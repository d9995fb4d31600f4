"""One benchmark from its contenders to its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from app import latency, machine
from app.benchmark import pairs, sweep
from app.benchmark.contender import Contender, line_up
from app.benchmark.result import Load, ModelResult, Result, Series
from app.benchmark.spec import LEAST_ROUNDS, Sample, Spec
from app.benchmark.sweep import Level
from app.device import Preference
from app.engines import alone
from app.errors import BenchmarkError
from app.model import Model

# Told the share that is done, and which share of the time may be used for it; False ends this part early.
Proceed = Callable[[float, float], bool]
ROUNDS_SHARE = 0.5  # of the time limit, where a sweep comes after the rounds


def measure(
    spec: Spec,
    models: Sequence[Model],
    sample: Sample,
    *,
    preference: Preference,
    workers: int,
    proceed: Proceed,
) -> tuple[Result, list[Series]]:
    """Time contenders in turns, one frame at a time and then several at once, and compare.

    Args:
        models: what `spec.models` names, in that order.
        sample: the frame that all of them get.
        preference: where the sessions run, if the spec does not say.
        workers: frames at once that are worked on.
        proceed: what it raises passes.

    Raises:
        BenchmarkError: the time limit left fewer than LEAST_ROUNDS.
        ModelRefused: a model does not run where it should.
    """
    alone.set(True)
    contenders = line_up(spec, models, sample, preference)
    seconds = _rounds(spec, contenders, proceed)  # [rounds, contenders]
    levels = _sweep(spec, contenders, workers, proceed)
    result = Result(
        models=[_cost(*of, spec.batch) for of in zip(contenders, seconds.T, strict=True)],
        comparisons=pairs.compare(contenders, seconds),
        pairs=pairs.pairs(contenders, seconds),
        sweep=[_load(level, place, contenders, spec.batch) for level in levels for place in range(len(contenders))],
        iterations=len(seconds),
        batch=spec.batch,
        threads=spec.threads,
        workers=workers,
        frame=sample.note,
        method=latency.METHOD,
        machine=machine.describe(),
    )
    return result, _series(contenders, seconds, levels)


def _rounds(spec: Spec, contenders: Sequence[Contender], proceed: Proceed) -> NDArray[np.float64]:
    share = ROUNDS_SHARE if spec.concurrency else 1.0
    total = _round_runs(spec) + _sweep_runs(spec)
    seconds = latency.interleave(
        [contender.run for contender in contenders],
        iterations=spec.iterations,
        warmup=spec.warmup,
        proceed=lambda done: proceed(done / total, share),
    )
    if len(seconds) < LEAST_ROUNDS:
        raise BenchmarkError(f"The time limit left {len(seconds)} rounds, {LEAST_ROUNDS} are needed: ask for less.")
    return seconds


def _sweep(spec: Spec, contenders: Sequence[Contender], workers: int, proceed: Proceed) -> list[Level]:
    if spec.concurrency is None:
        return []
    before, total = _round_runs(spec), _round_runs(spec) + _sweep_runs(spec)
    return sweep.sweep(
        [contender.run for contender in contenders],
        most=spec.concurrency,
        iterations=spec.iterations,
        workers=workers,
        proceed=lambda done: proceed((before + done / len(contenders)) / total, 1.0),
    )


def _round_runs(spec: Spec) -> int:
    return spec.warmup + spec.iterations


def _sweep_runs(spec: Spec) -> int:
    return sweep.frames(spec.concurrency, spec.iterations) if spec.concurrency else 0


def _cost(contender: Contender, seconds: NDArray[np.float64], batch: int) -> ModelResult:
    manifest = contender.model.manifest
    return ModelResult(
        **pairs.who(contender).model_dump(),
        variant=manifest.variant,
        precision=manifest.precision,
        latency_ms=latency.summarise(seconds, batch),
        macs=manifest.macs,
        parameters=manifest.parameters,
        file_bytes=contender.model.graph_bytes,
    )


def _load(level: Level, place: int, contenders: Sequence[Contender], batch: int) -> Load:
    milliseconds = level.seconds[:, place] * 1e3  # [turns, frames of a burst]
    p50, p99 = np.percentile(milliseconds, [50, 99])
    base = pairs.dense_of(contenders[place], contenders)
    return Load(
        **pairs.who(contenders[place]).model_dump(),
        concurrency=level.concurrency,
        frames=milliseconds.size * batch,
        frames_per_second=latency.estimate(milliseconds.shape[1] * batch / level.walls[:, place]),
        p50=p50,
        p99=p99,
        dense=None if base is None else contenders[base].model.id,
        speedup=None if base is None else latency.speedup(level.walls[:, base], level.walls[:, place]),
    )


def _series(contenders: Sequence[Contender], seconds: NDArray[np.float64], levels: Sequence[Level]) -> list[Series]:
    names = [pairs.who(contender) for contender in contenders]
    rounds = [Series(name, "rounds", 1, times[:, None]) for name, times in zip(names, seconds.T, strict=True)]
    return rounds + [
        Series(name, "sweep", level.concurrency, level.seconds[:, place])
        for level in levels
        for place, name in enumerate(names)
    ]
