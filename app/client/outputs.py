"""Where answers go: an overlay video, a folder of masks, lines of JSON."""

from __future__ import annotations

import sys
import threading
from collections import deque
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from app.client.errors import OutputError
from app.client.sources import Pixels
from app.message import Failure, Header, TrackedLesion

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}  # those that the FFmpeg in opencv-python-headless encodes; H.264 it does not

# Frames that wait for their mask. More come together only while the service answers nothing.
MAX_PENDING = 64

TINT = (0, 255, 0)  # green, as the service's own overlay
TINT_SHARE = 0.3


class Output:
    """Sees every frame that is sent and every answer; `close` is called once, whatever happens."""

    def sent(self, pixels: Pixels) -> None:
        """The next frame goes out."""

    def answered(self, header: Header, mask: bytes) -> None:
        """A frame's answer came: its header, and its mask as a PNG if masks were asked for."""

    def failed(self, failure: Failure) -> None:
        """A frame could not be used."""

    def close(self) -> None:
        """Nothing comes any more."""


class Lines(Output):
    """Each answer's header as a line of JSON."""

    def __init__(self, file: TextIO = sys.stdout) -> None:
        self._file = file

    def answered(self, header: Header, mask: bytes) -> None:  # noqa: ARG002
        """Print the header, lesions included."""
        print(header.text(), file=self._file, flush=True)

    def failed(self, failure: Failure) -> None:
        """Print the problem."""
        print(failure.model_dump_json(), file=self._file, flush=True)


class Masks(Output):
    """Each answered frame's mask as `<sequence>.png` in a folder, which is made."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.") from error
        self._folder = folder

    def answered(self, header: Header, mask: bytes) -> None:
        """Write the mask."""
        (self._folder / f"{header.sequence:06d}.png").write_bytes(mask)


class Overlay(Output):
    """A video of every frame sent, each with the newest mask that was known for it.

    A frame that the service passed over shows the mask of the one before, as on a live screen.
    """

    def __init__(self, path: Path, rate: float) -> None:
        if path.suffix.lower() not in CODECS:
            raise OutputError(f"{path.name} is no kind of video that is written: end it in {' or '.join(CODECS)}.")
        if not path.parent.is_dir():
            raise OutputError(f"The folder {path.parent} does not exist: make it, or write the overlay elsewhere.")
        self._path = path
        self._rate = rate
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._pending: deque[Pixels] = deque()
        self._written = 0
        self._mask: NDArray[np.uint8] | None = None
        self._lesions: list[TrackedLesion] = []
        self._lock = threading.Lock()  # frames are sent from one thread and answers come in another

    def sent(self, pixels: Pixels) -> None:
        """Let the frame wait for its mask."""
        with self._lock:
            self._pending.append(pixels)
            if len(self._pending) > MAX_PENDING:
                self._write_until(self._written + 1)

    def answered(self, header: Header, mask: bytes) -> None:
        """Write the frames up to this one, and this one with its own mask."""
        with self._lock:
            self._write_until(header.sequence)
            self._mask = cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_GRAYSCALE)
            self._lesions = header.lesions
            self._write_until(header.sequence + 1)

    def close(self) -> None:
        """Write what waits, and end the file."""
        with self._lock:
            self._write_until(self._written + len(self._pending))
            if self._writer is not None:
                self._writer.release()

    def _write_until(self, sequence: int) -> None:
        while self._written < sequence:
            self._write(self._pending.popleft())
            self._written += 1

    def _write(self, pixels: Pixels) -> None:
        height, width, _ = pixels.shape
        if self._writer is None:
            self._size = (width, height)
            self._writer = self._open()
        if (width, height) != self._size:
            raise OutputError(
                f"The overlay is a video of {self._size[0]} x {self._size[1]} pixels, and frame {self._written} has "
                f"{width} x {height}: send frames of one size, or use --masks."
            )
        self._writer.write(draw(pixels, self._mask, self._lesions))

    def _open(self) -> cv2.VideoWriter:
        codec = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
        writer = cv2.VideoWriter(str(self._path), codec, self._rate, self._size)
        if not writer.isOpened():
            raise OutputError(f"{self._path} cannot be written: is the folder writable, and the disk not full?")
        return writer


def draw(pixels: Pixels, mask: NDArray[np.uint8] | None, lesions: list[TrackedLesion]) -> Pixels:
    """The frame uint8 [H, W, 3] with the mask uint8 [H, W] tinted and outlined, and each lesion's id and probability.

    A mask of another size is that of another view, and not drawn.
    """
    picture = pixels.copy()
    if mask is None or mask.shape != pixels.shape[:2]:
        return picture
    tinted = cv2.addWeighted(picture, 1 - TINT_SHARE, np.full_like(picture, TINT), TINT_SHARE, 0)
    cv2.copyTo(tinted, mask, picture)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, TINT, max(1, round(min(mask.shape) / 300)))
    for lesion in lesions:
        label = f"{lesion.id}: {lesion.probability:.2f}"
        cv2.putText(picture, label, lesion.box[:2], cv2.FONT_HERSHEY_SIMPLEX, min(mask.shape) / 800, TINT)
    return picture
