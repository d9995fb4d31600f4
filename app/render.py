"""A segmentation as a mask PNG, an overlay JPEG, or a JSON report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app import lesions, rle
from app.clock import Clock
from app.frames import Spacing
from app.lesions import Segmentation
from app.model import Model

# Measured on Kvasir masks of 622 x 529 (median of 200): these .41 ms and 1.5 KB; OpenCV's defaults .55 ms and
# 2.7 KB; level 1 alone 1.9 ms; written by hand with zlib level 1 .39 ms and 3.7 KB: not worth its lines.
PNG_OPTIONS = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_NONE,
)

TINT = (0, 255, 0)  # RGB: green is what mucosa is not
TINT_SHARE = 0.3
CONTOUR_PER_SIDE = 1 / 300  # line width over the shorter side, so that it shows alike at every size
JPEG_QUALITY = 90


def _is_none(value: object) -> bool:
    return value is None


Pixels = Annotated[int, Field(ge=0, description="pixels")]
Share = Annotated[float, Field(ge=0, le=1)]


class FrameSize(BaseModel):
    """The frame's own size, upright."""

    width: Pixels
    height: Pixels


class Rle(BaseModel):
    """The mask as COCO's compressed run-length encoding."""

    size: Annotated[tuple[int, int], Field(description="height, width")]
    counts: str


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

    box: Annotated[tuple[int, int, int, int], Field(description="x, y, width, height in pixels")]
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


def mask_png(segmentation: Segmentation) -> bytes:
    """The mask as an 8-bit grey PNG, 0 or 255, at the frame's own size."""
    return _encode(segmentation.mask)


def overlay_jpeg(segmentation: Segmentation) -> bytes:
    """The frame, upright, with the mask tinted and its outline drawn, as a JPEG.

    Needs a frame that was decoded whole.
    """
    mask = segmentation.mask
    picture = segmentation.frame.pixels.copy()  # [H, W, 3]
    tinted = cv2.addWeighted(picture, 1 - TINT_SHARE, np.full_like(picture, TINT), TINT_SHARE, 0)
    cv2.copyTo(tinted, mask, picture)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(min(mask.shape) * CONTOUR_PER_SIDE))
    cv2.drawContours(picture, contours, -1, TINT, thickness)
    return bytes(simplejpeg.encode_jpeg(picture, quality=JPEG_QUALITY, colorsubsampling="420"))


def report(segmentation: Segmentation, model: Model, clock: Clock) -> Report:
    """Everything known about the frame, with the lesions one by one."""
    with clock.stage("lesions"):
        spacing = segmentation.frame.spacing
        found = [_lesion(lesion, spacing) for lesion in lesions.find(segmentation)]
        counts = rle.encode(segmentation.mask)
    height, width = segmentation.mask.shape
    return Report(
        model=model.manifest.name,
        version=model.manifest.version,
        provider=model.engine.provider,
        frame=FrameSize(width=width, height=height),
        threshold=segmentation.threshold,
        lesions=found,
        mask=Rle(size=(height, width), counts=counts),
        spacing=SpacingReport(**asdict(spacing)) if spacing else None,
        timings={stage: round(duration, 3) for stage, duration in clock.timings.items()},
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


def _encode(mask: NDArray[np.uint8]) -> bytes:
    _, png = cv2.imencode(".png", mask, PNG_OPTIONS)
    return png.tobytes()
