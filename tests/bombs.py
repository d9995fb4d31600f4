"""Small inputs that want much memory: each is decoded as the service would, and says what came of it."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from app import golden
from app.decoding import decode_first
from app.errors import PolypruneError
from app.kserve import compression, tensors
from app.manifest import InputSpec
from tests.synthetic import colonoscopy, encode

MAX_PIXELS = 2**24
MAX_BODY = 2**25
SPEC = InputSpec(height=64, width=64, fit="stretch")


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(side: int, *before: bytes) -> bytes:
    """A PNG of so many pixels, of which few are there; with these chunks before its pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 10**6))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(before) + pixels


def png_text() -> bytes:
    """A PNG whose texts inflate to 16 x 100 MB."""
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 10**8))
    return png(64, *[text] * 16)


def tiff(side: int, tile: int) -> bytes:
    """A grey TIFF of side x side pixels in deflated tiles of tile x tile."""
    body = zlib.compress(b"\0" * 10**7)
    numbers = [(256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile), (323, tile)]
    start = 8 + 2 + 12 * (len(numbers) + 2) + 4
    entries = [*numbers, (324, start), (325, len(body))]
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + struct.pack("<I", 0) + body


def progressive(mode: str, scans: int) -> bytes:
    """A JPEG of many scans, each of which visits every pixel."""
    data = encode(Image.fromarray(colonoscopy(64, 64)).convert(mode), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + data[-2:]


def webp(side: int) -> bytes:
    """A WebP whose headers claim a canvas of side x side, lossless."""
    bits = (side - 1) | (side - 1) << 14
    stream = b"\x2f" + struct.pack("<I", bits) + b"\0" * 64
    body = b"WEBPVP8L" + struct.pack("<I", len(stream)) + stream + b"\0" * (len(stream) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def npz(**arrays: bytes) -> bytes:
    """A golden.npz of these members, deflated."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(shape: tuple[int, ...], dtype: str, content: bytes) -> bytes:
    """An array whose header says one thing, whatever its content."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + content


def decoded(data: bytes) -> str:
    """What the decoder says."""
    try:
        frame = decode_first(data, max_pixels=MAX_PIXELS)
    except PolypruneError as error:
        return error.slug
    return f"{frame.width} x {frame.height}"


def inferred(body: bytes, coding: str = "") -> str:
    """What the inference protocol says."""
    try:
        tensors.parse(compression.inflate(body, coding, MAX_BODY), None, SPEC, 8)
    except PolypruneError as error:
        return error.slug
    return "accepted"


def proven(data: bytes) -> str:
    """What comes of a golden.npz."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "golden.npz").write_bytes(data)
        try:
            golden.read_golden(Path(folder), SPEC)
        except PolypruneError as error:
            return error.slug
    return "accepted"


LARGE = b"\0" * 3 * 10**8
FRAME = npy((64, 64, 3), "|u1", bytes(64 * 64 * 3))

# Name: what to do. In `warm_up` and here everything big is made lazily, so that making it costs no attack anything.
ATTACKS: dict[str, Callable[[], str]] = {
    "png of 16000 x 16000": partial(decoded, png(16000)),
    "png with texts": partial(decoded, png_text()),
    "tiff with tiles larger than it": partial(decoded, tiff(64, 30000)),
    "tiff of 60000 x 60000": partial(decoded, tiff(60000, 256)),
    "webp of 16383 x 16383": partial(decoded, webp(16383)),
    "cmyk jpeg of 100 scans": partial(decoded, progressive("CMYK", 100)),
    "gzip of 300 MB": partial(inferred, gzip.compress(LARGE), "gzip"),
    "json of empty lists": partial(inferred, gzip.compress(b"[" + b"[]," * 10**7 + b"[]]"), "gzip"),
    "json of short texts": partial(inferred, gzip.compress(b"[" + b'"ab",' * 6 * 10**6 + b"0]"), "gzip"),
    "json nested deeply": partial(inferred, b"[" * 10**6),
    "golden that inflates": partial(proven, npz(frame=npy((64, 64, 3), "|u1", LARGE))),
    "golden of huge dimensions": partial(proven, npz(frame=npy((10**6, 10**6, 3), "|u1", b""))),
    "golden cut short": partial(proven, npz(frame=FRAME, probability=npy((64, 64), "<f4", b"\0"))),
    "golden with half a header": partial(proven, npz(frame=npy((64, 64, 3), "|u1", b"").replace(b"}", b" "))),
    "golden that is pickled": partial(proven, npz(frame=npy((1,), "|O", b"cos\nsystem\n(S'id'\ntR."))),
}
del LARGE


def warm_up() -> None:
    """Load what every decoder loads once."""
    decoded(encode(colonoscopy(512, 512)))
    decoded(encode(colonoscopy(512, 512), "WEBP"))
    decoded(encode(colonoscopy(512, 512), "TIFF", compression="tiff_adobe_deflate"))
    request = {"inputs": [{"name": "frames", "datatype": "UINT8", "shape": [1, 64, 64, 3], "data": [0] * 12288}]}
    inferred(gzip.compress(json.dumps(request).encode()), "gzip")
    proven(npz(frame=FRAME, probability=npy((64, 64), "<f4", np.zeros((64, 64), "<f4").tobytes())))
