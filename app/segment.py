"""The corridor: one frame's way from bytes to a mask at its own size."""

from __future__ import annotations

from app import frames
from app.clock import Clock
from app.fit import Stretch
from app.frames import Frame
from app.lesions import Segmentation, mask_of
from app.model import Model


def segment(
    data: bytes,
    model: Model,
    clock: Clock,
    *,
    threshold: float | None = None,
    whole: bool = False,
    max_pixels: int,
) -> Segmentation:
    """Decode, fit, run, fit back, threshold.

    Args:
        data: an image file.
        clock: takes the time of each stage.
        threshold: 0 to 1; the manifest's where None.
        whole: keep all pixels of the frame, as an overlay needs them.
        max_pixels: frames with more are refused by their header.

    Raises:
        FrameError: the frame cannot be used.
    """
    spec = model.manifest.input
    with clock.stage("decode"):
        at_least = None if whole else (spec.height, spec.width)
        frame = frames.decode(data, max_pixels=max_pixels, at_least=at_least)
    return segment_frame(frame, model, clock, threshold=threshold)


def segment_frame(frame: Frame, model: Model, clock: Clock, *, threshold: float | None = None) -> Segmentation:
    """Fit, run, fit back, threshold; see `segment`."""
    spec = model.manifest.input
    with clock.stage("fit"):
        fit = Stretch.of(frame, spec.height, spec.width)
        tensor = fit.apply(frame.pixels)  # [1, H, W, 3]
    with clock.stage("network"):
        small = model.engine.run(tensor)[0]  # [H, W]
    with clock.stage("mask"):
        probability = fit.invert(small)  # [frame height, frame width]
        limit = model.manifest.threshold if threshold is None else threshold
        mask = mask_of(probability, limit)
    return Segmentation(frame, probability, limit, mask)
