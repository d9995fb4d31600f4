"""Where frames come from: a video file, a folder of images, a camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.client.errors import SourceError

Pixels = NDArray[np.uint8]

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
USUAL_RATE = 25.0  # of a folder, and of a video or camera that does not say


@dataclass(frozen=True)
class Source:
    """Frames to come, uint8 [height, width, 3], BGR as OpenCV has them.

    Attributes:
        rate: frames a second at which they were taken.
        live: whether they come at that rate by themselves.
    """

    frames: Iterator[Pixels]
    rate: float
    live: bool = False


def open_source(name: str) -> Source:
    """A file or folder of this name; where there is none and it is a number, that camera.

    Raises:
        SourceError: none of these, or not readable; later also for one frame of a folder.
    """
    path = Path(name)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return _video(path)
    if name.isdecimal():
        return _camera(int(name))
    raise SourceError(f"There is no {name!r}: name a video file, a folder of frames, or a camera by its number.")


def _folder(path: Path) -> Source:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise SourceError(f"The folder {path} has no frames: expected files that end in {', '.join(SUFFIXES)}.")
    return Source(map(_image, files), USUAL_RATE)


def _image(path: Path) -> Pixels:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise SourceError(f"{path} is not readable as an image: remove it from the folder, or repair it.")
    return np.asarray(pixels)


def _video(path: Path) -> Source:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise SourceError(f"{path} is not readable as a video: expected MP4, AVI or another that FFmpeg decodes.")
    return Source(_frames(capture), _rate(capture))


def _camera(number: int) -> Source:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise SourceError(f"Camera {number} is not there, or another program holds it: 0 is usually the first.")
    return Source(_frames(capture), _rate(capture), live=True)


def _rate(capture: cv2.VideoCapture) -> float:
    return float(capture.get(cv2.CAP_PROP_FPS)) or USUAL_RATE


def _frames(capture: cv2.VideoCapture) -> Iterator[Pixels]:
    try:
        while True:
            there, pixels = capture.read()
            if not there:
                return
            yield pixels
    finally:
        capture.release()
