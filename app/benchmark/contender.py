"""What is timed: a model on a provider, its network alone or the whole way of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from app import openvino, render
from app.benchmark.spec import Sample, Spec, Stage
from app.clock import Clock
from app.device import INSISTED, Preference, wanted_providers
from app.fit import Fit
from app.model import Model
from app.segment import segment, segment_frame

Work = tuple[Callable[[], object], NDArray[np.uint8]]  # what is timed, and the mask that comes out


@dataclass(frozen=True)
class Contender:
    """One of those that take turns.

    Attributes:
        model: with sessions of its own.
        provider: where the network really runs, and in which arithmetic where one provider has two.
        stage: how much of a frame's way is timed.
        run: does it once; may be called from several threads at once.
        mask: what comes out, uint8 [H, W] at the frame's own size.
    """

    model: Model
    provider: str
    stage: Stage
    run: Callable[[], object]
    mask: NDArray[np.uint8]


def available() -> list[Preference]:
    """The providers that sessions can be opened on here, `auto` left out since it is one of them."""
    names: tuple[Preference, ...] = get_args(Preference)
    return [name for name in names if name == "cpu" or (name in INSISTED and _reaches(name))]


def _reaches(preference: Preference) -> bool:
    if preference in openvino.ARITHMETIC:
        return openvino.is_available()
    first = wanted_providers(preference)[0]
    return INSISTED[preference] == (first if isinstance(first, str) else first[0])


def line_up(spec: Spec, models: Sequence[Model], sample: Sample, preference: Preference) -> list[Contender]:
    """Open sessions for each model on each provider, which its stages share.

    Args:
        models: what `spec.models` names, in that order.
        sample: the frame that all of them get.
        preference: the provider where the spec names none.

    Raises:
        ModelRefused: a model's file changed, or does not run on a provider.
    """
    contenders = []
    for provider in spec.providers or [preference]:
        for model in models:
            own = model.reopened(threads=spec.threads, preference=provider)
            where = f"{own.engine.provider}-bf16" if provider == "openvino-bf16" else own.engine.provider
            contenders += [_enter(own, where, stage, sample, spec.batch) for stage in spec.stages]
    return contenders


def _enter(model: Model, provider: str, stage: Stage, sample: Sample, batch: int) -> Contender:
    run, mask = _network(model, sample, batch) if stage == "network" else _end_to_end(model, sample)
    return Contender(model, provider, stage, run, mask)


def _network(model: Model, sample: Sample, batch: int) -> Work:
    tensor = Fit.of(sample.frame, model.manifest.input).apply(sample.frame.pixels)  # [1, H, W, 3]
    run = partial(model.engine.run, np.repeat(tensor, batch, axis=0), Clock())
    return run, segment_frame(sample.frame, model, Clock()).mask


def _end_to_end(model: Model, sample: Sample) -> Work:
    """By the functions that answer `POST /v1/segment` with a mask."""
    frame = sample.frame
    work = partial(segment, sample.data, model, max_pixels=frame.width * frame.height)
    return lambda: render.mask_png(work(clock=Clock())), work(clock=Clock()).mask
