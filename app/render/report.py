"""A segmentation as a JSON report: lesions, RLE and timings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app import lesions, rle
from app.clock import Clock
from app.frames import Spacing
from app.lesions import Segmentation
from app.model import Model


def _is_none(value: object) -> bool:
    return value is None


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


class SpacingReport(BaseModel):
    """Millimetres between neighbouring pixels, by a DICOM object's own word."""

    row: Annotated[float, Field(gt=0, description="between rows")]
    column: Annotated[float, Field(gt=0, description="between columns")]
    attribute: Annotated[
        str,
        Field(
            description="where it is from: PixelSpacing; ImagerPixelSpacing, which holds at the sensor and not at the "
            "lesion; or NominalScannedPixelSpacing, of a scanned picture"
        ),
    ]


class LesionReport(BaseModel):
    """One connected area of the mask."""

    box: Box
    polygon: Annotated[
        list[tuple[int, int]], Field(description="outer boundary, x and y of pixel centres; without holes")
    ]
    area: Annotated[int, Field(description="pixels, without holes")]
    area_mm2: Annotated[
        float | None,
        Field(description="square millimetres; absent where the file has no pixel spacing", exclude_if=_is_none),
    ] = None
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
    spacing: Annotated[
        SpacingReport | None, Field(description="absent where the file has none", exclude_if=_is_none)
    ] = None
    timings: Annotated[dict[str, float], Field(description="milliseconds by stage")]


def report(segmentation: Segmentation, model: Model, clock: Clock) -> Report:
    """Everything known about the frame, with the lesions one by one."""
    with clock.stage("lesions"):
        spacing = segmentation.frame.spacing
        found = [_lesion(lesion, spacing) for lesion in lesions.find(segmentation)]
        mask = Rle.of(segmentation.mask)
    return Report(
        model=model.manifest.name,
        version=model.manifest.version,
        provider=clock.provider or model.engine.provider,
        frame=FrameSize.of(segmentation),
        threshold=segmentation.threshold,
        lesions=found,
        mask=mask,
        spacing=SpacingReport(**asdict(spacing)) if spacing else None,
        timings=clock.rounded(),
    )


def _lesion(lesion: lesions.Lesion, spacing: Spacing | None) -> LesionReport:
    return LesionReport(
        box=lesion.box,
        polygon=lesion.polygon,
        area=lesion.area,
        area_mm2=lesion.area * spacing.row * spacing.column if spacing else None,
        fraction=lesion.fraction,
        probability=lesion.probability,
    )
