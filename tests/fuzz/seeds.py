"""Real input of every kind that the service reads."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from functools import cache

import numpy as np
from PIL import Image
from pydicom import config
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from app.keys import make
from tests import dicom, synthetic
from tests.synthetic import SIZE, colonoscopy, encode

PIXELS = colonoscopy(48, 64)


@cache
def pictures() -> list[bytes]:
    """A frame in every format and mode."""
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        ("PNG", {}), ("BMP", {}), ("JPEG", {}), ("JPEG", {"progressive": True, "exif": exif}),
        ("WEBP", {}), ("WEBP", {"lossless": True}), ("TIFF", {}),
        *(("TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
    ]  # fmt: skip
    modes = [
        ("PNG", "P"),
        ("PNG", "RGBA"),
        ("PNG", "1"),
        ("PNG", "I;16"),
        ("JPEG", "CMYK"),
        ("TIFF", "CMYK"),
        ("JPEG", "L"),
    ]
    return [encode(image, kind, **options) for kind, options in kinds] + [
        encode(image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode), kind)
        for kind, mode in modes
    ]


@cache
def objects() -> list[bytes]:
    """DICOM objects in every transfer syntax that can be written here, and of every kind of pixels."""
    grey = np.ascontiguousarray(PIXELS[..., 0])
    with config.disable_value_validation():
        plain = [
            dicom.image(PIXELS, TransferSyntaxUID=syntax)
            for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
        ]
        packed = [dicom.compressed(PIXELS, syntax) for syntax in (JPEGLSLossless, JPEG2000Lossless, RLELossless)]
        jpeg = dicom.encapsulated(
            PIXELS, JPEGBaseline8Bit, [encode(PIXELS, "JPEG")], PhotometricInterpretation="YBR_FULL_422"
        )
        window = dicom.image(grey, WindowCenter=100, WindowWidth=50, RescaleSlope=2, RescaleIntercept=-3)
        deep = dicom.image(grey.astype(np.uint16), BitsStored=12, HighBit=11, PhotometricInterpretation="MONOCHROME1")
        palette = dicom.image(grey, PhotometricInterpretation="PALETTE COLOR")
        for colour in ("Red", "Green", "Blue"):
            setattr(palette, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 8])
            setattr(palette, f"{colour}PaletteColorLookupTableData", bytes(range(256)))
        spaced = dicom.image(np.stack([PIXELS] * 3), SharedFunctionalGroupsSequence=[dicom.pixel_spacing(0.5, 0.25)])
        return [dicom.file(made) for made in (*plain, *packed, jpeg, window, deep, palette, spaced)]


@cache
def inferences() -> list[bytes]:
    """Requests of the inference protocol, with what header and coding they are sent: see `targets.inference`."""
    frame = colonoscopy(SIZE, SIZE)
    described = {"name": "frames", "datatype": "UINT8", "shape": [1, SIZE, SIZE, 3]}
    flat = json.dumps({"id": "a", "inputs": [{**described, "data": frame.ravel().tolist()}]}).encode()
    nested = json.dumps({"inputs": [{**described, "data": [frame.tolist()]}]}).encode()
    binary = {**described, "parameters": {"binary_data_size": frame.size}}
    wanted = [{"name": "probability", "parameters": {"binary_data": True}}]
    header = json.dumps({"inputs": [binary], "outputs": wanted}).encode()
    packed = header + frame.tobytes()
    return [
        *(struct.pack("<BI", 0, len(text)) + text for text in (flat, nested)),
        struct.pack("<BI", 0, len(header)) + packed,
        struct.pack("<BI", 1, len(header)) + gzip.compress(packed, mtime=0),
        struct.pack("<BI", 2, len(header)) + zlib.compress(packed),
    ]


@cache
def forms() -> list[bytes]:
    """Multipart bodies of the boundary `b`."""
    file = b'Content-Disposition: form-data; name="file"; filename="f.png"\r\nContent-Type: image/png\r\n\r\n'
    text = b'Content-Disposition: form-data; name="iterations"\r\n\r\n10'
    star = b"Content-Disposition: form-data; name=file; filename*=UTF-8''%e2%82%ac.png\r\n\r\n"
    parts = [file + encode(PIXELS), text, star + b"x"]
    return [
        b"".join(b"--b\r\n" + part + b"\r\n" for part in chosen) + b"--b--\r\n"
        for chosen in (parts[:1], parts[:2], parts[1:], parts * 3)
    ]


@cache
def messages() -> list[bytes]:
    """What a stream's client sends, as text or as bytes."""
    raw = struct.pack("<4sII", b"RGB8", PIXELS.shape[1], PIXELS.shape[0]) + PIXELS.tobytes()
    texts = [b'{"threshold": 0.4}', b'{"smooth": 0.5, "threshold": null}', b"{}", b"[]", b'{"threshold": 1e400}']
    return [raw, encode(PIXELS, "JPEG"), *texts]


@cache
def keys_files() -> list[bytes]:
    """Files of API keys."""
    lines = [make("clinic-a", "user")[1], f"{make('b', 'admin')[1]} rate=5 burst=10 concurrency=2", "# a comment", ""]
    return ["\n".join(lines[:end]).encode() for end in range(1, len(lines) + 1)]


@cache
def manifests() -> list[bytes]:
    """`manifest.json` of a model."""
    return [json.dumps(synthetic.manifest("evil", "1", b"")).encode()]


@cache
def goldens() -> list[bytes]:
    """`golden.npz` of a model."""
    frame = colonoscopy(SIZE, SIZE)
    made = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, frame=frame, probability=frame[..., 0].astype(np.float32) / 255)
        made.append(file.getvalue())
    return made


@cache
def graphs() -> list[bytes]:
    """`model.onnx` of a model."""
    return [synthetic.red_graph(), synthetic.red_graph(gain=0.9, batch=1)]


def environments() -> list[bytes]:
    """A name and a value of a setting."""
    return [b"PORT=8000", b"MAX_BODY_BYTES=1000", b"CORS_ORIGINS=https://a.example,https://b.example", *(
        (b"TRUSTED_PROXIES=10.0.0.0/8,::1", b"DEADLINE_MS=1e3", b"LOG_LEVEL=info", b"KEYS_FILE=/nowhere", b"QUEUE=")
    )]  # fmt: skip
