"""From a file to its frames: an image has one, a DICOM object one or several."""

from __future__ import annotations

from collections.abc import Iterator

from app import frames
from app.dicom import is_dicom
from app.errors import BadParameter, NotDicom
from app.frames import Frame


def decode(
    data: bytes,
    *,
    max_pixels: int,
    at_least: tuple[int, int] | None = None,
    number: int | None = None,
    every: bool = False,
    max_frames: int = 1,
) -> Iterator[Frame]:
    """The frames, each decoded when it is asked for; the first one only, unless `every` is set.

    Args:
        data: an image file, or a DICOM object.
        max_pixels: frames with more are refused by their header.
        at_least: (height, width) that the caller needs; see `frames.decode`.
        number: of a DICOM object's frame, from 1.
        every: without a number, all frames of a DICOM object; any other file is refused.
        max_frames: DICOM objects with more are refused where every frame is wanted.

    Raises:
        FrameError: a frame cannot be used.
        TooManyFrames: the object has more than `max_frames`.
        BadParameter: the file has no frame of this number.
    """
    if is_dicom(data):
        from app.dicom import read  # noqa: PLC0415  (half of a start's time, and few services need it)

        yield from read.read(
            data, number=number, every=every, max_pixels=max_pixels, max_frames=max_frames, at_least=at_least
        )
        return
    if every:
        raise NotDicom(NotDicom.example)
    if number not in (None, 1):
        raise BadParameter(f"frame: expected 1, since only DICOM objects have frames with numbers, got {number}.")
    yield frames.decode(data, max_pixels=max_pixels, at_least=at_least)


def whole(frame: Frame, data: bytes, *, max_pixels: int, number: int | None = None) -> Frame:
    """The frame with all of its pixels: decoded again from its file where `at_least` had it reduced; as `decode`."""
    if frame.pixels.shape[:2] == (frame.height, frame.width):
        return frame
    return next(decode(data, max_pixels=max_pixels, number=number))


def decode_first(data: bytes, *, max_pixels: int, at_least: tuple[int, int] | None = None) -> Frame:
    """The first frame; as `decode`."""
    return next(decode(data, max_pixels=max_pixels, at_least=at_least))
