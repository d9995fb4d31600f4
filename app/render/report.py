"""A segmentation as a JSON report: lesions, RLE and timings."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app import lesions, rle
from app.clock import Clock
from app.lesions import Segmentation
from app.model import Model

Pixels = Annotated[int, Field(ge=0, description="pixels")]
Share = Annotated[float, Field(ge=0, le=1)]
Box = Annotated[tuple[int, int, int, int], Field(description="x, y, width, height in pixels")]


class FrameSize(BaseModel):
    """The frame's own size, upright."""

    width: Pixels
    height: Pixels

    @classmethod
    def of(cls, segmentation: Segmentation) -> FrameSize:
        """The size of what was segmented."""
        return cls(width=segmentation.frame.width, height=segmentation.frame.height)


class Rle(BaseModel):
    """The mask as COCO's compressed run-length encoding."""

    size: Annotated[tuple[int, int], Field(description="height, width")]
    counts: str

    @classmethod
    def of(cls, mask: NDArray[np.uint8]) -> Rle:
        """A mask uint8 [H, W], 0 or not."""
        height, width = mask.shape
        return cls(size=(height, width), counts=rle.encode(mask))


class LesionReport(BaseModel):
    """One connected area of the mask."""

    box: Box
    polygon: Annotated[
        list[tuple[int, int]], Field(description="outer boundary, x and y of pixel centres; without holes")
    ]
    area: Annotated[int, Field(description="pixels, without holes")]
    fraction: Annotated[Share, Field(description="area over the frame's area")]
    probability: Annotated[Share, Field(description="mean over the lesion's pixels")]


class Report(BaseModel):
    """Answer of `output=json`."""

    model: Annotated[str, Field(examples=["polyp-lite0-pruned"])]
    version: Annotated[str, Field(examples=["1"])]
    provider: Annotated[str, Field(examples=["CPUExecutionProvider"], description="where the network ran")]
    frame: FrameSize
    threshold: Share
    lesions: Annotated[list[LesionReport], Field(description="the largest first; empty where nothing is marked")]
    mask: Rle
    timings: Annotated[dict[str, float], Field(description="milliseconds by stage")]


def report(segmentation: Segmentation, model: Model, clock: Clock) -> Report:
    """Everything known about the frame, with the lesions one by one."""
    with clock.stage("lesions"):
        found = [_lesion(lesion) for lesion in lesions.find(segmentation)]
        mask = Rle.of(segmentation.mask)
    return Report(
        model=model.manifest.name,
        version=model.manifest.version,
        provider=model.engine.provider,
        frame=FrameSize.of(segmentation),
        threshold=segmentation.threshold,
        lesions=found,
        mask=mask,
        timings=clock.rounded(),
    )


def _lesion(lesion: lesions.Lesion) -> LesionReport:
    return LesionReport(
        box=lesion.box,
        polygon=lesion.polygon,
        area=lesion.area,
        fraction=lesion.fraction,
        probability=lesion.probability,
    )
