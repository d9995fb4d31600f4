"""The frame with the mask painted on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from app.lesions import Segmentation

Format = Literal["jpeg", "png"]
Colour = tuple[int, int, int]  # RGB

MEDIA_TYPES: dict[Format, str] = {"jpeg": "image/jpeg", "png": "image/png"}
CONTOUR_PER_SIDE = 1 / 300  # line width over the shorter side, so that it shows alike at every size
JPEG_QUALITY = 90


@dataclass(frozen=True)
class Style:
    """How an overlay looks.

    Attributes:
        colour: RGB of fill and contour; green is what mucosa is not.
        opacity: of the fill, 0 to 1.
        contour: whether outlines are drawn, around holes too.
    """

    colour: Colour = (0, 255, 0)
    opacity: float = 0.3
    contour: bool = True


def overlay(segmentation: Segmentation, style: Style, form: Format) -> bytes:
    """The frame, upright, with the mask filled and its outline drawn, as a picture file.

    Needs a frame that was decoded whole.
    """
    picture = segmentation.frame.pixels.copy()  # [H, W, 3]
    fill(picture, segmentation.mask, style.colour, style.opacity)
    if style.contour:
        outline(picture, segmentation.mask, style.colour)
    return encode(picture, form)


def fill(picture: NDArray[np.uint8], mask: NDArray[np.uint8], colour: Colour, opacity: float) -> None:
    """Blend the colour into the marked pixels of a picture uint8 [H, W, 3], in place."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return
    box = np.s_[top : top + height, left : left + width]
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    blended = cv2.addWeighted(levels, 1 - opacity, np.full_like(levels, colour), opacity, 0)
    cv2.copyTo(cv2.LUT(picture[box], blended), mask[box], picture[box])


def outline(picture: NDArray[np.uint8], mask: NDArray[np.uint8], colour: Colour, width: int = 1) -> None:
    """Draw the mask's boundaries on a picture uint8 [H, W, 3], in place, `width` times the usual line."""
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    thickness = width * max(1, round(min(mask.shape) * CONTOUR_PER_SIDE))
    cv2.drawContours(picture, contours, -1, colour, thickness)


def encode(picture: NDArray[np.uint8], form: Format) -> bytes:
    """A picture uint8 [H, W, 3] RGB as a file."""
    if form == "jpeg":
        return bytes(simplejpeg.encode_jpeg(picture, quality=JPEG_QUALITY, colorsubsampling="420"))
    _, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return bytes(png.tobytes())
