"""A DICOM file -> `Frame`, which carries its spacing and what a Segmentation says of its source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset

from app.dicom import header as headers
from app.dicom import pixels
from app.dicom.header import Header
from app.dicom.privacy import wordless
from app.errors import BadParameter, CorruptFrame, TooManyFrames
from app.frames import Frame, Spacing

# The mask of every frame is held until the Segmentation is written: 64 frames of 1080p.
MAX_MASK_PIXELS = 2**27

# What a spacing means, from the surest to the least (PS3.3, sections 10.7 and C.8.6.1).
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@dataclass(frozen=True)
class Instance:
    """The DICOM object that frames come from.

    Attributes:
        dataset: its attributes, as they were read.
        frames: how many frames it has.
        numbers: of the frames that are segmented, from 1.
    """

    dataset: Dataset
    frames: int
    numbers: range


def read(
    data: bytes,
    *,
    number: int | None,
    every: bool,
    max_pixels: int,
    max_frames: int,
    at_least: tuple[int, int] | None = None,
) -> Iterator[Frame]:
    """Frames of a DICOM file, decoded one by one as they are asked for.

    Args:
        number: of the frame, from 1; None for the first, or for all with `every`.
        every: whether all frames are wanted where no number is given.
        max_pixels: of a frame, by the header.
        max_frames: more are refused where every frame is wanted.
        at_least: as `frames.decode`.

    Raises:
        FrameError: the object cannot be used; TooManyFrames: it has more than `max_frames`.
        BadParameter: it has no frame of this number.
    """
    header = headers.parse(data, max_pixels=max_pixels)
    wanted = _numbers(header, number, every, max_frames)
    source = Instance(header.dataset, header.frames, wanted)
    spacing = _spacing(header)
    for wanted_number in wanted:
        with wordless(CorruptFrame, f"Frame {wanted_number} of the DICOM object could not be decoded whole"):
            picture = pixels.decode(header, wanted_number, max_pixels=max_pixels, at_least=at_least)
        yield Frame(picture, header.columns, header.rows, spacing, source)


def _numbers(header: Header, number: int | None, every: bool, max_frames: int) -> range:
    if number is None and every:
        most = min(max_frames, MAX_MASK_PIXELS // (header.rows * header.columns))
        if header.frames > most:
            raise TooManyFrames(
                f"The object has {header.frames} frames, and at most {most} of this size are segmented at once: "
                "name one with frame=, or split the object."
            )
        return range(1, header.frames + 1)
    number = number or 1
    if number > header.frames:
        raise BadParameter(f"frame: expected at most {header.frames}, the object's number of frames, got {number}.")
    return range(number, number + 1)


def _spacing(header: Header) -> Spacing | None:
    """Millimetres between rows and columns, where the object knows them; damaged ones are none."""
    with wordless(CorruptFrame, "The DICOM object's spacing could not be read"):
        for dataset in (header.dataset, *_measures(header.dataset)):
            for attribute in SPACINGS:
                values = _positive_pair(dataset, attribute)
                if values is not None:
                    return Spacing(*values, attribute)
    return None


def _positive_pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    try:
        row, column = (float(value) for value in dataset[keyword].value)
    except (KeyError, TypeError, ValueError):  # absent, not two, not numbers
        return None
    return (row, column) if min(row, column) > 0 and math.isfinite(row + column) else None


def _measures(dataset: Dataset) -> list[Dataset]:
    """Pixel Measures that all frames share (PS3.3, section C.7.6.16.2.1)."""
    shared = headers.short_sequence(dataset, "SharedFunctionalGroupsSequence")
    return [measures for item in shared for measures in headers.short_sequence(item, "PixelMeasuresSequence")]
