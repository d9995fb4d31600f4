"""Stream a video, a folder of frames or a camera to a service, and keep what comes back.

python -m app.client video.mp4 --overlay overlay.mp4
python -m app.client frames/ --fps 10 --masks masks/
python -m app.client 0 --json
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2

from app.client import session
from app.client.errors import ClientError
from app.client.live import Live
from app.client.outputs import Lines, Masks, Output, Overlay
from app.client.sources import Pixels, Source, open_source
from app.message import Failure, Header

KEY_VARIABLE = "POLYPRUNE_KEY"


class Player:
    """Encodes the frames of a source, and hands answers to the outputs."""

    def __init__(self, outputs: Sequence[Output], quality: int) -> None:
        self.live = Live()
        self._outputs = outputs
        self._quality = quality

    def encoded(self, frames: Iterator[Pixels]) -> Iterator[bytes]:
        """Each frame as a JPEG, once every output has seen it."""
        for pixels in frames:
            for output in self._outputs:
                output.sent(pixels)
            yield cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, self._quality))[1].tobytes()

    def answered(self, header: Header, payload: bytes, seconds: float) -> None:
        """Hand it on."""
        self.live.answered(header, seconds)
        for output in self._outputs:
            output.answered(header, payload)

    def failed(self, failure: Failure) -> None:
        """Hand it on."""
        self.live.failed(failure)
        for output in self._outputs:
            output.failed(failure)


def main() -> None:
    """Stream until the source ends, or Ctrl-C."""
    options = parser().parse_args()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what it warns of, `sources` says in words
    try:
        source = open_source(options.source)
        with ExitStack() as stack:
            outputs = _outputs(options, source)
            for output in outputs:
                stack.callback(output.close)
            _play(options, source, Player(outputs, options.quality))
    except (ClientError, OSError) as error:  # OSError: a full disk, a reader of the lines that left
        print(error, file=sys.stderr)
        sys.exit(1)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        "python -m app.client", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("source", help="a video file, a folder of frames, or the number of a camera")
    made.add_argument("--url", default="ws://127.0.0.1:8000", help="of the service (default: %(default)s)")
    made.add_argument("--model", help="name or name/version; the service's default otherwise")
    made.add_argument("--threshold", type=float, help="probability from which on a pixel is polyp, 0 to 1")
    made.add_argument("--peak", type=float, help="probability that an area has to reach to count, 0 to 1")
    made.add_argument("--smooth", type=float, help="weight of earlier frames, 0 to below 1")
    made.add_argument("--fps", type=_positive, help="frames a second; a video's own otherwise, 25 for a folder")
    made.add_argument("--quality", type=int, choices=range(1, 101), default=90, metavar="1..100", help="of the JPEGs")
    made.add_argument("--overlay", type=Path, metavar="OUT.mp4", help="write a video with the masks drawn in")
    made.add_argument("--masks", type=Path, metavar="FOLDER", help="write each answer's mask as a PNG")
    made.add_argument("--json", action="store_true", help="print each answer's lesions as a line of JSON")
    made.add_argument("--key", default=os.environ.get(KEY_VARIABLE), help=f"API key (default: ${KEY_VARIABLE})")
    return made


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value


def _outputs(options: argparse.Namespace, source: Source) -> list[Output]:
    outputs: list[Output] = [Lines()] if options.json else []
    if options.masks is not None:
        outputs.append(Masks(options.masks))
    if options.overlay is not None:
        outputs.append(Overlay(options.overlay, options.fps or source.rate))
    return outputs


def _play(options: argparse.Namespace, source: Source, player: Player) -> None:
    url = session.stream_url(
        options.url,
        model=options.model,
        threshold=options.threshold,
        peak=options.peak,
        smooth=options.smooth,
        output="mask" if options.masks or options.overlay else "json",
    )
    rate = options.fps or (None if source.live else source.rate)
    try:
        asyncio.run(session.run(url, player.encoded(source.frames), player, rate=rate, key=options.key))
    except KeyboardInterrupt:
        pass  # how a camera's stream ends
    else:
        player.live.check()
    finally:
        print(player.live.summary(), file=sys.stderr)


if __name__ == "__main__":
    main()
