"""Two models on one frame, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.clock import Clock
from app.comparison import Agreement, agree
from app.lesions import Segmentation
from app.render.overlay import Format, encode, fill, outline
from app.render.report import FrameSize, Report, Rle

# Three colours that mucosa has not and that stay apart for the colour-blind.
DENSE = (0, 255, 255)  # RGB: cyan
PRUNED = (255, 255, 0)  # yellow
DIFFERENCE = (255, 0, 255)  # magenta
DIFFERENCE_OPACITY = 0.5
LEGEND = (
    "cyan, wide: outline of the dense model's mask; yellow, narrow: that of the pruned one, on top, so that both show "
    "where they coincide; magenta, half transparent: pixels that only one of the two marks"
)

Milliseconds = Annotated[float, Field(ge=0, description="milliseconds, one run")]


class NetworkTimes(BaseModel):
    """The networks alone, once each: `/benchmark` measures with repetitions."""

    dense: Milliseconds
    pruned: Milliseconds


class PairReport(BaseModel):
    """Answer of `POST /v1/compare`."""

    frame: FrameSize
    dense: Annotated[Report, Field(description="as `/v1/segment?output=json` with this model; timings of its own")]
    pruned: Report
    difference: Annotated[Rle, Field(description="the pixels that one of the two masks marks and the other does not")]
    difference_pixels: Annotated[int, Field(ge=0)]
    agreement: Agreement
    network_ms: NetworkTimes
    timings: Annotated[dict[str, float], Field(description="milliseconds by stage of the whole request")]


@dataclass(frozen=True)
class Pair:
    """What two models say about one frame; both masks have its size."""

    dense: Segmentation
    pruned: Segmentation

    @property
    def difference(self) -> NDArray[np.uint8]:
        """Pixels that only one marks, uint8 [H, W], 0 or 255."""
        return np.asarray(cv2.bitwise_xor(self.dense.mask, self.pruned.mask))


def pair_report(pair: Pair, dense: Report, pruned: Report, clock: Clock) -> PairReport:
    """Both reports, what is different between them, and the clock of what they share."""
    difference = pair.difference
    return PairReport(
        frame=dense.frame,
        dense=dense,
        pruned=pruned,
        difference=Rle.of(difference),
        difference_pixels=int(np.count_nonzero(difference)),
        agreement=agree(pair.dense.mask, pair.pruned.mask),
        network_ms=NetworkTimes(dense=dense.timings["network"], pruned=pruned.timings["network"]),
        timings=clock.rounded(),
    )


def pair_picture(pair: Pair, form: Format) -> bytes:
    """The frame, upright, painted as LEGEND says. Needs a frame that was decoded whole."""
    picture = pair.dense.frame.pixels.copy()  # [H, W, 3]
    fill(picture, pair.difference, DIFFERENCE, DIFFERENCE_OPACITY)
    outline(picture, pair.dense.mask, DENSE, width=3)
    outline(picture, pair.pruned.mask, PRUNED)
    return encode(picture, form)
