"""The corridor: one frame's way from bytes to a mask at its own size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app import decoding
from app.clock import Clock
from app.fit import Fit
from app.frames import Frame
from app.lesions import Segmentation, cap_unsure
from app.manifest import Manifest
from app.marking import Marking
from app.model import Model

OWN = Marking()  # all as the manifest has it
Steady = Callable[[NDArray[np.float32], Fit], NDArray[np.float32]]


def segment(
    data: bytes,
    model: Model,
    clock: Clock,
    *,
    marking: Marking = OWN,
    whole: bool = False,
    max_pixels: int,
    number: int | None = None,
    every: bool = False,
    max_frames: int = 1,
) -> Segmentation:
    """Decode, fit, run, fit back, threshold.

    Args:
        data: an image file, or a DICOM object.
        clock: takes the time of each stage.
        marking: what counts as polyp; what it leaves open is the manifest's.
        whole: have all pixels of the frame in the end, as an overlay needs them; the network sees the same without.
        max_pixels: frames with more are refused by their header.
        number: of a DICOM object's frame, from 1.
        every: without a number, segment each frame of a DICOM object, and refuse any other file.
        max_frames: DICOM objects with more are refused where every frame is wanted.

    Raises:
        FrameError: the frame cannot be used.
        BadParameter: the file has no frame of this number.
    """
    at_least = model.manifest.input.size
    pictures = decoding.decode(
        data, max_pixels=max_pixels, at_least=at_least, number=number, every=every, max_frames=max_frames
    )
    segmentations = (segment_frame(frame, model, clock, marking=marking) for frame in _timed(pictures, clock))
    first = next(segmentations)
    if whole:
        with clock.stage("decode"):
            first = replace(first, frame=decoding.whole(first.frame, data, max_pixels=max_pixels, number=number))
    return replace(first, further=tuple(segmentation.mask for segmentation in segmentations))


def segment_frame(
    frame: Frame, model: Model, clock: Clock, *, marking: Marking = OWN, steady: Steady | None = None
) -> Segmentation:
    """The steps of `segment` after decoding.

    Args:
        steady: makes of the network's probability, float32 [H, W] at its own size, and the fit the one that counts.
    """
    with clock.stage("fit"):
        fit = Fit.of(frame, model.manifest.input)
        tensor = fit.apply(frame.pixels)  # [1, H, W, 3]
    with clock.stage("network"):
        small = model.engine.run(tensor, clock)[0]  # [H, W]
    if steady is not None:
        with clock.stage("smooth"):
            small = steady(small, fit)
    with clock.stage("mask"):
        return _marked(frame, fit, small, model.manifest, marking)


def _marked(
    frame: Frame, fit: Fit, probability: NDArray[np.float32], manifest: Manifest, marking: Marking
) -> Segmentation:
    """Hold back what is nowhere sure, and threshold.

    Areas are those at the model's own threshold, so that a caller's lower one shows what was held back; a caller's own
    peak is for the areas at the caller's threshold.
    """
    threshold = manifest.threshold if marking.threshold is None else marking.threshold
    if marking.peak is None:
        capped = cap_unsure(probability, manifest.threshold, manifest.peak)
    else:
        capped = cap_unsure(probability, threshold, marking.peak)
    return Segmentation.of(frame, fit, capped, threshold)


def _timed(pictures: Iterator[Frame], clock: Clock) -> Iterator[Frame]:
    """The same frames, with the time of decoding each."""
    while True:
        with clock.stage("decode"):
            picture = next(pictures, None)
        if picture is None:
            return
        yield picture
