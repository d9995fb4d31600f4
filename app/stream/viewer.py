"""What a stream of frames has on top of single ones: a memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from app import lesions, render
from app.clock import Clock
from app.decoding import decode_first
from app.fit import Fit
from app.frames import Frame
from app.lesions import Segmentation
from app.marking import Marking
from app.message import TrackedLesion
from app.model import Model
from app.segment import segment_frame
from app.stream import raw
from app.stream.tracks import Tracks

Output = Literal["mask", "bits", "json"]

# Of one frame, the largest. More are noise (a threshold near 0), and following them costs their square.
MAX_LESIONS = 100


class Options(Marking):
    """What may change while a stream is open; anything else is refused, since it is likely misspelt."""

    model_config = ConfigDict(frozen=True)

    smooth: Annotated[
        float,
        Field(ge=0, lt=1, description="weight of what was before in the probability; at 1 nothing would ever change"),
    ] = 0.0


@dataclass(frozen=True)
class Incoming:
    """A frame as it came: its bytes, the options of that moment, and a clock that runs since then."""

    data: bytes
    options: Options
    clock: Clock


@dataclass(frozen=True)
class Outcome:
    """What came of one frame.

    Attributes:
        width, height: of the frame, in pixels.
        lesions: the largest first, with ids.
        payload: the mask in the form that was asked for; empty for `json`.
    """

    width: int
    height: int
    lesions: list[TrackedLesion]
    payload: bytes


class Smoother:
    """Exponential smoothing of a map in time: s = w s + (1 - w) p, where s starts as the first p.

    What was before is moved to where the network sees it now, and counts only where it saw it then, as a number.
    """

    def __init__(self) -> None:
        self._last: tuple[NDArray[np.float32], Fit] | None = None

    def forget(self) -> None:
        """Start again with the next map."""
        self._last = None

    def __call__(self, probability: NDArray[np.float32], fit: Fit, weight: float) -> NDArray[np.float32]:
        """Probability float32 [H, W], its fit, and the weight of what was before -> float32 [H, W]."""
        smooth = probability
        if self._last is not None and weight:
            before, seen = self._last
            if seen.part != fit.part:
                before = seen.moved(before, fit, unknown=probability)
            before = np.where(np.isnan(before), probability, before)
            smooth = np.float32(weight) * before + np.float32(1 - weight) * probability
        self._last = smooth, fit
        return smooth


class Viewer:
    """Segments the frames of one stream, one at a time and in their order, and remembers what it saw.

    A frame of another size than the one before is another view: nothing of the old one is kept.
    """

    def __init__(self, model: Model, output: Output, max_pixels: int) -> None:
        self.model = model
        self.output = output
        self._max_pixels = max_pixels
        self._size = (0, 0)
        self._smoother = Smoother()
        self._tracks = Tracks()

    def see(self, incoming: Incoming) -> Outcome:
        """Segment one frame. CPU work, for a worker thread.

        Raises:
            FrameError: the frame cannot be used; the memory stays as it was.
        """
        clock, options = incoming.clock, incoming.options
        clock.mark("queue")
        frame = self._decode(incoming.data, clock)
        self._look_at((frame.width, frame.height))
        steady = partial(self._smoother, weight=options.smooth)
        segmentation = segment_frame(frame, self.model, clock, marking=options, steady=steady)
        with clock.stage("lesions"):
            found = self._follow(segmentation)
        with clock.stage("render"):
            payload = PAYLOADS[self.output](segmentation)
        return Outcome(frame.width, frame.height, found, payload)

    def _decode(self, data: bytes, clock: Clock) -> Frame:
        with clock.stage("decode"):
            if raw.is_raw(data):
                return raw.decode(data, max_pixels=self._max_pixels)
            return decode_first(data, max_pixels=self._max_pixels, at_least=self.model.manifest.input.size)

    def _look_at(self, size: tuple[int, int]) -> None:
        if size != self._size:
            self._size = size
            self._smoother.forget()
            self._tracks.forget()

    def _follow(self, segmentation: Segmentation) -> list[TrackedLesion]:
        found = lesions.find(segmentation, at_most=MAX_LESIONS)
        ids = self._tracks.follow([lesion.box for lesion in found])
        return [
            TrackedLesion(
                id=id_,
                box=lesion.box,
                area=lesion.area,
                fraction=lesion.fraction,
                probability=lesion.probability,
                polygons=[lesion.polygon] if self.output == "json" else None,
            )
            for id_, lesion in zip(ids, found, strict=True)
        ]


def _bits(segmentation: Segmentation) -> bytes:
    """The mask as bits: rows padded to whole bytes, the most significant bit first."""
    return np.packbits(segmentation.mask, axis=1).tobytes()  # [height, ceil(width / 8)]


def _nothing(_segmentation: Segmentation) -> bytes:
    return b""


PAYLOADS: dict[Output, Callable[[Segmentation], bytes]] = {
    "mask": render.mask_png,
    "bits": _bits,
    "json": _nothing,
}
