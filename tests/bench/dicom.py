"""What DICOM costs: one frame decoded by transfer syntax, and a Segmentation written: python -m tests.bench.dicom

Everything takes turns for some rounds, so that another load on the machine falls on all of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import numpy as np
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from app import machine
from app.clock import Clock
from app.dicom import read, seg
from app.frames import decode
from app.model import load
from app.segment import segment
from tests.dicom import TRUE_COLOR_SECONDARY_CAPTURE, compressed, encapsulated, file, image
from tests.synthetic import colonoscopy, encode, write_model

LIMIT = 2**24
SIZES = ((512, 640), (1080, 1920))
Work = Callable[[], object]


def objects(pixels: np.ndarray) -> dict[str, bytes]:
    """The same frame in every way that is measured."""
    jpeg = encode(pixels, "JPEG", quality=90)
    ybr = convert_color_space(pixels, "RGB", "YBR_FULL")
    sources = {
        "uncompressed": image(pixels),
        "uncompressed YBR_FULL": image(ybr, PhotometricInterpretation="YBR_FULL"),
        "deflated": image(pixels, TransferSyntaxUID=DeflatedExplicitVRLittleEndian),
        "JPEG Baseline": encapsulated(pixels, JPEGBaseline8Bit, [jpeg], PhotometricInterpretation="YBR_FULL_422"),
        "RLE": compressed(pixels, RLELossless),
        "JPEG-LS": compressed(pixels, JPEGLSLossless),
        "JPEG 2000": compressed(pixels, JPEG2000Lossless),
    }
    return {name: file(source) for name, source in sources.items()}


def decoding(data: bytes) -> Work:
    """Reads one frame whole."""
    return lambda: next(read.read(data, number=1, every=False, max_pixels=LIMIT, max_frames=1))


def writing(pixels: np.ndarray, count: int, models_dir: Path) -> Work:
    """Writes the Segmentation of so many frames."""
    model = load(models_dir / "red-dense" / "1", threads=1, preference="cpu")
    source = image(np.stack([pixels] * count), SOPClassUID=TRUE_COLOR_SECONDARY_CAPTURE)
    found = segment(file(source), model, Clock(), max_pixels=LIMIT, every=True, max_frames=count)
    return lambda: seg.write(found, model)


def take_turns(works: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each work in each round."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            taken[name].append((time.perf_counter() - start) * 1e3)
    return {name: times[1:] for name, times in taken.items()}  # the first round warms up


def main() -> None:
    """Print machine, versions, and 10th, 50th and 90th percentile of each work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="a picture of an endoscope; a synthetic one compresses too well")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    print(machine.describe(), *(f"{name} {version(name)}" for name in ("pydicom", "highdicom")), sep="\n")
    photo = options.photo.read_bytes() if options.photo else encode(colonoscopy(1080, 1920))
    whole = decode(photo, max_pixels=LIMIT).pixels
    for height, width in SIZES:
        pixels = whole[
            np.arange(height)[:, None] * whole.shape[0] // height, np.arange(width) * whole.shape[1] // width
        ]
        with TemporaryDirectory() as folder:
            write_model(Path(folder), "red-dense")
            works = {name: decoding(data) for name, data in objects(pixels).items()}
            works |= {f"write {count} frame(s)": writing(pixels, count, Path(folder)) for count in (1, 10)}
            for name, times in take_turns(works, options.rounds).items():
                low, *_, high = quantiles(times, n=10)
                print(f"{width} x {height} {name:24} {low:7.2f} {quantiles(times, n=2)[0]:7.2f} {high:7.2f} ms")


if __name__ == "__main__":
    main()
